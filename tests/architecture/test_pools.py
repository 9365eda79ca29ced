"""What nginx sends to the bytes pool has the same address there as in the whole, and that pool loads little else."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver, resolve, reverse

from scripts.local import nginx
from scripts.local.site import Site

ID = "11111111-2222-3333-4444-555555555555"
VALUES = {"uuid": ID, "int": "7", "slug": "word", "str": "word", "path": "some/words"}
# Of routes that take the rest of the path apart themselves.
STORE = (
    "/object-store/v1/AUTH_a", "/object-store/v1/AUTH_a/box/key", "/object-store/v1.0/AUTH_a/box", "/s3", "/s3/",
    "/s3/bucket", "/s3/bucket/some/key",
)  # fmt: skip
LOCATION = re.compile(r"^    location (?:(=|~) )?(\S+) \{(?: ([^\n]+) \}$|\n(.*?)\n    \})", re.MULTILINE | re.DOTALL)
Location = tuple[str, str, str]  # how it is matched, the pattern, what is done


@functools.cache
def locations() -> tuple[list[Location], list[Location]]:
    """Of the server for clients, and of the one for hosts."""
    _, clients, _, hosts = re.split(r"^  server \{$", nginx.configuration(Site(Path("/srv/kumo"))), flags=re.MULTILINE)
    first, second = ([(m[1], m[2], m[3] or m[4]) for m in LOCATION.finditer(server)] for server in (clients, hosts))
    return first, second


def pool(text: str) -> str:
    found = re.search(r"proxy_pass http://(\w+)", text)
    return found[1] if found else ""


def sent_to(path: str) -> str:
    """The pool that nginx chooses: an exact location, the first expression, or the longest beginning."""
    clients, hosts = locations()
    here = hosts if path.startswith("/internal/") else clients
    exact = [text for how, pattern, text in here if how == "=" and pattern == path]
    expressions = [text for how, pattern, text in here if how == "~" and re.search(pattern, path)]
    begins = sorted((len(p), text) for how, p, text in here if not how and path.startswith(p))
    return pool([*exact, *expressions, *(text for _, text in reversed(begins))][0])


def samples(patterns: list[URLPattern | URLResolver], before: str = "/") -> Iterator[str]:
    """A path for each route; none for those that are expressions."""
    for pattern in patterns:
        here = before + re.sub(r"<(?:(\w+):)?\w+>", lambda m: VALUES[m[1] or "str"], str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            yield from samples(pattern.url_patterns, here)
        elif "(" not in here:
            yield here


def answering(path: str, addresses: str) -> tuple[Any, ...]:
    """What answers a path, by which name, and with which words of it."""
    found = resolve(path, addresses)
    return found.func, found.view_name, found.args, found.kwargs


def test_every_address_that_nginx_sends_to_the_bytes_pool_is_the_same_there() -> None:
    sent = [path for path in (*samples(get_resolver("cloud.urls").url_patterns), *STORE) if sent_to(path) == "bytes"]
    assert {f"/image/v2/images/word/{name}" for name in ("file", "stage")} < set(sent)
    assert {f"/p/word/objects/{ID}/uploads/{ID}/7", "/internal/host/v1/image/word", *STORE} < set(sent)
    for path in sent:
        assert answering(path, "cloud.bytes_urls") == answering(path, "cloud.urls"), path


def test_the_bytes_pools_addresses_are_a_part_of_the_whole() -> None:
    for path in samples(get_resolver("cloud.bytes_urls").url_patterns):
        assert answering(path, "cloud.bytes_urls") == answering(path, "cloud.urls"), path


def test_the_page_that_an_upload_leads_to_is_known_there() -> None:
    arguments = ("project", ID)
    assert reverse("image:image", "cloud.bytes_urls", arguments) == reverse("image:image", "cloud.urls", arguments)


def test_a_request_that_nginx_hands_on_within_stays_in_its_pool() -> None:
    for here in locations():
        named = {pattern: pool(text) for _, pattern, text in here if pattern.startswith("@")}
        for _, pattern, text in here:
            for name in re.findall(r"error_page 41\d = (@\w+);", text):
                assert named[name] == pool(text), f"{pattern} and {name}"


@pytest.mark.slow
def test_the_bytes_pool_loads_neither_celery_nor_other_services() -> None:
    program = (
        "import sys, django; django.setup(); from django.urls import get_resolver; get_resolver().url_patterns;"
        "print(*(m for m in sys.modules if m.startswith(('celery', 'kombu', 'apps.compute.api', 'apps.network.web'))))"
    )
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "cloud.settings.bytes"}
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == ""
