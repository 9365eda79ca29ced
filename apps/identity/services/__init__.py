"""Writes of identity, one module per noun."""

from apps.identity.services.bootstrap import bootstrap
from apps.identity.services.keys import key_ring_ensured, token_keys_rotate
from apps.identity.services.limits import (
    UNLIMITED,
    limit_get,
    limit_set,
    limits_of,
    limits_register,
    limits_reset,
    quota_claim,
)
from apps.identity.services.tokens import REQUIRED, sign_in, token_issue, token_revoke

__all__ = [
    "REQUIRED",
    "UNLIMITED",
    "bootstrap",
    "key_ring_ensured",
    "limit_get",
    "limit_set",
    "limits_of",
    "limits_register",
    "limits_reset",
    "quota_claim",
    "sign_in",
    "token_issue",
    "token_keys_rotate",
    "token_revoke",
]
