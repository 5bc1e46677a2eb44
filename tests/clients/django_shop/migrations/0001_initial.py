"""Users that are marked as removed by a date of their own, and notes of what later migrations saw."""

from typing import Any

from django.db import migrations, models


def fill(apps: Any, editor: Any) -> None:
    """Make three users, one of them removed."""
    apps.get_model("django_shop", "User").objects.bulk_create(
        apps.get_model("django_shop", "User")(name=name, removed=removed)
        for name, removed in (("ada", None), ("bob", "2026-01-01T00:00Z"), ("cyd", None))
    )


class Migration(migrations.Migration):
    """Make the tables."""

    operations = [
        migrations.CreateModel(
            "User",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("name", models.TextField()),
                ("removed", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            "Note", [("id", models.BigAutoField(primary_key=True)), ("text", models.TextField())]
        ),
        migrations.RunPython(fill),
    ]
