"""Settings of the bytes pool."""

from cloud.settings.base import *  # noqa: F403

ROOT_URLCONF = "cloud.bytes_urls"

KUMO_KEEPS_TOGETHER = True
