"""Who does what beside whom: the sessions whose steps tests/oracle/test_isolation.py interleaves.

Each session runs in one transaction. END stands for COMMIT in one run and for ROLLBACK in another.
"""

from dataclasses import dataclass

from tests.oracle.compare import CANARY
from tests.oracle.isolation import Step

END = "END"
LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")

TABLES = """
CREATE SCHEMA app;
CREATE TABLE app.users (id int PRIMARY KEY, email text, name text, n int, deleted_at timestamptz);
CREATE UNIQUE INDEX users_email_live ON app.users (email) WHERE deleted_at IS NULL;
CREATE TABLE app.orders (id int PRIMARY KEY, user_id int, note text, deleted_at timestamptz);
CREATE TABLE app.flags (id int PRIMARY KEY, name text, gone boolean);
CREATE TABLE app.archive (id int, name text);
CREATE VIEW app.user_names AS SELECT id, name FROM app.users;
"""
"""The index is partial, as `migrate` would have it: a deleted row's key is free for the living."""

DEAD = CANARY.decode()
LIVE_ROWS = """
INSERT INTO app.users VALUES
    (1, 'ann@example.com', 'Ann', 10, NULL), (2, 'bob@example.com', 'Bob', 20, NULL),
    (3, 'cat@example.com', 'Cat', 30, NULL), (4, 'dan@example.com', 'Dan', 40, NULL);
INSERT INTO app.orders VALUES (1, 1, 'one', NULL), (2, 1, 'two', NULL), (3, 2, 'three', NULL);
INSERT INTO app.flags VALUES (1, 'red', NULL), (2, 'blue', false), (3, 'green', NULL);
"""
DELETED_ROWS = f"""
INSERT INTO app.users VALUES
    (5, 'ann@example.com', '{DEAD} Ann', 10, '2026-01-01'), (6, 'gone@example.com', '{DEAD} Gus', 20, '2026-01-01');
INSERT INTO app.orders VALUES (4, 1, '{DEAD}', '2026-01-01'), (5, 5, '{DEAD}', '2026-01-01');
INSERT INTO app.flags VALUES (4, '{DEAD}', true);
"""
EMPTY = "TRUNCATE app.users, app.orders, app.flags, app.archive;"
STATE = {
    "users": ("SELECT id, email, name, n FROM app.users WHERE {live} ORDER BY id", "deleted_at IS NULL"),
    "orders": ("SELECT id, user_id, note FROM app.orders WHERE {live} ORDER BY id", "deleted_at IS NULL"),
    "flags": ("SELECT id, name FROM app.flags WHERE {live} ORDER BY id", "gone IS NOT TRUE"),
    "archive": ("SELECT id, name FROM app.archive WHERE {live} ORDER BY id, name", "true"),
}

Steps = tuple[str | Step, ...]


@dataclass(frozen=True, slots=True)
class Spec:
    """Sessions with their steps, and where docs/sql-semantics.md says that they differ from the twin's.

    `stricter`: under SERIALIZABLE a session may fail with 40001 that the twin lets pass, and has then done nothing.
    `lingering`: who waited for a delete holds a lock, so that others wait for it too. In orders of the latter the
    first session begins: those who wait for an UPDATE race for its row, on the twin as well.
    """

    sessions: tuple[Steps, ...]
    stricter: bool = False
    lingering: bool = False

    @classmethod
    def of(cls, *sessions: Steps, stricter: bool = False, lingering: bool = False) -> "Spec":
        """Return the spec of these sessions."""
        return cls(sessions, stricter, lingering)


READ = "SELECT id, email, name, n FROM app.users ORDER BY id"
READ_ORDERS = "SELECT id, user_id, note FROM app.orders ORDER BY id"
DELETE_1 = "DELETE FROM app.users WHERE id = 1"
DELETE_ANN = "DELETE FROM app.users WHERE email = 'ann@example.com' RETURNING id, name, deleted_at"
DELETE_2 = "DELETE FROM app.users WHERE id = 2"
UPDATE_1 = "UPDATE app.users SET n = n + 1 WHERE id = 1 RETURNING id, n"
RENAME_1 = "UPDATE app.users SET email = 'new@example.com' WHERE id = 1"
INSERT_ANN = "INSERT INTO app.users VALUES (11, 'ann@example.com', 'New Ann', 0)"
INSERT_GONE = "INSERT INTO app.users VALUES (12, 'gone@example.com', 'New Gus', 0)"
UPSERT_ANN = (
    "INSERT INTO app.users VALUES (13, 'ann@example.com', 'Upserted', 1) "
    "ON CONFLICT (email) WHERE deleted_at IS NULL DO UPDATE SET n = users.n + 100 RETURNING id, name, n"
)
UPSERT_PLAIN = (
    "INSERT INTO app.users VALUES (14, 'ann@example.com', 'Kept', 1) "
    "ON CONFLICT (email) WHERE deleted_at IS NULL DO NOTHING RETURNING id"
)
MERGE_ANN = (
    "MERGE INTO app.users u USING (VALUES ('ann@example.com', 15)) AS s(email, id) ON u.email = s.email "
    "WHEN MATCHED THEN UPDATE SET n = u.n + 1000 "
    "WHEN NOT MATCHED THEN INSERT (id, email, name) VALUES (s.id, s.email, 'Merged')"
)
MERGE_DELETE = (
    "MERGE INTO app.users u USING (VALUES (1, 5), (2, 50)) AS s(id, n) ON u.id = s.id "
    "WHEN MATCHED AND u.n > s.n THEN DELETE WHEN MATCHED THEN UPDATE SET n = s.n "
    "WHEN NOT MATCHED THEN INSERT (id, email, name) VALUES (s.id + 20, s.id::text, 'Merged')"
)
LOCK_1 = "SELECT id, n FROM app.users WHERE id = 1 FOR UPDATE"
LOCK_ALL = "SELECT id, n FROM app.users ORDER BY id FOR UPDATE"
TAKE = (
    "DELETE FROM app.users WHERE id = "
    "(SELECT id FROM app.users ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id, name"
)
MOVE = (
    "WITH gone AS (DELETE FROM app.users WHERE n < 25 RETURNING id, name) "
    "INSERT INTO app.archive SELECT id, name FROM gone RETURNING id, name"
)
RESTORE_6 = Step(
    "/* pgsoftproxy: visibility=all */ UPDATE app.users SET deleted_at = NULL, name = 'Gus' WHERE id = 6",
    "INSERT INTO app.users VALUES (6, 'gone@example.com', 'Gus', 20)",
)

SPECS: dict[str, Spec] = {
    "delete beside a delete of the same row": Spec.of((DELETE_1, END), (DELETE_ANN, READ, "COMMIT")),
    "delete beside a read": Spec.of((DELETE_1, END), (READ, READ, "COMMIT")),
    "delete beside an update": Spec.of((DELETE_1, END), (READ, UPDATE_1, READ, "COMMIT")),
    "delete beside an update of its key": Spec.of((DELETE_1, END), (RENAME_1, READ, "COMMIT")),
    "update beside a delete that looks at what it changes": Spec.of(
        ("UPDATE app.users SET n = 99 WHERE id = 1", END),
        ("DELETE FROM app.users WHERE n < 15 RETURNING id, n", READ, "COMMIT"),
    ),
    "update of a key beside a delete by that key": Spec.of((RENAME_1, END), (DELETE_ANN, READ, "COMMIT")),
    "a soft delete by hand beside a delete": Spec.of(
        (Step("UPDATE app.users SET deleted_at = now() WHERE id = 1", DELETE_1), END),
        (DELETE_ANN, READ, "COMMIT"),
    ),
    "delete and update in turn of two rows": Spec.of(
        (DELETE_1, "UPDATE app.users SET n = 0 WHERE id = 2", "COMMIT"),
        (DELETE_2, "UPDATE app.users SET n = 0 WHERE id = 1", "COMMIT"),
    ),
    "two deletes in opposite order": Spec.of((DELETE_1, DELETE_2, END), (DELETE_2, DELETE_1, "COMMIT")),
    "delete beside FOR UPDATE": Spec.of((DELETE_1, END), (LOCK_1, UPDATE_1, "COMMIT")),
    "FOR UPDATE beside a delete": Spec.of((LOCK_1, UPDATE_1, END), (DELETE_ANN, "COMMIT")),
    "delete beside FOR UPDATE of all": Spec.of((DELETE_1, END), (LOCK_ALL, READ, "COMMIT")),
    "delete beside FOR NO KEY UPDATE": Spec.of(
        (DELETE_1, END), ("SELECT id FROM app.users WHERE id <= 2 ORDER BY id FOR NO KEY UPDATE", "COMMIT")
    ),
    "delete beside FOR SHARE": Spec.of(
        (DELETE_1, END), ("SELECT id FROM app.users WHERE id <= 2 ORDER BY id FOR SHARE", "COMMIT")
    ),
    "FOR SHARE beside a delete": Spec.of(
        ("SELECT id FROM app.users WHERE id = 1 FOR SHARE", "COMMIT"), (DELETE_1, READ, END)
    ),
    "delete beside FOR UPDATE SKIP LOCKED": Spec.of(
        (DELETE_1, END), ("SELECT id FROM app.users ORDER BY id FOR UPDATE SKIP LOCKED", "COMMIT")
    ),
    "delete beside FOR UPDATE NOWAIT": Spec.of(
        (DELETE_1, END), ("SELECT id FROM app.users WHERE id = 1 FOR UPDATE NOWAIT", "ROLLBACK")
    ),
    "delete beside FOR UPDATE of an outer join": Spec.of(
        ("DELETE FROM app.orders WHERE user_id = 1", END),
        (
            "SELECT o.id, u.name FROM app.orders o LEFT JOIN app.users u ON u.id = o.user_id "
            "ORDER BY o.id FOR UPDATE OF o",
            "COMMIT",
        ),
    ),
    "delete of the other side beside FOR UPDATE of a join": Spec.of(
        (DELETE_1, END),
        (
            "SELECT o.id, u.name FROM app.orders o JOIN app.users u ON u.id = o.user_id ORDER BY o.id FOR UPDATE OF o",
            "COMMIT",
        ),
    ),
    "delete beside FOR UPDATE of both sides of a join": Spec.of(
        (DELETE_1, END),
        (
            "SELECT o.id, u.name FROM app.orders o JOIN app.users u ON u.id = o.user_id ORDER BY o.id FOR UPDATE",
            "COMMIT",
        ),
    ),
    "delete beside FOR UPDATE through a view": Spec.of(
        (DELETE_1, END), ("SELECT * FROM app.user_names ORDER BY id FOR UPDATE", "COMMIT")
    ),
    "delete beside an insert of its key": Spec.of((DELETE_1, END), (INSERT_ANN, READ, "COMMIT")),
    "delete and insert anew beside the same": Spec.of(
        (DELETE_ANN, INSERT_ANN, END),
        (DELETE_ANN, INSERT_ANN.replace("11", "16"), "COMMIT"),
    ),
    "delete beside an update that takes its key": Spec.of(
        (DELETE_1, END), ("UPDATE app.users SET email = 'ann@example.com' WHERE id = 2", READ, "COMMIT")
    ),
    "delete beside an upsert": Spec.of((DELETE_1, END), (UPSERT_ANN, READ, "COMMIT")),
    "upsert beside a delete": Spec.of((UPSERT_ANN, END), (DELETE_ANN, READ, "COMMIT")),
    "delete beside an upsert that does nothing": Spec.of((DELETE_1, END), (UPSERT_PLAIN, READ, "COMMIT")),
    "upserts of one new key": Spec.of(
        (DELETE_1, UPSERT_ANN, END), (UPSERT_ANN.replace("13", "17"), "COMMIT")
    ),
    "delete beside a merge": Spec.of((DELETE_1, END), (MERGE_ANN, READ, "COMMIT")),
    "merge that deletes beside an update": Spec.of((UPDATE_1, END), (MERGE_DELETE, READ, "COMMIT")),
    "merge that deletes beside a delete": Spec.of((DELETE_1, END), (MERGE_DELETE, READ, "COMMIT")),
    "merge that deletes beside the same": Spec.of((MERGE_DELETE, END), (MERGE_DELETE, READ, "COMMIT")),
    "delete from a self-join": Spec.of(
        ("UPDATE app.users SET n = 15 WHERE id = 2", END),
        (
            "DELETE FROM app.users a USING app.users b WHERE a.n = b.n - 10 RETURNING a.id, b.id",
            READ,
            "COMMIT",
        ),
    ),
    "delete of the other side of a join": Spec.of(
        (DELETE_1, END),
        (
            "DELETE FROM app.orders o USING app.users u WHERE u.id = o.user_id RETURNING o.id, u.name",
            READ_ORDERS,
            "COMMIT",
        ),
    ),
    "delete beside an update from a join": Spec.of(
        (DELETE_1, END),
        (
            "UPDATE app.users u SET n = 0 FROM app.orders o WHERE o.user_id = u.id RETURNING u.id, o.id",
            READ,
            "COMMIT",
        ),
    ),
    "rows moved by a CTE beside an update": Spec.of((UPDATE_1, END), (MOVE, READ, "COMMIT")),
    "rows moved by a CTE beside a delete": Spec.of((DELETE_2, END), (MOVE, READ, "COMMIT")),
    "rows moved by a CTE twice": Spec.of((MOVE, END), (MOVE, READ, "COMMIT")),
    "a queue taken from by two": Spec.of((TAKE, TAKE, END), (TAKE, TAKE, "COMMIT"), stricter=True),
    "a queue taken from by three": Spec.of((TAKE, END), (TAKE, "COMMIT"), (TAKE, "COMMIT"), stricter=True),
    "two wait for one delete": Spec.of(
        (DELETE_1, END), (UPDATE_1, "COMMIT"), (DELETE_ANN, "COMMIT"), lingering=True
    ),
    "delete under a savepoint that is rolled back": Spec.of(
        ("SAVEPOINT a", DELETE_1, "ROLLBACK TO a", "COMMIT"), (UPDATE_1, "COMMIT")
    ),
    "delete by a cursor": Spec.of(
        (UPDATE_1, END),
        (
            "DECLARE c CURSOR FOR SELECT id FROM app.users ORDER BY id FOR UPDATE",
            "FETCH 1 c",
            "DELETE FROM app.users WHERE CURRENT OF c RETURNING id, n",
            "COMMIT",
        ),
    ),
    "delete of a boolean's row beside the same": Spec.of(
        ("DELETE FROM app.flags WHERE id <= 2", END),
        ("DELETE FROM app.flags WHERE id >= 2 RETURNING id", "SELECT id, name FROM app.flags", "COMMIT"),
    ),
    "delete of a boolean's row beside FOR UPDATE": Spec.of(
        ("DELETE FROM app.flags WHERE id <= 2", END),
        ("SELECT id, name FROM app.flags ORDER BY id FOR UPDATE", "COMMIT"),
    ),
    "write skew: each deletes if the other is there": Spec.of(
        ("SELECT count(*) FROM app.users WHERE id <= 2", DELETE_1, "COMMIT"),
        ("SELECT count(*) FROM app.users WHERE id <= 2", DELETE_2, "COMMIT"),
    ),
    "restore beside a read": Spec.of((RESTORE_6, END), (READ, READ, "COMMIT")),
    "restore beside an insert of its key": Spec.of((RESTORE_6, END), (INSERT_GONE, READ, "COMMIT")),
    "restore beside an upsert of its key": Spec.of(
        (RESTORE_6, END), (UPSERT_ANN.replace("ann@", "gone@"), READ, "COMMIT")
    ),
    "restore beside a delete of all": Spec.of(
        (RESTORE_6, END), ("DELETE FROM app.users WHERE n >= 20 RETURNING id", READ, "COMMIT"), stricter=True
    ),
}
