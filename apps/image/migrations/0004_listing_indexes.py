from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("image", "0003_metadata_definitions"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="image",
            index=models.Index(fields=["name"], name="image_image_name"),
        ),
    ]
