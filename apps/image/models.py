"""Tables of images."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.core.models import TimestampedModel, UuidModel
from apps.image.states import DefinitionKind, ImageStatus, MemberStatus, Visibility


class Image(UuidModel, TimestampedModel):
    """An image's record. Its owner is a plain id: OpenStack lets administrators name any.

    `size`, hashes and `virtual_size` are set together, when the bytes were inspected and kept.
    """

    shown_fields = frozenset({"hash_value"})

    project_id = models.CharField(max_length=64)
    name = models.CharField(max_length=255, null=True)
    status = models.CharField(max_length=16, choices=[(s, s) for s in ImageStatus], default=ImageStatus.QUEUED)
    visibility = models.CharField(max_length=16, choices=[(v, v) for v in Visibility], default=Visibility.SHARED)
    protected = models.BooleanField(default=False)
    is_hidden = models.BooleanField(default=False)
    container_format = models.CharField(max_length=16, null=True)
    disk_format = models.CharField(max_length=16, null=True)
    min_disk_gib = models.PositiveIntegerField(default=0)
    min_ram_mib = models.PositiveIntegerField(default=0)
    size = models.BigIntegerField(null=True)  # bytes
    virtual_size = models.BigIntegerField(null=True)  # bytes
    checksum = models.CharField(max_length=32, null=True)  # MD5, hex
    hash_value = models.CharField(max_length=128, null=True)  # SHA-512, hex
    sha256 = models.CharField(max_length=64, null=True)  # what hosts verify
    tags = ArrayField(models.CharField(max_length=255), default=list)
    properties: models.JSONField[dict[str, str], dict[str, str]] = models.JSONField(default=dict)
    store = models.CharField(max_length=64, default="", blank=True)  # key of the driver that keeps the bytes

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(status__in=[ImageStatus.ACTIVE, ImageStatus.DEACTIVATED])
                | Q(
                    size__gte=0,
                    virtual_size__gte=0,
                    checksum__isnull=False,
                    hash_value__isnull=False,
                    sha256__isnull=False,
                ),
                name="image_image_active_has_bytes",
            ),
        ]
        indexes = [
            models.Index(fields=["project_id", "-created_at", "-id"], name="image_image_project"),
            models.Index(
                fields=["-created_at", "-id"],
                condition=Q(visibility__in=[Visibility.PUBLIC, Visibility.COMMUNITY]),
                name="image_image_public",
            ),
            models.Index(fields=["-created_at", "-id"], name="image_image_newest"),
            models.Index(fields=["name"], name="image_image_name"),
            GinIndex(fields=["tags"], name="image_image_tags"),
            GinIndex(fields=["properties"], name="image_image_properties"),
        ]

    def __str__(self) -> str:
        return self.name or str(self.pk)


class Member(TimestampedModel):
    """A project that an image is shared with."""

    image = models.ForeignKey(Image, on_delete=models.CASCADE, related_name="members")
    member_id = models.CharField(max_length=64)  # project
    status = models.CharField(max_length=16, choices=[(s, s) for s in MemberStatus], default=MemberStatus.PENDING)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["image", "member_id"], name="image_member_once")]
        indexes = [models.Index(fields=["member_id", "status"], name="image_member_project")]

    def __str__(self) -> str:
        return f"{self.member_id} of {self.image_id}"


class Upload(models.Model):
    """Bytes on their way in. Who writes renews `seen_at`; one that is not renewed is over.

    `attempt` names the draft in the store, and lets a writer find out that its time has passed. Staged bytes keep
    their row, with what was measured on the way (`staged`), until they are imported.
    """

    image = models.OneToOneField(Image, on_delete=models.CASCADE, primary_key=True, related_name="upload")
    attempt = models.UUIDField(default=uuid.uuid4)
    store = models.CharField(max_length=64)
    reserved_bytes = models.BigIntegerField(default=0)
    seen_at = models.DateTimeField(db_default=Now())
    staged: models.JSONField[dict[str, object] | None, dict[str, object] | None] = models.JSONField(null=True)

    def __str__(self) -> str:
        return f"upload of {self.image_id}"


class Namespace(TimestampedModel):
    """A set of metadata definitions: which properties, objects and tags things of some types may carry."""

    name = models.CharField(max_length=80, unique=True)
    display_name = models.CharField(max_length=80, null=True)
    description = models.CharField(max_length=500, null=True)
    visibility = models.CharField(max_length=16, default=Visibility.PRIVATE)
    protected = models.BooleanField(default=False)
    project_id = models.CharField(max_length=64)

    def __str__(self) -> str:
        return self.name


class Definition(TimestampedModel):
    """One definition of a namespace; `kind` says of what, `body` is what the API shows besides the name."""

    namespace = models.ForeignKey(Namespace, on_delete=models.CASCADE, related_name="definitions")
    kind = models.CharField(max_length=16, choices=[(k, k) for k in DefinitionKind])
    name = models.CharField(max_length=80)
    body: models.JSONField[dict[str, object], dict[str, object]] = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["namespace", "kind", "name"], name="image_definition_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"
