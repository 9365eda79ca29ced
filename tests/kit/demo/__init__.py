"""A small app for tests of the engine: guests with parts, on real verbs of a host. Never installed in a cloud."""
