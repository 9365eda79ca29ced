"""Migrations are complete, and each app's history is a line."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db.migrations.loader import MigrationLoader


@pytest.mark.slow  # the stage `static` asks the same
@pytest.mark.django_db
def test_models_and_migrations_agree() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_histories_are_linear() -> None:
    loader = MigrationLoader(None, ignore_no_migrations=True)
    labels = {config.label for config in apps.get_app_configs() if config.name.startswith("apps.")}
    for label in labels:
        assert len(loader.graph.leaf_nodes(label)) <= 1, f"{label} has two newest migrations"


def test_migrations_say_what_they_do() -> None:
    loader = MigrationLoader(None, ignore_no_migrations=True)
    automatic = [name for app, name in loader.disk_migrations if "_auto_" in name and app != "sessions"]
    assert automatic == []
