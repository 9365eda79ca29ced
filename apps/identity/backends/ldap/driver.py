"""What is read from and written to one directory, as entries.

Every value that comes from outside is escaped before it stands in a filter or a DN.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import ldap
from ldap.dn import escape_dn_chars
from ldap.filter import escape_filter_chars
from ldap.ldapobject import LDAPObject

from apps.core.errors import Forbidden, NotFound
from apps.identity.backends.ldap.connection import Found, Pool, search
from apps.identity.backends.ldap.options import Ldap

R = TypeVar("R")
READ_ONLY = "LDAP does not support write operations"  # Keystone's words
IN_CHAIN = "1.2.840.113556.1.4.1941"  # Active Directory's LDAP_MATCHING_RULE_IN_CHAIN
_TOGETHER = 100  # names in one filter
_NO = frozenset({"false", "0", "no", "off", ""})
_PERSONS = frozenset({"person", "organizationalperson", "inetorgperson"})  # their schema asks for `cn` and `sn`


@dataclass(frozen=True, slots=True)
class Entry:
    """A user or group of a directory. `id` is the value of its id attribute."""

    dn: str
    id: str
    name: str
    description: str = ""
    enabled: bool = True
    default_project_id: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)
    members: tuple[str, ...] = ()  # of a group: as they stand in its attribute


@dataclass(frozen=True, slots=True)
class Kind:
    """What users and groups differ in."""

    noun: str
    base: str
    object_class: str
    filter: str
    id: str
    name: str
    attributes: Mapping[str, str]  # ours → the directory's


class Directory:
    """One directory. Its methods raise KumoError: Unavailable when it does not answer."""

    def __init__(self, options: Ldap, *, place: str, most: int) -> None:
        self.options, self.most, self.place = options, most, place
        self.pool = Pool(options, place)
        self.user_kind = Kind(
            "user",
            options.users_below,
            options.user_objectclass,
            options.user_filter,
            options.user_id_attribute,
            options.user_name_attribute,
            _known(
                description=options.user_description_attribute,
                email=options.user_mail_attribute,
                enabled=options.user_enabled_attribute,
                default_project_id=options.user_default_project_id_attribute,
                **_pairs(options.user_additional_attribute_mapping),
            ),
        )
        self.group_kind = Kind(
            "group",
            options.groups_below,
            options.group_objectclass,
            options.group_filter,
            options.group_id_attribute,
            options.group_name_attribute,
            _known(
                description=options.group_desc_attribute,
                **_pairs(options.group_additional_attribute_mapping),
            ),
        )

    # --- reading -----------------------------------------------------------------------------------

    def entries(self, kind: Kind, *, name: str = "") -> tuple[list[Entry], bool]:
        """Users or groups, at most as many as one list may read, and whether these are all; only those of a name
        where one is given."""
        query = _equals(kind.name, name) if name else ""
        rows, whole = self._run(lambda held: self._search(held, kind, query, self.most))
        return self._read(kind, rows), whole

    def entry(self, kind: Kind, ident: str) -> Entry | None:
        """The one with this value of the id attribute."""
        return next(iter(self._found(kind, _equals(kind.id, ident), most=2)), None)

    def named(self, kind: Kind, name: str) -> Entry | None:
        """The one with this name; None also where several have it, for nobody could tell them apart."""
        found = self._found(kind, _equals(kind.name, name), most=2)
        return found[0] if len(found) == 1 else None

    def groups_of(self, user: Entry) -> list[Entry]:
        """The groups a user is in, nested ones as far as is configured."""
        member = self.options.group_member_attribute
        if self.options.group_members_are_ids:
            return self._found(self.group_kind, _equals(member, user.id))
        if self.options.group_ad_nesting:
            return self._found(self.group_kind, f"({member}:{IN_CHAIN}:={escape_filter_chars(user.dn)})")
        found: dict[str, Entry] = {}
        newest = [user.dn]
        for _ in range(self.options.group_nesting_levels + 1):
            above = self._having(self.group_kind, member, newest)
            newest = [group.dn for group in above if group.dn not in found]
            found |= {group.dn: group for group in above}
            if not newest:
                break
        return list(found.values())

    def members_of(self, group: Entry) -> list[Entry]:
        """The users in a group, nested ones as far as is configured; members that are not users are left out."""
        if self.options.group_members_are_ids:
            return self._having(self.user_kind, self.user_kind.id, group.members)
        if self.options.group_ad_nesting:
            return self._found(self.user_kind, f"(memberOf:{IN_CHAIN}:={escape_filter_chars(group.dn)})")
        seen, newest = {_plain(group.dn)}, [group]
        members = list(group.members)
        for _ in range(self.options.group_nesting_levels):
            inner = [entry for one in newest for dn in one.members if (entry := self._at(self.group_kind, dn, seen))]
            members += [dn for entry in inner for dn in entry.members]
            newest = inner
            if not newest:
                break
        once = {_plain(dn): dn for dn in members}
        if len(once) > _TOGETHER:  # one search of all users is cheaper than a look at each
            return [user for user in self._found(self.user_kind) if _plain(user.dn) in once]
        return [user for dn in once.values() if (user := self._at(self.user_kind, dn, seen))]

    def _at(self, kind: Kind, dn: str, seen: set[str]) -> Entry | None:
        """The entry at a DN, if it is of this kind and below its tree."""
        if _plain(dn) in seen or not _plain(dn).endswith(_plain(kind.base)):
            return None
        try:
            found, _ = self._run(lambda held: self._search(held, kind, "", 1, base=dn, scope=ldap.SCOPE_BASE))
        except ldap.INVALID_DN_SYNTAX:
            return None
        entries = self._read(kind, found)
        if entries and kind is self.group_kind:
            seen.add(_plain(dn))
        return entries[0] if entries else None

    def _having(self, kind: Kind, attribute: str, values: Sequence[str]) -> list[Entry]:
        """Entries with any of these values; in several searches where there are many."""
        found: dict[str, Entry] = {}
        for start in range(0, len(values), _TOGETHER):
            some = "".join(_equals(attribute, value) for value in values[start : start + _TOGETHER])
            found |= {entry.dn: entry for entry in self._found(kind, f"(|{some})")}
        return list(found.values())

    def _found(self, kind: Kind, query: str = "", *, most: int = 0) -> list[Entry]:
        return self._read(kind, self._run(lambda held: self._search(held, kind, query, most or self.most))[0])

    def _search(
        self, held: LDAPObject, kind: Kind, query: str, most: int, *, base: str = "", scope: int | None = None
    ) -> tuple[list[Found], bool]:
        wanted = {kind.id, kind.name, *kind.attributes.values()}
        if kind is self.group_kind:
            wanted.add(self.options.group_member_attribute)
        try:
            return search(
                held,
                self.options,
                base or kind.base,
                self.filter_of(kind, query),
                sorted(wanted),
                most=most,
                scope=scope,
            )
        except ldap.NO_SUCH_OBJECT:
            if base:
                return [], True
            raise

    def filter_of(self, kind: Kind, query: str = "") -> str:
        """The whole filter of a search."""
        return f"(&(objectClass={kind.object_class}){_bracketed(kind.filter)}{query})"

    def _read(self, kind: Kind, rows: Iterable[Found]) -> list[Entry]:
        return [entry for row in rows if (entry := self._entry(kind, *row))]

    def _entry(self, kind: Kind, dn: str, values: Mapping[str, list[bytes]]) -> Entry | None:
        """None for an entry without id or name, or with an id longer than ours can be."""
        texts = {name.lower(): [v.decode(errors="replace") for v in many] for name, many in values.items()}

        def first(attribute: str) -> str:
            return next(iter(texts.get(attribute.lower(), ())), "") if attribute else ""

        ident, name = first(kind.id), first(kind.name)
        if not ident or not name or len(ident) > 255 or len(name) > 255:
            return None
        own = {ours: first(theirs) for ours, theirs in kind.attributes.items()}
        return Entry(
            dn=dn,
            id=ident,
            name=name,
            description=own.pop("description", ""),
            enabled=self._enabled(own.pop("enabled", "")) if kind is self.user_kind else True,
            default_project_id=own.pop("default_project_id", "")[:64],
            extra={name: value for name, value in own.items() if value},
            members=tuple(texts.get(self.options.group_member_attribute.lower(), ())),
        )

    def _enabled(self, said: str) -> bool:
        if not self.options.user_enabled_attribute:
            return True
        word = said or self.options.user_enabled_default
        if self.options.user_enabled_mask:
            value = int(word) if word.isdigit() else 0
            return value & self.options.user_enabled_mask != self.options.user_enabled_mask
        return (word.strip().lower() not in _NO) != self.options.user_enabled_invert

    # --- writing -----------------------------------------------------------------------------------

    def create(self, kind: Kind, values: Mapping[str, Any], *, password: str | None = None) -> Entry:
        """A new entry. Raises Forbidden where the directory is read-only, Conflict, Invalid for its schema."""
        self.allowed(kind, "create")
        name = str(values["name"])
        ident = name if kind.id.lower() == kind.name.lower() else uuid.uuid4().hex
        given = {kind.id: ident, kind.name: name} | self._written(kind, values)
        if kind.object_class.lower() in _PERSONS:
            given = {"cn": name, "sn": name} | given
        attributes = [("objectClass", [kind.object_class.encode()])]
        attributes += [(attribute, [str(text).encode()]) for attribute, text in given.items() if text]
        if kind is self.group_kind and self.options.use_dumb_member:
            attributes.append((self.options.group_member_attribute, [self.options.dumb_member.encode()]))
        dn = f"{kind.id}={escape_dn_chars(ident)},{kind.base}"
        self._run(lambda held: held.add_s(dn, attributes))
        made = Entry(dn=dn, id=ident, name=name)
        if password is not None:
            self.set_password(made, password)
        return self._again(kind, made)

    def update(self, kind: Kind, entry: Entry, values: Mapping[str, Any]) -> Entry:
        """The entry with these attributes changed; an empty value takes one away."""
        self.allowed(kind, "update")
        changes: list[tuple[int, str, list[bytes] | None]] = [
            (ldap.MOD_REPLACE, attribute, [str(text).encode()] if text not in (None, "") else None)
            for attribute, text in self._written(kind, values).items()
        ]
        if "name" in values and values["name"] != entry.name:
            if kind.name.lower() == kind.id.lower():
                raise Forbidden(f"The name of a {kind.noun} of {self.place} is its id and cannot be changed.")
            changes.append((ldap.MOD_REPLACE, kind.name, [str(values["name"]).encode()]))
        if changes:
            self._run(lambda held: held.modify_s(entry.dn, changes))
        return self._again(kind, entry)

    def _again(self, kind: Kind, entry: Entry) -> Entry:
        found = self.entry(kind, entry.id)
        if found is None:
            raise NotFound(
                kind.noun, entry.name, hint="The filters of its domain's configuration do not let it through."
            )
        return found

    def delete(self, kind: Kind, entry: Entry) -> None:
        """Remove an entry."""
        self.allowed(kind, "delete")
        self._run(lambda held: held.delete_s(entry.dn))

    def set_password(self, user: Entry, password: str) -> None:
        """A new password, by the extended operation of RFC 3062, so that the server hashes it."""
        self.allowed(self.user_kind, "update")
        self._run(lambda held: held.passwd_s(user.dn, None, password))

    def add_member(self, group: Entry, user: Entry) -> None:
        """Put a user into a group; harmless if they are there."""
        self._member(ldap.MOD_ADD, group, user, ldap.TYPE_OR_VALUE_EXISTS)

    def remove_member(self, group: Entry, user: Entry) -> None:
        """Take a user out of a group; harmless if they are not there."""
        self._member(ldap.MOD_DELETE, group, user, ldap.NO_SUCH_ATTRIBUTE)

    def _member(self, change: int, group: Entry, user: Entry, harmless: type[ldap.LDAPError]) -> None:
        self.allowed(self.group_kind, "update")
        value = user.id if self.options.group_members_are_ids else user.dn

        def work(held: LDAPObject) -> None:
            try:
                held.modify_s(group.dn, [(change, self.options.group_member_attribute, [value.encode()])])
            except harmless:
                return

        self._run(work)

    def allowed(self, kind: Kind, verb: str) -> None:
        """Raise Forbidden unless the configuration lets entries of this kind be made, changed or removed."""
        if not getattr(self.options, f"{kind.noun}_allow_{verb}"):
            raise Forbidden(READ_ONLY)

    def _written(self, kind: Kind, values: Mapping[str, Any]) -> dict[str, Any]:
        """Ours as the directory's attributes; what it has no attribute for is refused, not lost."""
        found: dict[str, Any] = {}
        for ours, value in values.items():
            if ours == "name":
                continue
            if ours not in kind.attributes:
                raise Forbidden(f"The directory of {self.place} has no attribute for `{ours}` of a {kind.noun}.")
            found[kind.attributes[ours]] = self._flag(bool(value)) if ours == "enabled" else value
        return found

    def _flag(self, enabled: bool) -> str:
        if mask := self.options.user_enabled_mask:
            base = int(self.options.user_enabled_default) if self.options.user_enabled_default.isdigit() else 0
            return str(base & ~mask if enabled else base | mask)
        return "TRUE" if enabled != self.options.user_enabled_invert else "FALSE"

    def _run(self, work: Callable[[LDAPObject], R]) -> R:
        return self.pool.run(work)


def _equals(attribute: str, value: str) -> str:
    return f"({attribute}={escape_filter_chars(value)})"


def _bracketed(text: str) -> str:
    return text if not text or text.startswith("(") else f"({text})"


def _plain(dn: str) -> str:
    """A DN so that two spellings of it compare equal: without case and without blanks around commas."""
    return ",".join(part.strip() for part in dn.lower().split(","))


def _pairs(mapping: Iterable[str]) -> dict[str, str]:
    """`ldap_attribute:name` pairs by our name."""
    return {ours: theirs for theirs, _, ours in (pair.partition(":") for pair in mapping)}


def _known(**attributes: str) -> dict[str, str]:
    return {ours: theirs for ours, theirs in attributes.items() if theirs}
