"""Signing in against a directory, and changing users and groups that live in one.

`in_directory` on a service chooses: for a domain with a directory the function named there runs instead. What it
writes goes to the directory first, outside any transaction, and into our rows after.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from django.db import transaction

from apps.core.context import RequestContext
from apps.core.errors import Forbidden, Invalid, NotFound, Unauthorized
from apps.core.policy import enforce
from apps.core.transactions import recorded_as, streaming
from apps.identity.backends.passwords import MAX_PASSWORD_LENGTH
from apps.identity.models import Group, IdMapping, Membership, Project, User
from apps.identity.selectors import directories
from apps.identity.selectors.access import row_of, target_of
from apps.identity.services.common import domain_or_own, unchangeable
from apps.identity.services.epoch import change_epoch

if TYPE_CHECKING:
    from apps.identity.backends.ldap.driver import Directory, Entry, Kind

P = ParamSpec("P")
R = TypeVar("R")

_REQUIRED = "The request you have made requires authentication."


def in_directory(instead: Callable[..., R]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Run `instead(ctx, directory, …)` for a domain, group or user whose home is a directory."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def chosen(*args: P.args, **kwargs: P.kwargs) -> R:
            ctx: Any = args[0]
            directory = _home(ctx, kwargs)
            if directory is None:
                return function(*args, **kwargs)
            with recorded_as(function, ctx, kwargs):
                return instead(ctx, directory, **kwargs)

        return chosen

    return decorate


def _home(ctx: RequestContext, named: Mapping[str, Any]) -> Directory | None:
    for kind in ("group", "user"):
        if f"{kind}_id" in named:
            home = directories.home_of(kind, named[f"{kind}_id"])
            return home[0] if home else None
    return directories.directory_of(domain_or_own(named.get("domain_id"), ctx))


# --- signing in ---------------------------------------------------------------------------------------


def _password_fits(directory: Directory, entry: Entry | None, password: str) -> bool:
    from apps.identity.backends.ldap.signin import password_fits  # here: few clouds need libldap

    return password_fits(directory, entry, password)


def proven_in_directory(*, password: str, user_id: str, name: str, domain_id: str, domain_name: str) -> User | None:
    """The user of a directory with this password, their row and memberships brought up to date.

    None where the user or domain that is named has no directory. Raises Unauthorized, the same for every reason,
    and Unavailable where the directory does not answer.
    """
    if user_id:
        home = directories.home_of("user", user_id)
        if home is None:
            return None
        directory, domain_id = home[0], home[1].domain_id
        entry = directory.entry(directory.user_kind, home[1].local_id)
    else:
        named = {"pk": domain_id} if domain_id else {"name": domain_name}
        domain_id = Project.objects.filter(is_domain=True, **named).values_list("pk", flat=True).first() or ""
        found = directories.directory_of(domain_id) if domain_id else None
        if found is None:
            return None
        directory = found
        entry = directory.named(directory.user_kind, name) if name else None
    if not _password_fits(directory, entry, password[: MAX_PASSWORD_LENGTH + 1]) or entry is None:
        raise Unauthorized(_REQUIRED)
    (ident,) = directories.learn(directory, "user", domain_id, [entry])
    if entry.enabled:
        directories.learn_groups_of(directory, domain_id, entry, ident)
    user = User.objects.select_related("domain").filter(pk=ident, enabled=True, domain__enabled=True).first()
    if user is None or len(password) > MAX_PASSWORD_LENGTH:
        raise Unauthorized(_REQUIRED)
    return user


def change_password_in_directory(*, user_id: str, original_password: str, password: str) -> bool:
    """A user's own change of password, where their home is a directory that may be written; False where it is ours."""
    home = directories.home_of("user", user_id)
    if home is None:
        return False
    directory, mapping = home
    entry = directory.entry(directory.user_kind, mapping.local_id)
    if not _password_fits(directory, entry, original_password) or entry is None:
        raise Unauthorized(_REQUIRED)
    directory.set_password(entry, _password(password))
    _end_tokens(user_id)
    return True


# --- users --------------------------------------------------------------------------------------------


@streaming("anyone", writes=True)
def user_create(
    ctx: RequestContext,
    directory: Directory,
    *,
    name: str,
    domain_id: str | None = None,
    password: str | None = None,
    **given: Any,
) -> User:
    """A new entry of a user. Raises Forbidden where the directory is read-only."""
    home = domain_or_own(domain_id, ctx)
    enforce(ctx, "identity:create_user", target_of(user=User(name=name, domain_id=home)))
    directory.allowed(directory.user_kind, "create")
    secret = _password(password) if password is not None else None
    entry = directory.create(
        directory.user_kind, _values(directory.user_kind, {"name": name, **given}), password=secret
    )
    return User.objects.get(pk=directories.learn(directory, "user", home, [entry])[0])


@streaming("anyone", writes=True)
def user_update(
    ctx: RequestContext, directory: Directory, *, user_id: str, domain_id: str | None = None, **changes: Any
) -> User:
    """Change an entry of a user; disabling them or a new password ends their tokens."""
    user = row_of(User, user_id, "user")
    enforce(ctx, "identity:update_user", target_of(user=user))
    directory.allowed(directory.user_kind, "update")
    unchangeable(user, domain_id=domain_id)
    entry = directories.see("user", user_id)
    assert entry is not None
    password = changes.pop("password", None)
    secret = _password(password) if password is not None else None
    entry = directory.update(directory.user_kind, entry, _values(directory.user_kind, changes, changing=True))
    if secret is not None:
        directory.set_password(entry, secret)
        _end_tokens(user_id)
    directories.learn(directory, "user", user.domain_id, [entry])
    return user


@streaming("anyone", writes=True)
def user_delete(ctx: RequestContext, directory: Directory, *, user_id: str) -> None:
    """Remove an entry of a user, and what we knew of it."""
    user = row_of(User, user_id, "user")
    enforce(ctx, "identity:delete_user", target_of(user=user))
    _delete(directory, "user", user)


# --- groups -------------------------------------------------------------------------------------------


@streaming("anyone", writes=True)
def group_create(
    ctx: RequestContext, directory: Directory, *, name: str, domain_id: str | None = None, **given: Any
) -> Group:
    """A new entry of a group. Raises Forbidden where the directory is read-only."""
    home = domain_or_own(domain_id, ctx)
    enforce(ctx, "identity:create_group", target_of(group=Group(name=name, domain_id=home)))
    entry = directory.create(directory.group_kind, _values(directory.group_kind, {"name": name, **given}))
    return Group.objects.get(pk=directories.learn(directory, "group", home, [entry])[0])


@streaming("anyone", writes=True)
def group_update(
    ctx: RequestContext, directory: Directory, *, group_id: str, domain_id: str | None = None, **changes: Any
) -> Group:
    """Change an entry of a group."""
    group = row_of(Group, group_id, "group")
    enforce(ctx, "identity:update_group", target_of(group=group))
    directory.allowed(directory.group_kind, "update")
    unchangeable(group, domain_id=domain_id)
    entry = directories.see("group", group_id)
    assert entry is not None
    entry = directory.update(directory.group_kind, entry, _values(directory.group_kind, changes, changing=True))
    directories.learn(directory, "group", group.domain_id, [entry])
    return group


@streaming("anyone", writes=True)
def group_delete(ctx: RequestContext, directory: Directory, *, group_id: str) -> None:
    """Remove an entry of a group, and what we knew of it."""
    group = row_of(Group, group_id, "group")
    enforce(ctx, "identity:delete_group", target_of(group=group))
    _delete(directory, "group", group)


@streaming("anyone", writes=True)
def group_user_add(ctx: RequestContext, directory: Directory, *, group_id: str, user_id: str) -> None:
    """Put a user into a group of the same directory."""
    _member(ctx, directory, "identity:add_user_to_group", group_id, user_id)


@streaming("anyone", writes=True)
def group_user_remove(ctx: RequestContext, directory: Directory, *, group_id: str, user_id: str) -> None:
    """Take a user out of a group."""
    _member(ctx, directory, "identity:remove_user_from_group", group_id, user_id)


def same_home(group: Group, user: User) -> None:
    """Raise Forbidden for a group of ours and a user of a directory: nobody would keep that membership."""
    homes = IdMapping.objects.filter(pk__in=(group.pk, user.pk)).values_list("domain_id", flat=True)
    if len(homes) == 1 or len(set(homes)) > 1:
        raise Forbidden(
            f"Group membership across backend boundaries is not allowed. Group in question is {group.pk}, "
            f"user is {user.pk}."
        )


def _member(ctx: RequestContext, directory: Directory, rule: str, group_id: str, user_id: str) -> None:
    group, user = row_of(Group, group_id, "group"), User.objects.filter(pk=user_id).first()
    enforce(ctx, rule, target_of(group=group, user=user))
    if user is None:
        raise NotFound("user", user_id)
    same_home(group, user)
    directory.allowed(directory.group_kind, "update")
    inside, person = directories.see("group", group_id), directories.see("user", user_id)
    assert inside is not None
    assert person is not None
    change = directory.add_member if rule.startswith("identity:add") else directory.remove_member
    change(inside, person)
    directories.see_members_of(group_id)


# --- shared -------------------------------------------------------------------------------------------


def _values(kind: Kind, given: Mapping[str, Any], *, changing: bool = False) -> dict[str, Any]:
    """A body's attributes as the driver takes them. What says nothing is left out."""
    values = {**(given.get("extra") or {}), **{k: v for k, v in given.items() if k != "extra"}}
    if not values.get("options"):
        values.pop("options", None)
    if values.get("enabled") is True and "enabled" not in kind.attributes:
        values.pop("enabled")
    return {k: v for k, v in values.items() if changing or v is not None}


def _password(password: str) -> str:
    if not password or len(password) > MAX_PASSWORD_LENGTH:
        raise Invalid(f"A password has from 1 to {MAX_PASSWORD_LENGTH} characters.", field="password")
    return password


def _end_tokens(user_id: str) -> None:
    with transaction.atomic():
        directories.end_tokens([user_id])
        change_epoch()


def _delete(directory: Directory, noun: str, row: User | Group) -> None:
    kind = directory.user_kind if noun == "user" else directory.group_kind
    directory.allowed(kind, "delete")
    entry = directories.see(noun, row.pk)
    assert entry is not None
    directory.delete(kind, entry)
    with transaction.atomic():
        Membership.objects.filter(**{f"{noun}_id": row.pk}).delete()
        row.delete()
        IdMapping.objects.filter(pk=row.pk).delete()
        change_epoch()
