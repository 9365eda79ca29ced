from django.db import migrations

MAKE = """
CREATE INDEX audit_event_global_request ON audit_event (global_request_id) WHERE global_request_id <> '';
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0002_burst")]

    operations = [migrations.RunSQL(MAKE, "DROP INDEX audit_event_global_request;")]
