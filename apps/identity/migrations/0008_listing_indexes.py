from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("identity", "0007_federation"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="group",
            index=models.Index(fields=["name"], name="identity_group_by_name"),
        ),
        migrations.AddIndex(
            model_name="project",
            index=models.Index(fields=["name"], name="identity_project_by_name"),
        ),
        migrations.AddIndex(
            model_name="user",
            index=models.Index(fields=["name"], name="identity_user_by_name"),
        ),
    ]
