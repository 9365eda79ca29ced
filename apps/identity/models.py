"""Tables of identity: domains, projects, users, groups, roles, assignments, tokens' keys and revocations,
the readable catalogue, and limits.

A domain is a project with `is_domain` set, as in Keystone, so that a project may act as a domain and every
project has one parent chain; `Domain` is a proxy that sees those rows only.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from apps.core.models import TimestampedModel
from apps.identity.states import Interface, Scope, new_id


class Named(TimestampedModel):
    """What nearly every resource of identity has. `extra` keeps attributes that the API does not know."""

    id = models.CharField(primary_key=True, max_length=64, default=new_id, editable=False)
    name = models.CharField(max_length=255)
    description = models.TextField(default="", blank=True)
    options = models.JSONField(default=dict)
    extra = models.JSONField(default=dict)

    class Meta:
        abstract = True


class Project(Named):
    """A tenant, or a domain. `token_generation` rises when every token scoped to it must end."""

    domain = models.ForeignKey("self", on_delete=models.RESTRICT, null=True, related_name="+")
    parent = models.ForeignKey("self", on_delete=models.RESTRICT, null=True, related_name="children")
    is_domain = models.BooleanField(default=False)
    enabled = models.BooleanField(default=True)
    tags = ArrayField(models.CharField(max_length=255), default=list)
    token_generation = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["domain", "name"], condition=Q(is_domain=False), name="identity_project_name"
            ),
            models.UniqueConstraint(fields=["name"], condition=Q(is_domain=True), name="identity_domain_name"),
            models.CheckConstraint(
                condition=Q(is_domain=True, domain=None, parent=None)
                | Q(is_domain=False, domain__isnull=False, parent__isnull=False),
                name="identity_project_has_domain",
            ),
        ]
        indexes = [GinIndex(fields=["tags"], name="identity_project_tags")]

    def __str__(self) -> str:
        return self.name


class DomainManager(models.Manager["Domain"]):
    """Domains only."""

    def get_queryset(self) -> models.QuerySet[Domain]:
        return super().get_queryset().filter(is_domain=True)


class Domain(Project):
    """The rows of `Project` that are name spaces for projects, users and groups."""

    objects: ClassVar[DomainManager] = DomainManager()

    class Meta:
        proxy = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.is_domain = True
        super().save(*args, **kwargs)


class ProjectOwned(models.Model):
    """Base of every row that belongs to a project; the database refuses to drop a project that has any."""

    project = models.ForeignKey(
        Project, on_delete=models.RESTRICT, db_column="project_id", related_name="+", editable=False
    )

    class Meta:
        abstract = True


class User(Named):
    """Somebody who can sign in. `token_generation` rises when every token of theirs must end."""

    domain = models.ForeignKey(Project, on_delete=models.RESTRICT, related_name="+")
    enabled = models.BooleanField(default=True)
    default_project_id = models.CharField(max_length=64, null=True)
    password_hash = models.CharField(max_length=255, default="", blank=True)
    password_changed_at = models.DateTimeField(null=True)
    password_expires_at = models.DateTimeField(null=True)
    failed_auth_count = models.PositiveIntegerField(default=0)
    failed_auth_at = models.DateTimeField(null=True)
    token_generation = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["domain", "name"], name="identity_user_name")]

    def __str__(self) -> str:
        return self.name


class FormerPassword(models.Model):
    """A hash that a user's password had before, kept only as far as users may not choose it again."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="former_passwords")
    password_hash = models.CharField(max_length=255)
    replaced_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return f"former password of {self.user_id}"


class Group(Named):
    """Users who get roles together."""

    domain = models.ForeignKey(Project, on_delete=models.RESTRICT, related_name="+")
    users = models.ManyToManyField(User, through="Membership", related_name="groups")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["domain", "name"], name="identity_group_name")]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A user in a group."""

    user = models.ForeignKey(User, on_delete=models.CASCADE)
    group = models.ForeignKey(Group, on_delete=models.CASCADE)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["group", "user"], name="identity_membership_once")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.group_id}"


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


class Assignment(models.Model):
    """A role of one user or one group on one project, one domain, or the system.

    `inherited` means: not on the target itself, but on every project below it.
    """

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


class AccessRule(models.Model):
    """One call that an application credential may make; shared by the credentials of a user."""

    id = models.CharField(primary_key=True, max_length=64, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="access_rules")
    service = models.CharField(max_length=64)
    method = models.CharField(max_length=16)
    path = models.CharField(max_length=255)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "service", "method", "path"], name="identity_access_rule_once")
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.service}:{self.path}"


class ApplicationCredential(TimestampedModel):
    """A secret by which a program acts for a user in one project, with some of the user's roles there."""

    id = models.CharField(primary_key=True, max_length=64, default=new_id, editable=False)
    name = models.CharField(max_length=255)
    description = models.TextField(default="", blank=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="application_credentials")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    roles = models.ManyToManyField(Role, related_name="+")
    secret_hash = models.CharField(max_length=255)
    expires_at = models.DateTimeField(null=True)
    unrestricted = models.BooleanField(default=False)
    has_access_rules = models.BooleanField(default=False)
    access_rules = models.ManyToManyField(AccessRule, related_name="credentials")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="identity_application_credential_name")]

    def __str__(self) -> str:
        return self.name


class Epoch(models.Model):
    """One row that changes, in the same transaction, with every change that may alter what a token allows.

    A process keeps what it worked out about a token for as long as this value stands still. Values are random, so
    that one which was rolled back never comes again with another meaning.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    value = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="identity_epoch_one_row")]

    def __str__(self) -> str:
        return str(self.value)


class RevokedToken(models.Model):
    """The audit id of a token that was ended before its time; kept until it would have expired anyway."""

    audit_id = models.CharField(primary_key=True, max_length=32)
    expires_at = models.DateTimeField(db_index=True)
    revoked_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return self.audit_id


class TokenKey(models.Model):
    """A Fernet key of tokens, encrypted with the master key.

    The one that is not retired makes tokens; a retired one opens them until the last has expired.
    """

    id = models.BigAutoField(primary_key=True)
    wrapped = models.BinaryField()
    retired_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["retired_at"], nulls_distinct=False, name="identity_token_key_one_in_use")
        ]

    def __str__(self) -> str:
        return f"token key {self.pk}"


class Region(Named):
    """A region; the configured one is made by `bootstrap`. Ids are text that the operator chooses."""

    id = models.CharField(primary_key=True, max_length=255, default=new_id, editable=False)
    name = None  # type: ignore[assignment]
    parent = models.ForeignKey("self", on_delete=models.RESTRICT, null=True, related_name="children")

    def __str__(self) -> str:
        return self.id


class Service(Named):
    """A service of the catalogue: rows that an operator adds to the built-in ones."""

    type = models.CharField(max_length=255)
    enabled = models.BooleanField(default=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.type})"


class Endpoint(Named):
    """An address of a service. Its URL may hold `$(project_id)s`."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="endpoints")
    region = models.ForeignKey(Region, on_delete=models.RESTRICT, null=True, related_name="endpoints")
    interface = models.CharField(max_length=16, choices=[(i, i) for i in Interface])
    url = models.TextField()
    enabled = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.url


class Limit(models.Model):
    """How many of a resource a project may have. Without a project it is the default of every project."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, related_name="limits")
    service = models.CharField(max_length=64)
    resource = models.CharField(max_length=255)
    value = models.IntegerField()  # -1: unlimited

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "service", "resource"], nulls_distinct=False, name="identity_limit_once"
            ),
            models.CheckConstraint(condition=Q(value__gte=-1), name="identity_limit_value"),
        ]

    def __str__(self) -> str:
        return f"{self.service}:{self.resource} = {self.value}"
