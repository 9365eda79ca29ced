"""`manage.py ldap test --domain D [--user U]`: does a domain's directory answer, and what is read there?"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

import ldap
from django.core.management.base import BaseCommand, CommandError

from apps.core.errors import KumoError
from apps.identity.backends.ldap.connection import connect, meaning
from apps.identity.backends.ldap.driver import Directory, Entry, Kind
from apps.identity.models import Domain
from apps.identity.selectors import directories

_NEXT = (
    (
        ldap.SERVER_DOWN,
        "check `url`, that the server runs, and with TLS `tls_cacertfile` and the name in its certificate",
    ),
    (ldap.CONNECT_ERROR, "check `tls_cacertfile` and that the server takes StartTLS (`use_tls`)"),
    (ldap.INVALID_CREDENTIALS, "check `user` (a DN) and `password`"),
    (ldap.NO_SUCH_OBJECT, "check `{tree}`: the server has no such DN"),
    (ldap.INVALID_DN_SYNTAX, "check `user`, `suffix` and `{tree}`: one of them is no DN"),
    (ldap.FILTER_ERROR, "check `{noun}_filter`: it is no LDAP filter"),
    (ldap.INSUFFICIENT_ACCESS, "let `user` read below `{tree}`"),
)


class Command(BaseCommand):
    """Tries a directory step by step, and says at the first that fails what to do."""

    help = "Tries the LDAP directory of a domain: connection, bind, users, groups, and how one user is mapped."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        test = verbs.add_parser("test", help="try the directory of a domain; changes nothing there")
        test.add_argument("--domain", required=True, help="name or id of the domain")
        test.add_argument("--user", default="", help="name of a user to show as we see them")

    def handle(self, *args: Any, **options: Any) -> None:
        domain = (
            Domain.objects.filter(name=options["domain"]).first() or Domain.objects.filter(pk=options["domain"]).first()
        )
        if domain is None:
            raise CommandError(f"there is no domain {options['domain']}")
        try:
            directory = directories.directory_of(domain.pk)
        except KumoError as error:
            raise CommandError(str(error)) from error
        if directory is None:
            raise CommandError(
                f"{domain.name} has no directory: set `identity.driver` to `ldap` in its configuration, "
                "or give it a table [identity.directories] in kumo.toml"
            )
        self._test(directory, domain.pk, options["user"])

    def _test(self, directory: Directory, domain_id: str, name: str) -> None:
        options = directory.options
        self._step("server", directory.user_kind, lambda: connect(options, bind=False).whoami_s())
        self.stdout.write(f"connected to {' '.join(options.urls)}{' with StartTLS' if options.use_tls else ''}")
        self._step("bind", directory.user_kind, lambda: connect(options))
        self.stdout.write(f"bound as {options.user or 'nobody (anonymous)'}")
        for kind in (directory.user_kind, directory.group_kind):
            found, whole = self._step(f"{kind.noun}s", kind, lambda kind=kind: directory.entries(kind))  # type: ignore[misc]
            more = "" if whole else " and more (a limit cut the list)"
            self.stdout.write(f"{kind.noun}s: {len(found)}{more} below {kind.base} by {directory.filter_of(kind)}")
            if not found:
                self._fail(
                    f"no {kind.noun}",
                    f"check `{kind.noun}_objectclass`, `{kind.noun}_filter`, `query_scope` and the attributes",
                )
            sample = next((entry for entry in found if entry.name == name), None) if kind.noun == "user" else None
            if sample is not None or (kind.noun == "user" and not name):
                self._show(directory, domain_id, sample or found[0])
            elif kind.noun == "user":
                self._fail(f"no user {name}", "check `user_name_attribute` and `user_filter`")

    def _show(self, directory: Directory, domain_id: str, entry: Entry) -> None:
        groups = self._step("groups of a user", directory.group_kind, lambda: directory.groups_of(entry))
        shown = {
            "dn": entry.dn,
            "id": directories.public_id(domain_id, "user", entry.id),
            "name": entry.name,
            "enabled": entry.enabled,
            "description": entry.description,
            **entry.extra,
            "groups": ", ".join(group.name for group in groups) or "none",
        }
        self.stdout.write("a user as we see them:")
        for key, value in shown.items():
            self.stdout.write(f"  {key}: {value}")

    def _step(self, what: str, kind: Kind, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except ldap.LDAPError as error:
            self._fail(str(meaning(error, what)), self._advice(error, kind), error)
        except KumoError as error:
            self._fail(str(error), self._advice(error.__cause__, kind), error)

    def _advice(self, error: BaseException | None, kind: Kind) -> str:
        known = next((text for kinds, text in _NEXT if isinstance(error, kinds)), "see the server's log")
        return known.format(tree=f"{kind.noun}_tree_dn", noun=kind.noun)

    def _fail(self, what: str, advice: str, error: BaseException | None = None) -> None:
        self.stdout.write(f"failed: {what}")
        self.stdout.write(f"  next: {advice}")
        sys.exit(1)
