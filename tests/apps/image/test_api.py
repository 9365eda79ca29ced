"""The image API as clients see it."""

from __future__ import annotations

import uuid

import pytest

from apps.image.models import Image
from tests.apps.image.conftest import register, upload
from tests.kit.http import Caller

PATCH = "application/openstack-images-v2.1-json-patch"
OLD_PATCH = "application/openstack-images-v2.0-json-patch"
pytestmark = pytest.mark.django_db


def ids(answer) -> set[str]:
    assert answer.status_code == 200, answer.content
    return {image["id"] for image in answer.json()["images"]}


def test_a_registered_image_shows_what_was_given_and_paths_below_v2(alice):
    answer = alice("POST", "/v2/images", {"name": "x", "disk_format": "raw", "tags": ["b", "a"], "os_distro": "debian"})
    assert answer.status_code == 201
    body = answer.json()
    ident = body["id"]
    assert answer["Location"] == f"http://testserver/image/v2/images/{ident}"
    assert body["os_distro"] == "debian"
    assert (body["self"], body["file"]) == (f"/v2/images/{ident}", f"/v2/images/{ident}/file")
    assert (body["status"], body["visibility"], body["owner"]) == ("queued", "shared", "alice")
    assert (body["size"], body["checksum"], body["os_hash_algo"]) == (None, None, None)
    assert body["updated_at"] == body["created_at"]
    assert "stores" not in body
    assert alice("GET", f"/v2/images/{ident}").json() == body


def test_an_id_can_be_given_once(alice):
    ident = str(uuid.uuid4())
    assert register(alice, id=ident) == ident
    answer = alice("POST", "/v2/images", {"id": ident})
    assert answer.status_code == 409
    assert alice("POST", "/v2/images", {"id": "not-an-id"}).status_code == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"disk_format": "wrong"}, 400),
        ({"container_format": "wrong"}, 400),
        ({"name": 7}, 400),
        ({"min_ram": -1}, 400),
        ({"anything": 7}, 400),
        ({"anything": None}, 400),
        ({"name": "x" * 256}, 400),
        ([], 400),
        ({"status": "active"}, 403),
        ({"checksum": "x"}, 403),
        ({"locations": []}, 403),
        ({"os_glance_foo": "x"}, 403),
        ({"visibility": "public"}, 403),
        ({"owner": "bob"}, 403),
        ({f"p{n}": "v" for n in range(129)}, 413),
        ({"tags": [f"t{n}" for n in range(129)]}, 413),
    ],
)
def test_what_may_not_be_registered_is_refused_and_leaves_nothing(alice, body, status):
    answer = alice("POST", "/v2/images", body)
    assert answer.status_code == status, answer.content
    assert set(answer.json()) == {"code", "title", "message"}
    assert not Image.objects.exists()


def test_readers_and_strangers_cannot_register(reader):
    assert reader("POST", "/v2/images", {"name": "x"}).status_code == 403
    assert Caller(None, "/image")("POST", "/v2/images", {"name": "x"}).status_code == 401
    assert not Image.objects.exists()


def test_administrators_name_any_owner(admin):
    ident = register(admin, owner="somebody")
    assert admin("GET", f"/v2/images/{ident}").json()["owner"] == "somebody"
    answer = admin("PATCH", f"/v2/images/{ident}", [{"op": "replace", "path": "/owner", "value": "else"}], media=PATCH)
    assert answer.json()["owner"] == "else"


def test_the_limit_on_images_holds(alice, monkeypatch):
    monkeypatch.setitem(__import__("apps.identity.services.limits", fromlist=["x"])._registered["image"], "images", 1)
    register(alice)
    answer = alice("POST", "/v2/images", {"name": "second"})
    assert answer.status_code == 413
    assert "images" in answer.json()["message"]
    assert Image.objects.count() == 1


def test_changes_apply_together_or_not_at_all(alice):
    ident = register(alice, os_distro="debian", old="x")
    changes = [
        {"op": "replace", "path": "/name", "value": "two"},
        {"op": "add", "path": "/a~1b~0c", "value": "v"},
        {"op": "replace", "path": "/os_distro", "value": "ubuntu"},
        {"op": "remove", "path": "/old"},
        {"op": "replace", "path": "/tags", "value": ["x", "x"]},
        {"op": "replace", "path": "/min_disk", "value": 3},
    ]
    body = alice("PATCH", f"/v2/images/{ident}", changes, media=PATCH).json()
    assert (body["name"], body["a/b~c"], body["os_distro"], body["tags"]) == ("two", "v", "ubuntu", ["x"])
    assert "old" not in body
    assert body["min_disk"] == 3
    failing = [
        {"op": "replace", "path": "/name", "value": "three"},
        {"op": "replace", "path": "/missing", "value": "v"},
    ]
    assert alice("PATCH", f"/v2/images/{ident}", failing, media=PATCH).status_code == 409
    assert alice("GET", f"/v2/images/{ident}").json()["name"] == "two"


def test_the_older_form_of_changes_is_understood(alice):
    ident = register(alice)
    answer = alice("PATCH", f"/v2/images/{ident}", [{"replace": "/name", "value": "two"}], media=OLD_PATCH)
    assert answer.json()["name"] == "two"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"op": "replace", "path": "/status", "value": "active"}, 403),
        ({"op": "replace", "path": "/id", "value": str(uuid.uuid4())}, 403),
        ({"op": "remove", "path": "/name"}, 403),
        ({"op": "add", "path": "/os_glance_x", "value": "y"}, 403),
        ({"op": "replace", "path": "/visibility", "value": "public"}, 403),
        ({"op": "replace", "path": "/owner", "value": "bob"}, 403),
        ({"op": "add", "path": "/locations/-", "value": {}}, 403),
        ({"op": "replace", "path": "/name", "value": 7}, 400),
        ({"op": "replace", "path": "/protected", "value": "yes"}, 400),
        ({"op": "replace", "path": "/disk_format", "value": "wrong"}, 400),
        ({"op": "move", "path": "/name", "value": "x"}, 400),
        ({"op": "add", "path": "name", "value": "x"}, 400),
        ({"op": "add", "path": "/a~2", "value": "x"}, 400),
        ({"op": "add", "path": "/a"}, 400),
        ({"op": "remove", "path": "/missing"}, 409),
    ],
)
def test_changes_that_may_not_be_are_refused(alice, change, status):
    ident = register(alice)
    before = alice("GET", f"/v2/images/{ident}").json()
    answer = alice("PATCH", f"/v2/images/{ident}", [change], media=PATCH)
    assert answer.status_code == status, answer.content
    assert alice("GET", f"/v2/images/{ident}").json() == before


@pytest.mark.parametrize("accept", ["", PATCH, "application/octet-stream", "text/html"])
def test_what_a_client_accepts_does_not_matter(alice, accept):
    ident = register(alice)
    answer = alice("GET", f"/v2/images/{ident}", Accept=accept)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"


def test_a_patch_of_another_type_is_refused(alice):
    ident = register(alice)
    assert alice("PATCH", f"/v2/images/{ident}", [], media="application/json").status_code == 415


def test_formats_of_an_active_image_stay(alice):
    ident = register(alice)
    assert upload(alice, ident, b"x" * 600).status_code == 204
    change = [{"op": "replace", "path": "/disk_format", "value": "iso"}]
    assert alice("PATCH", f"/v2/images/{ident}", change, media=PATCH).status_code == 403


def test_private_images_of_others_do_not_exist(alice, bob, admin):
    ident = register(alice, visibility="private")
    assert bob("GET", f"/v2/images/{ident}").status_code == 404
    assert bob("DELETE", f"/v2/images/{ident}").status_code == 404
    assert bob("GET", f"/v2/images/{ident}/file").status_code == 404
    assert ident not in ids(bob("GET", "/v2/images"))
    assert ident in ids(admin("GET", "/v2/images"))


def test_public_images_are_seen_but_not_changed_by_others(admin, bob):
    ident = register(admin, visibility="public")
    assert ident in ids(bob("GET", "/v2/images"))
    assert bob("DELETE", f"/v2/images/{ident}").status_code == 403
    change = [{"op": "replace", "path": "/name", "value": "mine"}]
    assert bob("PATCH", f"/v2/images/{ident}", change, media=PATCH).status_code == 403
    assert Image.objects.get().name == "one"


def test_community_images_are_listed_on_request_only(alice, bob):
    ident = register(alice, visibility="community")
    assert ident not in ids(bob("GET", "/v2/images"))
    assert ident in ids(bob("GET", "/v2/images?visibility=community"))
    assert ident in ids(bob("GET", "/v2/images?visibility=all"))
    assert bob("GET", f"/v2/images/{ident}").status_code == 200


def test_protected_images_are_not_deleted(alice):
    ident = register(alice, protected=True)
    assert alice("DELETE", f"/v2/images/{ident}").status_code == 403
    change = [{"op": "replace", "path": "/protected", "value": False}]
    assert alice("PATCH", f"/v2/images/{ident}", change, media=PATCH).status_code == 200
    assert alice("DELETE", f"/v2/images/{ident}").status_code == 204
    assert alice("GET", f"/v2/images/{ident}").status_code == 404
    assert alice("DELETE", f"/v2/images/{ident}").status_code == 404


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=one", {"a"}),
        ("name=in:one,two", {"a", "b"}),
        ('name=in:"with,%20comma",two', {"b", "c"}),
        ("disk_format=qcow2", {"b"}),
        ("min_ram=512", {"c"}),
        ("tag=x", {"a", "b"}),
        ("tag=x&tag=y", {"b"}),
        ("os_distro=debian", {"a"}),
        ("os_distro=nothing", set()),
        ("protected=true", {"c"}),
        ("status=queued", {"a", "b", "c"}),
        ("status=in:active,queued", {"a", "b", "c"}),
        ("created_at=gt:2000-01-01T00:00:00Z", {"a", "b", "c"}),
        ("created_at=lt:2000-01-01T00:00:00Z", set()),
        ("created_at=neq:2000-01-01T00:00:00Z", {"a", "b", "c"}),
        ("size_min=1", set()),
        ("os_hidden=true", {"d"}),
        ("owner=alice", {"a", "b", "c"}),
        ("visibility=private", set()),
    ],
)
def test_lists_are_filtered(alice, query, found):
    names = {
        register(alice, name="one", os_distro="debian", tags=["x"]): "a",
        register(alice, name="two", disk_format="qcow2", tags=["x", "y"]): "b",
        register(alice, name="with, comma", min_ram=512, protected=True): "c",
        register(alice, name="hidden", os_hidden=True): "d",
    }
    assert {names[i] for i in ids(alice("GET", f"/v2/images?{query}"))} == found


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "limit=x",
        "marker=nothing",
        "sort_key=nothing",
        "sort_dir=up&sort_key=name",
        "visibility=wrong",
        "member_status=wrong",
        "created_at=gt:yesterday",
        "size_min=x",
        "os_hidden=perhaps",
        "self=x",
        "id=no-uuid",
    ],
)
def test_unusable_filters_are_refused(alice, query):
    answer = alice("GET", f"/v2/images?{query}")
    assert answer.status_code == 400, answer.content


def test_pages_are_linked_by_paths_below_v2(alice):
    made = [register(alice, name=f"n{n}") for n in range(5)]
    seen: list[str] = []
    path = "/v2/images?limit=2&sort_key=name&sort_dir=asc"
    while path:
        body = alice("GET", path).json()
        assert body["first"].startswith("/v2/images?limit=2")
        assert body["schema"] == "/v2/schemas/images"
        seen += [image["id"] for image in body["images"]]
        path = body.get("next", "")
    assert seen == made


def test_lists_take_few_queries(alice, django_assert_num_queries):
    for _ in range(3):
        register(alice)
    with django_assert_num_queries(1):
        alice("GET", "/v2/images")


def test_tags_are_put_and_deleted(alice):
    ident = register(alice)
    for _ in range(2):
        assert alice("PUT", f"/v2/images/{ident}/tags/x").status_code == 204
    assert alice("GET", f"/v2/images/{ident}").json()["tags"] == ["x"]
    assert alice("DELETE", f"/v2/images/{ident}/tags/x").status_code == 204
    assert alice("DELETE", f"/v2/images/{ident}/tags/x").status_code == 404
    assert alice("PUT", f"/v2/images/{ident}/tags/{'x' * 256}").status_code == 400
    assert alice("PUT", f"/v2/images/{uuid.uuid4()}/tags/x").status_code == 404


def test_shared_images_show_after_the_member_accepted(alice, bob):
    ident = register(alice)
    members = f"/v2/images/{ident}/members"
    assert bob("GET", f"/v2/images/{ident}").status_code == 404
    made = alice("POST", members, {"member": "bob"})
    assert made.status_code == 200
    assert made.json() | {"member_id": "bob", "image_id": ident, "status": "pending"} == made.json()
    assert alice("POST", members, {"member": "bob"}).status_code == 409
    assert ident not in ids(bob("GET", "/v2/images"))
    assert ids(bob("GET", "/v2/images?visibility=shared&member_status=pending")) == {ident}
    assert bob("GET", f"/v2/images/{ident}").status_code == 200
    assert alice("PUT", f"{members}/bob", {"status": "accepted"}).status_code == 403
    assert bob("PUT", f"{members}/bob", {"status": "perhaps"}).status_code == 400
    assert bob("PUT", f"{members}/bob", {"status": "accepted"}).status_code == 200
    assert ident in ids(bob("GET", "/v2/images"))
    assert [m["member_id"] for m in bob("GET", members).json()["members"]] == ["bob"]
    assert bob("POST", members, {"member": "carol"}).status_code == 403
    assert bob("DELETE", f"{members}/bob").status_code == 403
    assert alice("DELETE", f"{members}/bob").status_code == 204
    assert alice("DELETE", f"{members}/bob").status_code == 404
    assert ident not in ids(bob("GET", "/v2/images"))


def test_a_member_sees_itself_only(alice, bob):
    ident = register(alice)
    for member in ("bob", "carol"):
        alice("POST", f"/v2/images/{ident}/members", {"member": member})
    assert len(alice("GET", f"/v2/images/{ident}/members").json()["members"]) == 2
    assert len(bob("GET", f"/v2/images/{ident}/members").json()["members"]) == 1
    assert bob("GET", f"/v2/images/{ident}/members/carol").status_code == 404


def test_only_shared_images_have_members(alice):
    ident = register(alice, visibility="private")
    assert alice("POST", f"/v2/images/{ident}/members", {"member": "bob"}).status_code == 403


def test_deactivated_images_are_given_to_administrators_only(alice, admin):
    ident = register(alice)
    assert alice("POST", f"/v2/images/{ident}/actions/deactivate").status_code == 403
    upload(alice, ident, b"x" * 600)
    for _ in range(2):
        assert alice("POST", f"/v2/images/{ident}/actions/deactivate").status_code == 204
    assert alice("GET", f"/v2/images/{ident}").json()["status"] == "deactivated"
    assert alice("GET", f"/v2/images/{ident}/file").status_code == 403
    assert admin("GET", f"/v2/images/{ident}/file").status_code == 200
    assert alice("POST", f"/v2/images/{ident}/actions/reactivate").status_code == 204
    assert alice("GET", f"/v2/images/{ident}/file").status_code == 200


def test_versions_need_no_token_and_have_their_genuine_codes(db):
    stranger = Caller(None, "/image")
    for path, status in (("", 300), ("/", 300), ("/versions", 200)):
        answer = stranger("GET", path)
        assert answer.status_code == status
        assert answer.json()["versions"][0]["links"][0]["href"] == "http://testserver/image/v2/"


@pytest.mark.parametrize("name", ["image", "images", "member", "members", "task", "tasks"])
def test_schemas_have_their_names(alice, name):
    assert alice("GET", f"/v2/schemas/{name}").json()["name"] == name


def test_what_is_offered_is_told(alice):
    register(alice)
    assert alice("GET", "/v2/info/import").json()["import-methods"]["value"] == ["glance-direct"]
    assert alice("GET", "/v2/info/stores").json() == {"stores": [{"id": "default", "default": "true"}]}
    assert alice("GET", "/v2/info/usage").json()["usage"]["image_count_total"] == {"limit": 100, "usage": 1}


def test_tasks_are_told_to_administrators_and_not_taken(alice, admin):
    assert admin("GET", "/v2/tasks").json()["tasks"] == []
    assert admin("POST", "/v2/tasks", {"type": "import", "input": {}}).status_code == 400
    assert alice("GET", "/v2/tasks").status_code == 403
    ident = register(alice)
    assert alice("GET", f"/v2/images/{ident}/tasks").json() == {"tasks": []}
