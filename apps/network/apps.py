"""Registers what the network service adds to the kernel: rules, limits, and the projector."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class NetworkConfig(AppConfig):
    name = "apps.network"
    label = "network"
    verbose_name = "Network"

    def ready(self) -> None:
        from apps.core import policy
        from apps.identity.services import limits_register
        from apps.network import policies, services

        policy.book.register(policies.RULES)
        policy.PARENTS.add("network_project_id")
        limits_register("network", services.QUOTA_DEFAULTS)
        import_module("apps.network.reconcile")  # registers the projector
        import_module("apps.network.owned")
