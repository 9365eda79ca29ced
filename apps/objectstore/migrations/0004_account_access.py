"""Who else may use an account, when it was closed, and how fast requests may come."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("objectstore", "0003_versions_buckets_uploads")]

    operations = [
        migrations.CreateModel(
            name="Rate",
            fields=[
                ("key", models.TextField(primary_key=True, serialize=False)),
                ("due_at", models.DateTimeField()),
            ],
        ),
        migrations.RunSQL("ALTER TABLE objectstore_rate SET UNLOGGED", migrations.RunSQL.noop),
        migrations.AddField("account", "access", models.JSONField(default=dict)),
        migrations.AddField("account", "deleted_at", models.DateTimeField(null=True)),
    ]
