from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("compute", "0004_server_password"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="serverdeleted",
            index=models.Index(fields=["-created_at", "-id"], name="compute_server_deleted_newest"),
        ),
    ]
