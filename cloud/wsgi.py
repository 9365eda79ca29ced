"""Entry point of the API and bytes pools. It does not start where objects' bytes are another machine's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cloud.settings.base")
django = get_wsgi_application()

from apps.core.connections import end_with_threads  # noqa: E402 - settings come first
from apps.objectstore.checks import refuse_foreign_disks  # noqa: E402

end_with_threads()
refuse_foreign_disks()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Django's, which reads a path that is no UTF-8 as another; who must tell them apart finds it as it came."""
    environ["kumo.path"] = environ.get("PATH_INFO", "")
    return django(environ, start_response)
