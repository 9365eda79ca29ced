"""Times of the engine, all of them the database's own: when the statement began, as Django's `Now` has it."""

from __future__ import annotations

import datetime

from django.db.models import DateTimeField, ExpressionWrapper, Value
from django.db.models.functions import Now

LEASE_S = 15  # how long an answer may stay away without a sign of life
RENEW_S = 5  # how often a sign of life is sent
RING_S = 5  # a ring that did not arrive within this is repeated by the sweeper
LOOK_S = 15  # a Wait is looked at this often even if nobody rings


def from_now(seconds: float) -> ExpressionWrapper:
    """The database's time in so many seconds."""
    return ExpressionWrapper(Now() + Value(datetime.timedelta(seconds=seconds)), output_field=DateTimeField())
