"""The checker alone: it takes what is guarded, and denies every statement with a guard taken out."""

import pytest

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.rewrite.edits import apply_edits
from pgsoftproxy.rewrite.plan import Edit, Rewritten
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.rewriter import rewrite
from pgsoftproxy.rewrite.verify import verify
from tests.rewrite.example import context, policy
from tests.rewrite.test_rewriter import PAIRS

SURROUNDINGS = Surroundings(policy(), context())
SINGLE = {
    name: sql
    for name, (sql, expected) in PAIRS.items()
    if expected is not None and ";" not in sql and "SHOW" not in sql
}


def is_guard(edit: Edit) -> bool:
    """Tell whether an edit restricts rows, so that leaving it out must be noticed.

    Not so the ones that make a DO NOTHING report a deleted row's key, or RETURNING tell what a MERGE did.
    """
    return not edit.text.startswith(("UPDATE SET", "(CASE")) and any(
        word in edit.text for word in ("IS NULL", "NOT flags.gone", "NOT f.gone")
    )


@pytest.mark.parametrize("name", SINGLE)
def test_statement_without_one_of_its_guards_is_denied(name: str) -> None:
    plan = rewrite(SINGLE[name], policy(), context())
    assert isinstance(plan, Rewritten)
    verify(plan.sql, SURROUNDINGS)
    guards = [edit for edit in plan.edits if is_guard(edit)]
    for guard in guards:
        rest = tuple(edit for edit in plan.edits if edit is not guard)
        with pytest.raises(StatementRefused):
            verify(apply_edits(SINGLE[name], rest), SURROUNDINGS)


UNSAFE = [
    "SELECT * FROM users",
    "SELECT * FROM users WHERE deleted_at IS NULL",  # unqualified: another table's column may be meant
    "SELECT * FROM users WHERE users.deleted_at IS NULL OR true",
    "SELECT * FROM users WHERE NOT (users.deleted_at IS NULL)",
    "SELECT * FROM users WHERE users.deleted_at IS NOT NULL",
    "SELECT * FROM users u, orders o WHERE u.deleted_at IS NULL",
    "SELECT * FROM users u, users v WHERE u.deleted_at IS NULL AND u.deleted_at IS NULL",
    "SELECT * FROM logs l LEFT JOIN users u ON true WHERE u.deleted_at IS NULL",
    "SELECT * FROM users u LEFT JOIN (SELECT) AS s ON u.deleted_at IS NULL",
    "SELECT * FROM logs l RIGHT JOIN users u ON u.deleted_at IS NULL",
    "SELECT * FROM users u RIGHT JOIN logs l ON true WHERE u.deleted_at IS NULL",
    "SELECT * FROM users u FULL JOIN logs l ON u.deleted_at IS NULL WHERE u.deleted_at IS NULL",
    "SELECT * FROM users u JOIN logs l ON u.deleted_at IS NULL OR true",
    "SELECT * FROM logs l LEFT JOIN (users u JOIN logs m ON true) ON true WHERE u.deleted_at IS NULL",
    "SELECT * FROM (users u JOIN logs l ON true) AS j, logs u WHERE u.deleted_at IS NULL",
    "SELECT * FROM (users u JOIN logs l ON true) AS j JOIN logs u ON u.deleted_at IS NULL",
    "SELECT * FROM ((users u LEFT JOIN logs l ON true) AS j JOIN logs u ON true) WHERE u.deleted_at IS NULL",
    "SELECT * FROM (users u FULL JOIN logs l ON true) JOIN logs m ON true WHERE u.deleted_at IS NULL",
    "SELECT (SELECT 1 FROM (users u JOIN logs l ON true) AS j WHERE u.deleted_at IS NULL) FROM logs u",
    "SELECT * FROM logs l JOIN (SELECT * FROM users u) AS v ON true, users u WHERE u.deleted_at IS NULL",
    "SELECT * FROM users u JOIN orders o ON u.deleted_at IS NULL",
    "SELECT * FROM users u JOIN (SELECT FROM users) AS s ON u.deleted_at IS NULL",
    "MERGE INTO logs USING (users u LEFT JOIN flags f ON u.deleted_at IS NULL) ON true WHEN MATCHED THEN DELETE",
    "SELECT * FROM users u, LATERAL (SELECT WHERE u.deleted_at IS NULL LIMIT 0) AS s",
    "WITH x AS (SELECT * FROM users) SELECT 1",
    "WITH RECURSIVE x AS (SELECT 1) SELECT 1 FROM app.users",
    "SELECT (SELECT max(id) FROM users) FROM users u WHERE u.deleted_at IS NULL",
    "DELETE FROM users WHERE users.deleted_at IS NULL",
    "UPDATE users SET email = 'x'",
    "UPDATE logs SET id = 1 FROM users",
    "INSERT INTO users VALUES (1) ON CONFLICT (id) WHERE deleted_at IS NULL DO UPDATE SET id = 2",
    "INSERT INTO users VALUES (1) ON CONFLICT (id) DO NOTHING",
    "INSERT INTO logs SELECT id FROM users",
    "COPY users TO STDOUT",
    "COPY (SELECT id FROM users) TO STDOUT",
    "MERGE INTO users USING logs ON true WHEN MATCHED THEN DELETE",
    "SELECT 1; SELECT 2",
]


@pytest.mark.parametrize("sql", UNSAFE)
def test_unguarded_statement_is_denied(sql: str) -> None:
    with pytest.raises(StatementRefused):
        verify(sql, SURROUNDINGS)


SAFE = [
    "SELECT * FROM users u, LATERAL (SELECT WHERE u.deleted_at IS NULL) AS s",
    "SELECT * FROM (users u JOIN (SELECT) AS s ON u.deleted_at IS NULL) FULL JOIN logs ON true",
    "SELECT * FROM users u JOIN (SELECT 1) AS s ON u.deleted_at IS NULL",
    "SELECT * FROM (SELECT) AS s JOIN users u ON u.deleted_at IS NULL",
    "SELECT * FROM (users u JOIN logs l ON u.deleted_at IS NULL AND l.id = u.id) AS j",
    "SELECT * FROM users u JOIN logs l USING (id) AS j WHERE u.deleted_at IS NULL",
    "SELECT * FROM users u LEFT JOIN orders o ON o.deleted_at IS NULL AND true WHERE u.deleted_at IS NULL",
    "SELECT * FROM orders o RIGHT JOIN users u ON o.deleted_at IS NULL WHERE u.deleted_at IS NULL",
    "SELECT * FROM logs l LEFT JOIN (users u NATURAL JOIN orders o) ON o.deleted_at IS NULL AND u.deleted_at IS NULL",
    "SELECT * FROM (users u LEFT JOIN logs l ON true), LATERAL (SELECT WHERE u.deleted_at IS NULL) AS s",
    "WITH users AS (SELECT 1) SELECT * FROM users",
    "INSERT INTO users VALUES (1)",
    "UPDATE users SET id = 1 WHERE CURRENT OF c",
    "COPY users FROM STDIN",
    "SELECT * FROM public.users",
    "SELECT 1 FROM logs FOR UPDATE OF users",
]


@pytest.mark.parametrize("sql", SAFE)
def test_guarded_statement_passes(sql: str) -> None:
    verify(sql, SURROUNDINGS)
