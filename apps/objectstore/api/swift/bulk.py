"""Many objects in one request: deleted by a list of names, or taken out of an archive.

Each name stands for itself: what fails is told at the end, and the rest is done.
"""

from __future__ import annotations

import io
import re
import tarfile
from functools import partial
from typing import Any, Literal
from urllib.parse import quote, unquote

from django.http.response import HttpResponseBase

from apps.core.errors import Invalid, KumoError, NotFound, TooLarge
from apps.objectstore import services
from apps.objectstore.api.swift import listings, metadata, objects, reports
from apps.objectstore.api.swift.base import Address, Call, limits_checked, utf8
from apps.objectstore.services import New
from apps.objectstore.states import MAX_CONTAINER_NAME, MAX_FILE_BYTES, MAX_OBJECT_NAME

MOST_DELETES = 1000
MOST_FAILURES = 1000
MOST_CONTAINERS = 1000
MOST_LIST_BYTES = MOST_DELETES * 3 * (MAX_CONTAINER_NAME + MAX_OBJECT_NAME)
MOST_HEADER_BYTES = 2**20  # that describe a member, or all; tar itself sets no bound, and they are read at once
MOST_HEADERS = 16  # in which a member is described; each is read within the one before
MOST_GROWTH = 100  # how many bytes each byte of an archive may become …
FREE_GROWTH_BYTES = 2**30  # … beyond these
_ATTRIBUTES = ("SCHILY.xattr.user.", "LIBARCHIVE.xattr.user.")  # as GNU's and BSD's tar write them
_TOKEN = re.compile(r"[A-Za-z0-9-]+\Z")
FORMATS: dict[str, Literal["r|", "r|gz", "r|bz2"]] = {"tar": "r|", "tar.gz": "r|gz", "tar.bz2": "r|bz2"}


def is_asked(call: Call) -> bool:
    """Whether a request is one of these, which have the method and address of others."""
    query = call.request.GET
    if "bulk-delete" in query:
        return call.request.method in {"POST", "DELETE"} and not call.address.container
    return "extract-archive" in query and call.request.method == "PUT"


def answered(call: Call) -> HttpResponseBase:
    """What became of each name or file. Raises NotAcceptable before anything is done."""
    listings.form_of(call)
    return _deleted(call) if "bulk-delete" in call.request.GET else _extracted(call)


# --- deletes ---------------------------------------------------------------------------------------


def _deleted(call: Call) -> HttpResponseBase:
    report = reports.of_deletions()
    lines = [line for line in _body(call).split(b"\n") if line.strip()]
    if len(lines) > MOST_DELETES:
        raise TooLarge(f"Maximum Bulk Deletes: {MOST_DELETES} per request")
    if not lines:
        report |= {"Response Status": "400 Bad Request", "Response Body": "Invalid bulk delete."}
        return reports.told(call, "delete", report)
    for line in lines:
        text = line.strip().decode("latin-1")
        reports.count_deletion(report, text, partial(_delete, call, text))
    return reports.told(call, "delete", reports.ended(report, "200 OK"))


def _delete(call: Call, text: str) -> None:
    container, _, name = utf8(unquote(text, encoding="latin-1"), "a name").removeprefix("/").partition("/")
    limits_checked(Address(call.address.project_id, container, name))
    account = call.address.project_id
    if name:
        if not services.object_delete(call.ctx, account=account, container=container, name=name).found:
            raise NotFound("object", name)
    else:
        services.container_delete(call.ctx, account=account, container=container)


def _body(call: Call) -> bytes:
    length = objects.length_of(call)
    if length > MOST_LIST_BYTES:
        raise TooLarge(f"The list of names has at most {MOST_LIST_BYTES} bytes.")
    return call.request.read(length)


# --- archives --------------------------------------------------------------------------------------


def _extracted(call: Call) -> HttpResponseBase:
    """Regular files of an archive become objects; at the account, its top folders become containers."""
    form = call.request.GET["extract-archive"].lower()
    if form not in FORMATS:
        raise Invalid(f"Unsupported archive format; known are {', '.join(FORMATS)}.")
    length = objects.length_of(call)
    report: dict[str, Any] = {"Number Files Created": 0, "Errors": []}
    made: set[str] = set()
    try:
        left = FREE_GROWTH_BYTES + MOST_GROWTH * length
        with _Archive.open(fileobj=call.request, mode=FORMATS[form]) as archive:  # type: ignore[call-overload]
            while member := archive.next():
                archive.members.clear()  # kept for those who look back
                left -= tarfile.BLOCKSIZE + member.size
                if left < 0:
                    raise tarfile.ReadError("it grows too much")
                if member.isreg():
                    _take(call, archive, member, made, report)
                if len(report["Errors"]) >= MOST_FAILURES:
                    raise tarfile.ReadError("too many files failed")
    except (tarfile.TarError, EOFError, OSError) as error:
        report |= {"Response Status": "400 Bad Request", "Response Body": f"Invalid Tar File: {error}"}
        return reports.told(call, "extract", report)
    return reports.told(call, "extract", reports.ended(report, "201 Created"))


_DESCRIPTIONS = {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
                 tarfile.GNUTYPE_LONGLINK}  # fmt: skip


class _Member(tarfile.TarInfo):
    """A member of an archive, whose description has a bound and is read in time in proportion to it."""

    def _proc_member(self, archive: _Archive) -> tarfile.TarInfo:
        self._size_checked()
        if self.type in _DESCRIPTIONS:
            archive.described(self)
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("sparse files are not taken")
        found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return found

    def _proc_pax(self, archive: Any) -> tarfile.TarInfo:
        """As Python does it, but for how it finds the records: it looks for them at every byte."""
        said = _records(archive.fileobj.read(self._block(self.size))[: self.size])  # type: ignore[attr-defined]
        if any(key.startswith("GNU.sparse.") for key in said):
            raise tarfile.ReadError("sparse files are not taken")
        if self.type == tarfile.XGLTYPE:
            archive.pax_headers.update(said)
        found: Any = self.fromtarfile(archive)
        if self.type != tarfile.XGLTYPE:
            found._apply_pax_info(archive.pax_headers | said, archive.encoding, archive.errors)
            found._size_checked()
            found.offset = self.offset
            if "size" in said:
                archive.offset = found.offset_data + (found._block(found.size) if found.isreg() else 0)
        return found

    def _size_checked(self) -> None:
        """Raise ReadError for less than nothing: some versions of Python take it for the end of the archive."""
        if self.size < 0:
            raise tarfile.ReadError("a file has less than no bytes")


class _Archive(tarfile.TarFile):
    """An archive in which not all is description."""

    tarinfo = _Member
    _count = _bytes = _bytes_of_all = 0

    def next(self) -> tarfile.TarInfo | None:
        self._count = self._bytes = 0
        return super().next()

    def described(self, by: _Member) -> None:
        """Count a description; those of one member, or of all members to come, are read at once. Raises ReadError."""
        self._count += 1
        self._bytes += by.size
        self._bytes_of_all += by.size if by.type == tarfile.XGLTYPE else 0
        if self._count > MOST_HEADERS or max(self._bytes, self._bytes_of_all) > MOST_HEADER_BYTES:
            raise tarfile.ReadError("a member's description is too long")


def _records(data: bytes) -> dict[str, str]:
    """The records of a description, each `length key=value` and a newline (POSIX.1, pax). Raises ReadError."""
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        head = data.find(b" ", at, at + 8)
        length = data[at:head] if head > at else b""
        end = at + int(length) if length.isdigit() else 0
        key, equals, value = data[head + 1 : end].partition(b"=")
        if not equals or not value.endswith(b"\n") or end > len(data):
            raise tarfile.ReadError("a member's description is malformed")
        found[key.decode(errors="surrogateescape")] = value[:-1].decode(errors="surrogateescape")
        at = end
    return found


def _take(
    call: Call, archive: tarfile.TarFile, member: tarfile.TarInfo, made: set[str], report: dict[str, Any]
) -> None:
    path = "/".join(filter(None, (call.address.container, call.address.name.rstrip("/"), _plain(member.name))))
    try:
        container, _, name = path.partition("/")
        if not name or "\x00" in path:
            raise Invalid("The path names no object.")
        to = Address(call.address.project_id, container, name)
        limits_checked(to)
        if member.issparse():
            raise Invalid("Sparse files are not taken.")
        if member.size > MAX_FILE_BYTES:
            raise TooLarge("The file is too large.")
        _container_ensured(call, container, made)
        source = archive.extractfile(member) or io.BytesIO()
        services.object_put(
            call.ctx,
            account=to.project_id,
            container=container,
            name=name,
            source=source,
            size=member.size,
            new=_new(member, name),
        )
        report["Number Files Created"] += 1
    except KumoError as error:
        report["Errors"].append([quote(member.name, errors="surrogateescape"), reports.status_of(error)])


def _new(member: tarfile.TarInfo, name: str) -> New:
    """What an object shall be by the extended attributes that its file had. Raises Invalid over a limit."""
    attributes: dict[str, str] = {}
    for key, value in member.pax_headers.items():
        if (start := next((start for start in _ATTRIBUTES if key.startswith(start)), "")) and value.isprintable():
            attributes[key.removeprefix(start)] = value
    own = {key.removeprefix("meta."): value for key, value in attributes.items() if key.startswith("meta.")}
    services.limits_checked(own)
    return New(
        content_type=attributes.get("mime_type") or objects.type_of(name) or objects.UNKNOWN_TYPE,
        metadata={f"{metadata.OBJECT}{name.title()}": value for name, value in own.items() if _TOKEN.match(name)},
    )


def _plain(name: str) -> str:
    """A member's name without what only means the folder it was packed in. Raises Invalid for what is no text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return ""
    while name.startswith("./"):
        name = name[2:]
    return name.strip("/")


def _container_ensured(call: Call, container: str, made: set[str]) -> None:
    if call.address.container or container in made:
        return
    if len(made) >= MOST_CONTAINERS:
        raise TooLarge(f"An archive makes at most {MOST_CONTAINERS} containers.")
    services.container_put(call.ctx, account=call.address.project_id, container=container, changes={})
    made.add(container)
