"""Errors in each API's own words."""

from __future__ import annotations

import logging

import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, ProgrammingError
from django.test import Client

from apps.core import errors
from apps.core.api import faults, service

NOVA = service.Api("test-nova", "", service.nova_fault, service.nova_links)
NEUTRON = service.Api("test-neutron", "", service.neutron_fault, service.neutron_links)
KEYSTONE = service.Api("test-keystone", "", service.keystone_fault, service.keystone_links)
PLACEMENT = service.Api("test-placement", "", service.placement_fault, service.nova_links)


@pytest.mark.parametrize(
    ("api", "body"),
    [
        (NOVA, {"itemNotFound": {"code": 404, "message": "Server x could not be found."}}),
        (NEUTRON, {"NeutronError": {"type": "NotFound", "message": "Server x could not be found.", "detail": ""}}),
        (KEYSTONE, {"error": {"code": 404, "message": "Server x could not be found.", "title": "Not Found"}}),
    ],
)
def test_each_api_has_its_own_envelope(api: service.Api, body: object) -> None:
    assert faults.answer(api, errors.NotFound("server", "x"))[:2] == (404, body)


def test_unauthorized_points_to_identity() -> None:
    status, body, headers = faults.answer(NOVA, errors.Unauthorized("no"), base="http://cloud")
    assert status == 401
    assert body["error"]["code"] == 401
    assert headers["WWW-Authenticate"] == 'Keystone uri="http://cloud/identity"'


def test_placement_says_which_versions_it_speaks() -> None:
    error = errors.NotAcceptable("no", minimum="1.0", maximum="1.39")
    assert faults.answer(PLACEMENT, error)[1]["errors"][0]["max_version"] == "1.39"


def test_what_nobody_foresaw_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "kumo.api"):
        status, body, _ = faults.answer(NOVA, RuntimeError("password is hunter2"), request_id="req-1")
    assert status == 500
    assert "hunter2" not in str(body)
    assert "req-1" in str(body)
    assert caplog.records


def test_quota_errors_say_what_to_do() -> None:
    message = str(errors.OverQuota("instances", used=9, wanted=2, limit=10))
    assert "2 wanted, 9 of 10 in use" in message
    assert "Delete" in message


def test_every_answer_has_a_request_id_and_keeps_a_global_one(client: Client) -> None:
    response = client.get(
        "/openapi.json", headers={"X-Openstack-Request-Id": "req-" + "0" * 8 + "-0000" * 3 + "-" + "0" * 12}
    )
    assert response.headers["X-Openstack-Request-Id"].startswith("req-")
    assert not response.headers["X-Openstack-Request-Id"].startswith("req-00000000")
    assert response.json()["openapi"] == "3.1.0"


@pytest.mark.parametrize("kind", [InterfaceError, OperationalError, DatabaseError])
def test_database_that_is_away_is_a_503_that_says_to_try_again(kind: type[Exception]) -> None:
    status, body, _ = faults.answer(NOVA, kind("server closed the connection unexpectedly"))
    assert status == 503
    assert "does not answer" in str(body)
    assert "Try again" in str(body)


def test_error_of_a_statement_is_not_taken_for_an_absent_database() -> None:
    assert faults.answer(NOVA, ProgrammingError("column is missing"))[0] == 500
