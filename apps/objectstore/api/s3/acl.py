"""Access control lists as S3 writes them: canned names, headers of grants, and documents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from xml.etree.ElementTree import Element  # the type only
from xml.sax.saxutils import escape

from apps.objectstore.api.s3 import xml
from apps.objectstore.api.s3.base import Call
from apps.objectstore.api.s3.errors import S3Error
from apps.objectstore.models import Container
from apps.objectstore.selectors import grants, lists
from apps.objectstore.selectors.conditions import GRANT_HEADERS
from apps.objectstore.selectors.grants import ALL, AUTHENTICATED, CANNED, PERMISSIONS, PROJECT, Grant

ROOT = "AccessControlPolicy"
_GROUPS = "http://acs.amazonaws.com/groups/global/"
_URIS = {ALL: f"{_GROUPS}AllUsers", AUTHENTICATED: f"{_GROUPS}AuthenticatedUsers"}
_BY_URI = {uri: grantee for grantee, uri in _URIS.items()}
_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
# Type of a grantee → the element that says who it is, and its name in headers.
_KINDS = {
    "CanonicalUser": ("ID", "id"),
    "Group": ("URI", "uri"),
    "AmazonCustomerByEmail": ("EmailAddress", "emailAddress"),
}
_HEADER = re.compile(r'\s*(id|uri|emailAddress)\s*=\s*("?)([^"]*?)\2\s*')


def document_from(grants_: Iterable[Grant], owner: str) -> dict[str, Any] | None:
    """Grants as they are kept: the owner's own are a matter of course. None for no others."""
    others = list(dict.fromkeys(one for one in grants_ if one.grantee != PROJECT + owner))
    return grants.document_of(others) if others else None


def of_headers(headers: Mapping[str, str], owner: str) -> dict[str, Any] | None:
    """What `x-amz-acl` and `x-amz-grant-*` say, as it is kept. Raises S3Error."""
    canned = headers.get("X-Amz-Acl", "")
    given = {name: headers[f"X-Amz-Grant-{name}"] for name in GRANT_HEADERS if f"X-Amz-Grant-{name}" in headers}
    if canned and given:
        raise S3Error("InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed")
    if canned in {"log-delivery-write", "aws-exec-read"}:
        raise S3Error("NotImplemented", Header="x-amz-acl")
    if canned and canned not in CANNED:
        raise S3Error("InvalidArgument", ArgumentName="x-amz-acl", ArgumentValue=canned)
    if canned:
        return document_from(CANNED[canned], owner)
    return document_from(
        (Grant(grantee, name.upper().replace("-", "_")) for name, text in given.items() for grantee in _named(text)),
        owner,
    )


def says(headers: Mapping[str, str]) -> bool:
    """Whether headers say anything of grants."""
    return "X-Amz-Acl" in headers or any(f"X-Amz-Grant-{name}" in headers for name in GRANT_HEADERS)


def _named(text: str) -> Iterable[str]:
    """Grantees of a header: `id="…", uri="…"`; clients leave the quotes out."""
    for part in text.split(","):
        match = _HEADER.fullmatch(part)
        if match is None:
            raise S3Error("InvalidArgument", "Argument format not recognized", ArgumentValue=part.strip())
        yield _grantee(match[1], match[3])


def _grantee(kind: str, value: str) -> str:
    if kind == "emailAddress":
        raise S3Error("UnresolvableGrantByEmailAddress")
    if kind == "uri":
        if value.endswith("/LogDelivery"):
            raise S3Error("NotImplemented", Resource=value)
        if value not in _BY_URI:
            raise S3Error("InvalidArgument", "Invalid group uri", ArgumentName="uri", ArgumentValue=value)
        return _BY_URI[value]
    if not grants.is_project_id(value):
        raise S3Error("InvalidArgument", "Invalid id", ArgumentName="id", ArgumentValue=value)
    return PROJECT + value


def of_call(call: Call) -> dict[str, Any] | None:
    """What a PUT of a list says, by its headers or its document. Raises S3Error."""
    owner = call.bucket.container.account_id
    if says(call.headers):
        if call.body.size:
            raise S3Error("UnexpectedContent")
        return of_headers(call.headers, owner)
    return of_document(call.document(ROOT), owner)


def of_document(root: Element, owner: str) -> dict[str, Any] | None:
    """An `AccessControlPolicy`, as it is kept. Raises S3Error."""
    xml.only(root, "Owner", "AccessControlList")
    found, given = root.find("Owner"), root.find("AccessControlList")
    if found is None or given is None or len(root) != 2:
        raise S3Error("MalformedACLError")
    xml.only(found, "ID", "DisplayName")
    if xml.text_of(found, "ID") != owner:
        raise S3Error("AccessDenied", "The owner of a bucket and of what is in it does not change.")
    xml.only(given, "Grant")
    return document_from(map(_grant, given), owner)


def _grant(element: Element) -> Grant:
    xml.only(element, "Grantee", "Permission")
    grantee, permission = element.find("Grantee"), xml.text_of(element, "Permission")
    if grantee is None or permission not in PERMISSIONS:
        raise S3Error("MalformedACLError")
    xml.only(grantee, "ID", "DisplayName", "URI", "EmailAddress")
    kinds = {
        "CanonicalUser": ("ID", "id"),
        "Group": ("URI", "uri"),
        "AmazonCustomerByEmail": ("EmailAddress", "emailAddress"),
    }
    kind = kinds.get(grantee.get(_TYPE, ""))
    if kind is None or not (value := xml.text_of(grantee, kind[0])):
        raise S3Error("MalformedACLError")
    return Grant(_grantee(kind[1], value), permission)


def shown(owner: str, given: Iterable[Grant]) -> dict[str, xml.Value]:
    """A list as a document: the owner's grant and the others."""
    return {
        "Owner": {"ID": owner, "DisplayName": owner},
        "AccessControlList": {"Grant": [_shown(one) for one in grants.with_owner(owner, given)]},
    }


def _shown(one: Grant) -> xml.Raw:
    kind, inner = "Group", f"<URI>{_URIS.get(one.grantee, '')}</URI>"
    if one.grantee.startswith(PROJECT):
        ident = escape(one.grantee.removeprefix(PROJECT))
        kind, inner = "CanonicalUser", f"<ID>{ident}</ID><DisplayName>{ident}</DisplayName>"
    space = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    return xml.Raw(f'<Grantee {space} xsi:type="{kind}">{inner}</Grantee><Permission>{one.permission}</Permission>')


def of_lists(container: Container) -> list[Grant]:
    """What of a container's own access lists S3 can say: a project's people may list and read, or write."""
    readers, writers = lists.entries_of(container.read_acl), lists.entries_of(container.write_acl)
    found = [Grant(PROJECT + project, "READ") for project in map(lists.project_of, readers) if project]
    if ".r:*" in readers and ".rlistings" in readers:
        found.append(Grant(ALL, "READ"))
    if lists.EVERYBODY in readers:
        found.append(Grant(AUTHENTICATED, "READ"))
    found += [Grant(PROJECT + project, "WRITE") for project in map(lists.project_of, writers) if project]
    return [*found, *([Grant(AUTHENTICATED, "WRITE")] if lists.EVERYBODY in writers else [])]
