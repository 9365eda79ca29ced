"""The same cloud with RabbitMQ as its broker: a server's whole life, also while the broker is killed.

`demo` was made by the start itself, so its creation is part of what is tested.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.local import rabbitmq
from tests.kit.cloud import RealCloud, connect, new_cloud
from tests.kit.waiting import until

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def cloud() -> Iterator[RealCloud]:
    with new_cloud("rabbitmq") as made:
        yield made


@pytest.fixture(scope="module")
def demo(cloud: RealCloud) -> Any:
    return connect(cloud, "demo").compute


def becomes(compute: Any, server: Any, status: str) -> None:
    until(lambda: compute.get_server(server.id).status == status)


def test_server_that_the_start_made_has_booted(cloud: RealCloud, demo: Any) -> None:
    server = demo.find_server("demo", ignore_missing=False)
    assert server.status == "ACTIVE"
    until(lambda: "ready demo" in demo.get_server_console_output(server)["output"])
    assert not any("redis" in service.name for service in cloud.supervisor.directories())


def test_server_stops_and_starts(demo: Any) -> None:
    server = demo.find_server("demo", ignore_missing=False)
    demo.stop_server(server)
    becomes(demo, server, "SHUTOFF")
    demo.start_server(server)
    becomes(demo, server, "ACTIVE")


def test_server_is_made_and_deleted_although_the_broker_is_killed(cloud: RealCloud, demo: Any) -> None:
    model = demo.find_server("demo", ignore_missing=False)
    made = demo.create_server(
        name="second",
        image_id=model.image.id,
        flavor_id=demo.find_flavor("m1.nano").id,
        networks=[{"uuid": connect(cloud, "demo").network.find_network("private", ignore_missing=False).id}],
    )
    os.kill(cloud.supervisor.pid_of(rabbitmq.NAME), signal.SIGKILL)
    becomes(demo, made, "ACTIVE")
    demo.delete_server(made)
    until(lambda: demo.find_server(made.id, ignore_missing=True) is None)
    assert f"kumo-{made.id}" not in cloud.host.exec("virsh", "-q", "list", "--all", "--name")
