"""Buckets as web sites, under a name of their own."""

from __future__ import annotations

import json

import pytest

from apps.objectstore.models import Bucket
from tests.apps.objectstore.conftest import content
from tests.kit.s3 import S3, code_of, plain

HOST = "photos.site.example"


def document(inner):
    return f"<WebsiteConfiguration>{inner}</WebsiteConfiguration>".encode()


INDEX = "<IndexDocument><Suffix>index.html</Suffix></IndexDocument>"
ERROR = "<ErrorDocument><Key>error.html</Key></ErrorDocument>"


def rule(redirect, condition=""):
    condition = f"<Condition>{condition}</Condition>" if condition else ""
    return f"<RoutingRule>{condition}<Redirect>{redirect}</Redirect></RoutingRule>"


OLD = rule(
    "<HttpRedirectCode>302</HttpRedirectCode><ReplaceKeyPrefixWith>new/</ReplaceKeyPrefixWith>",
    "<KeyPrefixEquals>old/</KeyPrefixEquals>",
)
GONE = rule(
    "<HostName>other.example</HostName><Protocol>https</Protocol><HttpRedirectCode>301</HttpRedirectCode>"
    "<ReplaceKeyWith>gone</ReplaceKeyWith>",
    "<KeyPrefixEquals>lost/</KeyPrefixEquals><HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals>",
)


@pytest.fixture
def domain(settings):
    objectstore = replace_struct(settings.CONFIG.objectstore, s3_website_domains=("site.example",))
    settings.CONFIG = replace_struct(settings.CONFIG, objectstore=objectstore)


def replace_struct(config, **changes):
    return type(config)(**{name: getattr(config, name) for name in config.__struct_fields__} | changes)


@pytest.fixture
def site(domain, alice_s3, bucket):
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*"}
    alice_s3("PUT", "/photos?policy", json.dumps({"Version": "2012-10-17", "Statement": [statement]}).encode())
    for key in ("index.html", "dir/index.html", "error.html", "a.css"):
        alice_s3("PUT", f"/photos/{key}", f"this is {key}".encode(), Content_Type="text/html")
    nobody = S3(None)

    def ask(path, method="GET", **headers):
        return nobody(method, path, host=HOST, **headers)

    return ask


WHOLE = "<RedirectAllRequestsTo><HostName>a.example</HostName></RedirectAllRequestsTo>"


@pytest.mark.parametrize("inner", [INDEX, INDEX + ERROR, f"{INDEX}<RoutingRules>{OLD}{GONE}</RoutingRules>", WHOLE])
def test_a_document_comes_back_as_it_was(domain, alice_s3, bucket, inner):
    assert alice_s3("PUT", "/photos?website", document(inner)).status_code == 200
    shown = alice_s3.xml("GET", "/photos?website")
    assert [(e.tag, e.text) for e in shown.iter()] == [(e.tag, e.text) for e in plain(document(inner)).iter()]
    assert alice_s3("DELETE", "/photos?website").status_code == 204
    assert code_of(alice_s3("GET", "/photos?website")) == "NoSuchWebsiteConfiguration"


BAD = [
    ("", "MalformedXML"),
    (ERROR, "MalformedXML"),
    ("<IndexDocument><Suffix>a/b</Suffix></IndexDocument>", "InvalidArgument"),
    (INDEX + "<Other/>", "MalformedXML"),
    ("<RedirectAllRequestsTo><Protocol>https</Protocol></RedirectAllRequestsTo>", "MalformedXML"),
    ("<RedirectAllRequestsTo><HostName>a/b</HostName></RedirectAllRequestsTo>", "InvalidRequest"),
    (f"{INDEX}<RoutingRules>{rule('<Protocol>ftp</Protocol>')}</RoutingRules>", "MalformedXML"),
    (f"{INDEX}<RoutingRules>{rule('<HttpRedirectCode>200</HttpRedirectCode>')}</RoutingRules>", "InvalidRequest"),
    (f"{INDEX}<RoutingRules>{rule('')}</RoutingRules>", "MalformedXML"),
]


@pytest.mark.parametrize(("inner", "code"), BAD)
def test_what_would_not_be_done_is_refused(domain, alice_s3, bucket, inner, code):
    assert code_of(alice_s3("PUT", "/photos?website", document(inner))) == code
    assert Bucket.objects.get(pk="photos").documents == {}


def test_without_a_name_for_sites_there_are_none(alice_s3, bucket):
    assert code_of(alice_s3("PUT", "/photos?website", document(INDEX))) == "NotImplemented"


def test_pages_are_shown_and_have_no_origin_of_kumos(site, alice_s3):
    assert site("/").status_code == 404
    alice_s3("PUT", "/photos?website", document(INDEX + ERROR))
    for path, body in (("/", "index.html"), ("/dir/", "dir/index.html"), ("/a.css", "a.css")):
        answer = site(path)
        assert (answer.status_code, content(answer)) == (200, f"this is {body}".encode())
        assert answer["Content-Security-Policy"].startswith("sandbox allow-scripts")
        assert "allow-same-origin" not in answer["Content-Security-Policy"]
    folder = site("/dir")
    assert (folder.status_code, folder["Location"]) == (302, f"http://{HOST}/dir/")
    missing = site("/none")
    assert (missing.status_code, content(missing)) == (404, b"this is error.html")
    head = site("/a.css", "HEAD")
    assert (head.status_code, head["Content-Length"]) == (200, "13")
    assert site("/a.css", If_None_Match=head["ETag"]).status_code == 304
    for method in ("PUT", "POST", "DELETE"):
        assert site("/a.css", method).status_code == 405
    assert content(site("/a.css")) == b"this is a.css"


def test_what_nobody_may_read_is_not_shown(site, alice_s3):
    alice_s3("PUT", "/photos?website", document(INDEX))
    alice_s3("DELETE", "/photos?policy")
    answer = site("/")
    assert (answer.status_code, b"this is" in content(answer)) == (403, False)
    assert S3(None)("GET", "/", host="none.site.example").status_code == 404


def test_rules_redirect(site, alice_s3):
    alice_s3("PUT", "/photos?website", document(f"{INDEX}<RoutingRules>{OLD}{GONE}</RoutingRules>"))
    moved = site("/old/a")
    assert (moved.status_code, moved["Location"]) == (302, f"http://{HOST}/new/a")
    gone = site("/lost/a")
    assert (gone.status_code, gone["Location"]) == (301, "https://other.example/gone")
    assert site("/other").status_code == 404
    alice_s3("PUT", "/photos?website", document(WHOLE))
    assert site("/x/y")["Location"] == "http://a.example/x/y"
