import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("compute", "0005_listing_indexes"),
        ("identity", "0008_listing_indexes"),
    ]

    operations = [
        migrations.AlterField(
            model_name="server",
            name="project",
            field=models.ForeignKey(
                db_column="project_id",
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.RESTRICT,
                related_name="+",
                to="identity.project",
            ),
        ),
        migrations.AlterField(
            model_name="servergroup",
            name="project",
            field=models.ForeignKey(
                db_column="project_id",
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.RESTRICT,
                related_name="+",
                to="identity.project",
            ),
        ),
    ]
