"""Tables of the object store.

Objects lie in 32 partitions by the hash of their container, so that one container's names are one index range.
Names compare byte by byte (C collation), as Swift's listings are ordered. Nothing counts in place: each change of
a container inserts a delta, which is folded into the totals later; a total is the base and its deltas.
"""

from __future__ import annotations

import uuid
from typing import Any, TypeAlias

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from apps.core.models import UuidModel
from apps.objectstore.states import NO_VERSION, DiskState, Versioning

Metadata: TypeAlias = "models.JSONField[dict[str, str], dict[str, str]]"
Document: TypeAlias = "models.JSONField[dict[str, Any] | None, dict[str, Any] | None]"


class Account(models.Model):
    """A project's account, made when something is first kept in it; its totals are those of all its containers."""

    project_id = models.CharField(primary_key=True, max_length=64)
    metadata: Metadata = models.JSONField(default=dict)  # header → value
    access: models.JSONField[dict[str, list[str]], dict[str, list[str]]] = models.JSONField(default=dict)  # by level
    base_objects = models.BigIntegerField(default=0)
    base_bytes = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    deleted_at = models.DateTimeField(null=True)  # closed since then; the collector removes what is in it

    def __str__(self) -> str:
        return self.project_id


class Container(UuidModel):
    """A container. `policy` says in which back end its objects' bytes are kept."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="containers")
    name = models.CharField(max_length=256, db_collation="C")
    policy = models.CharField(max_length=64)
    metadata: Metadata = models.JSONField(default=dict)
    read_acl = models.TextField(default="", blank=True)
    write_acl = models.TextField(default="", blank=True)
    link_series = models.IntegerField(default=0, db_default=0)  # links of earlier series open nothing
    versioning = models.CharField(
        max_length=16, choices=[(s, s) for s in Versioning], default=Versioning.NEVER, blank=True
    )
    # Swift's older manner: what is replaced becomes an object of this container of the same account.
    archive = models.CharField(max_length=256, default="", db_default="", blank=True)
    is_history = models.BooleanField(default=False, db_default=False)  # deletes are kept too; else they take one back
    base_objects = models.BigIntegerField(default=0)
    base_bytes = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="objectstore_container_name")]

    def __str__(self) -> str:
        return f"{self.account_id}/{self.name}"


class Blob(models.Model):
    """Bytes in a back end: where their copies are, and the checksum (CRC-32) of each MiB.

    Ids begin with the time they were made at. A blob that no object names any more has `unused_since`.
    """

    id = models.UUIDField(primary_key=True)
    policy = models.CharField(max_length=64)
    size = models.BigIntegerField()
    checksums = models.BinaryField()  # 4 bytes for each MiB, big-endian
    places = ArrayField(models.SmallIntegerField(), default=list)  # numbers of disks
    missing = models.SmallIntegerField(default=0)  # copies there should be besides
    unused_since = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["id"], condition=Q(missing__gt=0, unused_since=None), name="objectstore_blob_missing"),
            models.Index(
                fields=["unused_since"], condition=Q(unused_since__isnull=False), name="objectstore_blob_unused"
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Bucket(models.Model):
    """The name under which S3 reaches a container, unique in the cloud, and the documents S3 keeps with it."""

    name = models.CharField(primary_key=True, max_length=63, db_collation="C")
    container = models.OneToOneField(Container, on_delete=models.CASCADE, related_name="bucket")
    lock_enabled = models.BooleanField(default=False)  # object lock: once it is, for ever
    documents: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict)  # kind → document
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(
                fields=["name"], condition=Q(documents__has_key="lifecycle"), name="objectstore_bucket_lifecycle"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Tending(models.Model):
    """How far the rules of a bucket's lifecycle document were gone through, today or on the last day."""

    container = models.OneToOneField(Container, on_delete=models.CASCADE, primary_key=True, related_name="tending")
    stage = models.CharField(max_length=16)
    reached = models.TextField(default="", blank=True, db_collation="C")
    began_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.stage} up to {self.reached}"


class ObjectFields(models.Model):
    """What an object is, now or in an earlier version.

    Its bytes are one blob (`blob_id`), several blobs of its own in order (`parts`, each `{"number", "blob", "bytes",
    "etag"}`, perhaps `checksums` and `salt`, as S3's multipart uploads leave them), or those of other objects
    (`segments`, a static large object).
    """

    container_id = models.UUIDField()
    name = models.TextField(db_collation="C")
    version_id = models.UUIDField(default=NO_VERSION, db_default=NO_VERSION)
    blob_id = models.UUIDField(null=True)
    bytes = models.BigIntegerField()  # that a reader gets; of large dynamic ones, 0
    etag = models.CharField(max_length=64)  # MD5, hex; with parts, as S3 makes it
    content_type = models.TextField()
    metadata: Metadata = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    delete_at = models.DateTimeField(null=True)  # from then on it is not there, though its row may be
    segments: models.JSONField[list[Any] | None, list[Any] | None] = models.JSONField(null=True)
    parts: models.JSONField[list[Any] | None, list[Any] | None] = models.JSONField(null=True)
    upload_id = models.UUIDField(null=True)  # that brought the parts: completed again, it answers the same
    links: Document = models.JSONField(null=True)  # a symbolic link: what it names
    checksums: Document = models.JSONField(null=True)  # algorithm → value, as S3 gives them back
    tags: Document = models.JSONField(null=True)
    acl: Document = models.JSONField(null=True)  # S3's grants; without: the owner's alone
    encryption: Document = models.JSONField(null=True)  # how to decrypt; never a key in the clear
    lock_mode = models.CharField(max_length=16, default="", db_default="", blank=True)
    retain_until = models.DateTimeField(null=True)
    legal_hold = models.BooleanField(default=False, db_default=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name

    @property
    def held(self) -> int:
        """Bytes that count in totals: those of segments are counted with the segments."""
        return self.bytes if self.segments is None else 0


class Object(ObjectFields):
    """An object as it is now."""

    pk = models.CompositePrimaryKey("container_id", "name")

    class Meta:
        indexes = [
            models.Index(fields=["delete_at"], condition=Q(delete_at__isnull=False), name="objectstore_object_expiry")
        ]


class Version(ObjectFields):
    """What an object was before, or a marker that it was deleted: in the last case, where nothing came after, no
    `Object` of that name exists. `created_at` rises with each version of a name."""

    pk = models.CompositePrimaryKey("container_id", "name", "created_at")
    is_marker = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["container_id", "name", "version_id"], name="objectstore_version_id")
        ]
        # Versions are listed youngest first within each name.
        indexes = [models.Index("container_id", "name", F("created_at").desc(), name="objectstore_version_order")]


class Upload(UuidModel):
    """An object that S3's multipart upload brings in parts. `wanted` is what it shall be besides its bytes."""

    container = models.ForeignKey(Container, on_delete=models.PROTECT, related_name="uploads")
    name = models.TextField(db_collation="C")
    wanted: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["container", "name", "created_at"], name="objectstore_upload_listing")]

    def __str__(self) -> str:
        return f"upload of {self.name}"


class UploadPart(models.Model):
    """A part that has arrived whole."""

    pk = models.CompositePrimaryKey("upload_id", "number")
    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="arrived", db_index=False)
    number = models.IntegerField()
    blob_id = models.UUIDField(null=True)  # no bytes, no blob
    bytes = models.BigIntegerField()
    etag = models.CharField(max_length=64)
    checksums: Document = models.JSONField(null=True)
    salt = models.CharField(max_length=32, default="", blank=True)  # of its encryption
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"part {self.number}"


class Delta(models.Model):
    """One change of a container's totals that is not folded in yet."""

    account_id = models.CharField(max_length=64)
    container_id = models.UUIDField()
    objects_change = models.IntegerField()
    bytes_change = models.BigIntegerField()

    class Meta:
        indexes = [
            models.Index(fields=["container_id"], name="objectstore_delta_container"),
            models.Index(fields=["account_id"], name="objectstore_delta_account"),
        ]

    def __str__(self) -> str:
        return f"{self.objects_change:+} objects, {self.bytes_change:+} bytes"


class Rate(models.Model):
    """When the next request of a kind is due: each moves it on by its share of a second. Not kept through a crash."""

    key = models.TextField(primary_key=True)
    due_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.key


class Disk(models.Model):
    """A directory that keeps copies: a failure domain. Its number is never used again.

    `identity` is also in a file there, so that an empty mount point is not taken for the disk.
    """

    number = models.SmallAutoField(primary_key=True)
    policy = models.CharField(max_length=64)
    path = models.TextField()
    identity = models.UUIDField(unique=True, default=uuid.uuid4)
    machine = models.CharField(max_length=64)  # the one machine that has it
    state = models.CharField(max_length=16, choices=[(s, s) for s in DiskState], default=DiskState.ACTIVE)
    added_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["machine", "path"], name="objectstore_disk_path")]

    def __str__(self) -> str:
        return f"disk {self.number} at {self.path}"


class Claim(models.Model):
    """That the bucket or pool of a policy is this cloud's: the identity is also in an object there."""

    policy = models.CharField(primary_key=True, max_length=64)
    identity = models.UUIDField(default=uuid.uuid4)

    def __str__(self) -> str:
        return f"claim of {self.policy}"


class Audit(models.Model):
    """How far the walk over all copies of a policy's blobs has come."""

    policy = models.CharField(primary_key=True, max_length=64)
    reached = models.UUIDField(null=True)
    began_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)  # the last whole walk
    bytes_read = models.BigIntegerField(default=0)  # of this walk
    found = models.BigIntegerField(default=0)  # bad or missing copies in this walk

    def __str__(self) -> str:
        return f"audit of {self.policy}"
