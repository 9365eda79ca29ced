"""What the tokens need: the epoch of cached answers, revocations, keys."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Epoch(models.Model):
    """One row that changes, in the same transaction, with every change that may alter what a token allows.

    A process keeps what it worked out about a token for as long as this value stands still. Values are random, so
    that one which was rolled back never comes again with another meaning.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    value = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="identity_epoch_one_row")]

    def __str__(self) -> str:
        return str(self.value)


class RevokedToken(models.Model):
    """The audit id of a token that was ended before its time; kept until it would have expired anyway."""

    audit_id = models.CharField(primary_key=True, max_length=32)
    expires_at = models.DateTimeField(db_index=True)
    revoked_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return self.audit_id


class WrappedKey(models.Model):
    """A Fernet key, encrypted with the master key. The one that is not retired seals, a retired one only opens."""

    id = models.BigAutoField(primary_key=True)
    wrapped = models.BinaryField()
    retired_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"


class TokenKey(WrappedKey):
    """A key of tokens; a retired one is kept until the last token made with it has expired."""

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["retired_at"], nulls_distinct=False, name="identity_token_key_one_in_use")
        ]


class CredentialKey(WrappedKey):
    """A key of stored secrets: credentials, OAuth consumers and their tokens."""

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["retired_at"], nulls_distinct=False, name="identity_credential_key_one_in_use"
            )
        ]
