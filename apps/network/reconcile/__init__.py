"""Keeps OVN's northbound database what the network tables say it is."""

from __future__ import annotations

from apps.network.reconcile.projector import run
from apps.operations.registry import daemon

daemon("network.projector", run)
