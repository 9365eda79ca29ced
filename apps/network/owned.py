"""What projects have of networks. Ports that the cloud made for routers and addresses go with those."""

from __future__ import annotations

from typing import Any

from django.db.models import F, Model, QuerySet
from django.utils.translation import gettext_lazy as _

from apps.core.context import RequestContext
from apps.core.owned import Owned, register
from apps.network import services
from apps.network.models import FloatingIp, Network, Port, Router, SecurityGroup, Subnet, SubnetPool
from apps.network.states import Owner


def _plain_ports() -> QuerySet[Model]:
    return Port.objects.exclude(device_owner__in=list(Owner))


def _lone_subnets() -> QuerySet[Model]:
    """Subnets on networks of others: the rest go with their network."""
    return Subnet.objects.exclude(network__project_id=F("project_id"))


def _remove_router(ctx: RequestContext, row: Any) -> None:
    if row.routes:
        services.router_update(ctx, router_id=str(row.pk), routes=[])
    for port in row.ports.filter(device_owner=Owner.ROUTER_INTERFACE):
        services.router_remove_interface(ctx, router_id=str(row.pk), port_id=str(port.pk))
    services.router_delete(ctx, router_id=str(row.pk))


register(
    Owned(
        noun="floating_ip",
        label=_("floating IPs"),
        rows=FloatingIp.objects.all,
        remove=lambda ctx, row: services.floatingip_delete(ctx, floatingip_id=str(row.pk)),
        order=20,
    ),
    Owned(noun="router", label=_("routers"), rows=Router.objects.all, remove=_remove_router, order=30),
    Owned(
        noun="port",
        label=_("ports"),
        rows=_plain_ports,
        remove=lambda ctx, row: services.port_delete(ctx, port_id=str(row.pk)),
        order=40,
    ),
    Owned(
        noun="subnet",
        label=_("subnets on networks of others"),
        rows=_lone_subnets,
        remove=lambda ctx, row: services.subnet_delete(ctx, subnet_id=str(row.pk)),
        order=45,
    ),
    Owned(
        noun="network",
        label=_("networks"),
        rows=Network.objects.all,
        remove=lambda ctx, row: services.network_delete(ctx, network_id=str(row.pk)),
        order=50,
    ),
    Owned(
        noun="subnet_pool",
        label=_("subnet pools"),
        rows=SubnetPool.objects.all,
        remove=lambda ctx, row: services.subnetpool_delete(ctx, subnetpool_id=str(row.pk)),
        order=60,
    ),
    Owned(
        noun="security_group",
        label=_("security groups"),
        rows=lambda: SecurityGroup.objects.filter(is_default=False),
        remove=lambda ctx, row: services.security_group_delete(ctx, security_group_id=str(row.pk)),
        order=70,
    ),
    Owned(
        noun="default_security_group",
        label=_("default security groups"),
        rows=lambda: SecurityGroup.objects.filter(is_default=True),
        remove=lambda ctx, row: services.security_group_delete(ctx, security_group_id=str(row.pk)),
        order=80,
        incidental=True,
    ),
)
