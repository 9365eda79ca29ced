"""The documents of a token, rendered once per session, and of a receipt."""

from __future__ import annotations

import datetime
from typing import Any

import orjson

from apps.identity.models import Project
from apps.identity.selectors.catalog import catalog
from apps.identity.selectors.federation import federation_of
from apps.identity.selectors.sessions import Session
from apps.identity.services import MoreFactors
from apps.identity.states import FEDERATED_METHODS, Scope

_START = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def token_document(session: Session, *, with_catalog: bool) -> bytes:
    """`{"token": …}` as Keystone answers it; kept with the session."""
    key = "catalog" if with_catalog else "nocatalog"
    held: bytes | None = session.documents.get(key)
    if held is None:
        held = session.documents[key] = orjson.dumps({"token": token_body(session, with_catalog=with_catalog)})
    return held


def token_body(session: Session, *, with_catalog: bool) -> dict[str, Any]:
    """What a token says: who, by which methods, until when, where, and with which roles."""
    claims, user = session.claims, session.user
    body: dict[str, Any] = {
        "methods": [str(method) for method in claims.methods],
        "user": {
            "domain": _ref(user.domain),
            "id": user.pk,
            "name": user.name,
            "password_expires_at": moment(user.password_expires_at),
        },
        "audit_ids": list(claims.audit_ids),
        "expires_at": _instant(claims.expires_at * 1_000_000),
        "issued_at": _instant(claims.issued_at),
    }
    if not FEDERATED_METHODS.isdisjoint(claims.methods) and (origin := federation_of(user.pk)):
        body["user"]["OS-FEDERATION"] = origin
    if session.trust is not None:
        body["OS-TRUST:trust"] = {
            "id": session.trust.pk,
            "impersonation": session.trust.impersonation,
            "trustee_user": {"id": session.trust.trustee_id},
            "trustor_user": {"id": session.trust.trustor_id},
        }
    if session.access_token is not None:
        body["OS-OAUTH1"] = {
            "access_token_id": session.access_token.pk,
            "consumer_id": session.access_token.consumer_id,
        }
    if claims.scope == Scope.UNSCOPED:
        return body
    if session.credential is not None:
        body["application_credential"] = {
            "id": session.credential.pk,
            "name": session.credential.name,
            "restricted": not session.credential.unrestricted,
        }
    if claims.scope == Scope.SYSTEM:
        body["system"] = {"all": True}
    elif claims.scope == Scope.DOMAIN:
        body["domain"] = _ref(session.target)
    else:
        assert session.target is not None
        body["project"] = {"domain": _ref(session.target.domain), **_ref(session.target)}
        body["is_domain"] = session.target.is_domain
    body["roles"] = [{"id": role.id, "name": role.name} for role in session.roles]
    if with_catalog:
        body["catalog"] = catalog(session.epoch, project_id=session.context.project_id, user_id=user.pk)
    return body


def receipt_document(more: MoreFactors) -> dict[str, Any]:
    """What somebody is told who has shown one factor of several: which are still needed."""
    receipt, user = more.receipt, more.user
    return {
        "receipt": {
            "methods": [str(method) for method in receipt.methods],
            "user": {"id": user.pk, "name": user.name, "domain": _ref(user.domain)},
            "expires_at": _instant(receipt.expires_at * 1_000_000),
            "issued_at": _instant(receipt.issued_at),
        },
        "required_auth_methods": [list(rule) for rule in more.required],
    }


def _ref(row: Project | None) -> dict[str, str]:
    assert row is not None
    return {"id": row.pk, "name": row.name}


def _instant(micros: int) -> str | None:
    return moment(_START + datetime.timedelta(microseconds=micros))


def moment(value: datetime.datetime | None) -> str | None:
    """Keystone's form of a time: UTC, microseconds, `Z`."""
    return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if value else None
