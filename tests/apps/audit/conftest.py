"""The same cloud and callers as identity's tests have, and the events that were written."""

from tests.apps.identity.conftest import admin, cloud, demo, nobody, nothing_kept, token_of

__all__ = ["admin", "cloud", "demo", "nobody", "nothing_kept", "token_of"]
