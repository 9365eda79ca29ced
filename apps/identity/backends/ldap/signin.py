"""Is this somebody's password? django-auth-ldap asks the directory, by binding as them over a connection of its own."""

from __future__ import annotations

from typing import Any

import ldap
from django_auth_ldap.backend import LDAPBackend, ldap_error

from apps.identity.backends.ldap.connection import AWAY, connection_options, meaning, uri
from apps.identity.backends.ldap.driver import Directory, Entry


class _Person:
    """What django-auth-ldap hands back for somebody whose password was right."""

    USERNAME_FIELD = "username"


class _Away(Exception):
    """The directory did not say whether the password fits."""

    def __init__(self, error: ldap.LDAPError) -> None:
        super().__init__(error)
        self.error = error


class DirectoryBackend(LDAPBackend):
    """django-auth-ldap for one entry that was found already: no search, no user of Django's, one bind."""

    def __init__(self, directory: Directory, dn: str) -> None:
        options = directory.options
        self.default_settings = {
            "SERVER_URI": uri(options),
            "START_TLS": options.use_tls,
            "CONNECTION_OPTIONS": connection_options(options),
            "USER_DN_TEMPLATE": dn.replace("%", "%%"),
            "ALWAYS_UPDATE_USER": False,
        }
        self.settings_prefix = "KUMO_NO_SETTING_"  # the directory's options are all that counts

    def get_user_model(self) -> Any:
        return _Person

    def get_or_build_user(self, username: str, ldap_user: Any) -> tuple[_Person, bool]:
        return _Person(), False


def password_fits(directory: Directory, entry: Entry | None, password: str) -> bool:
    """Does the directory take this password for the entry? An empty one never fits: a bind with it proves nothing.

    For an entry that is not there a bind is tried all the same, so that the answer takes as long.
    Raises Unavailable.
    """
    dn = entry.dn if entry is not None else f"cn=nobody,{directory.user_kind.base}"
    try:
        fits = DirectoryBackend(directory, dn).authenticate(None, username="person", password=password) is not None
    except _Away as away:
        raise meaning(away.error, directory.place) from away.error
    return fits and entry is not None


def _unless_refused(sender: type[LDAPBackend], exception: ldap.LDAPError, **_: Any) -> None:
    """The library takes every error for a wrong password; a directory that is away is none."""
    if issubclass(sender, DirectoryBackend) and isinstance(exception, AWAY):
        raise _Away(exception) from exception


ldap_error.connect(_unless_refused)
