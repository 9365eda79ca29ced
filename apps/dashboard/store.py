"""Where browser sessions are kept: Django's store in the database, with a digest in place of the key.

One query at the beginning of a page brings the session and its user.
"""

from __future__ import annotations

import datetime
import hashlib
from typing import Any

from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.utils import timezone

from apps.dashboard.models import WebSession
from apps.identity.models import User


def digest(key: str) -> str:
    """How a session's key is stored; 40 characters, as the column takes."""
    return hashlib.sha256(key.encode()).hexdigest()[:40]


class SessionStore(DatabaseStore):
    """`row` is the session as it was found, None for one that is new or was not read yet."""

    row: WebSession | None = None

    @classmethod
    def get_model_class(cls) -> Any:
        return WebSession

    @property
    def user(self) -> User | None:
        """The user it belongs to, read with it."""
        wanted = self.get("user_id")  # reads the session
        return self.row.user if wanted and self.row is not None and self.row.user_id == wanted else None

    def _get_session_from_db(self) -> Any:
        key = self.session_key
        live = WebSession.objects.select_related("user__domain").filter(expire_date__gt=timezone.now())
        self.row = live.filter(session_key=digest(key)).first() if key else None
        if self.row is None:
            self._session_key = None
        return self.row

    def exists(self, session_key: str) -> bool:
        return WebSession.objects.filter(session_key=digest(session_key)).exists()

    def create_model_instance(self, data: dict[str, Any]) -> WebSession:
        opened = data.get("opened_at")
        return WebSession(
            session_key=digest(self._get_or_create_session_key()),  # type: ignore[attr-defined]
            session_data=self.encode(data),
            expire_date=self.get_expiry_date(),
            user_id=data.get("user_id"),
            generation=data.get("generation", 0),
            address=data.get("address"),
            browser=data.get("browser", "")[:255],
            opened_at=datetime.datetime.fromisoformat(opened) if opened else None,
            seen_at=timezone.now(),
        )

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key:
            WebSession.objects.filter(session_key=digest(key)).delete()
