"""Containers as web sites."""

from __future__ import annotations

import hmac
import time
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from django.conf import settings as django_settings

from apps.objectstore.api import origins
from tests.apps.objectstore.conftest import Swift, content

HERE = "http://testserver/object-store/v1/AUTH_alice/site"
SITE = {"a.txt": b"aa", "dir/index.html": b"<p>dir", "dir/<b>&.txt": b"b", "empty/x": b"x", "index.html": b"<p>root"}


@pytest.fixture(autouse=True)
def site(alice: Swift) -> None:
    alice.put("/site", X_Container_Read=".r:*,.rlistings")
    for name, body in SITE.items():
        alice.put(f"/site/{name}", body)


def shown(alice: Swift, **words: str) -> None:
    headers: dict[str, Any] = {f"X_Container_Meta_Web_{name}": value for name, value in words.items()}
    answer = alice("POST", "/site", **headers)
    assert answer.status_code == 204


def test_an_index_is_shown_where_a_folder_is_asked_for(alice, stranger):
    shown(alice, Index="index.html")
    assert content(stranger("GET", "/site/")) == b"<p>root"
    assert content(stranger("GET", "/site/dir/")) == b"<p>dir"
    assert content(stranger("GET", "/site/a.txt")) == b"aa"
    head = stranger("HEAD", "/site/")
    assert (head.status_code, head["Content-Length"], head["Content-Type"]) == (200, "7", "text/html")


@pytest.mark.parametrize("path", ["", "/dir", "/empty"])
def test_a_folder_without_its_slash_is_led_there(alice, stranger, path):
    shown(alice, Index="index.html", Listings="true")
    answer = stranger("GET", f"/site{path}")
    assert (answer.status_code, answer["Location"]) == (301, f"{HERE}{path}/")


def test_folders_are_listed(alice, stranger):
    shown(alice, Listings="true")
    page = stranger("GET", "/site/")
    text = page.content.decode()
    assert (page.status_code, page["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert text.index('href="./dir/"') < text.index('href="./a%2Etxt"')
    assert '<tr class="item type-text type-plain">' in text
    assert "../" not in text
    below = stranger("GET", "/site/dir/").content.decode()
    assert '<a href="./%3Cb%3E%26%2Etxt">&lt;b&gt;&amp;.txt</a>' in below
    assert '<a href="../">../</a>' in below
    assert "<b>" not in below


def test_sheets_and_labels_of_listings(alice, stranger):
    shown(alice, Listings="yes", Listings_CSS="s/l.css", Listings_Label="<My>")
    assert '<link rel="stylesheet" type="text/css" href="s/l.css" />' in stranger("GET", "/site/").content.decode()
    below = stranger("GET", "/site/dir/").content.decode()
    assert 'href="../s/l.css"' in below
    assert "Listing of &lt;My&gt;/dir/" in below


def test_without_listings_a_folder_says_so(alice, stranger):
    shown(alice, Index="other.html")
    page = stranger("GET", "/site/")
    assert page.status_code == 404
    assert b"Web Listing Disabled" in page.content
    assert b"other.html" in page.content
    assert b"a.txt" not in page.content


def test_errors_have_pages_of_the_site(alice, stranger):
    shown(alice, Listings="true", Error="error.html")
    alice.put("/site/404error.html", b"no such page")
    alice.put("/site/401error.html", b"not for you")
    answer = stranger("GET", "/site/none", Range="bytes=0-1", If_None_Match="*")
    assert (answer.status_code, content(answer)) == (404, b"no such page")
    assert content(stranger("GET", "/site/none/")) == b"no such page"
    alice("POST", "/site", X_Container_Read=".r:*")
    closed = stranger("GET", "/site/")
    assert (closed.status_code, content(closed)) == (401, b"not for you")
    alice("DELETE", "/site/404error.html")
    assert stranger("GET", "/site/none").status_code == 404


def test_objects_that_stand_for_folders_are_not_shown(alice, stranger):
    alice.put("/site/dir", b"", media="application/directory")
    assert stranger("GET", "/site/dir")["Content-Type"] == "application/directory"
    shown(alice, Index="index.html")
    assert stranger("GET", "/site/dir")["Location"] == f"{HERE}/dir/"
    shown(alice, Directory_Type="text/dir")
    assert stranger("GET", "/site/dir").status_code == 200


def test_what_may_not_be_read_is_no_page(alice, stranger):
    shown(alice, Index="index.html", Listings="true")
    alice("POST", "/site", X_Remove_Container_Read="x")
    for path in ("/site", "/site/", "/site/a.txt", "/site/dir", "/site/dir/", "/site/none"):
        assert stranger("GET", path).status_code == 401, path
    alice("POST", "/site", X_Container_Read=".r:*")
    assert content(stranger("GET", "/site/")) == b"<p>root"
    assert stranger("GET", "/site/empty/").status_code == 401


def test_callers_with_a_token_see_the_api_unless_they_ask(alice, stranger):
    shown(alice, Index="index.html", Listings="true")
    assert alice.names("/site") == sorted(SITE)
    assert alice("GET", "/site/dir").status_code == 404
    assert alice.bytes("/site/", X_Web_Mode="true") == b"<p>root"
    assert alice.put("/plain").status_code == 201
    assert alice("GET", "/plain", X_Web_Mode="true").status_code == 404


def test_a_container_that_is_no_site_is_listed_as_ever(stranger):
    assert stranger.names("/site") == sorted(SITE)
    assert stranger("GET", "/site/dir/").status_code == 404


def signed(prefix: str, key: str = "key") -> str:
    end = int(time.time()) + 60
    text = f"GET\n{end}\nprefix:/v1/AUTH_alice/site/{prefix}"
    signature = hmac.new(key.encode(), text.encode(), "sha256").hexdigest()
    return f"?temp_url_prefix={prefix}&temp_url_expires={end}&temp_url_sig={signature}"


@pytest.mark.parametrize("prefix", ["", "dir/"])
def test_a_signed_address_lists_below_its_prefix(alice, stranger, prefix):
    alice("POST", "", X_Account_Meta_Temp_URL_Key="key")
    alice("POST", "/site", X_Remove_Container_Read="x")
    query = signed(prefix)
    assert stranger("GET", f"/site/{prefix}{query}").status_code in {401, 404}  # no site yet
    shown(alice, Listings="true")
    page = stranger("GET", f"/site/{prefix}{query}")
    assert page["Content-Disposition"] == "inline"
    text = page.content.decode()
    link = query.replace("&", "&amp;").replace("/", "%2F").replace("temp_url_prefix=dir%2F", "temp_url_prefix=dir/")
    assert f'%2Etxt{link}">' in text
    assert "../" not in text
    assert stranger("GET", f"/site/empty/{signed('dir/')}").status_code == 401


def test_pages_act_on_nothing_but_themselves(alice, stranger, settings):
    shown(alice, Index="index.html", Listings="true")
    for answer in (stranger("GET", "/site/"), stranger("GET", "/site/a.txt"), stranger("GET", "/site/dir/x")):
        assert answer[origins.HEADER] == "sandbox"
    ours = django_settings.CONFIG
    settings.CONFIG = SimpleNamespace(objectstore=msgspec.structs.replace(ours.objectstore, pages_host="sites.example"))
    there = {"Host": "sites.example:8080"}
    assert stranger("GET", "/site/", **there)[origins.HEADER] == origins.PUBLISHED
    assert "allow-same-origin" not in origins.PUBLISHED
    assert stranger("GET", "/site/")[origins.HEADER] == "sandbox"
    assert alice("GET", "/site/index.html", **there)[origins.HEADER] == "sandbox"


def test_policy_of_other_hosts(stranger):
    answer = stranger.client.get("/object-store/crossdomain.xml")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/xml; charset=utf-8")
    assert b'<allow-access-from domain="*" secure="false" />' in answer.content
