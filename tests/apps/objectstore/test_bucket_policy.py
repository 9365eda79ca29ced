"""Bucket policies by themselves: what is taken, and what each part of a statement lets in and keeps out."""

from __future__ import annotations

import json
import time

import pytest

from apps.core.errors import Invalid
from apps.objectstore.selectors.bucket_policy import (
    BUCKET_ACTIONS,
    MAX_BYTES,
    OBJECT_ACTIONS,
    Ask,
    Effect,
    Whom,
    policy_document,
    policy_is_public,
    policy_of,
)
from apps.objectstore.selectors.conditions import KEYS, OPERATORS, TAG_KEYS, wildcard

GET, BUCKET, OBJECT = "s3:GetObject", "arn:aws:s3:::box", "arn:aws:s3:::box/*"


def statement(**parts):
    return {"Effect": "Allow", "Principal": "*", "Action": GET, "Resource": OBJECT} | parts


def document(*statements, version="2012-10-17"):
    return {"Version": version, "Statement": list(statements)}


def effect(found, action=GET, resource="box/a", project="p", user="u", **values):
    asked = {key.replace("__", ":", 1): [v] if isinstance(v, str) else v for key, v in values.items()}
    kept = policy_document(json.dumps(found), "box")
    return policy_of(kept, "box").decide(Ask(action, resource, project, user, asked)).effect


def refused(found, bucket="box"):
    with pytest.raises(Invalid) as caught:
        policy_document(found if isinstance(found, str) else json.dumps(found), bucket)
    assert caught.value.code == "MalformedPolicy"
    return str(caught.value)


# --- conditions: (operator, key, what the policy says, values that meet it, values that do not) ------

CONDITIONS = [
    ("StringEquals", "aws:username", "ann", ["ann"], ["Ann", "an", "ann "]),
    ("StringEquals", "aws:username", ["ann", "bob"], ["ann", "bob"], ["eve"]),
    ("StringEquals", "aws:username", "a*", ["a*"], ["ann"]),
    ("StringNotEquals", "aws:username", "ann", ["bob", None], ["ann"]),
    ("StringNotEquals", "aws:username", ["ann", "bob"], ["eve"], ["ann", "bob"]),
    ("StringEqualsIgnoreCase", "aws:username", "Ann", ["ANN", "ann"], ["an"]),
    ("StringNotEqualsIgnoreCase", "aws:username", "Ann", ["bob", None], ["aNN"]),
    ("StringLike", "aws:Referer", "https://*.example/*", ["https://a.example/b"], ["https://example/", "x", None]),
    ("StringLike", "aws:Referer", "a?c", ["abc", "a?c"], ["ac", "abbc"]),
    ("StringNotLike", "aws:UserAgent", "*curl*", ["wget", None], ["a curl b"]),
    ("NumericEquals", "s3:max-keys", "10", ["10", "10.0"], ["11", "ten", None]),
    ("NumericNotEquals", "s3:max-keys", 10, ["11", None], ["10"]),
    ("NumericLessThan", "s3:max-keys", "10", ["9"], ["10", "11"]),
    ("NumericLessThanEquals", "s3:max-keys", "10", ["10"], ["11", None]),
    ("NumericGreaterThan", "s3:signatureAge", "600000", ["600001"], ["600000", None]),
    ("NumericGreaterThanEquals", "s3:signatureAge", "600000", ["600000"], ["1"]),
    ("DateEquals", "aws:CurrentTime", "2026-01-01T00:00:00Z", ["2026-01-01T00:00:00+00:00"], ["2026-01-02"]),
    ("DateNotEquals", "aws:CurrentTime", "2026-01-01", ["2026-01-02", None], ["2026-01-01T00:00:00Z"]),
    ("DateLessThan", "aws:CurrentTime", "2026-01-01T00:00:00Z", ["2025-12-31T23:59:59Z"], ["2026-01-01T00:00:00Z"]),
    ("DateLessThanEquals", "aws:EpochTime", "1767225600", ["1767225600"], ["1767225601"]),
    ("DateGreaterThan", "aws:EpochTime", "2026-01-01T00:00:00Z", ["1767225601"], ["1767225600"]),
    ("DateGreaterThanEquals", "aws:CurrentTime", "2026-01-01T00:00:00Z", ["2026-01-01T00:00:00Z"], ["2025-12-31"]),
    ("Bool", "aws:SecureTransport", "true", ["true"], ["false", None]),
    ("Bool", "aws:SecureTransport", False, ["false"], ["true"]),
    ("IpAddress", "aws:SourceIp", "192.0.2.0/24", ["192.0.2.9", "::ffff:192.0.2.9"], ["192.0.3.1", "::1", None]),
    ("IpAddress", "aws:SourceIp", ["192.0.2.1", "2001:db8::/32"], ["192.0.2.1", "2001:db8::5"], ["192.0.2.2"]),
    ("NotIpAddress", "aws:SourceIp", "192.0.2.0/24", ["192.0.3.1", "a socket", None], ["192.0.2.9"]),
    ("ArnEquals", "aws:PrincipalArn", "arn:aws:iam::p:user/u", ["arn:aws:iam::p:user/u"], ["arn:aws:iam::q:user/u"]),
    ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:user/u*", ["arn:aws:iam::p:user/u1"], ["arn:aws:iam:a:p:user/u"]),
    ("ArnNotEquals", "aws:PrincipalArn", "arn:aws:iam::p:user/u", ["arn:aws:iam::p:user/v", None],
     ["arn:aws:iam::p:user/u"]),
    ("ArnNotLike", "aws:PrincipalArn", "arn:aws:iam::p:*", ["arn:aws:iam::q:user/u"], ["arn:aws:iam::p:user/u"]),
    ("Null", "aws:Referer", "true", [None], ["x"]),
    ("Null", "aws:Referer", "false", ["x"], [None]),
    ("StringEqualsIfExists", "aws:Referer", "x", ["x", None], ["y"]),
    ("BoolIfExists", "aws:SecureTransport", "true", ["true", None], ["false"]),
    ("ForAnyValue:StringEquals", "s3:RequestObjectTagKeys", ["a", "b"], [["a", "z"]], [["z"], None]),
    ("ForAllValues:StringEquals", "s3:RequestObjectTagKeys", ["a", "b"], [["a", "b"], ["a"], None], [["a", "z"]]),
    ("ForAnyValue:StringNotEquals", "s3:RequestObjectTagKeys", ["a"], [["a", "z"]], [["a"], None]),
    ("ForAllValues:StringNotLike", "s3:RequestObjectTagKeys", ["a*"], [["z"], None], [["z", "ab"]]),
    ("StringEquals", "s3:ExistingObjectTag/Team", "x", ["x"], ["y", None]),
    ("StringEquals", "s3:prefix", ["", "home/"], ["", "home/"], ["home", None]),
    ("StringEquals", "s3:x-amz-server-side-encryption", "AES256", ["AES256"], ["aws:kms", None]),
]  # fmt: skip
_ACTIONS = {"s3:RequestObjectTagKeys": "s3:PutObject", "s3:max-keys": "s3:ListBucket", "s3:prefix": "s3:ListBucket",
            "s3:x-amz-server-side-encryption": "s3:PutObject"}  # fmt: skip


@pytest.mark.parametrize(("name", "key", "wanted", "good", "bad"), CONDITIONS, ids=lambda v: str(v)[:40])
def test_a_condition_holds_for_what_it_says_and_nothing_else(name, key, wanted, good, bad):
    action = _ACTIONS.get(key, GET)
    resource = {"Action": action, "Resource": BUCKET if action == "s3:ListBucket" else OBJECT}
    about = {"Condition": {name: {key: wanted}}}
    where = "box" if action == "s3:ListBucket" else "box/a"
    looked_up = "s3:existingobjecttag/Team" if "Tag/" in key else key.lower()
    for values, expected in ((good, True), (bad, False)):
        for value in values:
            have = {} if value is None else {looked_up.replace(":", "__", 1): value}
            allow = effect(document(statement(**resource, **about)), action, where, **have)
            deny = effect(document(statement(**resource, **about, Effect="Deny")), action, where, **have)
            assert (allow, deny) == ((Effect.ALLOW, Effect.DENY) if expected else (Effect.NONE, Effect.NONE)), value


def test_every_operator_is_in_the_table_above():
    tried = {name.rpartition(":")[2].removesuffix("IfExists") for name, *_ in CONDITIONS}
    assert tried == {*OPERATORS, "Null"}


def test_all_keys_of_a_statement_must_be_met():
    both = document(
        statement(
            Condition={
                "StringEquals": {"aws:username": "ann", "aws:Referer": "x"},
                "Bool": {"aws:SecureTransport": "true"},
            }
        )
    )
    have = {"aws__username": "ann", "aws__referer": "x", "aws__securetransport": "true"}
    assert effect(both, **have) == Effect.ALLOW
    for key in have:
        assert effect(both, **{k: v for k, v in have.items() if k != key}) == Effect.NONE


# --- principals, actions, resources ------------------------------------------------------------------

PRINCIPALS = [
    ("*", {("", ""), ("p", "u"), ("q", "v")}),
    ({"AWS": "*"}, {("", ""), ("p", "u"), ("q", "v")}),
    ({"AWS": "p"}, {("p", "u")}),
    ({"AWS": ["arn:aws:iam::p:root", "q"]}, {("p", "u"), ("q", "v")}),
    ({"AWS": "arn:aws:iam::p:user/u"}, {("p", "u")}),
    ({"AWS": "arn:aws:iam::p:user/v"}, set()),
    ({"AWS": "arn:aws:iam:::user/v"}, {("q", "v")}),
    ({"CanonicalUser": "q"}, {("q", "v")}),
]


@pytest.mark.parametrize(("principal", "whom"), PRINCIPALS)
def test_principals(principal, whom):
    for project, user in (("", ""), ("p", "u"), ("q", "v")):
        found = effect(document(statement(Principal=principal)), project=project, user=user)
        assert (found == Effect.ALLOW) == ((project, user) in whom)


def test_all_but_some_are_denied():
    found = document({"Effect": "Deny", "NotPrincipal": {"AWS": "p"}, "Action": "s3:*", "Resource": OBJECT})
    assert effect(found, project="p") == Effect.NONE
    assert effect(found, project="q") == effect(found, project="", user="") == Effect.DENY


def test_the_narrowest_that_allows_counts():
    found = document(
        statement(), statement(Principal={"AWS": "arn:aws:iam::p:user/u"}, Sid="one"), statement(Principal={"AWS": "p"})
    )
    verdict = policy_of(found, "box").decide(Ask(GET, "box/a", "p", "u", {}))
    assert (verdict.whom, verdict.sid) == (Whom.USER, "one")


@pytest.mark.parametrize(
    ("parts", "good", "bad"),
    [
        ({"Action": "s3:Get*"}, ["s3:GetObject", "s3:GetObjectAcl"], ["s3:PutObject"]),
        ({"Action": "S3:getobject"}, ["s3:GetObject"], ["s3:GetObjectVersion"]),
        ({"Action": "*"}, ["s3:GetObject", "s3:DeleteObject"], []),
        ({"Action": ["s3:Get*", "s3:Put*"]}, ["s3:PutObject"], ["s3:DeleteObject"]),
        ({"Action": None, "NotAction": ["s3:Delete*"]}, ["s3:GetObject"], ["s3:DeleteObject"]),
    ],
)
def test_actions(parts, good, bad):
    one = {key: value for key, value in statement(**parts).items() if value is not None}
    assert {effect(document(one), action) for action in good} == {Effect.ALLOW}
    assert {effect(document(one), action) for action in bad} <= {Effect.NONE}


@pytest.mark.parametrize(
    ("parts", "good", "bad"),
    [
        ({"Resource": OBJECT}, ["box/a", "box/a/b", "box/ü\n"], ["box", "boxes/a"]),
        ({"Resource": "arn:aws:s3:::box/a?c"}, ["box/abc", "box/a/c"], ["box/ac"]),
        ({"Resource": ["arn:aws:s3:::box/a/*", "arn:aws:s3:::box/b"]}, ["box/a/1", "box/b"], ["box/bc", "box/a"]),
        ({"Resource": "arn:aws:s3:::box*"}, ["box/a", "box"], []),
        ({"Resource": "*"}, ["box/a"], []),
        ({"Resource": None, "NotResource": "arn:aws:s3:::box/open/*"}, ["box/shut"], ["box/open/a"]),
        ({"Resource": "arn:aws:s3:::box/*.jpg"}, ["box/a.jpg", "box/.jpg"], ["box/a.jpg.exe", "box/ajpg"]),
    ],
)
def test_resources(parts, good, bad):
    one = {key: value for key, value in statement(**parts).items() if value is not None}
    assert {effect(document(one), resource=text) for text in good} == {Effect.ALLOW}
    assert {effect(document(one), resource=text) for text in bad} <= {Effect.NONE}


def test_deny_wins_wherever_it_stands():
    deny = statement(Effect="Deny", Resource="arn:aws:s3:::box/secret/*")
    for found in (document(statement(), deny), document(deny, statement())):
        assert effect(found, resource="box/secret/a") == Effect.DENY
        assert effect(found, resource="box/a") == Effect.ALLOW


def test_variables_stand_for_what_they_name_and_are_no_wildcards():
    home = document(statement(Resource="arn:aws:s3:::box/home/${aws:username}/*"))
    assert effect(home, resource="box/home/ann/a", aws__username="ann") == Effect.ALLOW
    assert effect(home, resource="box/home/bob/a", aws__username="ann") == Effect.NONE
    assert effect(home, resource="box/home/bob/a", aws__username="*") == Effect.NONE
    assert effect(home, resource="box/home/*/a", aws__username="*") == Effect.ALLOW
    assert effect(home, resource="box/home//a") == Effect.NONE
    default = document(statement(Resource="arn:aws:s3:::box/${aws:username, 'all'}/*"))
    assert effect(default, resource="box/all/a") == Effect.ALLOW
    prefix = document(
        statement(Action="s3:ListBucket", Resource=BUCKET, Condition={"StringLike": {"s3:prefix": "${aws:username}/*"}})
    )
    assert effect(prefix, "s3:ListBucket", "box", s3__prefix="ann/x", aws__username="ann") == Effect.ALLOW
    assert effect(prefix, "s3:ListBucket", "box", s3__prefix="bob/x", aws__username="ann") == Effect.NONE
    star = document(statement(Resource="arn:aws:s3:::box/${*}"))
    assert effect(star, resource="box/*") == Effect.ALLOW
    assert effect(star, resource="box/a") == Effect.NONE


# --- what is refused ---------------------------------------------------------------------------------

BAD = [
    "", "[]", "{", "null", '{"Statement": []}', '{"Version": "2012-10-17"}',
    document(statement(), version="2020-01-01"), {"Statement": [statement()], "Extra": 1},
    '{"Version": "2012-10-17", "Version": "2012-10-17", "Statement": []}', "[" * 100_000,
    *(document(one) for one in (
        statement(Effect="allow"), statement(Effect=None), statement(Other=1), statement(Sid=1), "text",
        statement(NotPrincipal="*"), {"Effect": "Allow", "NotPrincipal": "*", "Action": GET, "Resource": OBJECT},
        statement(Principal="me"), statement(Principal={}), statement(Principal={"Federated": "x"}),
        statement(Principal={"Service": "x"}), statement(Principal={"AWS": []}),
        statement(Principal={"AWS": "arn:aws:iam::p:user/*"}), statement(Principal={"AWS": "arn:aws:iam::p:role/r"}),
        statement(Principal={"AWS": "arn:aws:iam:::root"}),
        statement(Action="s3:Nothing"), statement(Action="ec2:Run"), statement(Action=[]), statement(Action=1),
        statement(NotAction="s3:*"), statement(Resource="arn:aws:s3:::other/*"), statement(Resource="box/*"),
        statement(Resource="arn:aws:s3:::boxes/*"), statement(Resource=[]), statement(Resource=BUCKET),
        statement(Action="s3:ListBucket"), statement(Resource="arn:aws:s3:::box/${aws:nothing}"),
        statement(Condition=[]), statement(Condition={"StringEquals": {}}),
        statement(Condition={"Equals": {"aws:username": "a"}}),
        statement(Condition={"StringEquals": {"aws:nothing": "a"}}),
        statement(Condition={"StringEquals": {"s3:TlsVersion": "1"}}),
        statement(Condition={"StringEquals": {"s3:prefix": "a"}}),
        statement(Condition={"Bool": {"aws:username": "true"}}),
        statement(Condition={"StringEquals": {"aws:SourceIp": "::1"}}),
        statement(Condition={"Bool": {"aws:SecureTransport": "yes"}}),
        statement(Condition={"IpAddress": {"aws:SourceIp": "1.2.3"}}),
        statement(Condition={"DateLessThan": {"aws:CurrentTime": "soon"}}),
        statement(Condition={"ForAnyValue:StringEquals": {"aws:username": "a"}}),
        statement(Action="s3:PutObject", Condition={"StringEquals": {"s3:RequestObjectTagKeys": "a"}}),
        statement(Condition={"ForSomeValues:StringEquals": {"aws:username": "a"}}),
        statement(Condition={"StringEquals": {"aws:username": None}}),
        statement(Condition={"StringEquals": {"aws:username": {}}}),
        statement(Condition={"NullIfExists": {"aws:Referer": "true"}}),
        statement(Condition={"Null": {"aws:Referer": "x"}}),
        statement(Condition={"StringEquals": {"s3:ExistingObjectTag/": "x"}}),
        statement(Condition={"IpAddress": {"aws:SourceIp": "${aws:username}"}}),
    )),
    document(statement(Sid="a"), statement(Sid="a")),
    document(statement(Resource="arn:aws:s3:::box/${aws:username}"), version="2008-10-17"),
    document(*[statement(Sid=f"s{n}") for n in range(300)]),
]  # fmt: skip


@pytest.mark.parametrize("found", BAD, ids=lambda v: str(v)[-60:])
def test_what_cannot_be_enforced_is_refused(found):
    assert refused(found)


@pytest.mark.parametrize("value", ['"\\u0000"', '"\\ud800"', "NaN", "-Infinity", "1e999", str(2**70)])
def test_what_json_can_say_and_no_row_can_keep_is_refused(value):
    """One that was kept all the same would fail each request to its bucket, also the one that removes it."""
    text = json.dumps(document(statement(Condition={"StringEquals": {"aws:username": "@"}})))
    assert refused(text.replace('"@"', value))
    assert policy_document(text.replace("@", r"\\u0000"), "box")


def test_a_policy_has_a_limit():
    found = document(statement(Sid="x" * MAX_BYTES))
    assert str(MAX_BYTES) in refused(found)


def test_keys_and_actions_have_one_name_each():
    names = [key.name.lower() for key in (*KEYS, *TAG_KEYS)]
    assert len(set(names)) == len(names)
    assert not OBJECT_ACTIONS & BUCKET_ACTIONS
    known = {name.lower() for name in OBJECT_ACTIONS | BUCKET_ACTIONS}
    assert {name for key in (*KEYS, *TAG_KEYS) for name in key.on} <= known


def test_wildcards_take_no_time():
    pattern = wildcard("*a" * 2000 + "*b")
    began = time.process_time()
    assert pattern.fullmatch("a" * 4000) is None
    assert pattern.fullmatch("a" * 4000 + "b")
    assert time.process_time() - began < 1


# --- public or not -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "public"),
    [
        ({}, True),
        ({"Effect": "Deny"}, False),
        ({"Principal": {"AWS": "p"}}, False),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}}, False),
        ({"Condition": {"IpAddress": {"aws:SourceIp": ["192.0.2.0/24", "0.0.0.0/1"]}}}, True),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "2001::/16"}}}, True),
        ({"Condition": {"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}}, True),
        ({"Condition": {"StringEquals": {"aws:userid": "u"}}}, False),
        ({"Condition": {"StringLike": {"aws:userid": "*"}}}, True),
        ({"Condition": {"StringEqualsIfExists": {"aws:userid": "u"}}}, True),
        ({"Condition": {"StringLike": {"aws:Referer": "https://a.example/*"}}}, True),
    ],
)
def test_public_is_who_lets_in_whoever_comes(parts, public):
    assert policy_is_public(document(statement(**parts)), "box") is public
