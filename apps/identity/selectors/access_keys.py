"""From an access key to whom it stands for: what object storage asks at every request."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from apps.core.context import RequestContext
from apps.identity.models import Credential, Project, User
from apps.identity.selectors.credentials import hash_of
from apps.identity.selectors.delegations import is_active
from apps.identity.selectors.epoch import pulse
from apps.identity.selectors.keys import opened_secret
from apps.identity.selectors.roles import effective_roles
from apps.identity.selectors.sessions import context_from, is_usable
from apps.identity.states import Scope

_MOST = 2_000
_LENT = ("trust_id", "app_cred_id", "access_token_id")  # Keystone's names in the blobs of keys that delegations made
_held: dict[str, tuple[int, AccessKey | None]] = {}


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key that holds: its secret, and the context of requests that are signed with it."""

    access: str
    secret: str
    context: RequestContext

    @property
    def user_id(self) -> str:
        return self.context.user_id

    @property
    def project_id(self) -> str:
        return self.context.project_id

    def context_for(self, *, request_id: str, global_request_id: str = "") -> RequestContext:
        """The context of one request."""
        return replace(self.context, request_id=request_id, global_request_id=global_request_id)


def access_key(access: str) -> AccessKey | None:
    """Whom an access key stands for; None if it is unknown, or its user or project gone, disabled or without roles.

    One small query while the epoch stands still. The caller checks the signature.
    """
    epoch, _ = pulse()
    held = _held.get(access)
    if held is not None and held[0] == epoch:
        return held[1]
    while len(_held) >= _MOST:
        _held.pop(next(iter(_held), ""), None)
    found = _read(access)
    _held[access] = (epoch, found)
    return found


def _read(access: str) -> AccessKey | None:
    row = Credential.objects.filter(pk=hash_of(access), type="ec2").first()
    if row is None or row.project_id is None:
        return None
    blob = json.loads(opened_secret(row.sealed_blob))
    if blob.get("access") != access or not isinstance(blob.get("secret"), str):
        return None
    if any(blob.get(lent) for lent in _LENT):  # it stands for less than its user, and for how much less is not kept
        return None
    user = User.objects.select_related("domain").filter(pk=row.user_id).first()
    project = Project.objects.select_related("domain").filter(pk=row.project_id, is_domain=False).first()
    if user is None or project is None or not is_active(user) or not is_usable(project):
        return None
    roles = effective_roles(user_id=user.pk, scope=Scope.PROJECT, target_id=project.pk)
    if not roles:
        return None
    context = context_from(user, Scope.PROJECT, project, roles, credential=f"access_key:{row.pk}")
    return AccessKey(access, blob["secret"], replace(context, is_delegated=True))
