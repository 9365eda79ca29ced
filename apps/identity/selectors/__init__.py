"""Reads of identity, one module per noun."""

from apps.identity.selectors.catalog import catalog, endpoint_url
from apps.identity.selectors.epoch import pulse
from apps.identity.selectors.roles import RoleName, effective_roles
from apps.identity.selectors.sessions import Session, forget, session_of, sessions_of, web_context

__all__ = [
    "RoleName",
    "Session",
    "catalog",
    "effective_roles",
    "endpoint_url",
    "forget",
    "pulse",
    "session_of",
    "sessions_of",
    "web_context",
]
