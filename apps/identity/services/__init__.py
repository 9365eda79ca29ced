"""Writes of identity, one module per noun."""

from apps.identity.services.limits import (
    UNLIMITED,
    limit_get,
    limit_set,
    limits_of,
    limits_register,
    limits_reset,
    quota_claim,
)

__all__ = [
    "UNLIMITED",
    "limit_get",
    "limit_set",
    "limits_of",
    "limits_register",
    "limits_reset",
    "quota_claim",
]
