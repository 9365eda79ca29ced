"""Containers that were made before there were buckets claim their names, the oldest first."""

from django.db import migrations

CLAIMS = r"""
INSERT INTO objectstore_bucket (name, container_id, lock_enabled, documents)
SELECT DISTINCT ON (c.name) c.name, c.id, false, '{}'::jsonb FROM objectstore_container c
WHERE length(c.name) BETWEEN 3 AND 63
  AND c.name ~ '^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$'
  AND c.name !~ '^(xn--|[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$)'
ORDER BY c.name, c.created_at, c.id
"""


class Migration(migrations.Migration):
    dependencies = [("objectstore", "0005_upload_of_object")]

    operations = [migrations.RunSQL(CLAIMS, migrations.RunSQL.noop)]
