"""Taking over domains, projects, users with their password hashes, groups, roles and assignments from Keystone.

Ids are kept. What is here already, by id or by name in its domain, stays as it is and takes the place of Keystone's
row in everything that refers to it; so the import can be run again, and completes what an earlier one left.
"""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Model, QuerySet

from apps.core import audit
from apps.core.audit import Target
from apps.core.context import RequestContext
from apps.core.transactions import internal
from apps.identity.backends.foreign_hashes import checker_of
from apps.identity.models import Assignment, FormerPassword, Group, ImpliedRole, Membership, Project, Role, User
from apps.identity.services.epoch import change_epoch
from apps.identity.states import Scope

Row = Mapping[str, Any]
Tables = Mapping[str, list[dict[str, Any]]]
_ROOT = "<<keystone.domain.root>>"
_NULL_DOMAIN = "<<null>>"
_KINDS = {
    "UserProject": ("user", Scope.PROJECT), "GroupProject": ("group", Scope.PROJECT),
    "UserDomain": ("user", Scope.DOMAIN), "GroupDomain": ("group", Scope.DOMAIN),
    "UserSystem": ("user", Scope.SYSTEM), "GroupSystem": ("group", Scope.SYSTEM),
}  # fmt: skip


@dataclass
class Report:
    """How many of each kind were made or were there, and what was left out and why."""

    made: Counter[str] = field(default_factory=Counter)
    present: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)


@internal("an operator's command")
def keystone_import(ctx: RequestContext, *, tables: Tables, dry_run: bool = False) -> Report:
    """Write what the tables hold; with `dry_run` only say what would be written."""
    with transaction.atomic():
        report = _Import(tables).run()
        if dry_run:
            transaction.set_rollback(True)
    if not dry_run:
        change_epoch()
        audit.note(ctx, "identity.keystone.import", Target(type="identity.keystone"), arguments=dict(report.made))
    return report


class _Import:
    """One run: `ids` maps Keystone's ids to ours, kind by kind."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.report = Report()
        self.ids: dict[str, dict[str, str]] = {"project": {}, "user": {}, "group": {}, "role": {}}

    def run(self) -> Report:
        rows = [row for row in self._rows("project") if row["id"] != _ROOT]
        self._projects(row for row in rows if _flag(row.get("is_domain")))
        self._projects_below([row for row in rows if not _flag(row.get("is_domain"))])
        self._roles()
        self._users()
        self._groups()
        self._assignments()
        return self.report

    def _rows(self, table: str) -> list[dict[str, Any]]:
        return self.tables.get(table, [])

    # --- projects ----------------------------------------------------------------------------------

    def _projects(self, rows: Iterable[Row]) -> None:
        for row in rows:
            named = Project.objects.filter(is_domain=True, name=row["name"])
            self._take("project", "domain", row, named, lambda row: _project(row, is_domain=True))

    def _projects_below(self, rows: list[dict[str, Any]]) -> None:
        """Parents before children; what hangs on nothing is left out."""
        waiting = rows
        while waiting:
            later = []
            for row in waiting:
                domain, parent = self._ours("project", row["domain_id"]), self._ours("project", row.get("parent_id"))
                parent = parent or (domain if not row.get("parent_id") else None)
                if domain is None or parent is None:
                    later.append(row)
                    continue
                named = Project.objects.filter(is_domain=False, name=row["name"], domain_id=domain)
                fixed = {"domain_id": domain, "parent_id": parent}
                self._take("project", "project", row, named, lambda row, f=fixed: _project(row, is_domain=False, **f))
            if len(later) == len(waiting):
                self._leave(f"project {row['name']}: its domain or parent is not there" for row in later)
                return
            waiting = later

    # --- roles, users, groups ----------------------------------------------------------------------

    def _roles(self) -> None:
        for row in self._rows("role"):
            domain = None if row.get("domain_id") in {None, _NULL_DOMAIN} else self._ours("project", row["domain_id"])
            if domain is None and row.get("domain_id") not in {None, _NULL_DOMAIN}:
                self._leave([f"role {row['name']}: its domain is not there"])
                continue
            named = Role.objects.filter(name__iexact=row["name"], domain_id=domain)
            self._take("role", "role", row, named, lambda row, d=domain: Role(**_common(row), domain_id=d))
        for row in self._rows("implied_role"):
            pair = self._ours("role", row["prior_role_id"]), self._ours("role", row["implied_role_id"])
            if None in pair or pair[0] == pair[1]:
                continue
            _, made = ImpliedRole.objects.get_or_create(prior_id=pair[0], implied_id=pair[1])
            self._count("implication of roles", made)

    def _users(self) -> None:
        locals_ = {row["user_id"]: row for row in self._rows("local_user")}
        hashes: dict[str, list[Row]] = {}
        for row in self._rows("password"):
            hashes.setdefault(str(row["local_user_id"]), []).append(row)
        for row in self._rows("user"):
            local = locals_.get(row["id"])
            domain = self._ours("project", row.get("domain_id") or (local or {}).get("domain_id"))
            if local is None:
                self._leave([f"user {row['id']}: of a directory or another provider; they come by signing in"])
            elif domain is None:
                self._leave([f"user {local['name']}: the domain is not there"])
            else:
                self._user({**row, "name": local["name"]}, domain, hashes.get(str(local["id"]), []))

    def _user(self, row: Row, domain: str, passwords: list[Row]) -> None:
        passwords = sorted(passwords, key=lambda one: int(one.get("created_at_int") or 0), reverse=True)
        usable = [one for one in passwords if checker_of(str(one.get("password_hash") or ""))]
        if passwords and passwords[0] not in usable:
            self._leave([f"password of {row['name']}: made by a method that is not known; a new one must be set"])
            usable = []

        def make(row: Row) -> User:
            current = usable[0] if usable else {}
            return User(
                **_common(row),
                domain_id=domain,
                enabled=_flag(row.get("enabled")),
                default_project_id=self._ours("project", row.get("default_project_id")),
                password_hash=current.get("password_hash") or "",
                password_changed_at=_moment(current.get("created_at_int")),
                password_expires_at=_moment(current.get("expires_at_int")),
            )

        named = User.objects.filter(name=row["name"], domain_id=domain)
        if self._take("user", "user", row, named, make):
            FormerPassword.objects.bulk_create(
                FormerPassword(user_id=row["id"], password_hash=one["password_hash"]) for one in usable[1:]
            )

    def _groups(self) -> None:
        for row in self._rows("group"):
            domain = self._ours("project", row["domain_id"])
            if domain is None:
                self._leave([f"group {row['name']}: its domain is not there"])
                continue
            named = Group.objects.filter(name=row["name"], domain_id=domain)
            self._take("group", "group", row, named, lambda row, d=domain: Group(**_common(row), domain_id=d))
        for row in self._rows("user_group_membership"):
            user, group = self._ours("user", row["user_id"]), self._ours("group", row["group_id"])
            if user and group:
                _, made = Membership.objects.get_or_create(user_id=user, group_id=group)
                self._count("membership", made)

    # --- assignments -------------------------------------------------------------------------------

    def _assignments(self) -> None:
        for row in [*self._rows("assignment"), *self._rows("system_assignment")]:
            actor, scope = _KINDS.get(str(row["type"]), ("", None))
            role = self._ours("role", row["role_id"])
            who = self._ours(actor, row["actor_id"]) if actor else None
            target = None if scope == Scope.SYSTEM else self._ours("project", row["target_id"])
            if scope is None or role is None or who is None or (target is None and scope != Scope.SYSTEM):
                self._leave([f"assignment of role {row['role_id']} to {row['actor_id']}: one of both is not there"])
                continue
            _, made = Assignment.objects.get_or_create(
                user_id=who if actor == "user" else None,
                group_id=who if actor == "group" else None,
                role_id=role,
                scope=scope,
                target_id=target,
                inherited=_flag(row.get("inherited")),
            )
            self._count("assignment", made)

    # --- what they share ---------------------------------------------------------------------------

    def _take(self, space: str, kind: str, row: Row, named: QuerySet[Any], make: Any) -> bool:
        """Ours by id or name, or a new row; whether it is new."""
        ident = str(row["id"])
        model: type[Model] = named.model
        known = model._default_manager.filter(pk=ident).first() or named.first()
        self.ids[space][ident] = str(known.pk) if known else ident
        if known is None:
            make(row).save(force_insert=True)
        self._count(kind, known is None)
        return known is None

    def _ours(self, space: str, ident: Any) -> str | None:
        return self.ids[space].get(str(ident)) if ident else None

    def _count(self, kind: str, made: bool) -> None:
        (self.report.made if made else self.report.present)[kind] += 1

    def _leave(self, reasons: Iterable[str]) -> None:
        self.report.left_out.extend(reasons)


def _project(row: Row, *, is_domain: bool, **fixed: str) -> Project:
    return Project(**_common(row), is_domain=is_domain, enabled=_flag(row.get("enabled")), **fixed)


def _common(row: Row) -> dict[str, Any]:
    """Columns that every noun has. `extra` is JSON; a description may stand there or in a column."""
    try:
        extra = json.loads(row.get("extra") or "{}")
    except ValueError:
        extra = {}
    extra = extra if isinstance(extra, dict) else {}
    for secret in ("password", "description"):
        value = extra.pop(secret, None)
        if secret == "description" and value and not row.get("description"):
            row = {**row, "description": value}
    description = str(row.get("description") or "")
    return {"id": str(row["id"]), "name": str(row["name"])[:255], "description": description, "extra": extra}


def _flag(value: Any) -> bool:
    return value in {True, "1", "t", "true", "\x01"}


def _moment(micros: Any) -> datetime.datetime | None:
    return datetime.datetime.fromtimestamp(int(micros) / 1_000_000, datetime.UTC) if micros else None
