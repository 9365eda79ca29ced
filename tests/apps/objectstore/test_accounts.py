"""Accounts made and closed by whoever runs the cloud."""

from __future__ import annotations

import pytest

from apps.core.context import system
from apps.objectstore import services
from apps.objectstore.models import Account, Blob, Bucket, Container, Object
from tests.apps.objectstore.conftest import Swift
from tests.kit.http import context


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_only_resellers_make_and_close_accounts(alice, box, bob, stranger, method):
    assert alice(method, "").status_code == 403
    assert bob(method, "").status_code == 403
    assert stranger(method, "").status_code == 401
    assert Account.objects.get().deleted_at is None


def test_an_account_is_made_before_it_is_used(admin):
    new = Swift(admin.ctx, "new")
    assert new("PUT", "", X_Account_Meta_A="1", X_Account_Access_Control='{"admin": ["a:b"]}').status_code == 201
    assert new("PUT", "", X_Account_Meta_B="2", X_Account_Quota_Bytes="3").status_code == 202
    head = new("HEAD", "")
    assert (head["X-Account-Meta-A"], head["X-Account-Meta-B"], head["X-Account-Quota-Bytes"]) == ("1", "2", "3")
    assert head["X-Account-Access-Control"] == '{"admin": ["a:b"]}'


def test_a_closed_account_is_gone_at_once_and_emptied_later(alice, box, admin, disks):
    alice.put("/box/a", b"123")
    alice.put("/full")
    alice.put("/full/x", b"1")
    alice("POST", "/box", X_Container_Read=".r:*")
    assert admin("DELETE", "").status_code == 204
    calls = {"": "GET POST", "/new": "PUT", "/box": "GET POST DELETE", "/box/b": "PUT", "/box/a": "GET DELETE"}
    for path, methods in calls.items():
        for method in methods.split():
            assert alice(method, path).status_code == 410, (method, path)
    assert admin("PUT", "").status_code == 410
    assert Swift(None, "alice")("GET", "/box/a").status_code == 410
    assert admin("DELETE", "").status_code == 410
    assert Object.objects.count() == 2
    rounds = 0
    while services.accounts_reap(system()):
        services.deltas_fold(system())
        rounds += 1
        assert rounds < 20
    assert not Container.objects.exists()
    assert not Object.objects.exists()
    assert not Account.objects.exists()
    assert not Blob.objects.filter(unused_since=None).exists()
    assert alice.put("/box").status_code == 201
    assert alice("HEAD", "")["X-Account-Object-Count"] == "0"


def test_an_account_with_locked_buckets_is_not_closed(alice, box, admin):
    Bucket.objects.update_or_create(name="box", defaults={"container": Container.objects.get(), "lock_enabled": True})
    assert admin("DELETE", "").status_code == 409
    assert alice.names("") == ["box"]


def test_what_is_locked_meanwhile_stays_and_stops_nothing(alice, box, admin):
    alice.put("/box/a", b"1")
    bob = Swift(context("bob"))
    bob.put("/box")
    assert admin("DELETE", "").status_code == Swift(admin.ctx, "bob")("DELETE", "").status_code == 204
    Object.objects.update(legal_hold=True)
    for _ in range(3):
        services.accounts_reap(system())
        services.deltas_fold(system())
    assert [row.pk for row in Account.objects.all()] == ["alice"]
    assert Object.objects.get().legal_hold


def test_what_was_never_used_cannot_be_closed(admin):
    assert Swift(context("ops", "admin"), "nobody")("DELETE", "").status_code == 404


@pytest.mark.parametrize("start", ["X_Account_", "X_Account_Meta_"])
def test_quotas_of_a_storage_policy(alice, box, admin, start):
    header = f"{start}Quota_Bytes_Policy_Default"
    assert alice("POST", "", **{header: "100"}).status_code == 403
    assert admin("POST", "", **{header: "many"}).status_code == 400
    assert admin("POST", "", **{header: "5"}).status_code == 204
    assert alice("HEAD", "")["X-Account-Quota-Bytes-Policy-Default"] == "5"
    assert alice.put("/box/a", b"12345").status_code == 201
    assert alice.put("/box/b", b"1").status_code == 413
    assert admin("POST", "", X_Account_Quota_Bytes_Policy_Other="0").status_code == 204
    assert admin("POST", "", **{header: ""}).status_code == 204
    assert alice.put("/box/b", b"1").status_code == 201
    assert admin("POST", "", X_Account_Quota_Count_Policy_Default="2").status_code == 204
    assert alice.put("/box/c").status_code == 413
    assert alice.names("/box") == ["a", "b"]
