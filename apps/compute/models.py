"""Tables of compute.

A server carries copies of its flavor's, image's and key's facts, for all three may be deleted before it. What it is
busy with is an operation, its addresses are ports, its place's capacity is a claim of `hosts`: none has a column
here. A deleted server moves to `ServerDeleted` for 90 days; `ServerAny` is a database view of both.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from agents.contracts import Power
from apps.compute.states import ConsoleKind, GroupPolicy, KeyType, ServerState
from apps.core.models import QuickJsonField, Reconciled, TimestampedModel, UuidModel
from apps.identity.models import ProjectOwned

if TYPE_CHECKING:
    Json = models.JSONField[dict[str, Any], dict[str, Any]]


class Flavor(TimestampedModel):
    """A size of server. Ids and names are any text; `root_gib` 0 means as large as the image."""

    id = models.CharField(primary_key=True, max_length=255)
    name = models.CharField(max_length=255)
    description = models.TextField(null=True)
    vcpus = models.PositiveIntegerField()
    ram_mib = models.PositiveIntegerField()
    root_gib = models.PositiveIntegerField(default=0)
    ephemeral_gib = models.PositiveIntegerField(default=0)
    swap_mib = models.PositiveIntegerField(default=0)
    rxtx_factor = models.FloatField(default=1.0)
    is_public = models.BooleanField(default=True)
    extra_specs: Json = QuickJsonField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["name"], name="compute_flavor_name")]

    def __str__(self) -> str:
        return self.name


class FlavorAccess(models.Model):
    """A project that may use a flavor which is not public."""

    flavor = models.ForeignKey(Flavor, on_delete=models.CASCADE, related_name="accesses")
    project_id = models.CharField(max_length=64)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["flavor", "project_id"], name="compute_flavor_access_once")]

    def __str__(self) -> str:
        return f"{self.flavor_id} for {self.project_id}"


class KeyPair(TimestampedModel):
    """A user's public key; a private one is never kept."""

    shown_fields = frozenset({"public_key"})

    id = models.BigAutoField(primary_key=True)
    user_id = models.CharField(max_length=64)
    name = models.CharField(max_length=255)
    type = models.CharField(max_length=8, choices=[(k.value, k.value) for k in KeyType], default=KeyType.SSH)
    public_key = models.TextField()
    fingerprint = models.CharField(max_length=255)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user_id", "name"], name="compute_key_pair_name")]

    def __str__(self) -> str:
        return self.name


class ServerGroup(UuidModel, TimestampedModel, ProjectOwned):
    """Servers that shall stand together, or apart."""

    user_id = models.CharField(max_length=64)
    name = models.CharField(max_length=255)
    policy = models.CharField(max_length=32, choices=[(p.value, p.value) for p in GroupPolicy])
    rules: Json = QuickJsonField(default=dict)

    class Meta:
        indexes = [models.Index(fields=["project", "-created_at", "-id"], name="compute_server_group_project")]

    def __str__(self) -> str:
        return self.name


class ServerFacts(TimestampedModel, Reconciled):
    """The columns of a server, alive or deleted."""

    shown_fields = frozenset({"public_key"})

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user_id = models.CharField(max_length=64)
    name = models.CharField(max_length=255)
    hostname = models.CharField(max_length=255)
    description = models.CharField(max_length=255, null=True)

    state = models.CharField(
        max_length=16, choices=[(s.value, s.value) for s in ServerState], default=ServerState.BUILDING
    )
    power = models.CharField(
        max_length=16, choices=[(p.value, p.value) for p in Power], default=Power.MISSING, help_text="As last seen."
    )
    fault: models.JSONField[dict[str, Any] | None, dict[str, Any] | None] = QuickJsonField(null=True)

    host_name = models.CharField(max_length=255, default="", help_text="Where it is placed; empty: nowhere.")
    zone = models.CharField(max_length=255, default="", help_text="Zone of that host.")
    wanted_zone = models.CharField(max_length=255, default="")
    wanted_host = models.CharField(max_length=255, default="")
    scheduler_hints: Json = QuickJsonField(default=dict)
    group_id = models.UUIDField(null=True)

    flavor_id = models.CharField(max_length=255)
    flavor: Json = QuickJsonField(help_text="name, vcpus, ram, disk, ephemeral, swap, extra_specs as at creation.")
    vcpus = models.PositiveIntegerField()
    ram_mib = models.PositiveIntegerField()
    disk_gib = models.PositiveIntegerField(help_text="All its local disks together, as claimed.")
    image_id = models.UUIDField(null=True)
    image: Json = QuickJsonField(default=dict, help_text="name and properties as at creation.")

    key_name = models.CharField(max_length=255, null=True)
    public_key = models.TextField(default="")
    user_data_sealed = models.BinaryField(null=True, help_text="User data, encrypted with the master key.")
    one_time_sealed = models.BinaryField(null=True, help_text="First password and files; gone once it runs.")
    config_drive = models.BooleanField(default=False)
    metadata: Json = QuickJsonField(default=dict)
    tags = ArrayField(models.CharField(max_length=60), default=list)
    device_tags: Json = QuickJsonField(default=dict, help_text="Tags of interfaces by port.")

    locked_at = models.DateTimeField(null=True)
    locked_by = models.CharField(max_length=64, default="")
    locked_reason = models.CharField(max_length=255, null=True)

    access_ipv4 = models.CharField(max_length=45, default="")
    access_ipv6 = models.CharField(max_length=45, default="")
    disk_config = models.CharField(max_length=8, default="MANUAL")
    launch_index = models.PositiveIntegerField(default=0)
    reservation_id = models.CharField(max_length=32, default="")
    launched_at = models.DateTimeField(null=True)
    deleting_at = models.DateTimeField(null=True, help_text="Since when its removal goes on; billed to nobody.")

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.name} ({self.pk})"


class Server(ServerFacts, ProjectOwned):
    """A guest, from the request to its removal."""

    class Meta:
        indexes = [
            models.Index(fields=["project", "-created_at", "-id"], name="compute_server_project"),
            models.Index(fields=["-created_at", "-id"], name="compute_server_newest"),
            models.Index(fields=["project"], include=["vcpus", "ram_mib", "deleting_at"], name="compute_server_usage"),
            models.Index(fields=["host_name"], condition=~Q(host_name=""), name="compute_server_host"),
            models.Index(fields=["group_id"], condition=Q(group_id__isnull=False), name="compute_server_group"),
            models.Index(fields=["updated_at"], name="compute_server_updated"),
            GinIndex(fields=["tags"], name="compute_server_tags"),
        ]
        constraints = [
            models.CheckConstraint(condition=~Q(state=ServerState.DELETED), name="compute_server_not_deleted"),
        ]


class ServerDeleted(ServerFacts):
    """The tombstone of a server: for `changes-since`, usage, late answers and reconciliation."""

    project_id = models.CharField(max_length=64)
    deleted_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "compute_server_deleted"
        indexes = [
            models.Index(fields=["project_id", "-deleted_at"], name="compute_server_deleted_project"),
            models.Index(fields=["deleted_at"], name="compute_server_deleted_at"),
            models.Index(fields=["-created_at", "-id"], name="compute_server_deleted_newest"),
            models.Index(fields=["updated_at"], name="compute_server_deleted_updated"),
        ]


class ServerAny(ServerFacts):
    """Both, as one view of the database; `deleted_at` is null for those that live."""

    project_id = models.CharField(max_length=64)
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        managed = False
        db_table = "compute_server_any"


class Aggregate(TimestampedModel):
    """Hosts that an operator counts together; `metadata.availability_zone` makes it a zone."""

    id = models.BigAutoField(primary_key=True)
    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=255)
    hosts = ArrayField(models.CharField(max_length=255), default=list)
    metadata: Json = QuickJsonField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["name"], name="compute_aggregate_name")]

    def __str__(self) -> str:
        return self.name


class ConsoleSession(UuidModel, TimestampedModel):
    """One opening of a console: a token that works once and for ten minutes, kept as its hash."""

    token_hash = models.CharField(max_length=64, unique=True)
    server_id = models.UUIDField()
    project_id = models.CharField(max_length=64)
    user_id = models.CharField(max_length=64)
    host_name = models.CharField(max_length=255)
    kind = models.CharField(max_length=8, choices=[(k.value, k.value) for k in ConsoleKind])
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="compute_console_expires")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.server_id}"


class ReconciledBoot(models.Model):
    """The start of a host's worker whose first inventory was looked at.

    A guest that is off in that first one lost its power with the host; one that goes off later went by itself.
    """

    host_name = models.CharField(primary_key=True, max_length=255)
    boot_id = models.CharField(max_length=64)

    def __str__(self) -> str:
        return self.host_name


class ServerPassword(models.Model):
    """A password that a guest made and encrypted with its user's public key; Kumo cannot read it."""

    server = models.OneToOneField(Server, on_delete=models.CASCADE, primary_key=True, related_name="password")
    encrypted = models.CharField(max_length=1020)

    def __str__(self) -> str:
        return f"password of {self.server_id}"
