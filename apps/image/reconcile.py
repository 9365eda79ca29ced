"""The collector: uploads whose writer died, and files that no image names."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

from django.db import Error, connection

from apps.core.context import system
from apps.core.doctor import doctor_check
from apps.image import services
from apps.operations.registry import daemon

logger = logging.getLogger("kumo.image")

EXPIRE_S = 30
SWEEP_S = 3600


def collect(stop: threading.Event) -> None:
    """Look at uploads often and at the store now and then, until told to stop."""
    swept = 0.0
    while not stop.wait(EXPIRE_S):
        try:
            services.uploads_expire(system())
            if time.monotonic() - swept > SWEEP_S:
                services.store_sweep(system())
                swept = time.monotonic()
        except (Error, OSError):
            logger.exception("image collector failed")
        connection.close()


daemon("image.collect", collect)


@doctor_check("images")
def check_images(repair: bool) -> Iterator[str]:
    """Images without their bytes (nothing can bring these back), and files that no image names."""
    yield from services.bytes_missing(system())
    for name in services.store_sweep(system(), only_tell=not repair):
        yield f"file {name} belongs to no image{': removed' if repair else ''}"
