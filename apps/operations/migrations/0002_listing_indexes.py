from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("operations", "0001_initial"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="operation",
            name="operation_subject",
        ),
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(fields=["subject_id", "subject_type", "-created_at"], name="operation_subject"),
        ),
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(fields=["request_id"], name="operation_request"),
        ),
    ]
