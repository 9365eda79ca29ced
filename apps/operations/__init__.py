"""Durable operations: long changes as rows, advanced step by step, surviving every crash.

Owns operations, their steps and locks, the signed conversation with hosts, the sweeper and the daemons.
Does not own hosts (apps.hosts) nor any resource: it knows subjects by type and id only.
"""
