"""Credentials of users: access keys, authenticators, and whatever else a client wants kept."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from apps.core.context import RequestContext
from apps.core.errors import Conflict, Forbidden, Invalid
from apps.core.policy import enforce
from apps.core.transactions import on_violation, service
from apps.identity.backends import totp
from apps.identity.models import Credential, Project, User
from apps.identity.selectors.access import row_of
from apps.identity.selectors.credentials import credential_checked, ec2_row, hash_of, key_row, not_delegated
from apps.identity.services.common import unchangeable
from apps.identity.services.epoch import change_epoch
from apps.identity.services.keys import sealed_secret
from apps.identity.states import new_id

EC2, TOTP = "ec2", "totp"

on_violation(
    "identity_credential_pkey",
    lambda detail: Conflict("Conflict occurred attempting to store credential - the access key is in use."),
)


@service("anyone")
def credential_create(
    ctx: RequestContext,
    *,
    type: str,
    blob: str,
    user_id: str,
    project_id: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Credential:
    """Keep a secret for a user. Raises NotFound for user or project, Invalid for what its type cannot use, Conflict for
    an access key in use, Forbidden for programs and for one too many."""
    enforce(ctx, "identity:create_credential", {"target": {"credential": {"user_id": user_id}}})
    not_delegated(ctx)
    if type == EC2 and project_id is None:
        raise Invalid("'project_id' is a required property of ec2 credentials.", field="project_id")
    return _kept(type, blob, user_id, project_id, extra)


@service("anyone")
def credential_update(
    ctx: RequestContext,
    *,
    credential_id: str,
    blob: str | None = None,
    type: str | None = None,
    user_id: str | None = None,
    project_id: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Credential:
    """Replace the secret; what it is for is fixed. Raises NotFound, Invalid, Forbidden for programs."""
    row = Credential.objects.select_for_update(no_key=True).filter(pk=credential_id).first()
    credential_checked(ctx, "identity:update_credential", row, credential_id)
    assert row is not None
    unchangeable(row, type=type, user_id=user_id, project_id=project_id)
    if blob is not None:
        _usable(row.type, blob)
        row.sealed_blob, row.last_step = sealed_secret(blob), None
    row.extra = {**row.extra, **(extra or {})}
    row.save(update_fields=["sealed_blob", "last_step", "extra"])
    change_epoch()
    return row


@service("anyone")
def credential_delete(ctx: RequestContext, *, credential_id: str) -> None:
    """Forget a secret. Raises NotFound, Forbidden for programs."""
    row = Credential.objects.filter(pk=credential_id).first()
    credential_checked(ctx, "identity:delete_credential", row, credential_id)
    assert row is not None
    row.delete()
    change_epoch()


@service("anyone")
def ec2_credential_create(ctx: RequestContext, *, user_id: str, tenant_id: str) -> dict[str, Any]:
    """An access key for a user in a project, as a row. Raises NotFound, Forbidden for programs and for one too many."""
    enforce(ctx, "identity:ec2_create_credential", {"target": {"credential": {"user_id": user_id}}})
    not_delegated(ctx)
    blob = json.dumps({"access": new_id(), "secret": secrets.token_hex(16), "trust_id": None})
    return key_row(_kept(EC2, blob, user_id, tenant_id, None))


@service("anyone")
def ec2_credential_delete(ctx: RequestContext, *, user_id: str, credential_id: str) -> None:
    """Forget an access key. Raises NotFound, Forbidden for programs."""
    ec2_row(ctx, "identity:ec2_delete_credential", user_id, credential_id).delete()
    change_epoch()


def _kept(kind: str, blob: str, user_id: str, project_id: str | None, extra: Mapping[str, Any] | None) -> Credential:
    row_of(User, user_id, "user")
    if project_id is not None:
        row_of(Project, project_id, "project")
    most = settings.CONFIG.identity.max_credentials_per_user
    if most and Credential.objects.filter(user_id=user_id).count() >= most:
        raise Forbidden(f"Unable to create additional credentials, maximum of {most} already exceeded for user.")
    row = Credential(
        pk=_usable(kind, blob),
        type=kind,
        user_id=user_id,
        project_id=project_id,
        sealed_blob=sealed_secret(blob),
        extra=dict(extra or {}),
    )
    row.save(force_insert=True)
    change_epoch()
    return row


def _usable(kind: str, blob: str) -> str:
    """The id that a credential of this content has. Raises Invalid for what its type cannot use."""
    if kind == TOTP:
        try:
            totp.key_of(blob)
        except ValueError as error:
            raise Invalid(f"The secret of an authenticator is base32 text: this is {error}.", field="blob") from error
    if kind != EC2:
        return new_id()
    try:
        content = json.loads(blob)
    except ValueError as error:
        raise Invalid("Invalid blob in credential", field="blob") from error
    for name in ("access", "secret"):
        if not isinstance(content, dict) or not isinstance(content.get(name), str) or not content[name]:
            raise Invalid(f"Expecting to find {name} in credential.", field="blob")
    return hash_of(content["access"])
