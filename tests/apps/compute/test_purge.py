"""Removing all that a project has: what it lists, in which order it goes, and what stops it."""

from __future__ import annotations

import pytest
from django.apps import apps

from apps.compute.models import Server, ServerDeleted
from apps.core import owned
from apps.core.context import operator, system
from apps.core.errors import Conflict, Forbidden, NotFound
from apps.identity import selectors as identity_selectors
from apps.identity import services as identity
from apps.identity.models import Project
from apps.identity.reconcile import check_projects
from apps.image.models import Image
from apps.network import services as network
from apps.network.models import FloatingIp, Network, Port, Router, SecurityGroup, Subnet
from apps.operations.models import Operation
from apps.operations.services import operation_wake
from apps.operations.states import Status
from tests.apps.compute.conftest import settle
from tests.apps.dashboard.conftest import Town, people, town
from tests.kit import operations as ops
from tests.kit.sagas import SagaCases

__all__ = ["people", "town"]


@pytest.fixture
def full(town: Town) -> Town:
    """A project with one of nearly everything, tied to each other."""
    outside = {"network_id": str(town.outside.pk)}
    router = network.router_create(town.ctx, name="main", external_gateway_info=outside)
    subnet = Subnet.objects.get(network=town.network)
    network.router_add_interface(town.ctx, router_id=str(router.pk), subnet_id=str(subnet.pk))
    network.router_update(
        town.ctx, router_id=str(router.pk), routes=[{"destination": "1.0.0.0/8", "nexthop": "10.0.0.9"}]
    )
    server = town.server()
    port = network.port_create(town.ctx, network_id=str(town.network.pk), name="own")
    served = Port.objects.get(server_id=server.pk)
    network.floatingip_create(town.ctx, floating_network_id=str(town.outside.pk), port_id=str(served.pk))
    one = network.security_group_create(town.ctx, name="one")
    two = network.security_group_create(town.ctx, name="two")
    for mine, theirs in ((one, two), (two, one)):
        network.security_group_rule_create(
            town.ctx, security_group_id=str(mine.pk), direction="ingress", remote_group_id=str(theirs.pk)
        )
    network.port_update(town.ctx, port_id=str(port.pk), security_groups=[str(one.pk)])
    Image.objects.create(
        project_id=town.ctx.project_id, name="mine", status="queued", visibility="private", protected=True
    )
    return town


def counts(project_id: str) -> dict[str, int]:
    return {one.kind.noun: one.count for one in owned.holdings([project_id])}


def purge(town: Town, **given: bool) -> Operation:
    with ops.committed():
        operation = identity.project_purge(operator(), project_id=town.ctx.project_id, **given)
    settle()
    with ops.committed():
        operation_wake(system(), operation_id=operation.pk)  # as the sweeper does after a while
    settle()
    operation.refresh_from_db()
    return operation


def test_what_a_project_has_is_counted_with_one_query(full, django_assert_num_queries):
    with django_assert_num_queries(1):
        found = counts(full.ctx.project_id)
    assert found == {
        "server": 1, "floating_ip": 1, "router": 1, "port": 2, "network": 1, "security_group": 2,
        "default_security_group": 1, "image": 1,
    }  # fmt: skip


def test_deleting_a_project_that_has_something_says_what(full):
    with pytest.raises(Conflict) as refused:
        identity.project_delete(operator(), project_id=full.ctx.project_id)
    assert "servers: 1" in str(refused.value)
    assert "images: 1" in str(refused.value)
    assert "default" not in str(refused.value)
    assert Project.objects.filter(pk=full.ctx.project_id).exists()


def test_a_project_with_its_default_group_alone_can_be_deleted(people):
    project = identity.project_create(operator(), name="short-lived", domain_id="default")
    network.network_create(system(), name="n", project_id=project.pk)
    made = network.port_create(
        system(), network_id=str(Network.objects.get(project_id=project.pk).pk), project_id=project.pk
    )
    network.port_delete(system(), port_id=str(made.pk))
    network.network_delete(system(), network_id=str(Network.objects.get(project_id=project.pk).pk))
    assert counts(project.pk) == {"default_security_group": 1}
    identity.project_delete(operator(), project_id=project.pk)
    assert not SecurityGroup.objects.filter(project_id=project.pk).exists()


def test_a_purge_removes_everything_and_the_project(full):
    ident = full.ctx.project_id
    operation = purge(full)
    assert operation.status == Status.DONE, operation.error
    assert counts(ident) == {}
    assert not Project.objects.filter(pk=ident).exists()
    assert ServerDeleted.objects.filter(project_id=ident).exists()
    assert not any(model.objects.filter(project_id=ident).exists() for model in (Router, FloatingIp, Network, Port))


def test_a_purge_that_keeps_the_project_leaves_it_usable(full):
    operation = purge(full, keep=True)
    assert operation.status == Status.DONE, operation.error
    assert counts(full.ctx.project_id) == {"default_security_group": 1}
    assert Project.objects.get(pk=full.ctx.project_id).enabled


def test_what_cannot_go_is_told_and_the_project_is_open_again(full):
    """Somebody else's port on a network of the project."""
    others = Project.objects.get(name="admin", is_domain=False)
    network.port_create(system(), network_id=str(full.network.pk), project_id=others.pk)
    operation = purge(full)
    assert operation.status == Status.FAILED
    assert operation.error is not None
    assert f"network {full.network.pk}" in operation.error["message"]
    project = Project.objects.get(pk=full.ctx.project_id)
    assert project.enabled
    assert counts(project.pk) == {"network": 1}
    Port.objects.filter(project_id=others.pk).delete()
    assert purge(full).status == Status.DONE


def test_only_administrators_purge(town):
    with pytest.raises(Forbidden):
        identity.project_purge(town.ctx, project_id=town.ctx.project_id)
    with pytest.raises(Forbidden):
        identity_selectors.project_holdings(town.ctx, project_id=town.ctx.project_id)
    assert not Operation.objects.filter(kind="identity.project.purge").exists()


def test_a_project_that_is_unknown_or_has_others_below_is_not_purged(town):
    with pytest.raises(NotFound):
        identity.project_purge(operator(), project_id="no-such")
    identity.project_create(operator(), name="below", parent_id=town.ctx.project_id)
    with pytest.raises(Forbidden):
        identity.project_purge(operator(), project_id=town.ctx.project_id)
    assert not Operation.objects.filter(kind="identity.project.purge").exists()


def test_the_doctor_finds_what_belongs_to_nobody_and_removes_it(town):
    Image.objects.create(project_id="gone", name="lost", status="queued", visibility="private")
    assert list(check_projects(False)) == ["images of the project gone, which is gone: 1"]
    assert Image.objects.filter(project_id="gone").exists()
    assert list(check_projects(True)) == ["images of the project gone, which is gone: 1: removed"]
    assert not Image.objects.filter(project_id="gone").exists()


def test_every_table_with_a_project_is_said_to_be_owned_or_says_why_not():
    known = {kind.rows().model for kind in owned.kinds()}
    besides = {
        "operations.Operation", "compute.ServerDeleted", "compute.ServerAny",  # history
        "compute.ConsoleSession", "network.SecurityGroupRule", "hosts.Claim",  # go with what they are part of
        "compute.FlavorAccess", "objectstore.Account",  # is the flavor's; sums of what is owned
    }  # fmt: skip
    found = {
        model._meta.label
        for model in apps.get_models()
        if any(f.attname == "project_id" for f in model._meta.concrete_fields)
        and model not in known
        and model._meta.app_label not in {"identity", "audit", "demo"}  # identity's own go with the project's row
    }
    assert found - besides == set()


@pytest.mark.slow
class TestProjectPurge(SagaCases):
    """The generic cases, with a server that a host has."""

    kind = "identity.project.purge"

    @pytest.fixture(autouse=True)
    def _town(self, town: Town) -> None:
        self.town, self.number = town, 0

    def begin(self) -> Operation:
        self.number += 1
        self.project = identity.project_create(operator(), name=f"p{self.number}", domain_id="default")
        network.network_create(system(), name="n", project_id=self.project.pk)
        with ops.committed():
            return identity.project_purge(operator(), project_id=self.project.pk)

    def assert_done(self, operation: Operation) -> None:
        assert not Project.objects.filter(pk=operation.subject_id).exists()
        assert counts(operation.subject_id) == {}

    def assert_undone(self, operation: Operation) -> None:
        assert Project.objects.get(pk=operation.subject_id).enabled
        assert not Server.objects.filter(project_id=operation.subject_id).exists()
