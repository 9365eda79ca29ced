import uuid

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import apps.hosts.states


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="EnrolToken",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("host_name", models.CharField(max_length=63)),
                ("zone", models.CharField(default="nova", max_length=255)),
                ("digest", models.CharField(max_length=64, unique=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("expires_at", models.DateTimeField()),
                ("used_at", models.DateTimeField(null=True)),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Host",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("updated_at", models.DateTimeField(editable=False, null=True)),
                ("generation", models.PositiveIntegerField(default=1)),
                ("number", models.PositiveIntegerField(editable=False, unique=True)),
                ("name", models.CharField(max_length=63, unique=True)),
                ("zone", models.CharField(default="nova", max_length=255)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            (apps.hosts.states.HostState["ENROLLED"], apps.hosts.states.HostState["ENROLLED"]),
                            (apps.hosts.states.HostState["UP"], apps.hosts.states.HostState["UP"]),
                            (apps.hosts.states.HostState["DOWN"], apps.hosts.states.HostState["DOWN"]),
                        ],
                        default=apps.hosts.states.HostState["ENROLLED"],
                        max_length=16,
                    ),
                ),
                (
                    "mode",
                    models.CharField(
                        choices=[
                            (apps.hosts.states.HostMode["ENABLED"], apps.hosts.states.HostMode["ENABLED"]),
                            (apps.hosts.states.HostMode["DISABLED"], apps.hosts.states.HostMode["DISABLED"]),
                            (apps.hosts.states.HostMode["DRAINING"], apps.hosts.states.HostMode["DRAINING"]),
                        ],
                        default=apps.hosts.states.HostMode["ENABLED"],
                        max_length=16,
                    ),
                ),
                ("mode_reason", models.CharField(blank=True, default="", max_length=255)),
                ("mode_changed_at", models.DateTimeField(null=True)),
                ("state_changed_at", models.DateTimeField(null=True)),
                ("vcpus", models.PositiveIntegerField(default=0)),
                ("ram_mib", models.PositiveIntegerField(default=0)),
                ("disk_gib", models.PositiveIntegerField(default=0)),
                ("disk_free_gib", models.PositiveIntegerField(default=0)),
                ("capacity_vcpus", models.PositiveIntegerField(default=0)),
                ("capacity_ram_mib", models.PositiveIntegerField(default=0)),
                ("capacity_disk_gib", models.PositiveIntegerField(default=0)),
                ("used_vcpus", models.PositiveIntegerField(default=0)),
                ("used_ram_mib", models.PositiveIntegerField(default=0)),
                ("used_disk_gib", models.PositiveIntegerField(default=0)),
                ("facts", models.JSONField(default=dict)),
                ("chassis", models.CharField(blank=True, default="", max_length=255)),
                ("boot_id", models.CharField(blank=True, default="", max_length=64)),
                ("last_seen_at", models.DateTimeField(null=True)),
                ("clock_skew_s", models.FloatField(default=0.0)),
                ("certificate_serial", models.CharField(max_length=64)),
                ("certificate_expires_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("used_vcpus__gte", 0)), name="hosts_host_used_vcpus"),
                    models.CheckConstraint(condition=models.Q(("used_ram_mib__gte", 0)), name="hosts_host_used_ram"),
                    models.CheckConstraint(condition=models.Q(("used_disk_gib__gte", 0)), name="hosts_host_used_disk"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Claim",
            fields=[
                ("consumer_id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("project_id", models.CharField(max_length=64)),
                ("vcpus", models.PositiveIntegerField()),
                ("ram_mib", models.PositiveIntegerField()),
                ("disk_gib", models.PositiveIntegerField()),
                ("decision", models.JSONField(default=dict)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "host",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.RESTRICT, related_name="claims", to="hosts.host"
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["project_id"], name="hosts_claim_project")],
            },
        ),
    ]
