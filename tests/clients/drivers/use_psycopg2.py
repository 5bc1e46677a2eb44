"""psycopg2: libpq with texts alone, named cursors, `execute_values`, COPY files, PREPARE by hand."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2.extras import execute_batch, execute_values

from tests.clients.drivers import harness
from tests.clients.drivers.harness import NAMES, SLEEP
from tests.clients.drivers.losing import Losing

PLACE = harness.address()
DELETE = "DELETE FROM app.users WHERE email = %s"


@contextmanager
def connected(*, autocommit: bool = True) -> Iterator[Any]:
    connection = psycopg2.connect(**PLACE.keywords)
    connection.autocommit = autocommit
    try:
        yield connection
    finally:
        connection.close()


def column(connection: Any, sql: str = NAMES, values: tuple[Any, ...] = ()) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [row[0] for row in cursor.fetchall()]


def count(connection: Any, sql: str, values: tuple[Any, ...] = ()) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        found: int = cursor.rowcount
        return found


def code(connection: Any, sql: str) -> str | None:
    try:
        column(connection, sql)
    except psycopg2.Error as error:
        found: str | None = error.pgcode
        return found
    return None


def connect() -> list[str]:
    with connected() as connection:
        return column(connection)


def crud() -> dict[str, Any]:
    update = "UPDATE app.users SET name = 'Zoë' WHERE id = %s"
    delete = "DELETE FROM app.users WHERE id = %s"
    with connected() as connection, connection.cursor() as cursor:
        values = [("zoe@example.org", "Zoe")]
        insert = "INSERT INTO app.users (email, name) VALUES %s RETURNING id, name"
        ((number, name),) = execute_values(cursor, insert, values, fetch=True)
        return {
            "inserted": name,
            "updated": count(connection, update, (number,)),
            "untouched": count(connection, update, (4,)),
            "returned": column(connection, f"{delete} RETURNING name", (number,)),
            "again": count(connection, delete, (number,)),
            "hidden": count(connection, delete, (4,)),
            "names": column(connection),
        }


def transaction() -> dict[str, Any]:
    with connected(autocommit=False) as connection:
        count(connection, "DELETE FROM app.users WHERE id = 1")
        inside = column(connection)
        count(connection, "SAVEPOINT one")
        refused = code(connection, "TRUNCATE app.users")
        failed = code(connection, NAMES)
        count(connection, "ROLLBACK TO one")
        kept = column(connection)
        connection.rollback()
        return {
            "inside": inside, "refused": refused, "failed": failed, "kept": kept, "after": column(connection),
        }  # fmt: skip


def batch() -> dict[str, Any]:
    # One text of several statements, of which psycopg2 keeps the last one's result; hence a count for each.
    mail = "batch@example.org"
    with connected() as connection, connection.cursor() as cursor:
        execute_batch(cursor, "INSERT INTO app.users (email, name) VALUES (%s, 'Batch')", [(mail,)])
        counts = [cursor.rowcount]
        execute_batch(cursor, DELETE, [("nobody@example.org",), (mail,)])
        counts.append(cursor.rowcount)
        execute_batch(cursor, DELETE, [(mail,), (mail,)])
        return {"counts": [*counts, cursor.rowcount], "names": column(connection)}


def cursor() -> list[str]:
    with connected(autocommit=False) as connection, connection.cursor("named") as found:
        found.itersize = 2
        found.execute("SELECT name FROM app.users WHERE id > %s ORDER BY id", (0,))
        return [name for (name,) in found]


def copy_out() -> str:
    with connected() as connection, connection.cursor() as found:
        file = io.StringIO()
        found.copy_expert("COPY app.users (id, name) TO STDOUT", file)
        return file.getvalue()


def copy_in() -> dict[str, Any]:
    with connected() as connection, connection.cursor() as found:
        file = io.StringIO("copied1@example.org\tOne\ncopied2@example.org\tTwo\n")
        found.copy_expert("COPY app.users (email, name) FROM STDIN", file)
        copied = found.rowcount
        return {
            "copied": copied,
            "deleted": count(connection, "DELETE FROM app.users WHERE email LIKE 'copied%%'", (1,)),
        }


def cancel() -> dict[str, Any]:
    with connected() as connection, connected() as other, ThreadPoolExecutor(1) as pool:
        ended = pool.submit(code, connection, SLEEP)
        LOSING.wait_until_asleep(other, connection.info.backend_pid)
        connection.cancel()
        return {"code": ended.result(), "names": column(connection)}


def prepared() -> dict[str, Any]:
    with connected() as connection, connected() as other:
        count(connection, "PREPARE delete_user (text) AS DELETE FROM app.users WHERE email = $1")
        count(connection, "PREPARE names AS SELECT name FROM app.users ORDER BY id")
        count(connection, "PREPARE star AS SELECT * FROM app.users WHERE id = 1")
        count(connection, "EXECUTE star")
        seen = []

        def look() -> None:
            mail = "prepared@example.org"
            count(connection, "INSERT INTO app.users (email, name) VALUES (%s, 'Prepared')", (mail,))
            seen.append(count(connection, "EXECUTE delete_user (%s)", (mail,)))
            seen.append(count(connection, "EXECUTE names"))

        look()
        count(other, "ALTER TABLE app.users ADD COLUMN more text")
        look()
        changed = code(connection, "EXECUTE star")
        count(other, "ALTER TABLE app.users DROP COLUMN more")
        look()
        return {"seen": seen, "changed": changed}


LOSING = Losing(connected, column, count, code)
STEPS = {
    "connect": connect, "crud": crud, "transaction": transaction, "batch": batch, "cursor": cursor,
    "copy_out": copy_out, "copy_in": copy_in, "cancel": cancel, "prepared": prepared, "reconnect": LOSING.reconnect,
    "restart": LOSING.restart,
}  # fmt: skip

if __name__ == "__main__":
    harness.run(psycopg2.__version__.split()[0], PLACE, STEPS)
