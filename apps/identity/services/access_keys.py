"""Tokens for requests that were signed with an access key: what EC2 and S3 front ends ask identity for."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.utils import timezone

from apps.core.api.types import parse_time
from apps.core.context import RequestContext
from apps.core.errors import NotFound, Unauthorized
from apps.core.transactions import selector
from apps.identity.backends import signatures
from apps.identity.models import Project, User
from apps.identity.selectors.access_keys import AccessKey, access_key
from apps.identity.selectors.sessions import Session
from apps.identity.services.events import sign_in_event
from apps.identity.services.passwords import REQUIRED
from apps.identity.services.proofs import Proof
from apps.identity.services.scopes import Wanted
from apps.identity.services.tokens import issue
from apps.identity.states import Method, Scope


@selector("identity:ec2tokens_validate")
def ec2_token_issue(ctx: RequestContext, *, signed: Mapping[str, Any]) -> tuple[str, Session]:
    """A token for who signed an EC2 request. Raises NotFound for an unknown key, Unauthorized for a bad signature."""
    return _issue(signed, lambda key: signatures.check_ec2(key.secret, signed))


@selector("identity:s3tokens_validate")
def s3_token_issue(ctx: RequestContext, *, signed: Mapping[str, Any]) -> tuple[str, Session]:
    """A token for who signed an S3 request; `token` is the string to sign in base64. Raises as above."""
    token, signature = str(signed.get("token", "")), str(signed.get("signature", ""))
    return _issue(signed, lambda key: signatures.check_s3(key.secret, token=token, signature=signature))


def _issue(signed: Mapping[str, Any], check: Callable[[AccessKey], None]) -> tuple[str, Session]:
    with sign_in_event(methods=(Method.EC2_CREDENTIAL,)) as event:
        key = access_key(str(signed["access"]))
        if key is None:
            raise NotFound("EC2 access key")
        event.user_id = key.user_id
        token, event.session = _issue_for(key, signed, check)
    return token, event.session


def _issue_for(key: AccessKey, signed: Mapping[str, Any], check: Callable[[AccessKey], None]) -> tuple[str, Session]:
    try:
        check(key)
    except signatures.BadSignature as error:
        raise Unauthorized(str(error)) from error
    _young(signed)
    user = User.objects.select_related("domain").get(pk=key.user_id)
    project = Project.objects.get(pk=key.project_id)
    made = issue(Proof(user), Wanted(Scope.PROJECT, project), {Method.EC2_CREDENTIAL})
    if made is None:
        raise Unauthorized(REQUIRED)
    return made


def _young(signed: Mapping[str, Any]) -> None:
    """Raise Unauthorized for a signature that says it is too old; one without a time may be of any age."""
    params, headers = signed.get("params") or {}, signed.get("headers") or {}
    stamp = params.get("Timestamp") or headers.get("X-Amz-Date") or params.get("X-Amz-Date")
    if not stamp:
        return
    try:
        made = parse_time(str(stamp))
    except ValueError as error:
        raise Unauthorized("Credential timestamp is invalid") from error
    if timezone.now() > made + datetime.timedelta(minutes=settings.CONFIG.identity.ec2_signature_minutes):
        raise Unauthorized("Credential is expired")
