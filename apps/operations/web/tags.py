"""Filters with which other apps' templates show operations."""

from __future__ import annotations

from django import template

from apps.operations.web import words
from apps.operations.web.views import actor

register = template.Library()

register.filter("operation_title", words.title)
register.filter("operation_badge", words.badge)
register.filter("operation_doing", words.doing)
register.filter("operation_took", words.took)
register.filter("operation_actor", actor)
