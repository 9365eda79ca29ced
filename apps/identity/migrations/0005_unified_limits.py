"""Limits by service of the catalogue, with ids, regions and descriptions: Keystone's unified limits."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

import apps.identity.states


def carry_over(apps_, schema_editor):
    """Every limit finds the built-in row of its service, which is made where it is missing."""
    former = apps_.get_model("identity", "FormerLimit")
    limits = apps_.get_model("identity", "Limit")
    services = apps_.get_model("identity", "Service")
    for row in former.objects.all():
        service, _ = services.objects.get_or_create(
            pk=apps.identity.states.built_in_id(row.service),
            defaults={"type": row.service, "name": apps.identity.states.service_name(row.service)},
        )
        limits.objects.create(
            project_id=row.project_id,
            user_id=row.user_id,
            service=service,
            resource=row.resource,
            value=row.value,
        )


class Migration(migrations.Migration):
    dependencies = [("identity", "0004_credentials_trusts_oauth_policies")]

    operations = [
        migrations.RemoveConstraint("limit", "identity_limit_once"),
        migrations.RemoveConstraint("limit", "identity_limit_value"),
        migrations.RemoveConstraint("limit", "identity_limit_user_in_project"),
        migrations.RenameModel("Limit", "FormerLimit"),
        migrations.CreateModel(
            name="Limit",
            fields=[
                (
                    "id",
                    models.CharField(
                        default=apps.identity.states.new_id,
                        editable=False,
                        max_length=64,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("user_id", models.CharField(default="", help_text="Empty: everybody together.", max_length=64)),
                ("resource", models.CharField(max_length=255)),
                ("value", models.IntegerField()),
                ("description", models.TextField(null=True)),
                (
                    "project",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="limits",
                        to="identity.project",
                    ),
                ),
                (
                    "region",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="identity.region",
                    ),
                ),
                (
                    "service",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="identity.service"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("project", "user_id", "service", "region", "resource"),
                        name="identity_limit_once",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(condition=models.Q(("value__gte", -1)), name="identity_limit_value"),
                    models.CheckConstraint(
                        condition=models.Q(("user_id", ""), ("project__isnull", False), _connector="OR"),
                        name="identity_limit_user_in_project",
                    ),
                ],
            },
        ),
        migrations.RunPython(carry_over, migrations.RunPython.noop),
        migrations.DeleteModel("FormerLimit"),
    ]
