"""Roles, what they imply, and who has them on what."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from apps.core.audit import Recalled
from apps.identity.models.base import Named
from apps.identity.models.projects import Project
from apps.identity.models.users import Group, User
from apps.identity.states import Scope


class Role(Named):
    """A name that rules ask for. A role of a domain only implies others and never shows in a token."""

    domain = models.ForeignKey(Project, on_delete=models.RESTRICT, null=True, related_name="+")
    implies = models.ManyToManyField("self", through="ImpliedRole", symmetrical=False, related_name="implied_by")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["domain", "name"], nulls_distinct=False, name="identity_role_name")
        ]

    def __str__(self) -> str:
        return self.name


class ImpliedRole(models.Model):
    """Who has `prior` also has `implied`."""

    prior = models.ForeignKey(Role, on_delete=models.CASCADE, related_name="+")
    implied = models.ForeignKey(Role, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["prior", "implied"], name="identity_implied_role_once"),
            models.CheckConstraint(condition=~Q(prior=F("implied")), name="identity_implied_role_not_itself"),
        ]

    def __str__(self) -> str:
        return f"{self.prior_id} implies {self.implied_id}"


class Assignment(Recalled):
    """A role of one user or one group on one project, one domain, or the system.

    `inherited` means: not on the target itself, but on every project below it.
    """

    project_field = "target_id"

    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="assignments")
    group = models.ForeignKey(Group, on_delete=models.CASCADE, null=True, related_name="assignments")
    role = models.ForeignKey(Role, on_delete=models.CASCADE, related_name="assignments")
    scope = models.CharField(max_length=16, choices=[(s, s) for s in Scope if s != Scope.UNSCOPED])
    target = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, related_name="assignments")
    inherited = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "group", "scope", "target", "role", "inherited"],
                nulls_distinct=False,
                name="identity_assignment_once",
            ),
            models.CheckConstraint(
                condition=Q(user__isnull=False, group=None) | Q(user=None, group__isnull=False),
                name="identity_assignment_one_actor",
            ),
            models.CheckConstraint(
                condition=Q(scope=Scope.SYSTEM, target=None, inherited=False)
                | Q(~Q(scope=Scope.SYSTEM), target__isnull=False),
                name="identity_assignment_one_target",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id or self.group_id}: {self.role_id} on {self.target_id or self.scope}"
