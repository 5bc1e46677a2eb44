"""psycopg 3: server-side parameters, its pipeline, named cursors, COPY objects, statements that it prepares itself."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg

from tests.clients.drivers import harness
from tests.clients.drivers.harness import NAMES, SLEEP
from tests.clients.drivers.losing import Losing

PLACE = harness.address()
INSERT = "INSERT INTO app.users (email, name) VALUES (%s, %s) RETURNING id, name"
DELETE = "DELETE FROM app.users WHERE email = %s"

Connection = psycopg.Connection[tuple[Any, ...]]


@contextmanager
def connected(*, autocommit: bool = True, **more: Any) -> Iterator[Connection]:
    connection = psycopg.connect(**PLACE.keywords, autocommit=autocommit, **more)
    try:
        yield connection
    finally:
        connection.close()


def column(connection: Connection, sql: str = NAMES, values: tuple[Any, ...] = ()) -> list[Any]:
    return [row[0] for row in connection.execute(sql.encode(), values or None)]


def count(connection: Connection, sql: str, values: tuple[Any, ...] = ()) -> int:
    return connection.execute(sql.encode(), values or None).rowcount


def code(connection: Connection, sql: str) -> str | None:
    try:
        connection.execute(sql.encode())
    except psycopg.Error as error:
        return error.sqlstate
    return None


def connect() -> list[str]:
    with connected() as connection:
        return column(connection)


def crud() -> dict[str, Any]:
    update = "UPDATE app.users SET name = 'Zoë' WHERE id = %s"
    delete = "DELETE FROM app.users WHERE id = %s"
    with connected() as connection:
        number, name = connection.execute(INSERT, ("zoe@example.org", "Zoe")).fetchone() or (0, "")
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
    with connected() as connection:
        with connection.transaction(force_rollback=True):
            count(connection, "DELETE FROM app.users WHERE id = 1")
            inside = column(connection)
            with connection.transaction(force_rollback=True):
                refused = code(connection, "TRUNCATE app.users")
                failed = code(connection, NAMES)
            kept = column(connection)
        return {
            "inside": inside, "refused": refused, "failed": failed, "kept": kept, "after": column(connection),
        }  # fmt: skip


def batch() -> dict[str, Any]:
    mail = "batch@example.org"
    with connected() as connection, connection.pipeline():
        sent = [connection.execute(INSERT, (mail, "Batch"))]
        sent += [connection.execute(DELETE, (mail,)) for _ in range(2)]
        names = column(connection)  # which waits for the answers to all
        return {"counts": [one.rowcount for one in sent], "names": names}


def cursor() -> list[str]:
    with connected(autocommit=False) as connection, connection.cursor("named") as found:
        found.itersize = 2
        found.execute("SELECT name FROM app.users WHERE id > %s ORDER BY id", (0,))
        return [name for (name,) in found]


def copy_out() -> str:
    sql = "COPY app.users (id, name) TO STDOUT"
    with connected() as connection, connection.cursor() as found, found.copy(sql) as data:
        return b"".join(map(bytes, data)).decode()


def copy_in() -> dict[str, Any]:
    with connected() as connection, connection.cursor() as found:
        with found.copy("COPY app.users (email, name) FROM STDIN") as data:
            for row in (("copied1@example.org", "One"), ("copied2@example.org", "Two")):
                data.write_row(row)
        copied = found.rowcount
        return {
            "copied": copied,
            "deleted": count(connection, "DELETE FROM app.users WHERE email LIKE 'copied%'"),
        }


def cancel() -> dict[str, Any]:
    with connected() as connection, connected() as other, ThreadPoolExecutor(1) as pool:
        ended = pool.submit(code, connection, SLEEP)
        LOSING.wait_until_asleep(other, connection.info.backend_pid)
        connection.cancel_safe(timeout=harness.SECONDS)
        return {"code": ended.result(), "names": column(connection)}


def prepared() -> dict[str, Any]:
    with connected(prepare_threshold=0) as connection, connected() as other:
        star = "SELECT * FROM app.users WHERE id = 1"
        count(connection, star)
        seen = []

        def look() -> None:
            mail = "prepared@example.org"
            count(connection, INSERT, (mail, "Prepared"))
            seen.append(count(connection, DELETE, (mail,)))
            seen.append(len(column(connection)))

        look()
        count(other, "ALTER TABLE app.users ADD COLUMN more text")
        look()
        changed = code(connection, star)
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
    harness.run(psycopg.__version__, PLACE, STEPS)
