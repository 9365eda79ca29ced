"""Settings of the server that `tests.kit.served` starts."""

from cloud.settings.test import *  # noqa: F403

KUMO_AUTHENTICATION = "tests.kit.served.NamedAuthentication"
