"""Two databases, a corpus of statements, and what a statement did to either: for the mutation test.

Knows no mutants. Everything runs directly on a server, and nothing is ever committed.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import psycopg

from pgsoftproxy.db.introspect import load_catalog
from pgsoftproxy.model.context import Context, SearchPath, Values, Variables
from pgsoftproxy.model.policy import Policy, TableRule, Truncate, Upsert, compile_policy
from pgsoftproxy.rewrite.plan import Plan
from tests.servers import Server, execute

CANARY = "CANARY-9d41"
GONE = "'2026-02-01 00:00:00+00'"
SCHEMA = f"""
CREATE SCHEMA app;
CREATE TABLE app.users (
    id int PRIMARY KEY, email text, name text, boss int, deleted_at timestamptz, deleted_by text, deletion_id uuid);
CREATE UNIQUE INDEX users_email_live ON app.users (email) WHERE deleted_at IS NULL;
INSERT INTO app.users VALUES
    (1, 'a@x', 'Ada', NULL, NULL), (2, 'b@x', 'Bob', 1, NULL), (3, 'c@x', 'Cleo', 4, NULL),
    (5, 'e@x', 'Eve', 2, NULL),
    (4, 'a@x', '{CANARY}', 1, {GONE}), (6, '{CANARY}', '{CANARY}', 2, {GONE}), (7, 'g@x', '{CANARY}', NULL, {GONE});
CREATE TABLE app.vips (rank int, deleted_at timestamptz) INHERITS (app.users);
INSERT INTO app.vips VALUES
    (20, 'v@x', 'Vic', 1, NULL, NULL, NULL, 1), (21, 'w@x', '{CANARY}', 1, {GONE}, NULL, NULL, 2);
CREATE TABLE app.orders (id int PRIMARY KEY, user_id int, note text, deleted_at timestamptz);
INSERT INTO app.orders VALUES
    (10, 1, 'first', NULL), (11, 1, 'second', NULL), (12, 2, 'third', NULL), (13, 4, 'of a deleted user', NULL),
    (14, 1, '{CANARY}', {GONE}), (15, 3, '{CANARY}', {GONE}), (16, 6, '{CANARY}', {GONE});
CREATE TABLE app.flags (id int PRIMARY KEY, label text, gone boolean NOT NULL);
INSERT INTO app.flags VALUES (1, 'red', false), (2, 'blue', false), (3, '{CANARY}', true), (4, '{CANARY}', true);
CREATE TABLE app.codes (
    code text PRIMARY KEY, note text DEFAULT 'none', rank int, deleted_at timestamptz, deleted_by text);
INSERT INTO app.codes VALUES ('here', 'old', 1, NULL, NULL), ('gone', '{CANARY}', 6661, {GONE}, '{CANARY}');
CREATE TABLE app.logs (id int PRIMARY KEY, user_id int, message text);
INSERT INTO app.logs VALUES (1, 1, 'in'), (2, 4, 'in'), (3, 2, 'out'), (4, NULL, 'up');
CREATE SCHEMA other;
CREATE TABLE other.users (id int, name text);
INSERT INTO other.users VALUES (1, 'another');
CREATE VIEW app.names AS SELECT id, name FROM app.users;
CREATE VIEW app.kept AS SELECT id, name, boss FROM app.users WHERE deleted_at IS NULL;
"""
PROTECTED = {"users": "deleted_at IS NULL", "vips": "deleted_at IS NULL", "orders": "deleted_at IS NULL"}
PROTECTED["flags"] = "NOT gone"
PROTECTED["codes"] = "deleted_at IS NULL"
REVIVED = frozenset({"codes"})
"""Tables whose deleted rows an upsert may bring back; no other statement of the corpus deletes from them."""
STAMPS = ("deleted_at", "deleted_by", "deletion_id", "gone")
RULES = [
    TableRule("app.*", deleted_by="deleted_by", deletion_id="deletion_id", truncate=Truncate.SOFT),
    TableRule("app.flags", column="gone", truncate=Truncate.SOFT),
    TableRule("app.codes", deleted_by="deleted_by", upsert=Upsert.REVIVE),
]
CONTEXT = Context(Variables.at_start(Values("app", SearchPath(("app",)))))


@dataclass(frozen=True, slots=True)
class Statement:
    """One text of the corpus. `fails`: the SQLSTATE that is right where the twin has none to give.

    `after`: what is sent directly once the text has run, whose rows are the answer then.
    """

    sql: str
    since: int = 0
    fails: str | None = None
    before: str = ""
    after: str = ""


CORPUS = [
    Statement("SELECT * FROM users"),
    Statement("SELECT u.name FROM users AS u WHERE u.id > 1 OR u.boss = 1"),
    Statement("SELECT app.users.name FROM app.users WHERE app.users.id < 5"),
    Statement("SELECT id FROM other.users"),
    Statement("TABLE orders"),
    Statement("TABLE flags ORDER BY id LIMIT 2"),
    Statement("SELECT * FROM users AS u (a, b, c, d, e)"),
    Statement("SELECT e FROM logs AS l (deleted_at) JOIN users AS u (a, b, c, d, e) ON a = l.deleted_at"),
    Statement(
        "SELECT u.name, o.note FROM users u, orders o, logs l WHERE u.id = o.user_id AND l.user_id = u.id"
    ),
    Statement("SELECT u.name, o.note FROM users u LEFT JOIN orders o ON o.user_id = u.id"),
    Statement("SELECT l.id, u.name FROM logs l LEFT JOIN users u ON u.id = l.user_id"),
    Statement("SELECT u.name, o.note FROM users u FULL JOIN orders o ON o.user_id = u.id"),
    Statement("SELECT a.name, b.name FROM users a JOIN users b ON b.id = a.boss"),
    Statement("SELECT count(*), max(name) FROM users"),
    Statement("SELECT ctid, name FROM ONLY users"),
    Statement(
        "SELECT u.id, x.n FROM users u, LATERAL (SELECT count(*) AS n FROM orders o WHERE o.user_id = u.id) x"
    ),
    Statement("SELECT id, (SELECT max(note) FROM orders WHERE user_id = l.user_id) FROM logs l"),
    Statement(
        "SELECT id FROM logs WHERE user_id IN (SELECT id FROM users) OR id NOT IN (SELECT id FROM flags)"
    ),
    Statement("SELECT name FROM users UNION ALL SELECT note FROM orders"),
    Statement("WITH users AS (SELECT name FROM users) SELECT * FROM users"),
    Statement("WITH a AS (SELECT name FROM users), users AS (SELECT 1 AS x) SELECT * FROM a, users"),
    Statement("WITH users AS (SELECT 1 AS x) SELECT users.x, u.name FROM users, app.users u"),
    Statement("WITH users AS (SELECT id FROM other.users) SELECT * FROM users"),
    Statement(
        "WITH RECURSIVE up AS (SELECT id, boss FROM users WHERE id = 3 "
        "UNION ALL SELECT u.id, u.boss FROM up JOIN users u ON u.id = up.boss) SELECT * FROM up"
    ),
    Statement("SELECT * FROM names"),
    Statement("SELECT l.id, n.name FROM logs l LEFT JOIN names n ON n.id = l.user_id"),
    Statement("SELECT * FROM kept"),
    Statement("SELECT k.name, o.note FROM kept k FULL JOIN orders o ON o.user_id = k.id"),
    Statement("UPDATE kept SET name = 'new' WHERE boss = 1 RETURNING id, name"),
    Statement("INSERT INTO kept SELECT id + 40, name FROM users"),
    Statement("CREATE VIEW made AS SELECT id, name FROM users WHERE id > 1 OR boss = 1", after="TABLE made"),
    Statement(
        "CREATE VIEW made AS SELECT l.id, n.name FROM logs l LEFT JOIN names n ON n.id = l.user_id "
        "LEFT JOIN orders o ON o.user_id = n.id",
        after="SELECT * FROM made",
    ),
    Statement("CREATE MATERIALIZED VIEW made AS TABLE flags", after="SELECT id FROM made"),
    Statement("CREATE VIEW made AS SELECT k.name FROM kept k", after="SELECT name FROM made"),
    Statement(
        "CREATE FUNCTION made() RETURNS SETOF text LANGUAGE sql BEGIN ATOMIC "
        "UPDATE orders SET note = 'x' WHERE id = 10 OR user_id = 1; SELECT note FROM orders; END",
        after="SELECT made()",
    ),
    Statement(
        "CREATE FUNCTION made() RETURNS SETOF int LANGUAGE sql BEGIN ATOMIC DELETE FROM orders RETURNING id; END",
        after="SELECT made()",
    ),
    Statement(
        "CREATE FUNCTION made() RETURNS text LANGUAGE sql RETURN (SELECT max(name) FROM users)",
        after="SELECT made()",
    ),
    Statement("SELECT label FROM flags WHERE id > 0 FOR UPDATE"),
    Statement("COPY users TO STDOUT"),
    Statement("COPY orders (note) TO STDOUT"),
    Statement("COPY (SELECT note FROM orders) TO STDOUT"),
    Statement("DELETE FROM users"),
    Statement("DELETE FROM users WHERE id = 1 OR id > 3"),
    Statement("DELETE FROM ONLY users WHERE id IN (SELECT user_id FROM orders)"),
    Statement("DELETE FROM orders RETURNING *"),
    Statement("DELETE FROM orders o WHERE id = 10 OR user_id = 1 RETURNING o.note, o.deleted_at, o"),
    Statement("DELETE FROM orders o USING users u WHERE u.id = o.user_id RETURNING o.id, u.name"),
    Statement("DELETE FROM users WHERE id = 2 RETURNING deleted_by, deletion_id IS NULL"),
    Statement("DELETE FROM flags WHERE label <> 'red' RETURNING label, gone"),
    Statement("DELETE FROM logs USING users WHERE users.id = logs.user_id"),
    Statement("WITH gone AS (DELETE FROM orders RETURNING note) SELECT * FROM gone"),
    Statement("TRUNCATE flags"),
    Statement("TRUNCATE ONLY users"),
    Statement("TRUNCATE ONLY users, vips"),
    Statement("TRUNCATE TABLE users, orders, app.flags"),
    Statement("WITH orders AS (SELECT 1) DELETE FROM orders WHERE id > 0"),
    Statement("WITH orders AS (SELECT 1) UPDATE orders SET note = 'x'"),
    Statement(
        "DELETE FROM orders WHERE CURRENT OF c",
        before="DECLARE c CURSOR FOR SELECT id FROM app.orders WHERE id = 10; FETCH c",
    ),
    Statement("UPDATE orders SET note = 'new'"),
    Statement("UPDATE users SET name = 'new' WHERE id > 1 OR boss = 1 RETURNING id, name"),
    Statement("UPDATE flags f SET label = u.name FROM users u WHERE u.id = f.id OR f.id > 2"),
    Statement("UPDATE logs SET message = (SELECT max(name) FROM users)"),
    Statement(
        "UPDATE logs SET (message, user_id) = (SELECT name, id FROM users WHERE users.id = logs.user_id)"
    ),
    Statement("INSERT INTO logs SELECT id + 100, id, name FROM users"),
    Statement(
        "INSERT INTO users (id, email) VALUES (30, 'a@x') ON CONFLICT (email) DO UPDATE SET name = 'n'"
    ),
    Statement("INSERT INTO users (id, email) VALUES (30, 'g@x') ON CONFLICT (email) DO NOTHING"),
    Statement(
        "INSERT INTO orders VALUES (10, 1, 'new') ON CONFLICT (id) DO UPDATE SET note = 'n' WHERE true OR false"
    ),
    Statement(
        "INSERT INTO orders VALUES (14, 1, 'n') ON CONFLICT (id) DO UPDATE SET note = 'n'", fails="23505"
    ),
    Statement("INSERT INTO orders VALUES (14, 1, 'n') ON CONFLICT (id) DO NOTHING", fails="23505"),
    Statement(
        "INSERT INTO codes (code) VALUES ('gone'), ('here'), ('new') ON CONFLICT (code) DO UPDATE SET rank = 5 "
        "RETURNING *"
    ),
    Statement(
        "INSERT INTO codes AS c VALUES ('gone', 'n', 7), ('here', 'n', 8) ON CONFLICT (code) "
        "DO UPDATE SET (note, rank) = (SELECT c.note || name, id FROM users WHERE id = 2) WHERE c.rank = 1 OR false"
    ),
    Statement("INSERT INTO codes VALUES ('gone', 'n', 7), ('here', 'n', 8) ON CONFLICT DO NOTHING"),
    Statement(
        "INSERT INTO codes (code) VALUES ('gone'), ('here') ON CONFLICT (code) DO UPDATE SET note = 'hit' "
        "RETURNING old.note, old IS NULL, xmax = 0",
        since=180000,
    ),
    Statement(
        "MERGE INTO orders o USING users u ON u.id = o.user_id OR o.id > 13 WHEN MATCHED THEN DELETE "
        "WHEN NOT MATCHED THEN INSERT VALUES (u.id + 50, u.id, 'new')",
        since=150000,
    ),
    Statement(
        "MERGE INTO orders o USING logs l ON l.user_id = o.user_id AND l.id < 3 "
        "WHEN MATCHED THEN UPDATE SET note = 'x'",
        since=150000,
    ),
    Statement(
        "MERGE INTO orders o USING logs l ON o.id = l.id + 9 WHEN MATCHED THEN DELETE "
        "WHEN NOT MATCHED BY SOURCE THEN UPDATE SET note = 'lone' RETURNING merge_action(), o.id, o.deleted_at",
        since=170000,
    ),
    Statement(
        "MERGE INTO orders o USING logs l ON o.id = l.id + 9 WHEN MATCHED AND l.id = 1 THEN DELETE "
        "WHEN MATCHED THEN UPDATE SET note = 'x' RETURNING old.note, new.note, new IS NULL, new.deleted_at, o.id",
        since=180000,
    ),
]


@dataclass(frozen=True, slots=True)
class Effect:
    """What a statement did: its answer and the rows of all tables after it."""

    error: str | None
    tag: str = ""
    rows: Counter[str] = field(default_factory=Counter)
    state: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Table and row as JSON text."""


@dataclass(frozen=True, slots=True)
class Field:
    """The databases of one server and the policy compiled from the full one's catalog."""

    server: Server
    policy: Policy
    full: "psycopg.Connection[Any]"
    twin: "psycopg.Connection[Any]"
    expected: dict[str, Effect] = field(default_factory=dict)

    @property
    def corpus(self) -> list[Statement]:
        """Return the statements that this server knows."""
        return [one for one in CORPUS if self.policy.catalog.server_version >= one.since]


@contextmanager
def opened(server: Server) -> Iterator[Field]:
    """Make both databases, give a connection to each, and drop them afterwards."""
    full_name, twin_name = (f"mutations_{side}_{uuid4().hex[:12]}" for side in ("full", "twin"))
    for name in (full_name, twin_name):
        execute(server.dsn(), f"CREATE DATABASE {name}")
        execute(server.dsn(name), SCHEMA)
    for table, live in PROTECTED.items():
        execute(server.dsn(twin_name), f"DELETE FROM ONLY app.{table} WHERE NOT ({live})")
    # As an application has it that knows of no deleted rows.
    execute(
        server.dsn(twin_name), "DROP INDEX app.users_email_live; CREATE UNIQUE INDEX ON app.users (email)"
    )
    policy, problems = compile_policy(RULES, {}, asyncio.run(load_catalog(server.dsn(full_name), None)))
    assert problems == ()
    path = "-c search_path=app"
    with (
        psycopg.connect(server.dsn(full_name), options=path) as full,
        psycopg.connect(server.dsn(twin_name), options=path) as twin,
    ):
        found = Field(server, policy, full, twin)
        learn(found)
        yield found
    for name in (full_name, twin_name):
        execute(server.dsn(), f"DROP DATABASE {name} WITH (FORCE)")


def run(connection: "psycopg.Connection[Any]", statement: Statement, sql: str) -> Effect:
    """Execute one text, look at all tables, and take everything back."""
    try:
        cursor = connection.cursor()
        if statement.before:
            cursor.execute(statement.before.encode())
        try:
            rows, tag = answer(cursor, sql), cursor.statusmessage or ""
            if statement.after:
                rows = answer(cursor, statement.after)
        except psycopg.Error as error:
            return Effect(f"{error.sqlstate} {error.diag.message_primary}")
        return Effect(None, tag, Counter(rows), state(connection))
    finally:
        connection.rollback()


def answer(cursor: "psycopg.Cursor[Any]", sql: str) -> list[str]:
    """Return the rows of one text, of a COPY its lines."""
    if sql.startswith("COPY"):
        with cursor.copy(sql.encode()) as copy:
            return [bytes(line).decode() for line in copy]
    cursor.execute(sql.encode())
    return [str(row) for row in cursor.fetchall()] if cursor.description else []


def state(connection: "psycopg.Connection[Any]") -> Counter[tuple[str, str]]:
    """Return every row of every table."""
    parts = " UNION ALL ".join(
        f"SELECT '{table}', to_jsonb(t)::text FROM ONLY app.{table} t" for table in (*PROTECTED, "logs")
    )
    return Counter((str(table), str(row)) for table, row in connection.execute(parts.encode()).fetchall())


def is_live(row: tuple[str, str]) -> bool:
    """Tell whether a row of the state is live."""
    columns = json.loads(row[1])
    return columns.get("deleted_at") is None and not columns.get("gone")


def unstamped(row: tuple[str, str]) -> tuple[str, str]:
    """Return a row without what a soft DELETE writes."""
    columns = {key: value for key, value in json.loads(row[1]).items() if key not in STAMPS}
    return row[0], json.dumps(columns, sort_keys=True)


def only(rows: Counter[tuple[str, str]], *, live: bool) -> Counter[tuple[str, str]]:
    """Return the rows that are live, or those that are not."""
    return Counter({row: count for row, count in rows.items() if is_live(row) is live})


def harm(before: Counter[tuple[str, str]], effect: Effect) -> str | None:
    """Tell how what was sent shows, changes or removes a deleted row, or physically removes any protected one."""
    if any(CANARY in row for row in effect.rows) or any(
        CANARY in row[1] and is_live(row) for row in effect.state
    ):
        return "a deleted row was read"
    if effect.error is not None:
        return None
    lost, new = only(before, live=False) - effect.state, only(effect.state, live=False) - before
    if any(row[0] not in REVIVED for row in lost) or any(row[0] in REVIVED for row in new):
        return "a deleted row was changed or removed"
    counts = [
        Counter(name for name, _ in rows.elements() if name in PROTECTED) for rows in (before, effect.state)
    ]
    return "a row was physically removed" if counts[0] - counts[1] else None


def differs(ground: Field, statement: Statement, plan: Plan, effect: Effect) -> bool:
    """Tell whether what was sent did not do what the client's own text does on the twin."""
    wanted = ground.expected[statement.sql]
    tag, error = effect.tag, effect.error
    for one in plan.statements:
        if one.retag is not None:
            tag = one.retag.shown if one.retag.drop_count else tag.replace(one.retag.sent, one.retag.shown)
        for known in one.translations:
            if error is not None and error.startswith(known.sqlstate) and known.marker in error:
                error = known.refusal.sqlstate
    if statement.fails is not None or error is not None or wanted.error is not None:
        return error != (statement.fails or wanted.error)
    if (tag, effect.rows) != (wanted.tag, wanted.rows):
        return True
    return only(effect.state, live=True) != only(wanted.state, live=True) or misstamped(
        ground, wanted, effect
    )


def misstamped(ground: Field, wanted: Effect, effect: Effect) -> bool:
    """Tell whether the rows that are deleted now are not those gone from the twin, with their stamps."""
    new = only(effect.state, live=False) - only(ground.expected["before"].state, live=False)
    gone = only(ground.expected["twin before"].state - wanted.state, live=True)
    kept = only(effect.state, live=True)
    removed = Counter(map(unstamped, gone.elements())) - Counter(map(unstamped, kept.elements()))
    deleted = Counter(map(unstamped, new.elements()))
    if any(row[0] in PROTECTED for row in removed) and deleted - Counter(map(unstamped, gone.elements())):
        return True
    rows = [json.loads(row) for name, row in new.elements() if name in {"users", "vips"}]
    ids = {row["deletion_id"] for row in rows}
    if any(row["deleted_by"] != ground.server.user for row in rows) or len(ids) > 1 or None in ids:
        return True
    moments = {json.loads(row)["deleted_at"] for name, row in new.elements() if name != "flags"}
    return any(moment < ground.expected["moment"].tag for moment in moments)


def learn(ground: Field) -> None:
    """Note where both databases start, and what each statement of the corpus does on the twin."""
    nothing = Statement("SELECT 1")
    ground.expected["before"] = run(ground.full, nothing, nothing.sql)
    ground.expected["twin before"] = run(ground.twin, nothing, nothing.sql)
    moment = ground.full.execute("SELECT to_jsonb(now()) #>> '{}'").fetchone()
    ground.full.rollback()
    assert moment is not None
    ground.expected["moment"] = Effect(None, str(moment[0]))
    for statement in ground.corpus:
        ground.expected[statement.sql] = run(ground.twin, statement, statement.sql)
