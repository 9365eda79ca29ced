"""Tables of the network service.

Addresses live in `FixedIp`, whose unique constraint on (subnet, address) is what keeps two ports from getting the
same one. Gateways of routers and floating IPs take their addresses through ports of their own, as in Neutron.
"""

from __future__ import annotations

from typing import Any, Self

from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Func, Q

from apps.core.context import RequestContext
from apps.core.models import TimestampedModel, UuidModel
from apps.identity.models import Project, ProjectOwned
from apps.network.states import NetworkType, PortStatus


class CidrField(models.TextField):
    """PostgreSQL's `cidr`: a prefix without host bits."""

    def db_type(self, connection: Any) -> str:
        return "cidr"


class _OnNetworks(Func):
    """Whether a row's network is one of these, read once beforehand: unlike a join, an index serves it beside an OR."""

    template = "%(expressions)s)"
    arg_joiner = " = ANY("
    output_field = models.BooleanField()

    def __init__(self, networks: models.QuerySet[Any]) -> None:
        super().__init__(F("network_id"), ArraySubquery(networks.values("pk")))


def _sees_all(ctx: RequestContext) -> bool:
    """Administrators, and other services of the cloud, which put ports on everybody's networks."""
    return ctx.is_admin or ctx.has_role("service")


class Owned(models.QuerySet[Any]):
    """Rows that only their project and administrators know of."""

    def visible(self, ctx: RequestContext) -> Self:
        """What this caller may see."""
        return self if ctx.is_admin else self.filter(project_id=ctx.project_id)


class NetworkRows(models.QuerySet["Network"]):
    """Networks; shared and external ones are seen by everybody."""

    def visible(self, ctx: RequestContext) -> Self:
        """What this caller may see."""
        if _sees_all(ctx):
            return self
        return self.filter(Q(project_id=ctx.project_id) | Q(shared=True) | Q(external=True))

    def usable(self, ctx: RequestContext) -> Self:
        """Networks that this caller may put ports on: an external one is seen, but used by its owner only."""
        if _sees_all(ctx):
            return self
        return self.filter(Q(project_id=ctx.project_id) | Q(shared=True))


class SubnetRows(models.QuerySet["Subnet"]):
    """Subnets; those of shared networks are seen by everybody, those of external ones are not."""

    def visible(self, ctx: RequestContext) -> Self:
        """What this caller may see."""
        if _sees_all(ctx):
            return self
        return self.filter(Q(project_id=ctx.project_id) | Q(_OnNetworks(Network.objects.usable(ctx))))


class SharedRows(models.QuerySet[Any]):
    """Rows of a project, or of everybody where `shared` is set."""

    def visible(self, ctx: RequestContext) -> Self:
        """What this caller may see."""
        return self if ctx.is_admin else self.filter(Q(project_id=ctx.project_id) | Q(shared=True))


class PortRows(models.QuerySet["Port"]):
    """Ports; the owner of a network sees all of its ports."""

    def visible(self, ctx: RequestContext) -> Self:
        """What this caller may see."""
        if _sees_all(ctx):
            return self
        own = Network.objects.filter(project_id=ctx.project_id)
        return self.filter(Q(project_id=ctx.project_id) | Q(_OnNetworks(own)))


class Standard(UuidModel, TimestampedModel):
    """Attributes that every resource of this API has. `revision` rises with every change of it or its parts."""

    name = models.CharField(max_length=255, default="", blank=True)
    description = models.CharField(max_length=255, default="", blank=True)
    revision = models.PositiveIntegerField(default=0)
    tags = ArrayField(models.CharField(max_length=255), default=list)

    class Meta:
        abstract = True


class Network(Standard, ProjectOwned):
    """A layer-2 segment. `external` ones join the cloud to the outside and carry floating IPs."""

    admin_state_up = models.BooleanField(default=True)
    shared = models.BooleanField(default=False)
    external = models.BooleanField(default=False)
    is_default = models.BooleanField(default=False)
    mtu = models.PositiveIntegerField()
    port_security_enabled = models.BooleanField(default=True)
    network_type = models.CharField(max_length=16, choices=[(t, t) for t in NetworkType], default=NetworkType.GENEVE)
    physical_network = models.CharField(max_length=64, null=True)
    segmentation_id = models.PositiveIntegerField(null=True)
    dns_domain = models.CharField(max_length=255, default="", blank=True)

    objects = NetworkRows.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["project", "created_at"], name="network_network_project"),
            models.Index(fields=["created_at", "id"], name="network_network_age"),
            models.Index(fields=["name"], name="network_network_name"),
            models.Index(fields=["created_at"], condition=Q(shared=True) | Q(external=True), name="network_for_all"),
            GinIndex(fields=["tags"], name="network_network_tags"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["physical_network", "segmentation_id"],
                condition=Q(physical_network__isnull=False),
                nulls_distinct=False,
                name="network_segment_once",
            ),
        ]

    def __str__(self) -> str:
        return self.name or str(self.pk)


class SubnetPool(Standard, ProjectOwned):
    """Prefixes from which subnets may be cut."""

    shared = models.BooleanField(default=False)
    is_default = models.BooleanField(default=False)
    prefixes = ArrayField(CidrField())
    ip_version = models.PositiveSmallIntegerField()
    min_prefixlen = models.PositiveSmallIntegerField()
    max_prefixlen = models.PositiveSmallIntegerField()
    default_prefixlen = models.PositiveSmallIntegerField()
    default_quota = models.PositiveIntegerField(null=True)

    objects = SharedRows.as_manager()

    class Meta:
        indexes = [models.Index(fields=["project", "created_at"], name="network_pool_project")]
        constraints = [
            models.UniqueConstraint(
                fields=["ip_version"], condition=Q(is_default=True), name="network_pool_one_default"
            )
        ]

    def __str__(self) -> str:
        return self.name or str(self.pk)


class Subnet(Standard, ProjectOwned):
    """A range of addresses on a network."""

    network = models.ForeignKey(Network, on_delete=models.RESTRICT, related_name="subnets")
    subnetpool = models.ForeignKey(SubnetPool, on_delete=models.RESTRICT, null=True, related_name="subnets")
    ip_version = models.PositiveSmallIntegerField()
    cidr = CidrField()
    gateway_ip = models.GenericIPAddressField(null=True)
    enable_dhcp = models.BooleanField(default=True)
    dns_nameservers = ArrayField(models.GenericIPAddressField(), default=list)
    host_routes = models.JSONField(default=list)  # [{"destination": cidr, "nexthop": address}]
    ipv6_ra_mode = models.CharField(max_length=16, null=True)
    ipv6_address_mode = models.CharField(max_length=16, null=True)
    dns_publish_fixed_ip = models.BooleanField(default=False)
    service_types = ArrayField(models.CharField(max_length=255), default=list)

    objects = SubnetRows.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["project", "created_at"], name="network_subnet_project"),
            models.Index(fields=["created_at", "id"], name="network_subnet_age"),
            models.Index(fields=["name"], name="network_subnet_name"),
            GinIndex(fields=["tags"], name="network_subnet_tags"),
        ]

    def __str__(self) -> str:
        return self.name or str(self.cidr)


class AllocationPool(models.Model):
    """Addresses of a subnet that may be given out without being asked for by name."""

    subnet = models.ForeignKey(Subnet, on_delete=models.CASCADE, related_name="pools", db_index=False)
    first = models.GenericIPAddressField()
    last = models.GenericIPAddressField()

    class Meta:
        indexes = [models.Index(fields=["subnet", "first"], name="network_allocation_pool")]

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


class SecurityGroup(Standard, ProjectOwned):
    """Rules for ports. A project's `default` group exists from its first use on."""

    is_default = models.BooleanField(default=False)
    stateful = models.BooleanField(default=True)

    objects = Owned.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["project", "created_at"], name="network_group_project"),
            models.Index(fields=["created_at", "id"], name="network_group_age"),
            models.Index(fields=["name"], name="network_group_name"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["project"], condition=Q(is_default=True), name="network_group_one_default")
        ]

    def __str__(self) -> str:
        return self.name


class SecurityGroupRule(UuidModel, TimestampedModel, ProjectOwned):
    """What a group lets pass; everything else is dropped."""

    description = models.CharField(max_length=255, default="", blank=True)
    revision = models.PositiveIntegerField(default=0)
    security_group = models.ForeignKey(SecurityGroup, on_delete=models.CASCADE, related_name="rules", db_index=False)
    direction = models.CharField(max_length=8, choices=[("ingress", "ingress"), ("egress", "egress")])
    ethertype = models.CharField(max_length=4, choices=[("IPv4", "IPv4"), ("IPv6", "IPv6")])
    protocol = models.CharField(max_length=16, null=True)
    port_range_min = models.IntegerField(null=True)
    port_range_max = models.IntegerField(null=True)
    remote_ip_prefix = models.CharField(max_length=64, null=True)  # as the user wrote it
    remote_group = models.ForeignKey(SecurityGroup, on_delete=models.CASCADE, null=True, related_name="+")

    objects = Owned.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["project", "created_at"], name="network_rule_project"),
            models.Index(fields=["created_at", "id"], name="network_rule_age"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "security_group", "direction", "ethertype", "protocol", "port_range_min", "port_range_max",
                    "remote_ip_prefix", "remote_group",
                ],
                nulls_distinct=False,
                name="network_rule_once",
            )
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.direction} {self.ethertype} {self.protocol or 'any'}"


class Router(Standard, ProjectOwned):
    """Joins networks, and through its gateway the outside."""

    admin_state_up = models.BooleanField(default=True)
    enable_snat = models.BooleanField(default=True)
    gateway_network = models.ForeignKey(Network, on_delete=models.RESTRICT, null=True, related_name="+")
    routes = models.JSONField(default=list)  # [{"destination": cidr, "nexthop": address}]

    objects = Owned.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["project", "created_at"], name="network_router_project"),
            models.Index(fields=["created_at", "id"], name="network_router_age"),
            models.Index(fields=["name"], name="network_router_name"),
            GinIndex(fields=["tags"], name="network_router_tags"),
        ]

    def __str__(self) -> str:
        return self.name or str(self.pk)


class Port(Standard):
    """A place on a network where something plugs in. The cloud's own ports on external networks have no project.

    `chassis` is OVN's name of the host it is bound to. `made_for_server` ports go when their server goes.
    """

    project = models.ForeignKey(
        Project, on_delete=models.RESTRICT, null=True, related_name="+", editable=False, db_index=False
    )
    network = models.ForeignKey(Network, on_delete=models.RESTRICT, related_name="ports")
    router = models.ForeignKey(Router, on_delete=models.RESTRICT, null=True, related_name="ports")
    mac_address = models.CharField(max_length=17)
    admin_state_up = models.BooleanField(default=True)
    status = models.CharField(max_length=8, choices=[(s, s) for s in PortStatus], default=PortStatus.DOWN)
    device_id = models.CharField(max_length=255, default="", blank=True)
    device_owner = models.CharField(max_length=255, default="", blank=True)
    port_security_enabled = models.BooleanField(default=True)
    allowed_address_pairs = models.JSONField(default=list)  # [{"ip_address": cidr or address, "mac_address": mac}]
    extra_dhcp_opts = models.JSONField(default=list)  # [{"opt_name", "opt_value", "ip_version"}]
    security_groups = models.ManyToManyField(SecurityGroup, through="PortGroup", related_name="ports")
    host_name = models.CharField(max_length=255, default="", blank=True)
    chassis = models.CharField(max_length=255, default="", blank=True)
    vnic_type = models.CharField(max_length=64, default="normal")
    binding_profile = models.JSONField(default=dict)
    # Set by compute alone. What a user writes into device_id makes no port a server's.
    server_id = models.UUIDField(null=True, editable=False)
    made_for_server = models.BooleanField(default=False)
    nic_index = models.PositiveSmallIntegerField(default=0)  # order among the server's interfaces

    # What a port that was just made was given, so that it can be shown without being read again.
    given_ips: list[tuple[str, str]]  # subnet id, address
    given_groups: list[Any]

    objects = PortRows.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["project", "created_at"], name="network_port_project"),
            models.Index(fields=["created_at", "id"], name="network_port_age"),
            models.Index(fields=["name"], name="network_port_name"),
            models.Index(fields=["device_id"], name="network_port_device", condition=~Q(device_id="")),
            models.Index(fields=["server_id"], name="network_port_server", condition=Q(server_id__isnull=False)),
            GinIndex(fields=["tags"], name="network_port_tags"),
        ]
        constraints = [models.UniqueConstraint(fields=["mac_address", "network"], name="network_port_mac")]

    def __str__(self) -> str:
        return self.name or str(self.pk)


class FixedIp(models.Model):
    """An address of a port."""

    port = models.ForeignKey(Port, on_delete=models.CASCADE, related_name="fixed_ips")
    subnet = models.ForeignKey(Subnet, on_delete=models.RESTRICT, related_name="+", db_index=False)
    address = models.GenericIPAddressField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["subnet", "address"], name="network_address_once")]
        indexes = [models.Index(fields=["address"], name="network_fixed_ip_address")]

    def __str__(self) -> str:
        return str(self.address)


class PortGroup(models.Model):
    """A port in a security group."""

    port = models.ForeignKey(Port, on_delete=models.CASCADE)
    security_group = models.ForeignKey(SecurityGroup, on_delete=models.RESTRICT, db_index=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["security_group", "port"], name="network_port_group_once")]

    def __str__(self) -> str:
        return f"{self.port_id} in {self.security_group_id}"


class FloatingIp(UuidModel, TimestampedModel, ProjectOwned):
    """An address of an external network that leads to one address of one port."""

    description = models.CharField(max_length=255, default="", blank=True)
    revision = models.PositiveIntegerField(default=0)
    tags = ArrayField(models.CharField(max_length=255), default=list)
    floating_network = models.ForeignKey(Network, on_delete=models.RESTRICT, related_name="+")
    floating_port = models.OneToOneField(Port, on_delete=models.RESTRICT, related_name="floating_ip")
    floating_ip_address = models.GenericIPAddressField()
    port = models.ForeignKey(Port, on_delete=models.RESTRICT, null=True, related_name="floating_ips")
    fixed_ip_address = models.GenericIPAddressField(null=True)
    router = models.ForeignKey(Router, on_delete=models.RESTRICT, null=True, related_name="floating_ips")

    objects = Owned.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["project", "created_at"], name="network_floating_project"),
            models.Index(fields=["created_at", "id"], name="network_floating_age"),
            models.Index(fields=["floating_ip_address"], name="network_floating_address"),
            GinIndex(fields=["tags"], name="network_floating_tags"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["floating_network", "port", "fixed_ip_address"],
                condition=Q(port__isnull=False),
                name="network_floating_once",
            )
        ]

    def __str__(self) -> str:
        return str(self.floating_ip_address)


class Change(models.Model):
    """A mark for the projector: this thing is not yet in OVN as it is here. It goes when it is."""

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=16)
    ident = models.UUIDField()

    class Meta:
        indexes = [models.Index(fields=["ident"], name="network_change_ident")]

    def __str__(self) -> str:
        return f"{self.kind} {self.ident}"
