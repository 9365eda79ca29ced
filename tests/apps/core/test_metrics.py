"""Metrics: who may see them, what they count, and that processes are summed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from apps.core import metrics
from apps.core.api.middleware import _size
from cloud.secrets import secret

pytestmark = pytest.mark.django_db


@pytest.fixture
def token(settings: Any) -> str:
    return secret(settings.CONFIG.secrets, metrics.TOKEN)


def values(client: Any, token: str) -> dict[str, float]:
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain")
    lines = (line for line in answer.content.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer wrong", "Basic {token}", "{token}", "Bearer \xff"])
def test_without_the_token_there_is_nothing(client, token, header):
    answer = client.get("/metrics", headers={"Authorization": header.replace("{token}", token)})
    assert answer.status_code == 404
    assert b"kumo_" not in answer.content


def test_without_its_file_nobody_may_look(client, settings, token):
    path = Path(settings.CONFIG.secrets, metrics.TOKEN)
    path.unlink()
    assert client.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404
    assert not path.exists()


def test_requests_are_counted_by_api_method_and_status(client, token):
    name = 'kumo_requests_total{api="object-store",method="GET",status="401"}'
    before = values(client, token).get(name, 0)
    for _ in range(3):
        client.get("/object-store/v1/AUTH_nobody")
    after = values(client, token)
    assert after[name] - before == 3
    assert after['kumo_request_seconds_count{api="object-store",method="GET"}'] >= 3
    assert after['kumo_request_seconds_bucket{api="object-store",le="+Inf",method="GET"}'] >= 3
    assert after['kumo_sent_bytes_total{api="object-store"}'] > 0


def test_names_that_clients_make_up_make_no_series(client, token):
    client.generic("BREW", "/nowhere-at-all")
    client.get("/made-up-path")
    found = values(client, token)
    assert not any("made-up" in name or "BREW" in name or "nowhere" in name for name in found)
    assert found['kumo_requests_total{api="web",method="other",status="404"}'] >= 1


@pytest.mark.slow
def test_what_other_processes_counted_is_added(client, token):
    name = 'kumo_requests_total{api="s3",method="PUT",status="299"}'
    before = values(client, token).get(name, 0)
    words = "import django; django.setup(); from apps.core import metrics; "
    words += "metrics.request_done('/s3/b/k', 'PUT', 299, 0.1, 7, 0)"
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "cloud.settings.test"}
    for _ in range(2):  # each is gone when it is counted
        subprocess.run([sys.executable, "-c", words], env=environment, check=True)
    metrics.request_done("/s3/b/k", "PUT", 299, 0.1, 7, 0)
    after = values(client, token)
    assert after[name] - before == 3
    assert after['kumo_received_bytes_total{api="s3"}'] >= 21


def test_a_source_that_fails_hides_no_other(client, token, monkeypatch):
    def broken() -> list[metrics.Gauge]:
        from django.db import OperationalError

        raise OperationalError

    monkeypatch.setattr(metrics, "_sources", [broken, lambda: [metrics.Gauge("kumo_answer", "It.", 42, {"to": "all"})]])
    assert values(client, token)['kumo_answer{to="all"}'] == 42


@pytest.mark.parametrize(("text", "size"), [("", 0), ("12", 12), ("-1", 0), ("1e3", 0), ("９", 0), ("9" * 5000, 0)])
def test_lengths_that_are_none_count_nothing(text, size):
    assert _size(text) == size
