"""Tables of hosts: the hosts, what is claimed of them, and the tokens that let a new one in."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.core.models import Reconciled, TimestampedModel, UuidModel
from apps.hosts.states import DEFAULT_ZONE, HostMode, HostState


class HostQuerySet(models.QuerySet["Host"]):
    """Hosts, and which of them take part."""

    def up(self) -> HostQuerySet:
        """Those that answer and were not declared down."""
        return self.filter(state=HostState.UP, forced_down=False)

    def taking(self) -> HostQuerySet:
        """Those of them that an operator lets take new servers."""
        return self.up().filter(mode=HostMode.ENABLED)


class Host(UuidModel, TimestampedModel, Reconciled):
    """A machine that runs a worker.

    `vcpus`, `ram_mib`, `disk_gib` are what the machine has; `capacity_*` what may be claimed of it (overcommit and
    reserve included); `used_*` the sum of its claims, changed in the same statement that checks it.
    `generation` rises with every change of these, as clients of placement expect.
    """

    number = models.PositiveIntegerField(unique=True, editable=False)  # compute's older API names hosts by number
    name = models.CharField(max_length=63, unique=True)
    zone = models.CharField(max_length=255, default=DEFAULT_ZONE)
    state = models.CharField(max_length=16, choices=[(s, s) for s in HostState], default=HostState.ENROLLED)
    mode = models.CharField(max_length=16, choices=[(m, m) for m in HostMode], default=HostMode.ENABLED)
    mode_reason = models.CharField(max_length=255, default="", blank=True)
    mode_changed_at = models.DateTimeField(null=True)
    state_changed_at = models.DateTimeField(null=True)
    forced_down = models.BooleanField(default=False, help_text="An operator says it is down, whatever it answers.")

    vcpus = models.PositiveIntegerField(default=0)
    ram_mib = models.PositiveIntegerField(default=0)
    disk_gib = models.PositiveIntegerField(default=0)
    disk_free_gib = models.PositiveIntegerField(default=0)
    capacity_vcpus = models.PositiveIntegerField(default=0)
    capacity_ram_mib = models.PositiveIntegerField(default=0)
    capacity_disk_gib = models.PositiveIntegerField(default=0)
    used_vcpus = models.PositiveIntegerField(default=0)
    used_ram_mib = models.PositiveIntegerField(default=0)
    used_disk_gib = models.PositiveIntegerField(default=0)

    facts = models.JSONField(default=dict)  # agents.contracts.HostFacts
    chassis = models.CharField(max_length=255, default="", blank=True)
    boot_id = models.CharField(max_length=64, default="", blank=True)
    last_seen_at = models.DateTimeField(null=True)
    clock_skew_s = models.FloatField(default=0.0)

    certificate_serial = models.CharField(max_length=64)  # lower-case hex; older certificates of this name are refused
    certificate_expires_at = models.DateTimeField()

    objects = HostQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(used_vcpus__gte=0), name="hosts_host_used_vcpus"),
            models.CheckConstraint(condition=Q(used_ram_mib__gte=0), name="hosts_host_used_ram"),
            models.CheckConstraint(condition=Q(used_disk_gib__gte=0), name="hosts_host_used_disk"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def enabled(self) -> bool:
        """May new servers be placed here, as far as the operator is concerned?"""
        return self.mode == HostMode.ENABLED

    @property
    def is_up(self) -> bool:
        """Does it answer, and did nobody declare it down?"""
        return self.state == HostState.UP and not self.forced_down

    @property
    def capacity(self) -> dict[str, int]:
        """What may be claimed, by resource."""
        return {
            "vcpus": self.capacity_vcpus,
            "ram_mib": self.capacity_ram_mib,
            "disk_gib": self.capacity_disk_gib,
        }

    @property
    def used(self) -> dict[str, int]:
        """What is claimed, by resource."""
        return {"vcpus": self.used_vcpus, "ram_mib": self.used_ram_mib, "disk_gib": self.used_disk_gib}


class Claim(models.Model):
    """What one consumer (a server) holds of one host, and how that host was chosen."""

    consumer_id = models.UUIDField(primary_key=True, editable=False)
    host = models.ForeignKey(Host, on_delete=models.RESTRICT, related_name="claims")
    project_id = models.CharField(max_length=64)  # plain: identity stands above hosts
    vcpus = models.PositiveIntegerField()
    ram_mib = models.PositiveIntegerField()
    disk_gib = models.PositiveIntegerField()
    decision = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        indexes = [models.Index(fields=["project_id"], name="hosts_claim_project")]

    def __str__(self) -> str:
        return f"{self.consumer_id} on {self.host_id}"


class EnrolToken(UuidModel):
    """Lets one host of the given name in, once, for an hour. Only the token's hash is kept."""

    host_name = models.CharField(max_length=63)
    zone = models.CharField(max_length=255, default=DEFAULT_ZONE)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"token for {self.host_name}"
