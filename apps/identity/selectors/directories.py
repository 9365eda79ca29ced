"""Which domains live in a directory, and what was read there as rows of ours.

This is the one place that chooses between our tables and a directory. What a directory says is written into the
ordinary rows of users, groups and memberships before these are read, so that listing, assignments and tokens work
on them alike and go on working when the directory is away.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from apps.core import sealing
from apps.core.errors import Forbidden, NotFound, Unavailable
from apps.identity.backends.ldap import options as known
from apps.identity.models import DomainOption, Group, IdMapping, Membership, Project, User
from apps.identity.selectors.epoch import change_epoch

if TYPE_CHECKING:
    from apps.identity.backends.ldap.driver import Directory, Entry, Kind

_FACTS = ("name", "description", "enabled", "default_project_id", "extra")
_BATCH = 1_000

_open: dict[str, tuple[bytes, Directory]] = {}  # by domain: of which configuration, and the directory
_opening = threading.Lock()


# --- which --------------------------------------------------------------------------------------------


def options_of(domain_id: str, *, with_secrets: bool = False) -> dict[str, dict[str, Any]]:
    """The configuration of a domain as it was given by the API: group → option → value."""
    found: dict[str, dict[str, Any]] = {}
    for row in DomainOption.objects.filter(domain_id=domain_id).order_by("group", "option"):
        if row.sealed is None:
            found.setdefault(row.group, {})[row.option] = row.value
        elif with_secrets:
            found.setdefault(row.group, {})[row.option] = msgspec.json.decode(sealing.unseal(row.sealed))
    return found


def directory_of(domain_id: str) -> Directory | None:
    """The directory of a domain, None where its users are ours. Raises Unavailable where it is configured wrongly."""
    given = options_of(domain_id, with_secrets=True)
    if not given:
        return _from_file(domain_id)
    try:
        driver: known.Driver = known.read("identity", given.get("identity", {}))
        options: known.Ldap = known.read("ldap", given.get("ldap", {}))
    except Forbidden as error:  # a word to whoever configures, not to whoever signs in
        raise Unavailable(error.message, hint="Change the domain's configuration.") from error
    if driver.driver != "ldap":
        return None
    return _opened(domain_id, options, driver.list_limit)


def _from_file(domain_id: str) -> Directory | None:
    """What `kumo.toml` says of the domain, by its name."""
    named = settings.CONFIG.identity.directories
    if not named:
        return None
    name = Project.objects.filter(pk=domain_id, is_domain=True).values_list("name", flat=True).first()
    options = named.get(name or "")
    return None if options is None else _opened(domain_id, options, known.Driver().list_limit)


def _opened(domain_id: str, options: known.Ldap, most: int) -> Directory:
    """One `Directory`, with its connections, for each domain and configuration."""
    mark = hashlib.sha256(msgspec.json.encode((options, most))).digest()
    with _opening:
        held = _open.get(domain_id)
        if held is None or held[0] != mark:
            if held is not None:
                held[1].pool.close()
            name = Project.objects.filter(pk=domain_id).values_list("name", flat=True).first()
            from apps.identity.backends.ldap.driver import Directory  # here: few clouds need libldap

            held = _open[domain_id] = (mark, Directory(options, place=f"domain {name or domain_id}", most=most))
        return held[1]


def home_of(kind: str, public_id: str) -> tuple[Directory, IdMapping] | None:
    """The directory that a user's or group's id comes from, None for one of ours."""
    mapping = IdMapping.objects.filter(pk=public_id, kind=kind).first()
    directory = directory_of(mapping.domain_id) if mapping else None
    return (directory, mapping) if directory and mapping else None


def public_id(domain_id: str, kind: str, local_id: str) -> str:
    """The id that clients see: as Keystone's sha256 generator makes it, so ids survive a move from there."""
    return hashlib.sha256(f"{domain_id}{kind}{local_id}".encode()).hexdigest()


def here(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Users or groups without those that a directory no longer has."""
    return rows.exclude(pk__in=IdMapping.objects.filter(gone_at__isnull=False).values("public_id"))


# --- what was read, as rows ---------------------------------------------------------------------------


def see_all(kind: str, domain_id: str, *, name: str = "", continued: bool = False) -> None:
    """Read a domain's users or groups, if it has a directory; a page that goes on with a list reads nothing again."""
    directory = directory_of(domain_id) if domain_id and not continued else None
    if directory is None:
        return
    entries, whole = directory.entries(_kind(directory, kind), name=name)
    ids = learn(directory, kind, domain_id, entries)
    if ids and whole and not name:  # an empty answer is a wrong filter or a lost right, not a directory without people
        _gone(IdMapping.objects.filter(domain_id=domain_id, kind=kind, gone_at=None).exclude(pk__in=ids))


def see(kind: str, public_id: str) -> Entry | None:
    """Read one user or group again; None for one of ours. Raises NotFound for one that the directory lost."""
    home = home_of(kind, public_id)
    return fresh(kind, *home) if home else None


def fresh(kind: str, directory: Directory, mapping: IdMapping) -> Entry:
    """The entry behind a mapping, its row written. Raises NotFound."""
    entry = directory.entry(_kind(directory, kind), mapping.local_id)
    if entry is None:
        _gone(IdMapping.objects.filter(pk=mapping.pk, gone_at=None))
        raise NotFound(kind, mapping.pk)
    learn(directory, kind, mapping.domain_id, [entry])
    return entry


def see_groups_of(user_id: str) -> None:
    """Read the groups of a user and make their memberships these."""
    home = home_of("user", user_id)
    if home is not None:
        directory, mapping = home
        learn_groups_of(directory, mapping.domain_id, fresh("user", directory, mapping), user_id)


def learn_groups_of(directory: Directory, domain_id: str, entry: Entry, user_id: str) -> None:
    """The same for a user who was just read."""
    groups = learn(directory, "group", domain_id, directory.groups_of(entry))
    _members({(group, user_id) for group in groups}, Membership.objects.filter(user_id=user_id))


def see_members_of(group_id: str) -> None:
    """Read the users in a group and make its memberships these."""
    home = home_of("group", group_id)
    if home is None:
        return
    directory, mapping = home
    entry = fresh("group", directory, mapping)
    users = learn(directory, "user", mapping.domain_id, directory.members_of(entry))
    _members({(group_id, user) for user in users}, Membership.objects.filter(group_id=group_id))


def learn(directory: Directory, kind: str, domain_id: str, entries: Sequence[Entry]) -> list[str]:
    """Write what differs into our rows, and return the ids. One query where nothing differs."""
    found = {public_id(domain_id, kind, entry.id): entry for entry in entries}
    rows = _rows(kind)
    present: dict[str, tuple[Any, ...]] = {}
    ids = list(found)
    facts = (
        _FACTS if kind == "user" else tuple(name for name in _FACTS if name not in {"enabled", "default_project_id"})
    )
    for start in range(0, len(ids), _BATCH):
        some = rows.objects.filter(pk__in=ids[start : start + _BATCH])
        present |= {pk: tuple(rest) for pk, *rest in some.values_list("pk", *facts)}
    wanted = {pk: {name: _fact(entry, name) for name in facts} for pk, entry in found.items()}
    other = {pk: values for pk, values in wanted.items() if present.get(pk) != tuple(values.values())}
    gone = set(IdMapping.objects.filter(pk__in=ids, gone_at__isnull=False).values_list("pk", flat=True)) if ids else ()
    if other or gone:
        _write(rows, kind, domain_id, found, other, present)
        IdMapping.objects.filter(pk__in=gone).update(gone_at=None)
    return ids


def _fact(entry: Entry, name: str) -> Any:
    value = getattr(entry, name)
    return dict(value) if name == "extra" else (value or None) if name == "default_project_id" else value


def _write(
    rows: type[Any],
    kind: str,
    domain_id: str,
    found: Mapping[str, Entry],
    other: Mapping[str, Mapping[str, Any]],
    present: Mapping[str, tuple[Any, ...]],
) -> None:
    with transaction.atomic():
        _free_names(rows, domain_id, {values["name"] for values in other.values()}, found)
        changed = [pk for pk in other if pk in present]
        made = [pk for pk in other if pk not in present]
        if changed:
            objects = [rows(pk=pk, **other[pk]) for pk in changed]
            rows.objects.bulk_update(objects, list(other[changed[0]]), batch_size=_BATCH)
        rows.objects.bulk_create(
            [rows(pk=pk, domain_id=domain_id, **other[pk]) for pk in made], batch_size=_BATCH, ignore_conflicts=True
        )
        IdMapping.objects.bulk_create(
            [IdMapping(pk=pk, domain_id=domain_id, kind=kind, local_id=found[pk].id) for pk in made],
            batch_size=_BATCH,
            ignore_conflicts=True,
        )
        off = [pk for pk in changed if other[pk].get("enabled") is False]
        end_tokens(off)
        if changed:
            change_epoch()


def _free_names(rows: type[Any], domain_id: str, wanted: set[str], found: Mapping[str, Entry]) -> None:
    """A name that moved to another entry is taken from the row that still has it; that row gets its id for one.

    Of two entries that claim one name, the row that has it keeps it: nobody could tell them apart.
    """
    names = sorted(wanted)
    for start in range(0, len(names), _BATCH):
        holders = rows.objects.filter(domain_id=domain_id, name__in=names[start : start + _BATCH])
        held = holders.values_list("pk", "name")
        stale = [pk for pk, name in held if pk not in found or found[pk].name != name]
        rows.objects.filter(pk__in=stale).update(name=F("pk"))


def _gone(mappings: QuerySet[IdMapping]) -> None:
    """The directory no longer has these: their tokens end; assignments stay, for entries that come back."""
    with transaction.atomic():
        ids = list(mappings.values_list("pk", flat=True))
        if not ids:
            return
        IdMapping.objects.filter(pk__in=ids).update(gone_at=Now())
        User.objects.filter(pk__in=ids).update(enabled=False)
        Membership.objects.filter(user_id__in=ids).delete()
        Membership.objects.filter(group_id__in=ids).delete()
        end_tokens(ids)
        change_epoch()


def _members(wanted: set[tuple[str, str]], rows: QuerySet[Membership]) -> None:
    """Make these the (group, user) pairs among the rows; the epoch changes only where they differ."""
    present = {(group, user): pk for pk, group, user in rows.values_list("pk", "group_id", "user_id")}
    if set(present) == wanted:
        return
    with transaction.atomic():
        Membership.objects.filter(pk__in=[pk for pair, pk in present.items() if pair not in wanted]).delete()
        Membership.objects.bulk_create(
            [Membership(group_id=group, user_id=user) for group, user in sorted(wanted - set(present))],
            batch_size=_BATCH,
            ignore_conflicts=True,
        )
        change_epoch()


def end_tokens(user_ids: Iterable[str]) -> None:
    """End every token of these users; the caller changes the epoch."""
    User.objects.filter(pk__in=list(user_ids)).update(token_generation=F("token_generation") + 1)


def _rows(kind: str) -> type[Any]:
    return User if kind == "user" else Group


def _kind(directory: Directory, kind: str) -> Kind:
    return directory.user_kind if kind == "user" else directory.group_kind
