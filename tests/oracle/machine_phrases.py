"""What the sessions of tests/oracle/test_machines.py say: statements for the client, and their meaning for the twin.

Knows text only. The twin is asked the same text while a session sees live rows and deletes softly; else the adapted
one, which follows the settings by the functions of tests/oracle/graveyard.sql.
"""

from dataclasses import dataclass

TABLES = """
CREATE SCHEMA app; CREATE SCHEMA other; CREATE SCHEMA machines_b;
CREATE TABLE app.users (id int, val text, deleted_at timestamptz);
CREATE UNIQUE INDEX users_live ON app.users (id) WHERE deleted_at IS NULL;
CREATE TABLE app.notes (id int, val text, gone boolean NOT NULL DEFAULT false);
CREATE TABLE app.plain (id int, val text);
CREATE TABLE other.users (id int, val text);
CREATE TABLE other.log (id int, val text);
CREATE TABLE machines_b.notes (id int, val text);
INSERT INTO app.users VALUES (1, 'Ann'), (2, 'Bob'), (3, 'Cat'), (4, 'Dan');
INSERT INTO app.notes VALUES (1, 'first'), (2, 'second'), (3, 'third');
INSERT INTO app.plain VALUES (1, 'plain one'), (2, 'plain two');
INSERT INTO other.users VALUES (1, 'other one'), (8, 'other eight');
INSERT INTO machines_b.notes VALUES (1, 'of b');
"""
DELETED = {
    "app.users": {3: "2026-01-01", 5: "2026-01-01", 6: "2026-03-01"},
    "app.notes": {3: "2026-01-01", 4: "2026-01-01"},
}
"""Ids of deleted rows and when they were deleted; 3 is the id of a live row as well."""


@dataclass(frozen=True, slots=True, repr=False)
class Phrase:
    """One statement. `adapted`: what the twin is asked under any settings; {visibility} is the one in force.

    `sets`: it may change the settings, or bring back others.
    """

    sql: str
    adapted: str = ""
    sets: bool = False

    def __repr__(self) -> str:
        return repr(self.sql)

    @property
    def needs_visibility(self) -> bool:
        """Tell whether the adapted text stands for a visibility that must be known when it is sent."""
        return "{visibility}" in self.adapted


NAMES = (
    "users",
    "app.users",
    "notes",
    "app.notes",
    "plain",
    "app.plain",
    "other.users",
    "app.made",
    "pg_temp.users",
)
WHERES = ("", "id >= 3", "id = 1")
BURIED = "t.tab = pg_catalog.to_regclass('{name}')"


def read(name: str, where: str = "", *, fixed: bool = False) -> Phrase:
    """Return a read of id and val; `fixed` under the visibility of the moment when it is sent."""
    condition = f" AND {where}" if where else ""
    shown = ", {visibility}" if fixed else ""
    return Phrase(
        f"SELECT id, val FROM {name}{f' WHERE {where}' if where else ''} ORDER BY id, val",
        f"SELECT id, val FROM {name} AS t WHERE graveyard.shows(t.tableoid, NULL{shown}){condition} "
        f"UNION ALL SELECT id, val FROM graveyard.rows AS t WHERE {BURIED.format(name=name)} "
        f"AND graveyard.shows(t.tab, t.deleted_at{shown}){condition} ORDER BY id, val",
    )


def update(name: str, where: str, value: str) -> Phrase:
    """Return an UPDATE of val."""
    return Phrase(
        f"UPDATE {name} SET val = '{value}' WHERE {where}",
        f"WITH live AS (UPDATE {name} AS t SET val = '{value}' WHERE {where} "
        f"AND graveyard.changes(t.tableoid, NULL) RETURNING 1), "
        f"dead AS (UPDATE graveyard.rows AS t SET val = '{value}' WHERE {where} AND {BURIED.format(name=name)} "
        f"AND graveyard.changes(t.tab, t.deleted_at) RETURNING 1) TABLE live UNION ALL TABLE dead",
    )


def delete(name: str, where: str, *, returning: bool = False) -> Phrase:
    """Return a DELETE."""
    return Phrase(
        f"DELETE FROM {name} WHERE {where}" + (" RETURNING id, val" if returning else ""),
        f"WITH live AS (DELETE FROM {name} AS t WHERE {where} AND graveyard.takes(t.tableoid, NULL) "
        f"RETURNING id, val), "
        f"dead AS (DELETE FROM graveyard.rows AS t WHERE {where} AND {BURIED.format(name=name)} "
        f"AND graveyard.takes(t.tab, t.deleted_at) RETURNING id, val) TABLE live UNION ALL TABLE dead",
    )


def restore(identifier: int) -> Phrase:
    """Return what brings a deleted row back, if the session sees it and its role may."""
    where = f"id = {identifier}"
    return Phrase(
        f"UPDATE app.users SET deleted_at = NULL WHERE {where}",
        f"WITH live AS (UPDATE app.users AS t SET deleted_at = NULL WHERE {where} "
        f"AND graveyard.changes(t.tableoid, NULL) RETURNING 1), "
        f"back AS (DELETE FROM graveyard.rows AS t WHERE {where} AND {BURIED.format(name='app.users')} "
        f"AND graveyard.changes(t.tab, t.deleted_at) RETURNING id, val), "
        f"again AS (INSERT INTO app.users SELECT id, val FROM back RETURNING 1) TABLE live UNION ALL TABLE again",
    )


def inside(before: str, phrase: Phrase, after: str = "") -> Phrase:
    """Return a statement that has another in it."""
    return Phrase(before + phrase.sql + after, before + phrase.adapted + after)


def sets(*texts: str) -> tuple[Phrase, ...]:
    """Return phrases that may change settings."""
    return tuple(Phrase(text, sets=True) for text in texts)


PATHS = (
    "app", "other, app", "app, other", "other", '"$user", app', "extra, app", "app, pg_temp", "pg_temp, app",
    "nowhere, app", "moved, app",
)  # fmt: skip
VISIBILITIES = (
    "live",
    "all",
    "deleted",
    "as_of 2026-02-01T00:00:00",
    'all for "app"."users"',
    'deleted for "notes"',
)

SETTINGS = sets(
    *(f"SET {local}search_path = {path}" for local in ("", "LOCAL ") for path in PATHS),
    "SET search_path TO DEFAULT",
    "SET LOCAL search_path TO DEFAULT",
    "SET LOCAL search_path FROM CURRENT",
    "RESET search_path",
    *(
        f"SELECT set_config('search_path', '{path}', {local})"
        for path in PATHS[:3]
        for local in ("true", "false")
    ),
    "SELECT set_config('search_path', 'ap' || 'p', false)",
    "SELECT set_config('search' || '_path', 'other, app', true)",
    *(f"SET {local}pgsoftproxy.visibility = '{v}'" for local in ("", "LOCAL ") for v in VISIBILITIES),
    "SET pgsoftproxy.visibility = 'nonsense'",
    "SET pgsoftproxy.visibility TO DEFAULT",
    "RESET pgsoftproxy.visibility",
    "SET pgsoftproxy.delete = 'hard'",
    "SET LOCAL pgsoftproxy.delete = 'hard'",
    "SET pgsoftproxy.delete = 'soft'",
    "RESET pgsoftproxy.delete",
    "RESET ALL",
)
ROLES = sets(
    "SET ROLE machines_b",
    "SET LOCAL ROLE machines_b",
    "SET ROLE NONE",
    "RESET ROLE",
    "SET SESSION AUTHORIZATION machines_b",
    "SET LOCAL SESSION AUTHORIZATION machines_b",
    "SET SESSION AUTHORIZATION DEFAULT",
    "SELECT set_config('role', 'machines_b', true)",
)
CONTROL = sets(
    *("BEGIN", "COMMIT", "ROLLBACK") * 3,
    "COMMIT AND CHAIN",
    "ROLLBACK AND CHAIN",
    *(f"{verb} {name}" for verb in ("SAVEPOINT", "RELEASE", "ROLLBACK TO") for name in ("a", "b")),
)
READS = (
    *(read(name, where) for name in NAMES for where in WHERES),
    inside("WITH w AS (", read("users"), ") SELECT count(*), max(val) FROM w"),
    inside("SELECT (SELECT count(*) FROM (", read("notes"), ") s)"),
    Phrase("SELECT current_setting('search_path'), current_user"),
    Phrase("SHOW search_path"),
    Phrase("SHOW pgsoftproxy.visibility"),
)
WRITES = (
    *(delete(name, where) for name in NAMES for where in ("id = 1", "id >= 3", "id = 2")),
    *(delete(name, "id >= 2", returning=True) for name in ("users", "app.users", "app.notes", "plain")),
    *(update(name, "id <= 3", "changed") for name in NAMES),
    *(Phrase(f"INSERT INTO {name} (id, val) VALUES ({n}, 'new')") for name in NAMES for n in (1, 9)),
    Phrase(
        "INSERT INTO app.users (id, val) VALUES (3, 'upserted'), (7, 'upserted') "
        "ON CONFLICT (id) WHERE deleted_at IS NULL DO UPDATE SET val = excluded.val"
    ),
    Phrase(
        "INSERT INTO app.users (id, val) VALUES (2, 'kept') ON CONFLICT (id) WHERE deleted_at IS NULL DO NOTHING"
    ),
    *(inside("INSERT INTO other.log (id, val) ", read(name)) for name in ("users", "app.users", "notes")),
    read("other.log"),
    *(restore(n) for n in (3, 5, 1)),
)
ERRORS = (
    Phrase("SELECT 1/0"),
    Phrase("SELECT nope FROM app.users"),
    Phrase(
        "SELECT id FROM app.users WHERE id = 3 AND val::int = 1",
        "SELECT id FROM app.users AS t "
        "WHERE id = 3 AND CASE WHEN graveyard.shows(t.tableoid, NULL) THEN val::int END = 1 "
        f"UNION ALL SELECT id FROM graveyard.rows AS t WHERE id = 3 AND {BURIED.format(name='app.users')} "
        "AND CASE WHEN graveyard.shows(t.tab, t.deleted_at) THEN val::int END = 1",
    ),
    Phrase("SELEC"),
)
DDL = (
    Phrase("CREATE TABLE other.users (id int, val text)"),
    Phrase("CREATE TABLE other.notes (id int, val text)"),
    Phrase("CREATE TABLE other.notes AS SELECT 5 AS id, 'made'::text AS val"),
    Phrase("DROP TABLE other.users"),
    Phrase("DROP TABLE IF EXISTS other.notes"),
    Phrase("ALTER TABLE other.users RENAME TO people"),
    Phrase("ALTER TABLE other.people RENAME TO users"),
    Phrase("ALTER TABLE other.users SET SCHEMA machines_b"),
    Phrase("ALTER TABLE machines_b.notes RENAME TO users"),
    Phrase("ALTER SCHEMA other RENAME TO moved"),
    Phrase("ALTER SCHEMA moved RENAME TO other"),
    Phrase("CREATE SCHEMA extra"),
    Phrase("CREATE TABLE extra.users (id int, val text)"),
    Phrase("CREATE VIEW extra.notes AS SELECT 7 AS id, 'of a view'::text AS val"),
    Phrase("DROP SCHEMA extra CASCADE"),
    Phrase("ALTER TABLE app.plain ADD COLUMN deleted_at timestamptz"),
    Phrase("ALTER TABLE app.plain DROP COLUMN deleted_at"),
    Phrase("ALTER TABLE app.plain RENAME TO made"),
    Phrase("ALTER TABLE app.users ADD COLUMN more int"),
    Phrase("ALTER TABLE app.users DROP COLUMN IF EXISTS more"),
    Phrase("CREATE TABLE app.made (id int, val text, deleted_at timestamptz)"),
    Phrase("CREATE TABLE app.made (id int, val text)"),
    Phrase("DROP TABLE app.made"),
    Phrase("DROP TABLE app.users"),
    Phrase("TRUNCATE app.notes"),
    Phrase("CREATE TEMP TABLE users (id int, val text)"),
    Phrase("CREATE TEMP TABLE notes ON COMMIT DROP AS SELECT 6 AS id, 'temporary'::text AS val"),
    Phrase("DROP TABLE pg_temp.users"),
    Phrase("CREATE INDEX ON app.users (val)"),
    *sets("DISCARD TEMP", "DISCARD PLANS", "DISCARD ALL"),
)
STATEMENT_NAMES = ("p", "q")
BODIES = (
    read("users"), read("app.users"), read("notes"), read("plain"), delete("users", "id = 2"),
    delete("app.notes", "id = 1", returning=True), update("app.users", "id = 4", "executed"),
    update("notes", "id = 2", "executed"),
)  # fmt: skip
PREPARED = (
    *(inside(f"PREPARE {name} AS ", body) for name in STATEMENT_NAMES for body in BODIES),
    *(Phrase(f"EXECUTE {name}", f"EXECUTE {name}") for name in STATEMENT_NAMES for _ in range(3)),
    *(Phrase(f"DEALLOCATE {name}") for name in STATEMENT_NAMES),
    Phrase("DEALLOCATE ALL"),
)
CURSORS = (
    *(
        inside(f"DECLARE c CURSOR {hold}FOR ", read(name, fixed=True))
        for name in ("users", "app.users", "notes")
        for hold in ("", "WITH HOLD ")
    ),
    Phrase("FETCH 2 c", "FETCH 2 c"),
    Phrase("FETCH ALL c", "FETCH ALL c"),
    Phrase("MOVE FORWARD 1 c"),
    Phrase("CLOSE c"),
    Phrase("CLOSE ALL"),
)
PHRASES = {
    phrase.sql: phrase
    for pool in (SETTINGS, ROLES, CONTROL, READS, WRITES, ERRORS, DDL, PREPARED, CURSORS, BODIES)
    for phrase in pool
}
