"""Telling every process that what it knows about tokens may be out of date."""

from apps.identity.selectors.epoch import change_epoch

__all__ = ["change_epoch"]
