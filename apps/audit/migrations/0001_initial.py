"""The table of events with its partitions, which only SQL can make, and the functions that look after them."""

import django.contrib.postgres.fields
from django.db import migrations, models

TABLE = """
CREATE TABLE audit_event (
    at timestamptz NOT NULL DEFAULT now(),
    id uuid NOT NULL,
    action text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('success', 'failure')),
    code smallint NOT NULL,
    reason text NOT NULL,
    rule text NOT NULL,
    user_id text NOT NULL,
    user_name text NOT NULL,
    user_domain_id text NOT NULL,
    scope text NOT NULL,
    scope_id text NOT NULL,
    roles text[] NOT NULL,
    credential text NOT NULL,
    token_id text NOT NULL,
    address inet,
    agent text NOT NULL,
    request_id text NOT NULL,
    global_request_id text NOT NULL,
    project_id text NOT NULL,
    target_type text NOT NULL,
    target_id text NOT NULL,
    target_name text NOT NULL,
    before jsonb,
    after jsonb,
    arguments jsonb NOT NULL,
    PRIMARY KEY (at, id)
) PARTITION BY RANGE (at);
CREATE INDEX audit_event_id ON audit_event (id);
CREATE INDEX audit_event_project ON audit_event (project_id, at);
CREATE INDEX audit_event_user ON audit_event (user_id, at);
CREATE INDEX audit_event_target ON audit_event (target_id, at);
CREATE INDEX audit_event_request ON audit_event (request_id);

CREATE FUNCTION audit_event_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only: % of % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE ON audit_event
    FOR EACH ROW EXECUTE FUNCTION audit_event_refuse();
CREATE TRIGGER audit_event_no_truncate BEFORE TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION audit_event_refuse();

-- One partition; the trigger of rows comes from the table above, that of TRUNCATE does not.
CREATE FUNCTION audit_partition_make(name text, bounds text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I PARTITION OF audit_event %s', name, bounds);
    EXECUTE format('CREATE TRIGGER audit_event_no_truncate BEFORE TRUNCATE ON %I '
                   'FOR EACH STATEMENT EXECUTE FUNCTION audit_event_refuse()', name);
END $$;

CREATE FUNCTION audit_partition_of(month timestamptz) RETURNS text LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    name text := 'audit_event_' || to_char(month, 'YYYY_MM');
BEGIN
    IF to_regclass(name) IS NOT NULL THEN
        RETURN NULL;
    END IF;
    PERFORM audit_partition_make(
        name, format('FOR VALUES FROM (%L) TO (%L)', month, month + interval '1 month'));
    RETURN name;
END $$;

-- Partitions from the present month on. Events of a month that had none lie in the default partition: they move.
CREATE FUNCTION audit_partitions_make(ahead integer) RETURNS text[] LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    made text[] := '{}';
    month timestamptz;
    homeless boolean;
BEGIN
    SELECT EXISTS (SELECT FROM audit_event_default) INTO homeless;
    IF homeless THEN
        ALTER TABLE audit_event DETACH PARTITION audit_event_default;
        ALTER TABLE audit_event_default RENAME TO audit_event_homeless;
        PERFORM audit_partition_make('audit_event_default', 'DEFAULT');
        FOR month IN SELECT DISTINCT date_trunc('month', at) FROM audit_event_homeless ORDER BY 1 LOOP
            made := made || audit_partition_of(month);
        END LOOP;
        INSERT INTO audit_event SELECT * FROM audit_event_homeless;
        DROP TABLE audit_event_homeless;
    END IF;
    FOR step IN 0..ahead LOOP
        made := made || audit_partition_of(date_trunc('month', now()) + step * interval '1 month');
    END LOOP;
    RETURN array_remove(made, NULL);
END $$;

CREATE FUNCTION audit_partitions_drop(keep integer) RETURNS text[] LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    oldest text := 'audit_event_' || to_char(date_trunc('month', now()) - keep * interval '1 month', 'YYYY_MM');
    dropped text[] := '{}';
    name text;
BEGIN
    FOR name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'audit_event'::regclass AND c.relname ~ '^audit_event_[0-9]{4}_[0-9]{2}$'
          AND c.relname < oldest ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE %I', name);
        dropped := dropped || name;
    END LOOP;
    RETURN dropped;
END $$;

SELECT audit_partition_make('audit_event_default', 'DEFAULT');
SELECT audit_partitions_make(3);
"""

NO_TABLE = """
DROP TABLE audit_event;
DROP FUNCTION audit_partitions_drop, audit_partitions_make, audit_partition_of, audit_partition_make, audit_event_refuse;
"""


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Event",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "at", "id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("at", models.DateTimeField()),
                ("id", models.UUIDField()),
                ("action", models.CharField(max_length=128)),
                (
                    "outcome",
                    models.CharField(choices=[("success", "success"), ("failure", "failure")], max_length=16),
                ),
                ("code", models.PositiveSmallIntegerField(default=0)),
                ("reason", models.TextField(default="")),
                ("rule", models.CharField(default="", max_length=128)),
                ("user_id", models.CharField(default="", max_length=255)),
                ("user_name", models.CharField(default="", max_length=255)),
                ("user_domain_id", models.CharField(default="", max_length=64)),
                ("scope", models.CharField(default="", max_length=16)),
                ("scope_id", models.CharField(default="", max_length=64)),
                (
                    "roles",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=255), default=list, size=None
                    ),
                ),
                ("credential", models.CharField(default="", max_length=128)),
                ("token_id", models.CharField(default="", max_length=64)),
                ("address", models.GenericIPAddressField(null=True)),
                ("agent", models.CharField(default="", max_length=256)),
                ("request_id", models.CharField(default="", max_length=64)),
                ("global_request_id", models.CharField(default="", max_length=64)),
                ("project_id", models.CharField(default="", max_length=64)),
                ("target_type", models.CharField(default="", max_length=64)),
                ("target_id", models.CharField(default="", max_length=255)),
                ("target_name", models.CharField(default="", max_length=255)),
                ("before", models.JSONField(null=True)),
                ("after", models.JSONField(null=True)),
                ("arguments", models.JSONField(default=dict)),
            ],
            options={"db_table": "audit_event", "managed": False},
        ),
        migrations.RunSQL(TABLE, NO_TABLE),
    ]
