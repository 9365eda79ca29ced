"""Benchmarks against a running cloud: each figure beside a baseline taken in the same run."""
