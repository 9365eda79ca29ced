import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("identity", "0008_listing_indexes"),
    ]

    operations = [
        migrations.AlterField(
            model_name="credential",
            name="user",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="credentials",
                to="identity.user",
            ),
        ),
        migrations.AlterField(
            model_name="group",
            name="domain",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.RESTRICT, related_name="+", to="identity.project"
            ),
        ),
        migrations.AlterField(
            model_name="limit",
            name="project",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="limits",
                to="identity.project",
            ),
        ),
        migrations.AlterField(
            model_name="user",
            name="domain",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.RESTRICT, related_name="+", to="identity.project"
            ),
        ),
    ]
