"""Writes of hosts, one module per matter."""

from apps.hosts.services.authority import authority, server_certificate
from apps.hosts.services.claims import NoValidHost, claim, release

__all__ = ["NoValidHost", "authority", "claim", "release", "server_certificate"]
