"""Operators' pages of projects: what one has, and removing it all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from apps.compute.models import Server
from apps.core.context import operator
from apps.identity import services as identity
from apps.identity.models import Project
from apps.operations.models import Operation
from apps.operations.states import Status
from tests.apps.compute.conftest import settle
from tests.apps.dashboard.conftest import Town
from tests.kit import operations as ops

Door = Callable[..., Client]


def pages(project_id: str) -> tuple[str, str]:
    return f"/p/admin/admin/projects/{project_id}", f"/p/admin/admin/projects/{project_id}/purge"


def test_a_project_shows_what_it_has(sign_in: Door, town: Town) -> None:
    town.server()
    client = sign_in("admin")
    assert "demo" in client.get("/p/admin/admin/projects").content.decode()
    for page in pages(town.ctx.project_id):
        text = client.get(page).content.decode()
        assert "servers" in text
        assert "made by itself" in text


@pytest.mark.parametrize("typed", ["", "dem", "admin"])
def test_without_the_name_nothing_is_removed(sign_in: Door, town: Town, typed: str) -> None:
    _, purge = pages(town.ctx.project_id)
    assert sign_in("admin").post(purge, {"name": typed}).status_code == 422
    assert not Operation.objects.filter(kind="identity.project.purge").exists()


def test_with_the_name_typed_an_operation_removes_it_all(sign_in: Door, town: Town) -> None:
    town.server()
    project = identity.project_create(operator(), name="empty", domain_id="default")
    client = sign_in("admin")
    with ops.committed():
        answer = client.post(pages(project.pk)[1], {"name": "empty"})
    operation = Operation.objects.get(kind="identity.project.purge")
    assert answer["Location"] == f"/p/admin/tasks/{operation.pk}"
    assert client.get(answer["Location"]).status_code == 200
    settle()
    operation.refresh_from_db()
    assert operation.status == Status.DONE, operation.error
    assert not Project.objects.filter(pk=project.pk).exists()
    assert Server.objects.filter(project_id=town.ctx.project_id).exists()


def test_the_project_one_works_in_is_not_offered(sign_in: Door, town: Town) -> None:
    admins = Project.objects.get(name="admin", is_domain=False)
    client = sign_in("admin")
    page, purge = pages(admins.pk)
    assert purge not in client.get(page).content.decode()
    assert client.post(purge, {"name": "admin"}).status_code == 422
    assert not Operation.objects.filter(kind="identity.project.purge").exists()


def test_members_are_refused(sign_in: Door, town: Town) -> None:
    client = sign_in()
    for page in (
        "admin/projects",
        f"admin/projects/{town.ctx.project_id}",
        f"admin/projects/{town.ctx.project_id}/purge",
    ):
        assert client.get(f"/p/demo/{page}").status_code == 403
    assert client.post(f"/p/demo/admin/projects/{town.ctx.project_id}/purge", {"name": "demo"}).status_code == 403
    assert not Operation.objects.filter(kind="identity.project.purge").exists()
