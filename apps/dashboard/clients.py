"""What programs need to speak to this cloud: `clouds.yaml` and `openrc.sh`, never with a password in them, and what
programs of S3 are told of an access key.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

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


@dataclass(frozen=True, slots=True)
class Snippet:
    """What a program of S3 needs to be told, and where it is written."""

    key: str
    title: str
    text: str


def s3_endpoint() -> str:
    """Where programs of S3 ask."""
    public = settings.CONFIG.public
    return str(public.s3_url or f"{public.url}/s3")


def s3_snippets(ctx: RequestContext, access: str, secret: str) -> list[Snippet]:
    """The same key for the usual programs, each in its own words; buckets stand in the path.

    s3cmd is left out where S3 has no root of its own: it signs another host than it asks then.
    """
    endpoint, name, region = s3_endpoint(), cloud_name(ctx), settings.CONFIG.public.region
    keys = f"aws_access_key_id = {access}\naws_secret_access_key = {secret}\n"
    at = urlsplit(endpoint)
    made = {
        "aws": (
            "AWS CLI · ~/.aws/config",
            f"[profile {name}]\nregion = {region}\nendpoint_url = {endpoint}\n{keys}"
            f"s3 =\n  addressing_style = path\n\n# aws --profile {name} s3 ls\n",
        ),
        "boto3": (
            "boto3 · Python",
            "import boto3\nfrom botocore.config import Config\n\n"
            f's3 = boto3.client(\n    "s3",\n    endpoint_url="{endpoint}",\n    region_name="{region}",\n'
            f'    aws_access_key_id="{access}",\n    aws_secret_access_key="{secret}",\n'
            '    config=Config(s3={"addressing_style": "path"}),\n)\n'
            'print([bucket["Name"] for bucket in s3.list_buckets()["Buckets"]])\n',
        ),
        "rclone": (
            "rclone · ~/.config/rclone/rclone.conf",
            f"[{name}]\ntype = s3\nprovider = Other\nendpoint = {endpoint}\nregion = {region}\n"
            f"access_key_id = {access}\nsecret_access_key = {secret}\nforce_path_style = true\n\n"
            f"# rclone lsd {name}:\n",
        ),
        "s3cmd": (
            "s3cmd · ~/.s3cfg",
            f"[default]\nhost_base = {at.netloc}\nhost_bucket = {at.netloc}\n"
            f"bucket_location = {region}\nuse_https = {at.scheme == 'https'}\n"
            f"access_key = {access}\nsecret_key = {secret}\n\n# s3cmd ls\n",
        ),
    }
    return [Snippet(key, title, text) for key, (title, text) in made.items() if key != "s3cmd" or not at.path]


def _auth_url() -> str:
    return f"{settings.CONFIG.public.url}/identity/v3"


def _domains(ctx: RequestContext) -> tuple[str, str]:
    """Names of the user's and the project's domain."""
    wanted = {ctx.user_domain_id, ctx.project_domain_id}
    names = dict(Project.objects.filter(pk__in=wanted).values_list("pk", "name"))
    return names.get(ctx.user_domain_id, ""), names.get(ctx.project_domain_id, "")
