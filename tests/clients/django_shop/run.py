"""Run `migrate` and print the notes as JSON: a process of its own, for Django's settings are global.

The arguments are host, port, database and user.
"""

import json
import sys

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection


def main() -> None:
    """Migrate forth, and print what the migrations have noted."""
    host, port, name, user = sys.argv[1:]
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": host,
        "PORT": port,
        "NAME": name,
        "USER": user,
    }
    settings.configure(
        DATABASES={"default": database},
        INSTALLED_APPS=["tests.clients.django_shop"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT text FROM django_shop_note ORDER BY id")
        notes = [text for (text,) in cursor.fetchall()]
        cursor.execute("SELECT name FROM django_shop_user ORDER BY id")
        users = [name for (name,) in cursor.fetchall()]
    print(json.dumps({"notes": notes, "users": users}))


if __name__ == "__main__":
    main()
