"""Who asks: the context that every service and selector takes as its first argument."""

from __future__ import annotations

import getpass
import random
import uuid
from contextvars import ContextVar
from dataclasses import dataclass, field, replace


def new_request_id() -> str:
    """`req-<uuid>`, the form OpenStack's clients and Tempest look for. It is no secret.

    Hence not from the system, which threads would let go of the interpreter for.
    """
    return f"req-{uuid.UUID(int=random.getrandbits(128), version=4)}"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from: the client's address and what it calls itself; both empty for Kumo's own work."""

    address: str = ""
    agent: str = ""
    is_secure: bool = False  # by TLS


origin: ContextVar[Origin] = ContextVar("origin", default=Origin())  # noqa: B039 - it is frozen


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The caller as the edge established it: identity, scope and effective roles.

    Exactly one of `project_id`, `domain_id`, `system_scope` is set, or none for an unscoped token.
    `roles` holds role names after implied roles were added. `is_system` marks Kumo's own work (sagas,
    reconcilers, commands), which passes every rule and sees every project; see `system()`.
    """

    user_id: str = ""
    user_name: str = ""
    user_domain_id: str = ""
    project_id: str = ""
    project_name: str = ""
    project_domain_id: str = ""
    domain_id: str = ""
    system_scope: str = ""  # "all" or nothing
    roles: frozenset[str] = frozenset()
    request_id: str = field(default_factory=new_request_id)
    global_request_id: str = ""
    token_id: str = ""  # audit id, never the token itself
    credential: str = ""  # by what the caller showed who it is: "password", "application_credential:<id>", "command"
    trust_id: str = ""  # the trust that this caller acts by, if any
    is_delegated: bool = False  # signed in by less than a person: application credential, access key, OAuth token
    is_system: bool = False

    @property
    def is_admin(self) -> bool:
        """May this caller see all projects? True for the role `admin` and for Kumo itself."""
        return self.is_system or "admin" in self.roles

    @property
    def scope(self) -> str:
        """What a rule's scopes are compared with; an unscoped token counts as a project's, as in oslo.policy."""
        return "system" if self.system_scope else "domain" if self.domain_id else "project"

    def has_role(self, name: str) -> bool:
        """Is the role among the effective ones? Names compare without case, as in OpenStack's policies."""
        return self.is_system or name.lower() in {role.lower() for role in self.roles}


def system(*, on_behalf_of: RequestContext | None = None, request_id: str = "") -> RequestContext:
    """The context of Kumo's own work.

    With `on_behalf_of` it keeps the actor's ids, so that audit and ownership stay right while rules pass.
    To be called by the operation engine, reconcilers and management commands only; a test over the syntax
    tree holds the list of callers.
    """
    base = on_behalf_of or RequestContext(user_name="kumo")
    return replace(base, is_system=True, credential="", request_id=request_id or base.request_id)


def operator() -> RequestContext:
    """The context of a management command: whoever has a shell as Kumo's account may do everything, and is named.

    Unlike Kumo's own work, what it changes is an event of its own in the audit log.
    """
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        name = "operator"
    return RequestContext(user_name=name, is_system=True, credential="command")
