"""Callers of the S3 API: requests signed by Amazon's own signers, sent by Django's test client or by boto3."""

from __future__ import annotations

import datetime
import http.client
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit
from xml.etree.ElementTree import Element, fromstring

import boto3
from botocore import UNSIGNED
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from django.test import Client

from apps.core.context import RequestContext
from apps.identity.models import Assignment, Domain, ImpliedRole, Project, Role, User
from apps.identity.selectors.access_keys import AccessKey
from apps.identity.services.user_credentials import ec2_credential_create
from apps.identity.states import Scope

HOST = "testserver"
REGION = "RegionOne"
_keys: dict[str, AccessKey] = {}


def access_key(access: str) -> AccessKey | None:
    """Stands in for identity's selector: the keys that `key_for` made."""
    return _keys.get(access)


def key_for(ctx: RequestContext) -> Credentials:
    """A key of that context; its secret tells nothing."""
    access = f"AK{ctx.project_id}{len(ctx.roles)}"
    _keys[access] = AccessKey(access, f"secret of {access}", ctx)
    return Credentials(access, _keys[access].secret)


class S3:
    """A caller; None is nobody. Paths are below the service's root and are quoted here unless they hold a `%`."""

    def __init__(self, ctx: RequestContext | None, *, root: str = "/s3", signer: Any = None) -> None:
        self.key = key_for(ctx) if ctx else None
        self.root = root
        self.signer = signer or (lambda key: S3SigV4Auth(key, "s3", REGION))
        self.client = Client(raise_request_exception=False)

    def __call__(
        self, method: str, path: str, body: bytes = b"", *, host: str = HOST, signed: bool = True, **headers: str
    ) -> Any:
        request = self.request(method, path, body, host=host, signed=signed, **headers)
        return self.send(request, body)

    def request(
        self, method: str, path: str, body: bytes = b"", *, host: str = HOST, signed: bool = True, **headers: str
    ) -> AWSRequest:
        """A request, signed unless the caller is nobody."""
        where, mark, query = path.partition("?")
        where = where if "%" in where else quote(where, safe="/~")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = AWSRequest(method, f"http://{host}{self.root}{where}{mark}{_canonical(query)}", named, body)
        if self.key and signed:
            signer = self.signer(self.key)
            request.data = b"" if isinstance(signer, S3SigV4QueryAuth) else body  # it would take it for parameters
            signer.add_auth(request)
            request.data = body
        return request

    def send(self, request: AWSRequest, body: bytes | None = None, **changes: Any) -> Any:
        """Send a request as it was signed, or with some headers changed after it was."""
        url = urlsplit(str(request.url))
        headers = {name: v.decode() if isinstance(v, bytes) else str(v) for name, v in request.headers.items()}
        headers |= {name.replace("_", "-"): value for name, value in changes.items()} | {"Host": url.netloc}
        media = headers.pop("Content-Type", "")
        data = (request.data or b"") if body is None else body
        path = url.path + (f"?{url.query}" if url.query else "")
        if request.method == "PUT":
            headers.setdefault("Content-Length", str(len(data)))
        extra: dict[str, Any] = (
            {"CONTENT_TYPE": media} if media else {}
        )  # the test client drops it where there is no body
        return self.client.generic(str(request.method), path, data, content_type=media, headers=headers, **extra)

    def xml(self, method: str, path: str, body: bytes = b"", **headers: Any) -> Element:
        """The document that answers a call which must succeed."""
        answer = self(method, path, body, **headers)
        assert answer.status_code == 200, answer.content
        return plain(answer.content)


def _canonical(query: str) -> str:
    """A query as signers expect it; what is no text is left as it is."""
    pairs = [part.partition("=") for part in query.split("&") if part]
    return "&".join(
        f"{name}{mark}{value if '%' in value else quote(value, safe='-_.~')}" for name, mark, value in pairs
    )


def plain(document: bytes) -> Element:
    """A document's root, its elements without namespaces."""
    root = fromstring(document)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def code_of(answer: Any) -> str:
    """S3's code of a refusal."""
    return plain(answer.content).findtext("Code", "") if answer.content else http.client.responses[answer.status_code]


def fields_of(answer: Any) -> Mapping[str, str]:
    """The elements of a refusal."""
    return {element.tag: element.text or "" for element in plain(answer.content)}


class FixedClock:
    """A clock that stands, in the place of a module's `datetime`."""

    def __init__(self, now: datetime.datetime) -> None:
        self._now = now

    def now(self, zone: datetime.tzinfo) -> datetime.datetime:
        return self._now.astimezone(zone)


# --- unmodified clients ----------------------------------------------------------------------------


def key_in_rows(project: str, role: str = "member") -> Credentials:
    """A real access key of a user who has the role in a project of that id; both are made unless they are there."""
    domain, _ = Domain.objects.get_or_create(pk="default", defaults={"name": "Default"})
    place, _ = Project.objects.get_or_create(pk=project, defaults={"name": project, "domain": domain, "parent": domain})
    user, _ = User.objects.get_or_create(pk=f"user-of-{project}", defaults={"name": project, "domain": domain})
    for prior, implied in (("member", "reader"), ("admin", "member")):
        ids = [Role.objects.get_or_create(name=name, defaults={"pk": name})[0].pk for name in (prior, implied)]
        ImpliedRole.objects.get_or_create(prior_id=ids[0], implied_id=ids[1])
    Assignment.objects.get_or_create(user=user, role_id=role, scope=Scope.PROJECT, target=place)
    made = ec2_credential_create(RequestContext(is_system=True), user_id=user.pk, tenant_id=place.pk)
    return Credentials(made["access"], made["secret"])


def boto(url: str, key: Credentials | None, **options: Any) -> Any:
    """An unmodified boto3 client of a server at that address, path style unless said otherwise; None signs nothing."""
    config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}).merge(Config(**options))
    if key is None:
        config = config.merge(Config(signature_version=UNSIGNED))
    access, secret = (key.access_key, key.secret_key) if key else (None, None)
    return boto3.session.Session(access, secret, region_name=REGION).client("s3", endpoint_url=url, config=config)
