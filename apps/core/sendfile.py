"""Files that nginx sends in place of an answer's bytes (X-Accel-Redirect), as `scripts/local/copies.conf` has it.

nginx asks for that with every request that it can do it for, in a header that clients cannot set: it writes it anew.
Of such an answer it keeps some headers only; the others go to its script, all together in one.
"""

from __future__ import annotations

from collections.abc import Iterable

import orjson

ASKED = "HTTP_X_KUMO_SENDFILE"  # of nginx: "1"
COPY, ANSWER = "X-Kumo-Copy", "X-Kumo-Answer"  # to nginx: which file, and what its script says of it
LOCATION = "@copy"  # nginx's: it has no address that a client could ask for
_NOT_BY_SCRIPT = {COPY, "Content-Length", "Content-Range", "Last-Modified"}  # nginx sets these itself
_BESIDES = {COPY, "Last-Modified", "X-Openstack-Request-Id"}  # what its configuration reads, and its log


def for_nginx(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers of an answer as they leave this server: of one that nginx sends, how it does; others unchanged."""
    given = list(headers)
    told = dict(given)
    if COPY not in told:
        return given
    answer = {name: value for name, value in given if name not in _NOT_BY_SCRIPT}
    besides = [(name, value) for name, value in given if name in _BESIDES]
    to_nginx = [("X-Accel-Redirect", LOCATION), (ANSWER, orjson.dumps(answer).decode()), ("Content-Length", "0")]
    return to_nginx + besides
