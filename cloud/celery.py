"""The control worker's entry point: `python -m cloud.celery`."""

from __future__ import annotations

import logging
import os
import sys

import django


def main() -> None:
    """Serve until told to stop."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cloud.settings.base")
    # Sagas may take longer than a page: 60 s a statement, where the web allows 5.
    os.environ["KUMO_STATEMENT_TIMEOUT_S"] = "60"
    django.setup()
    from apps.operations import worker

    code = worker.run()
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)  # a job that does not end must not keep the process; its lease brings it back


if __name__ == "__main__":
    main()
