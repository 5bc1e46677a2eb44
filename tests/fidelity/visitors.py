"""What each client does when it visits a database: its own ways to ask, over tables that nobody protects.

Each visitor takes where to connect and returns what its user sees. Knows no proxy.
"""

import asyncio
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import asyncpg
import psycopg
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import create_async_engine

from tests.clients import test_psql
from tests.clients.shop import Target
from tests.clients.terminal import ENVIRONMENT
from tests.servers import find_programs

Seen = list[object]
Visitor = Callable[[Target], Seen]

SCHEMA = """
CREATE SCHEMA app;
CREATE TABLE app.users (id int PRIMARY KEY, name text, deleted_at timestamptz);
CREATE TABLE app.notes (id int PRIMARY KEY, note text);
CREATE TABLE app.things (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, at timestamptz,
    weight numeric(6, 2), tags text[], extra jsonb, raw bytea, UNIQUE (name));
CREATE TABLE app.parts (id int PRIMARY KEY, thing_id int REFERENCES app.things ON DELETE CASCADE, n float8);
CREATE VIEW app.heavy AS SELECT id, name FROM app.things WHERE weight > 5;
CREATE TYPE app.mood AS ENUM ('good', 'bad');
CREATE TYPE app.pair AS (a int, b text);
CREATE FUNCTION app.twice(value int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT value * 2';
CREATE FUNCTION app.shout() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE NOTICE 'changed %', TG_OP; RETURN NEW; END $$;
CREATE TRIGGER shout BEFORE UPDATE ON app.parts FOR EACH ROW EXECUTE FUNCTION app.shout();
CREATE SEQUENCE app.ticks;
INSERT INTO app.users VALUES (1, 'live', NULL), (2, 'deleted', '2024-01-01');
INSERT INTO app.notes SELECT n, 'note ' || n FROM generate_series(1, 5) AS n;
INSERT INTO app.things (name, at, weight, tags, extra, raw) SELECT 'thing ' || n, '2024-01-01 12:00+00'::timestamptz
    + n * interval '1 day', n * 1.5, ARRAY['a', NULL, 'b' || n], jsonb_build_object('n', n), decode('00ff', 'hex')
    FROM generate_series(1, 8) AS n;
INSERT INTO app.parts SELECT n, 1 + n % 8, sqrt(n) FROM generate_series(1, 40) AS n;
GRANT ALL ON SCHEMA app, public TO ann;
GRANT ALL ON ALL TABLES IN SCHEMA app TO ann;
GRANT ALL ON ALL SEQUENCES IN SCHEMA app TO ann;
"""

OF_OTHER_DATABASES = ("list databases", "list tables with sizes", "list schemas, roles, indexes, sequences")
"""Commands of psql whose answer is not this database's alone: other tests' databases, roles and sizes show in it."""


def program(name: str) -> Path:
    """Return the path of a program of PostgreSQL 18."""
    folder = find_programs(18)
    assert folder is not None
    return folder / name


def psql(target: Target) -> Seen:
    """Run a script of its own commands and of SQL."""
    texts = {**test_psql.UNPROTECTED, **test_psql.OF_PSQL_18}
    script = "\n".join(text for name, text in texts.items() if name not in OF_OTHER_DATABASES)
    return [test_psql.run(program("psql"), target, script).decode(errors="replace").splitlines()]


def psycopg_plain(target: Target) -> Seen:
    """Use what psycopg's documentation shows: parameters, types, cursors, COPY, pipelines, errors, notices."""
    seen: Seen = []
    with psycopg.connect(target.conninfo) as connection:
        connection.add_notice_handler(lambda notice: seen.append(notice.message_primary))
        for binary in (False, True):
            with connection.cursor(binary=binary) as cursor:
                cursor.execute("SELECT * FROM app.things WHERE id > %s ORDER BY id", (3,))
                seen += [
                    cursor.fetchall(),
                    cursor.statusmessage,
                    [column.name for column in cursor.description or ()],
                ]
        with connection.cursor("side") as side:
            side.itersize = 7
            side.execute("SELECT id, n FROM app.parts ORDER BY id")
            seen.append([row[0] for row in side])
        with connection.cursor() as cursor:
            with cursor.copy("COPY app.parts (id, n) FROM STDIN") as copy:
                for number in range(100, 130):
                    copy.write_row((number, number / 4))
            with cursor.copy(
                "COPY (SELECT id, n FROM app.parts WHERE id > 99) TO STDOUT (FORMAT binary)"
            ) as copy:
                seen.append(b"".join(bytes(part) for part in copy))
            cursor.executemany(
                "INSERT INTO app.parts (id) VALUES (%s) RETURNING id", [(200,), (201,)], returning=True
            )
            seen.append(cursor.fetchall())
        for number in range(8):  # prepared from the sixth on
            seen.append(
                connection.execute("UPDATE app.parts SET n = %s WHERE id = %s", (number, 5)).statusmessage
            )
        connection.commit()
        with connection.pipeline():
            pipelined = [connection.execute("SELECT %s::int + 1", (n,), prepare=True) for n in range(20)]
        seen.append([one.fetchone() for one in pipelined])
        for text in (
            "SELECT 1/0",
            "SELECT nothing FROM app.things",
            "INSERT INTO app.parts VALUES (1)",
            "SELEC",
        ):
            try:
                with connection.transaction():
                    connection.execute(text)
            except psycopg.Error as error:
                # The proxy's parser has no place in the server's source.
                places = "source" if error.sqlstate == "42601" else "none"
                keys = [key for key in dir(error.diag) if not key.startswith(("_", places))]
                seen.append([getattr(error.diag, key) for key in keys])
        connection.execute("LISTEN here; NOTIFY here, 'to myself'")
        connection.commit()
        seen.append([one.payload for one in connection.notifies(timeout=0, stop_after=1)])
        seen.append(connection.execute("DELETE FROM app.parts WHERE id >= 100 RETURNING id").fetchall())
    return seen


def psycopg_async(target: Target) -> Seen:
    """Use psycopg's coroutines, two-phase commit too."""

    async def talk() -> Seen:
        seen: Seen = []
        connection = await psycopg.AsyncConnection.connect(target.conninfo)
        async with connection:
            cursor = await connection.execute("SELECT id, tags, extra FROM app.things ORDER BY id")
            seen.append(await cursor.fetchall())
            async with connection.pipeline():
                await connection.execute("INSERT INTO app.parts (id) VALUES (300)")
                last = await connection.execute("SELECT count(*) FROM app.parts")
            seen.append(await last.fetchone())
            await connection.rollback()
            async with connection.cursor().copy("COPY app.notes TO STDOUT") as copy:
                seen.append([bytes(part) async for part in copy])
            async with connection.transaction(), connection.transaction():
                await connection.execute("UPDATE app.parts SET n = 0 WHERE id < 3")
        return seen

    return asyncio.run(talk())


async def _asyncpg(target: Target) -> Seen:
    seen: Seen = []
    async with asyncpg.create_pool(**target.keywords, min_size=1, max_size=1) as pool:
        for _ in range(2):
            async with pool.acquire() as connection:
                seen.append(
                    [tuple(row) for row in await connection.fetch("SELECT * FROM app.things ORDER BY id")]
                )
        async with pool.acquire() as connection:
            seen.append(await connection.fetchval("SELECT 'good'::app.mood"))
            seen.append(tuple(await connection.fetchval("SELECT (1, 'x')::app.pair")))
            statement = await connection.prepare("SELECT name FROM app.things WHERE id = $1")
            seen += [statement.get_parameters(), statement.get_attributes()]
            seen.append([await statement.fetchval(number) for number in (1, 2, 99)])
            await connection.executemany(
                "INSERT INTO app.parts VALUES ($1, 1, $2)", [(n, n / 2) for n in range(400, 420)]
            )
            await connection.copy_records_to_table(
                "parts", schema_name="app", records=[(500, 2, 0.5), (501, None, None)]
            )
            async with connection.transaction():
                seen.append(
                    [
                        row["id"]
                        async for row in connection.cursor("SELECT id FROM app.parts ORDER BY id", prefetch=9)
                    ]
                )
            heard: list[object] = []
            await connection.add_listener("here", lambda *message: heard.append(message[2:]))
            await connection.execute("NOTIFY here, 'to myself'")
            await connection.reset()
            seen.append(heard)
            for text in ("SELECT 1/0", "SELECT nothing FROM app.things", "INSERT INTO app.parts VALUES (1)"):
                try:
                    await connection.fetch(text)
                except asyncpg.PostgresError as error:
                    seen.append(error.as_dict())
            seen.append(await connection.execute("DELETE FROM app.parts WHERE id >= 400"))
    return seen


def asyncpg_pool(target: Target) -> Seen:
    """Use asyncpg: a pool, its statement cache, types that it looks up, cursors, COPY, notifications, errors."""
    return asyncio.run(_asyncpg(target))


def _orm(session: orm.Session, things: sa.Table, parts: sa.Table) -> Seen:
    seen: Seen = [
        [
            tuple(row)
            for row in session.execute(
                sa.select(things.c.id, things.c.name, things.c.weight).order_by(things.c.id)
            )
        ],
        session.execute(sa.insert(parts).values(id=600, thing_id=1).returning(parts.c.id)).scalar_one(),
        session.execute(
            sa.update(parts).where(parts.c.id == 600).values(n=1.5).returning(parts.c.n)
        ).scalar_one(),
    ]
    joined = (
        sa.select(things.c.name, sa.func.count(parts.c.id))
        .join(parts)
        .group_by(things.c.name)
        .order_by(things.c.name)
    )
    seen.append([tuple(row) for row in session.execute(joined)])
    session.execute(sa.insert(parts), [{"id": 700 + n, "thing_id": 2, "n": n} for n in range(30)])
    try:
        with session.begin_nested():
            session.execute(sa.insert(parts).values(id=600))
    except sa.exc.IntegrityError as error:
        seen.append(type(error.orig).__name__)
    seen.append(session.scalar(sa.select(sa.func.count()).select_from(parts)))
    session.rollback()
    return seen


def _reflected(bind: sa.Connection) -> tuple[sa.Table, sa.Table, Seen]:
    inspector = sa.inspect(bind)
    names = inspector.get_table_names("app")
    seen: Seen = [sorted(names), sorted(inspector.get_view_names("app"))]
    seen += [repr(inspector.get_columns("things", "app")), inspector.get_foreign_keys("parts", "app")]
    metadata = sa.MetaData()
    return (
        sa.Table("things", metadata, schema="app", autoload_with=bind),
        sa.Table("parts", metadata, schema="app", autoload_with=bind),
        seen,
    )


def sqlalchemy_psycopg(target: Target) -> Seen:
    """Reflect tables, use Core and a session, over psycopg."""
    engine = sa.create_engine(target.url("psycopg"), poolclass=sa.StaticPool)
    try:
        with engine.connect() as connection:
            things, parts, seen = _reflected(connection)
            with orm.Session(connection) as session:
                return seen + _orm(session, things, parts)
    finally:
        engine.dispose()


def sqlalchemy_asyncpg(target: Target) -> Seen:
    """Reflect tables, use Core and a session, over asyncpg."""

    async def talk() -> Seen:
        engine = create_async_engine(target.url("asyncpg"), connect_args={"ssl": False})
        async with engine.connect() as connection:
            things, parts, seen = await connection.run_sync(_reflected)
            await connection.rollback()
            seen += await connection.run_sync(lambda bind: _orm(orm.Session(bind), things, parts))
        await engine.dispose()
        return seen

    return asyncio.run(talk())


def _run(name: str, target: Target, *arguments: str, noise: str) -> Seen:
    place = ["-h", target.host, "-p", str(target.port), "-U", target.user]
    last = [target.dbname] if name == "pgbench" else ["-d", target.dbname]
    done = subprocess.run(
        [program(name), *arguments, *place, *last],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return [done.returncode, re.sub(noise, "n", done.stdout), re.sub(noise, "n", done.stderr)]


def _pgbench(target: Target, *arguments: str) -> Seen:
    return _run("pgbench", target, *arguments, noise=r"\d+\.\d+")


def pgbench(target: Target) -> Seen:
    """Make its tables and read them in each protocol, with one client and numbers that are drawn alike."""
    seen = _pgbench(target, "-i", "-q", "-I", "dtGp")
    for mode in ("simple", "extended", "prepared"):
        seen += _pgbench(target, "-n", "-t", "10", "--random-seed=7", "-M", mode, "-S")
    return seen


def pgbench_writes(target: Target) -> Seen:
    """Fill its tables by COPY, vacuum them, and run its own load in each protocol."""
    seen = _pgbench(target, "-i", "-q", "--foreign-keys")
    for mode in ("simple", "extended", "prepared"):
        seen += _pgbench(target, "-t", "20", "--random-seed=7", "-M", mode)
        seen += _pgbench(target, "-n", "-t", "20", "--random-seed=7", "-M", mode, "-b", "simple-update")
    return seen


def _pg_dump(target: Target, *arguments: str) -> Seen:
    return _run("pg_dump", target, "--exclude-table=app.users", *arguments, noise=r"\\(un)?restrict .*")


def pg_dump(target: Target) -> Seen:
    """Dump all but the protected table as text."""
    return _pg_dump(target)


def pg_dump_in_other_forms(target: Target) -> Seen:
    """Dump the schema alone, and one table as INSERTs."""
    return _pg_dump(target, "--schema-only") + _pg_dump(target, "--inserts", "-t", "app.parts")


VISITORS: tuple[Visitor, ...] = (psql, psycopg_plain, asyncpg_pool, sqlalchemy_psycopg, pg_dump)
MORE_VISITORS: tuple[Visitor, ...] = (
    psycopg_async,
    sqlalchemy_asyncpg,
    pgbench_writes,
    pg_dump_in_other_forms,
)
