"""Tables of the engine. No foreign key leaves this app: history outlives its subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.db import models
from django.db.models.functions import Now

from apps.core.models import TimestampedModel, UuidModel
from apps.operations.states import ACTIVE, ExecutorState, Status, StepStatus, WaitsFor

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager


class Operation(UuidModel, TimestampedModel):
    """One long change of one subject: its state, what it waits for, and until when."""

    kind = models.CharField(max_length=64)
    status = models.CharField(max_length=16, choices=[(s.value, s.value) for s in Status], default=Status.PENDING)
    request_id = models.CharField(max_length=64, blank=True)
    project_id = models.CharField(max_length=64, blank=True)
    actor: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict)
    subject_type = models.CharField(max_length=32)
    subject_id = models.CharField(max_length=64)
    input: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(
        default=dict
    )  # references, never secrets

    cursor = models.CharField(max_length=64, blank=True, help_text="Name of the step that is next; empty at the end.")
    waits_for = models.CharField(max_length=16, choices=[(w.value, w.value) for w in WaitsFor], blank=True, default="")
    expects = models.CharField(max_length=200, blank=True, help_text="The step an answer must name.")
    host = models.CharField(max_length=64, blank=True, help_text="Who must answer.")
    attempt = models.PositiveIntegerField(default=0, help_text="Counts dispatches; an answer must name the last.")
    fence = models.BigIntegerField(default=0, help_text="Drawn anew for each dispatch; hosts refuse lower ones.")
    tries = models.PositiveIntegerField(default=0, help_text="Counts failed answers to the present step.")
    silences = models.PositiveIntegerField(default=0, help_text="Counts leases of the present step that ran out.")
    due_at = models.DateTimeField(null=True, help_text="End of the lease, back-off or next look; null when parked.")
    wake_at = models.DateTimeField(null=True, help_text="When the sweeper rings; null while somebody else will.")
    deadline_at = models.DateTimeField(null=True, help_text="When the present step has taken too long.")
    cancel_requested = models.BooleanField(default=False)
    resume = models.CharField(max_length=16, blank=True, help_text="What a stuck operation was doing.")

    parent_id = models.UUIDField(null=True)
    children_left = models.PositiveIntegerField(default=0)
    superseded: models.JSONField[list[str], list[str]] = models.JSONField(
        default=list, help_text="Operations whose steps this one removes before its own."
    )

    error: models.JSONField[dict[str, Any] | None, dict[str, Any] | None] = models.JSONField(null=True)
    percent = models.PositiveSmallIntegerField(default=0)
    progress = models.CharField(max_length=200, blank=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    steps: RelatedManager[Step]

    class Meta:
        db_table = "operation"
        ordering: ClassVar = ["-created_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["wake_at"], condition=models.Q(wake_at__isnull=False), name="operation_due"),
            models.Index(fields=["host"], condition=models.Q(waits_for=WaitsFor.HOST), name="operation_at_host"),
            models.Index(fields=["subject_id", "subject_type", "-created_at"], name="operation_subject"),
            models.Index(fields=["request_id"], name="operation_request"),
            models.Index(
                fields=["subject_type", "subject_id"],
                condition=models.Q(status__in=ACTIVE),
                name="operation_active_subject",
            ),
            models.Index(fields=["project_id", "-created_at", "-id"], name="operation_project"),
            models.Index(fields=["-created_at", "-id"], name="operation_newest"),
            models.Index(fields=["parent_id"], condition=models.Q(parent_id__isnull=False), name="operation_parent"),
            models.Index(fields=["status"], condition=models.Q(status=Status.STUCK), name="operation_stuck"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id} ({self.status})"


class Step(models.Model):
    """What became of one step of an operation; also the list of what an undo takes back."""

    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="steps", db_index=False)
    name = models.CharField(max_length=64)
    status = models.CharField(max_length=16, choices=[(s.value, s.value) for s in StepStatus])
    host = models.CharField(max_length=64, blank=True)
    output: models.JSONField[Any, Any] = models.JSONField(null=True)
    error: models.JSONField[dict[str, Any] | None, dict[str, Any] | None] = models.JSONField(null=True)
    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "operation_step"
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["operation", "name"], name="operation_step_once")]

    def __str__(self) -> str:
        return f"{self.name} ({self.status})"


class OperationLock(models.Model):
    """A lock that an operation holds, or waits for (`held` is false)."""

    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="locks")
    type = models.CharField(max_length=32)
    ident = models.CharField(max_length=128)
    held = models.BooleanField()

    class Meta:
        db_table = "operation_lock"
        constraints: ClassVar = [
            models.UniqueConstraint("type", "ident", condition=models.Q(held=True), name="operation_lock_held")
        ]
        indexes: ClassVar = [
            models.Index(fields=["type", "ident"], condition=models.Q(held=False), name="operation_lock_waiting")
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.ident}"


class Executor(models.Model):
    """A host's worker as the engine knows it: the key that signs its answers, its boot, whether it answers."""

    host = models.CharField(max_length=64, primary_key=True)
    public_key = models.TextField(help_text="Ed25519, PEM.")
    boot_id = models.CharField(max_length=64, blank=True)
    state = models.CharField(
        max_length=8, choices=[(s.value, s.value) for s in ExecutorState], default=ExecutorState.DOWN
    )
    seen_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "operation_executor"

    def __str__(self) -> str:
        return f"{self.host} ({self.state})"
