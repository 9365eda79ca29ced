"""Metadata definitions: namespaces and what is in them."""

from __future__ import annotations

import pytest

from apps.image.models import Definition, Namespace

pytestmark = pytest.mark.django_db
ROOT = "/v2/metadefs/namespaces"
WHOLE = {
    "namespace": "ns",
    "visibility": "public",
    "display_name": "Shown",
    "resource_type_associations": [{"name": "OS::Glance::Image", "prefix": "hw_"}],
    "properties": {"cores": {"title": "Cores", "type": "integer", "minimum": 1}},
    "objects": [{"name": "cpu", "properties": {"x": {"title": "X", "type": "string"}}}],
    "tags": [{"name": "fast"}],
}


def test_a_namespace_comes_with_its_definitions(admin, alice):
    made = admin("POST", ROOT, WHOLE)
    assert made.status_code == 201, made.content
    assert made["Location"] == f"http://testserver/image{ROOT}/ns"
    shown = alice("GET", f"{ROOT}/ns").json()
    assert shown == made.json()
    assert shown["properties"] == WHOLE["properties"]
    assert [o["name"] for o in shown["objects"]] == ["cpu"]
    assert [o["name"] for o in shown["tags"]] == ["fast"]
    assert shown["resource_type_associations"][0]["prefix"] == "hw_"
    again = admin("POST", ROOT, WHOLE)
    assert again.status_code == 409
    assert (Namespace.objects.count(), Definition.objects.count()) == (1, 4)


def test_others_see_public_namespaces_and_change_none(admin, alice):
    admin("POST", ROOT, {"namespace": "open", "visibility": "public"})
    admin("POST", ROOT, {"namespace": "closed"})
    assert [n["namespace"] for n in alice("GET", ROOT).json()["namespaces"]] == ["open"]
    assert alice("GET", f"{ROOT}/closed").status_code == 404
    assert alice("POST", ROOT, {"namespace": "mine"}).status_code == 403
    assert alice("DELETE", f"{ROOT}/open").status_code == 403
    assert alice("POST", f"{ROOT}/open/tags/t").status_code == 403
    assert alice("PUT", f"{ROOT}/open", {"namespace": "open"}).status_code == 403
    assert Namespace.objects.count() == 2
    assert not Definition.objects.exists()


def test_protected_namespaces_stay(admin):
    admin("POST", ROOT, {"namespace": "ns", "protected": True})
    admin("POST", f"{ROOT}/ns/tags/t")
    assert admin("DELETE", f"{ROOT}/ns").status_code == 403
    assert admin("DELETE", f"{ROOT}/ns/tags/t").status_code == 403
    assert admin("PUT", f"{ROOT}/ns", {"namespace": "renamed", "protected": False}).json()["namespace"] == "renamed"
    assert admin("DELETE", f"{ROOT}/renamed").status_code == 204
    assert not Definition.objects.exists()


@pytest.mark.parametrize(
    ("segment", "body", "changed"),
    [
        ("properties", {"name": "a", "title": "A", "type": "string"}, {"title": "B"}),
        ("objects", {"name": "a", "required": []}, {"description": "words"}),
        ("tags", {"name": "a"}, {"name": "b"}),
    ],
)
def test_definitions_are_made_changed_and_removed(admin, segment, body, changed):
    admin("POST", ROOT, {"namespace": "ns"})
    path = f"{ROOT}/ns/{segment}"
    made = admin("POST", f"{path}/a") if segment == "tags" else admin("POST", path, body)
    assert made.status_code == 201, made.content
    assert made.json() | body == made.json()
    assert admin("GET", f"{path}/a").json()["name"] == "a"
    repeated = admin("POST", f"{path}/a") if segment == "tags" else admin("POST", path, body)
    assert repeated.status_code == 409
    answer = admin("PUT", f"{path}/a", {**body, **changed})
    assert answer.json() | changed == answer.json()
    name = answer.json()["name"]
    assert admin("DELETE", f"{path}/{name}").status_code == 204
    assert admin("DELETE", f"{path}/{name}").status_code == 404
    assert not admin("GET", path).json()[segment]


def test_tags_are_replaced_or_appended_together(admin):
    admin("POST", ROOT, {"namespace": "ns"})
    path = f"{ROOT}/ns/tags"
    admin("POST", path, {"tags": [{"name": "a"}, {"name": "b"}]})
    admin("POST", path, {"tags": [{"name": "c"}]})
    assert [tag["name"] for tag in admin("GET", path).json()["tags"]] == ["c"]
    admin("POST", path, {"tags": [{"name": "d"}]}, X_Openstack_Append="True")
    assert [tag["name"] for tag in admin("GET", path).json()["tags"]] == ["c", "d"]
    assert admin("POST", path, {"tags": [{"name": "e"}, {"name": "e"}]}).status_code == 409
    assert [tag["name"] for tag in admin("GET", path).json()["tags"]] == ["c", "d"]
    assert admin("DELETE", path).status_code == 204
    assert admin("GET", path).json()["tags"] == []


def test_namespaces_are_found_by_resource_type_and_paged(admin):
    for name in ("a", "b", "c"):
        admin("POST", ROOT, {"namespace": name})
    admin("POST", f"{ROOT}/b/resource_types", {"name": "Our::Thing"})
    assert [n["namespace"] for n in admin("GET", f"{ROOT}?resource_types=Our::Thing").json()["namespaces"]] == ["b"]
    assert {"name": "Our::Thing"} in admin("GET", "/v2/metadefs/resource_types").json()["resource_types"]
    page = admin("GET", f"{ROOT}?limit=2").json()
    assert len(page["namespaces"]) == 2
    assert len(admin("GET", page["next"]).json()["namespaces"]) == 1
    assert admin("GET", f"{ROOT}?marker=nothing").status_code == 400
    assert admin("GET", f"{ROOT}?limit=x").status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"namespace": ""},
        {"namespace": "x" * 81},
        {"namespace": "ns", "visibility": "wrong"},
        {"namespace": "ns", "unknown": 1},
        {"namespace": "ns", "properties": {"p": {"title": "no type"}}},
    ],
)
def test_unusable_namespaces_are_refused(admin, body):
    assert admin("POST", ROOT, body).status_code == 400
    assert not Namespace.objects.exists()


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("namespace", "namespace"),
        ("namespaces", "namespaces"),
        ("resource_type", "resource_type_association"),
        ("resource_types", "resource_type_associations"),
        ("object", "object"),
        ("objects", "objects"),
        ("property", "property"),
        ("properties", "properties"),
        ("tag", "tag"),
        ("tags", "tags"),
    ],
)
def test_schemas(alice, name, inside):
    assert alice("GET", f"/v2/schemas/metadefs/{name}").json()["name"] == inside
