"""Writes of hosts, one module per matter."""

from apps.hosts.services.authority import authority, server_certificate
from apps.hosts.services.claims import NoValidHost, claim, host_recount, release
from apps.hosts.services.enrolment import (
    Enrolled,
    host_disable,
    host_drain,
    host_enable,
    host_enroll,
    host_enroll_token,
    host_force_down,
    host_remove,
    host_set_zone,
)
from apps.hosts.services.heartbeat import host_report, hosts_ask, hosts_silent, inventory_handler

__all__ = [
    "Enrolled",
    "NoValidHost",
    "authority",
    "claim",
    "host_disable",
    "host_drain",
    "host_enable",
    "host_enroll",
    "host_enroll_token",
    "host_force_down",
    "host_recount",
    "host_remove",
    "host_report",
    "host_set_zone",
    "hosts_ask",
    "hosts_silent",
    "inventory_handler",
    "release",
    "server_certificate",
]
