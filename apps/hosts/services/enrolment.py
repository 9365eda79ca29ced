"""Letting hosts in and putting them out again."""

from __future__ import annotations

import datetime
import re
import secrets
from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from django.db.models import Max
from django.db.models.functions import Now

from apps.core import live
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Forbidden, Invalid, NotFound
from apps.core.tokens import new_token, token_hash
from apps.core.transactions import internal, on_violation, service
from apps.hosts.models import EnrolToken, Host
from apps.hosts.services.authority import authority, host_certificate
from apps.hosts.states import DEFAULT_ZONE, HostMode
from apps.operations import accounts
from apps.operations import services as operations

TOKEN_LIFETIME = datetime.timedelta(hours=1)
_NAME = re.compile(r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")  # as agents.config.AgentConfig.name
_ZONE = re.compile(r"^[^:/\s][^:/]{0,254}$")  # a colon would be ambiguous in compute's zone:host form

on_violation("hosts_host_name_key", lambda detail: Conflict("A host of that name was enrolled at the same moment."))


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What a new host gets: its certificate, whom to trust, and its password at the broker."""

    host: Host
    certificate_pem: str
    ca_pem: str
    control_public_key_pem: str
    broker_password: str


@service("hosts:manage")
def host_enroll_token(ctx: RequestContext, *, name: str, zone: str = DEFAULT_ZONE) -> str:
    """A token with which one host of this name may enrol, once, within an hour; shown now and never again.

    A host that exists may enrol anew: its older certificate ends then. Raises Invalid for an unusable name.
    """
    if not _NAME.match(name):
        raise Invalid(
            "A host's name has up to 63 lower-case letters, digits, dots and dashes, and begins and ends "
            "with a letter or digit.",
            field="name",
        )
    if not _ZONE.match(zone):
        raise Invalid("A zone's name has up to 255 characters, none of them a colon or slash.", field="zone")
    token = new_token()
    EnrolToken.objects.filter(expires_at__lt=Now() - TOKEN_LIFETIME).delete()
    EnrolToken.objects.create(host_name=name, zone=zone, digest=token_hash(token), expires_at=Now() + TOKEN_LIFETIME)
    return token


@internal("a machine that is no host yet proves itself with the token")
def host_enroll(ctx: RequestContext, *, token: str, name: str, csr_pem: str, signing_public_key_pem: str) -> Enrolled:
    """Make the bearer of a token a host.

    Raises Forbidden for a token that is unknown, used, expired or another host's, Invalid for unusable keys,
    Unavailable when the broker cannot take the new user; the token then stays good.
    """
    spent = EnrolToken.objects.filter(digest=token_hash(token), host_name=name, used_at=None, expires_at__gt=Now())
    held = spent.first()
    if held is None or not spent.filter(pk=held.pk).update(used_at=Now()):
        raise Forbidden(
            "The token is unknown, used, expired, or made for another host.",
            hint="Get a new one with `manage.py host enroll NAME` on the control plane.",
        )
    issued = host_certificate(name, csr_pem)
    fields = {
        "zone": held.zone,
        "certificate_serial": issued.serial,
        "certificate_expires_at": issued.expires_at,
        "updated_at": Now(),
    }
    if not Host.objects.filter(name=name).update(**fields):
        Host.objects.create(name=name, number=_next_number(), **fields)
    operations.executor_register(ctx, host=name, public_key=signing_public_key_pem)
    password = secrets.token_urlsafe(32)
    accounts.host_access(name, password)
    return Enrolled(
        host=Host.objects.get(name=name),
        certificate_pem=issued.pem,
        ca_pem=authority().pem,
        control_public_key_pem=operations.control_public_key(ctx),
        broker_password=password,
    )


@service("hosts:manage")
def host_enable(ctx: RequestContext, *, host_id: UUID | str) -> Host:
    """Let the scheduler place servers here. Raises NotFound."""
    return _set_mode(host_id, HostMode.ENABLED, "")


@service("hosts:manage")
def host_disable(ctx: RequestContext, *, host_id: UUID | str, reason: str = "") -> Host:
    """Place no new servers here; what runs, runs on. Raises NotFound."""
    return _set_mode(host_id, HostMode.DISABLED, reason)


@service("hosts:manage")
def host_drain(ctx: RequestContext, *, host_id: UUID | str, reason: str = "") -> Host:
    """Place no new servers here, and mark that the ones there are to leave. Raises NotFound."""
    return _set_mode(host_id, HostMode.DRAINING, reason)


@service("hosts:manage")
def host_force_down(ctx: RequestContext, *, host_id: UUID | str, forced: bool) -> Host:
    """Declare a host down, so that it counts as such whatever it answers, or take that back. Raises NotFound."""
    host = _locked(host_id)
    if host.forced_down != forced:
        Host.objects.filter(pk=host.pk).update(forced_down=forced, updated_at=Now())
        host.refresh_from_db()
        live.notify("", "host", host.pk)
    return host


@service("hosts:manage")
def host_set_zone(ctx: RequestContext, *, host_id: UUID | str, zone: str) -> Host:
    """Put a host into another availability zone. Raises NotFound."""
    host = _locked(host_id)
    Host.objects.filter(pk=host.pk).update(zone=zone, updated_at=Now())
    host.refresh_from_db()
    return host


@service("hosts:manage")
def host_remove(ctx: RequestContext, *, host_id: UUID | str) -> None:
    """Forget a host: its certificate, key and broker user end at once.

    Raises NotFound, and Conflict while anything is claimed of it.
    """
    host = _locked(host_id)
    if count := host.claims.count():
        raise Conflict(
            f"{count} servers have their place on {host.name}.", hint="Drain the host and delete or move them first."
        )
    EnrolToken.objects.filter(host_name=host.name).delete()
    host.delete()
    operations.executor_remove(ctx, host=host.name)
    accounts.host_no_access(host.name)


def _set_mode(host_id: UUID | str, mode: HostMode, reason: str) -> Host:
    host = _locked(host_id)
    if host.mode != mode or host.mode_reason != reason:
        Host.objects.filter(pk=host.pk).update(
            mode=mode, mode_reason=reason[:255], mode_changed_at=Now(), updated_at=Now()
        )
        host.refresh_from_db()
        live.notify("", "host", host.pk)
    return host


def _locked(host_id: UUID | str) -> Host:
    found = Host.objects.filter(pk=host_id).select_for_update(no_key=True).first()
    if found is None:
        raise NotFound("host", host_id)
    return found


def _next_number() -> int:
    """Numbers are never given twice at the same time; the lock lasts until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('hosts/number', 0))")
    return int(Host.objects.aggregate(n=Max("number"))["n"] or 0) + 1
