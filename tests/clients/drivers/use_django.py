"""Django: its ORM with savepoints, server-side cursors and prefetching, and the admin with its own tables."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import django
from django.conf import settings

from tests.clients.drivers import harness
from tests.clients.drivers.harness import PID, SLEEP

PLACE = harness.address()
APP = "tests.clients.drivers.django_app"
CONTRIB = ["admin", "auth", "contenttypes", "sessions", "messages"]
MIDDLEWARE = ["sessions.middleware.SessionMiddleware", "auth.middleware.AuthenticationMiddleware",
              "messages.middleware.MessageMiddleware"]  # fmt: skip
PROCESSORS = ["template.context_processors.request", "contrib.auth.context_processors.auth",
              "contrib.messages.context_processors.messages"]  # fmt: skip


def configure() -> None:
    """Set Django up; its settings are global to the process."""
    words = PLACE.keywords
    tls = {key: words[key] for key in ("sslmode", "sslrootcert") if key in words}
    database: dict[str, Any] = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": PLACE.host,
        "PORT": PLACE.port,
        "NAME": PLACE.database,
        "USER": PLACE.user,
        "PASSWORD": PLACE.password or "",
        "OPTIONS": {**tls, "options": "-c search_path=app"},
    }
    settings.configure(
        DATABASES={"default": database},
        INSTALLED_APPS=[*(f"django.contrib.{name}" for name in CONTRIB), APP],
        MIDDLEWARE=[f"django.contrib.{name}" for name in MIDDLEWARE],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {"context_processors": [f"django.{name}" for name in PROCESSORS]},
            }
        ],
        ROOT_URLCONF=f"{APP}.urls",
        STATIC_URL="/static/",
        SECRET_KEY="for tests alone",
        ALLOWED_HOSTS=["testserver"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        # The cheapest there is: the test is not about passwords.
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    )
    django.setup()


configure()

from django.core.management import call_command  # noqa: E402 (Django must be set up first)
from django.db import Error, close_old_connections, connection, transaction  # noqa: E402
from django.test import Client  # noqa: E402

from tests.clients.drivers.django_app.models import Order, User  # noqa: E402


def names() -> list[str]:
    return list(User.objects.order_by("id").values_list("name", flat=True))


def value(sql: str, *values: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchone()[0]


def code(work: Callable[[], Any]) -> str | None:
    try:
        work()
    except Error as error:
        return str(getattr(error.__cause__, "sqlstate", error))
    return None


def truncate() -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE app.users")


def crud() -> dict[str, Any]:
    user = User.objects.create(email="zoe@example.org", name="Zoe")
    return {
        "inserted": User.objects.get(pk=user.pk).name,
        "updated": User.objects.filter(pk=user.pk).update(name="Zoë"),
        "untouched": User.objects.filter(pk=4).update(name="Zoë"),
        "deleted": user.delete()[0],
        "again": User.objects.filter(pk=user.pk or 0).delete()[0],
        "hidden": User.objects.filter(pk=4).delete()[0],
        "names": names(),
    }


class Undo(Exception):
    """Raised to leave a transaction."""


def in_transaction() -> dict[str, Any]:
    seen: dict[str, Any] = {}
    try:
        with transaction.atomic():
            User.objects.get(pk=1).delete()
            seen["inside"] = names()
            try:
                with transaction.atomic():
                    seen["refused"] = code(truncate)
                    seen["failed"] = code(names)
                    raise Undo
            except Undo:
                seen["kept"] = names()
            raise Undo
    except Undo:
        return {**seen, "after": names()}


def batch() -> dict[str, Any]:
    made = User.objects.bulk_create([User(email="batch@example.org", name="Batch")])
    found = User.objects.filter(email="batch@example.org")
    return {"counts": [len(made), found.delete()[0], found.delete()[0]], "names": names()}


def cursor() -> list[str]:
    return [user.name for user in User.objects.filter(pk__gt=0).order_by("id").iterator(chunk_size=2)]


def cancel() -> dict[str, Any]:
    started: SimpleQueue[Any] = SimpleQueue()

    def asleep() -> str | None:
        connection.ensure_connection()
        started.put(connection.connection)
        try:
            return code(lambda: value(SLEEP))
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(asleep)
        other = started.get()
        query = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
        while value(query, other.info.backend_pid) == 0:
            pass
        other.cancel_safe()
        return {"code": ended.result(), "names": names()}


def relations() -> list[Any]:
    users = User.objects.prefetch_related("orders").order_by("id")
    return [[user.name, sorted(order.pk for order in user.orders.all())] for user in users]


def admin() -> dict[str, Any]:
    """Make the admin's own tables, then list, search, open and delete as a person would."""
    from django.contrib.auth.models import User as Account

    call_command("migrate", verbosity=0)
    client = Client()
    client.force_login(Account.objects.create_superuser("root"))
    user = User.objects.create(email="zoe@example.org", name="Zoe")
    order = Order.objects.create(user=user)
    url = "/admin/django_app/user/"
    chosen = {"action": "delete_selected", "_selected_action": [user.pk, 4]}
    asked = client.post(url, chosen).content.decode()
    done = client.post(url, {**chosen, "post": "yes"}, follow=True).content.decode()
    return {
        "asked": sorted(set(re.findall(r"user ([A-Z]\w+)", asked))),
        "said": re.findall(r"Successfully deleted (\d)", done),
        "listed": re.findall(r'field-name"><a [^>]*>(\w+)<', client.get(url).content.decode()),
        "searched": re.findall(r'field-name"><a [^>]*>(\w+)<', client.get(f"{url}?q=d").content.decode()),
        "orders": Order.objects.filter(pk=order.pk).count(),
        "opened": [client.get(f"{url}{number}/change/").status_code for number in (1, 4)],
    }


def lost(end: Callable[[int], Any]) -> dict[str, Any]:
    """Lose the session, and go on as Django does between requests."""
    before = value(PID)
    end(before)

    def again() -> dict[str, Any]:
        close_old_connections()
        return {"replaced": value(PID) != before, "names": names()}

    return harness.insist(again)


def terminate(pid: int) -> None:
    def work() -> None:
        value("SELECT pg_terminate_backend(%s, 20000)", pid)
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


STEPS: dict[str, Callable[[], Any]] = {
    "connect": names, "crud": crud, "transaction": in_transaction, "batch": batch, "cursor": cursor,
    "cancel": cancel, "relations": relations, "admin": admin, "reconnect": lambda: lost(terminate),
    "restart": lambda: lost(lambda pid: harness.restarted()),
}  # fmt: skip

if __name__ == "__main__":
    harness.run(django.__version__, PLACE, STEPS)
