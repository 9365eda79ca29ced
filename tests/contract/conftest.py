"""What tests with unmodified clients share."""

from __future__ import annotations

from typing import Any

import openstack
import pytest


@pytest.fixture(scope="session")
def account(real_cloud: Any) -> dict[str, str]:
    """The demo project's account in the object store and a token, by the names of the client's environment."""
    config = openstack.config.OpenStackConfig(config_files=[str(real_cloud.clouds)])
    cloud = openstack.connection.Connection(config=config.get_one(cloud="kumo-demo"))
    address = cloud.session.get_endpoint(service_type="object-store", interface="public")
    return {"OS_STORAGE_URL": str(address), "OS_AUTH_TOKEN": str(cloud.auth_token)}
