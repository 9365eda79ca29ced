"""Trusts: roles that one user lends to another."""

from __future__ import annotations

from django.db import models

from apps.core.models import TimestampedModel
from apps.identity.models.projects import Project
from apps.identity.models.roles import Role
from apps.identity.models.users import User
from apps.identity.states import new_id


class Trust(TimestampedModel):
    """`trustee` may act with some roles of `trustor` in a project; with `impersonation`, as the trustor.

    `redelegation_count` is how often it may be lent on. What was lent on ends with what it came from.
    """

    id = models.CharField(primary_key=True, max_length=64, default=new_id, editable=False)
    trustor = models.ForeignKey(User, on_delete=models.CASCADE, related_name="trusts_given")
    trustee = models.ForeignKey(User, on_delete=models.CASCADE, related_name="trusts_received")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, related_name="+")
    impersonation = models.BooleanField()
    roles = models.ManyToManyField(Role, related_name="+")
    expires_at = models.DateTimeField(null=True)
    remaining_uses = models.PositiveIntegerField(null=True)
    redelegated_trust = models.ForeignKey("self", on_delete=models.CASCADE, null=True, related_name="lent_on")
    redelegation_count = models.PositiveSmallIntegerField(default=0)
    extra = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"trust of {self.trustor_id} in {self.trustee_id}"
