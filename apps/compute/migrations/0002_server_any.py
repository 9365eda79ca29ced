"""The view of living and deleted servers together, for `changes-since` and usage."""

from django.db import migrations

COLUMNS = """
    created_at, updated_at, generation, id, user_id, name, hostname, description, state, power, fault, host_name,
    zone, wanted_zone, wanted_host, scheduler_hints, group_id, flavor_id, flavor, vcpus, ram_mib, disk_gib,
    image_id, image, key_name, public_key, user_data_sealed, one_time_sealed, config_drive, metadata, tags,
    device_tags, locked_at, locked_by, locked_reason, access_ipv4, access_ipv6, disk_config, launch_index,
    reservation_id, launched_at, deleting_at
"""


class Migration(migrations.Migration):
    dependencies = [("compute", "0001_initial")]

    operations = [
        migrations.RunSQL(
            f"""
            CREATE VIEW compute_server_any AS
                SELECT {COLUMNS}, project_id, NULL::timestamptz AS deleted_at FROM compute_server
                UNION ALL
                SELECT {COLUMNS}, project_id, deleted_at FROM compute_server_deleted
            """,  # noqa: S608 - columns of this file
            "DROP VIEW compute_server_any",
        ),
    ]
