"""What a command line needs to speak to this cloud: `clouds.yaml` and `openrc.sh`, never with a password in them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

import yaml
from django.conf import settings
from django.utils.text import slugify

from apps.core.context import RequestContext
from apps.identity.models import Project


@dataclass(frozen=True, slots=True)
class Secret:
    """An application credential as a client needs it."""

    id: str
    secret: str


def cloud_name(ctx: RequestContext) -> str:
    """How the cloud is called on the command line: `kumo-<project>`."""
    return f"kumo-{slugify(ctx.project_name) or ctx.project_id}"


def clouds_yaml(ctx: RequestContext, secret: Secret | None = None) -> str:
    """A file for `~/.config/openstack/clouds.yaml`; without a secret, the client asks for the password."""
    public = settings.CONFIG.public
    cloud: dict[str, Any] = {"auth": {"auth_url": _auth_url()}, "region_name": public.region, "interface": "public"}
    if secret is not None:
        cloud["auth_type"] = "v3applicationcredential"
        cloud["auth"] |= {"application_credential_id": secret.id, "application_credential_secret": secret.secret}
    else:
        user, project = _domains(ctx)
        cloud["auth"] |= {
            "username": ctx.user_name,
            "user_domain_name": user,
            "project_name": ctx.project_name,
            "project_domain_name": project,
        }
    cloud["identity_api_version"] = 3
    return yaml.safe_dump({"clouds": {cloud_name(ctx): cloud}}, sort_keys=False, allow_unicode=True)


def openrc(ctx: RequestContext, secret: Secret | None = None) -> str:
    """A file to be read by a shell; without a secret, it asks for the password and keeps it in that shell only."""
    values = {
        "OS_AUTH_URL": _auth_url(),
        "OS_IDENTITY_API_VERSION": "3",
        "OS_REGION_NAME": settings.CONFIG.public.region,
        "OS_INTERFACE": "public",
    }
    if secret is not None:
        values |= {
            "OS_AUTH_TYPE": "v3applicationcredential",
            "OS_APPLICATION_CREDENTIAL_ID": secret.id,
            "OS_APPLICATION_CREDENTIAL_SECRET": secret.secret,
        }
    else:
        user, project = _domains(ctx)
        values |= {
            "OS_USERNAME": ctx.user_name,
            "OS_USER_DOMAIN_NAME": user,
            "OS_PROJECT_NAME": ctx.project_name,
            "OS_PROJECT_DOMAIN_NAME": project,
        }
    lines = ["#!/bin/sh", *(f"export {name}={shlex.quote(value)}" for name, value in values.items())]
    if secret is None:
        lines += [
            "printf 'Password of %s: ' \"$OS_USERNAME\" >&2",
            "stty -echo; IFS= read -r OS_PASSWORD; stty echo; echo >&2",
            "export OS_PASSWORD",
        ]
    return "\n".join(lines) + "\n"


def _auth_url() -> str:
    return f"{settings.CONFIG.public.url}/identity/v3"


def _domains(ctx: RequestContext) -> tuple[str, str]:
    """Names of the user's and the project's domain."""
    wanted = {ctx.user_domain_id, ctx.project_domain_id}
    names = dict(Project.objects.filter(pk__in=wanted).values_list("pk", "name"))
    return names.get(ctx.user_domain_id, ""), names.get(ctx.project_domain_id, "")
