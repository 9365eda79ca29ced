"""Settings of real processes that tests start: those of a running cloud, with the demonstration app."""

from cloud.settings.base import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.kit.demo"]  # noqa: F405
