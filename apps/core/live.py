"""Tells open pages that something changed.

A change is announced by NOTIFY inside the transaction that makes it, so it is heard exactly when it is true.
Only ids travel: whoever listens asks for the thing again and is shown what they may see.
"""

from __future__ import annotations

import json

CHANNEL = "kumo_live"
EVERYBODY = "*"  # in place of a project: what all may see, such as flavors and public images


def notify(project_id: str, kind: str, ident: object) -> None:
    """Announce that the thing `kind` `ident` of the project changed.

    An empty project means operators only, `EVERYBODY` all who have a page open.

    PostgreSQL drops repeats within one transaction.
    """
    from django.db import connection  # the live process reads CHANNEL without Django

    payload = json.dumps({"project": project_id, "kind": kind, "id": str(ident)}, separators=(",", ":"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))
