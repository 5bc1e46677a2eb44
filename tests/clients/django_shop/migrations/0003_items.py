"""Make a table that has the deletion column from the start, and use it at once."""

from typing import Any

from django.db import migrations, models


def use(apps: Any, editor: Any) -> None:
    """Make items, delete one, note what is left."""
    item, note = apps.get_model("django_shop", "Item"), apps.get_model("django_shop", "Note")
    user = apps.get_model("django_shop", "User")
    for number in range(3):
        item.objects.create(number=number, owner=user.objects.get(name="ada"))
    item.objects.filter(number=1).delete()
    note.objects.create(
        text=f"items: {list(item.objects.order_by('number').values_list('number', flat=True))}"
    )


class Migration(migrations.Migration):
    """Make the table, with a foreign key and an index."""

    dependencies = [("django_shop", "0002_soft_delete")]
    operations = [
        migrations.CreateModel(
            "Item",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("number", models.IntegerField(db_index=True)),
                ("owner", models.ForeignKey("User", models.DO_NOTHING)),
                ("deleted_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.RunPython(use),
        migrations.AddField("Item", "note", models.TextField(default="x")),
        migrations.RenameField("Item", "number", "position"),
    ]
