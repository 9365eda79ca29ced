from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("identity", "0008_listing_indexes"),
        ("network", "0002_port_server"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="port",
            name="network_port_mac",
        ),
        migrations.AddIndex(
            model_name="floatingip",
            index=models.Index(fields=["created_at", "id"], name="network_floating_age"),
        ),
        migrations.AddIndex(
            model_name="floatingip",
            index=models.Index(fields=["floating_ip_address"], name="network_floating_address"),
        ),
        migrations.AddIndex(
            model_name="network",
            index=models.Index(fields=["created_at", "id"], name="network_network_age"),
        ),
        migrations.AddIndex(
            model_name="network",
            index=models.Index(fields=["name"], name="network_network_name"),
        ),
        migrations.AddIndex(
            model_name="network",
            index=models.Index(
                condition=models.Q(("shared", True), ("external", True), _connector="OR"),
                fields=["created_at"],
                name="network_for_all",
            ),
        ),
        migrations.AddIndex(
            model_name="port",
            index=models.Index(fields=["created_at", "id"], name="network_port_age"),
        ),
        migrations.AddIndex(
            model_name="port",
            index=models.Index(fields=["name"], name="network_port_name"),
        ),
        migrations.AddIndex(
            model_name="router",
            index=models.Index(fields=["created_at", "id"], name="network_router_age"),
        ),
        migrations.AddIndex(
            model_name="router",
            index=models.Index(fields=["name"], name="network_router_name"),
        ),
        migrations.AddIndex(
            model_name="securitygroup",
            index=models.Index(fields=["created_at", "id"], name="network_group_age"),
        ),
        migrations.AddIndex(
            model_name="securitygroup",
            index=models.Index(fields=["name"], name="network_group_name"),
        ),
        migrations.AddIndex(
            model_name="securitygrouprule",
            index=models.Index(fields=["project", "created_at"], name="network_rule_project"),
        ),
        migrations.AddIndex(
            model_name="securitygrouprule",
            index=models.Index(fields=["created_at", "id"], name="network_rule_age"),
        ),
        migrations.AddIndex(
            model_name="subnet",
            index=models.Index(fields=["created_at", "id"], name="network_subnet_age"),
        ),
        migrations.AddIndex(
            model_name="subnet",
            index=models.Index(fields=["name"], name="network_subnet_name"),
        ),
        migrations.AddConstraint(
            model_name="port",
            constraint=models.UniqueConstraint(fields=("mac_address", "network"), name="network_port_mac"),
        ),
    ]
