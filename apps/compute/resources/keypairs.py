"""What the API shows and takes of key pairs."""

from __future__ import annotations

from apps.compute.states import KeyType
from apps.core.api import types as t
from apps.core.api.resource import CREATE, CREATED, DETAIL, SHOW, F, Resource

NAME_OLD = t.text(255, least=1, pattern=r"^[a-zA-Z0-9\-_ ]+$")
NAME_NEW = t.text(255, least=1, pattern=r"^[a-zA-Z0-9\-_ @.]+$")  # since 2.92

KEY_PAIR = Resource(
    "keypair",
    "keypairs",
    (
        F("name", on=(DETAIL, SHOW, CREATED), sort="name"),
        F("public_key", on=(DETAIL, SHOW, CREATED)),
        F("fingerprint", on=(DETAIL, SHOW, CREATED)),
        F("type", on=(DETAIL, SHOW, CREATED), since=(2, 2)),
        F("user_id", on=(SHOW, CREATED)),
        F("id", on=(SHOW,)),
        F("created_at", t.time_micros, on=(SHOW,)),
        F("updated_at", value=lambda row, env: None, on=(SHOW,)),
        F("deleted_at", value=lambda row, env: None, on=(SHOW,)),
        F("deleted", value=lambda row, env: False, on=(SHOW,)),
        F("name", NAME_OLD, on=(CREATE,), required=True, until=(2, 91)),
        F("name", NAME_NEW, on=(CREATE,), required=True, since=(2, 92)),
        F("public_key", t.text(65_535), on=(CREATE,), until=(2, 91)),
        F("public_key", t.text(65_535), on=(CREATE,), required=True, since=(2, 92)),
        F("type", t.enum(KeyType), on=(CREATE,), since=(2, 2)),
        F("user_id", t.text(64, least=1), on=(CREATE,), since=(2, 10)),
    ),
    default_sort=("name",),
    noun="key pair",
    key="name",
)
