"""Give users the deletion column, and rely on it in the same transaction."""

from typing import Any

from django.db import migrations, models, transaction


def mark(apps: Any, editor: Any) -> None:
    """Delete softly who was removed, and note who is left."""
    user, note = apps.get_model("django_shop", "User"), apps.get_model("django_shop", "Note")
    user.objects.filter(removed__isnull=False).update(deleted_at=models.F("removed"))
    left = user.objects.order_by("id").values_list("name", flat=True)
    note.objects.create(text=f"left: {', '.join(left)}")
    try:
        with transaction.atomic():
            user.objects.all().delete()
            raise RuntimeError
    except RuntimeError:
        note.objects.create(text=f"after the savepoint: {user.objects.count()}")
    note.objects.create(text=f"deleted: {user.objects.filter(name='cyd').delete()[0]}")


class Migration(migrations.Migration):
    """Add the column."""

    dependencies = [("django_shop", "0001_initial")]
    operations = [
        migrations.AddField("User", "deleted_at", models.DateTimeField(null=True)),
        migrations.RunPython(mark),
    ]
