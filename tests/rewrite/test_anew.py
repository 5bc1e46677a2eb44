"""Bodies written anew: each statement guarded where it stands, the rest as its author wrote it, or no answer."""

import pytest

from pgsoftproxy.model.catalog import Catalog, Column, Relation
from pgsoftproxy.model.evidence import Signature
from pgsoftproxy.model.policy import Policy, TableRule, compile_policy
from pgsoftproxy.model.routines import Routine
from pgsoftproxy.rewrite.anew import routine_anew

WHO = Signature((("who", "i", False),), returns="text")
LIVE = "app.users.deleted_at IS NULL"
ANEW = {
    "SELECT email INTO found FROM app.users WHERE id = who;":
        f"SELECT email INTO found FROM app.users WHERE {LIVE} AND (id = who);",
    "SELECT email FROM app.users INTO found;": f"SELECT email FROM app.users WHERE {LIVE} INTO found;",
    "found := (SELECT max(email) FROM app.users); -- FROM app.users":
        f"found := (SELECT max(email) FROM app.users WHERE {LIVE}); -- FROM app.users",
    "FOR one IN SELECT * FROM app.users LOOP NULL; END LOOP;":
        f"FOR one IN SELECT * FROM app.users WHERE {LIVE} LOOP NULL; END LOOP;",
    "DELETE FROM app.users WHERE id = 1;":
        f"UPDATE app.users SET deleted_at = pg_catalog.now() WHERE {LIVE} AND (id = 1);",
    "EXECUTE 'SELECT ''x'' FROM app.users' INTO found;":
        f"EXECUTE 'SELECT ''x'' FROM app.users WHERE {LIVE}' INTO found;",
    "PERFORM 1 FROM app.users; PERFORM 1 FROM app.users;":
        f"PERFORM 1 FROM app.users WHERE {LIVE}; PERFORM 1 FROM app.users WHERE {LIVE};",
}  # fmt: skip
UNKNOWN = (
    "PERFORM 1 FROM app.users; RAISE NOTICE 'SELECT 1 FROM app.users';",
    "EXECUTE 'SELECT 1 FROM app.users WHERE id = ' || who;",
    "EXECUTE E'SELECT 1 FROM app.users';",
    "EXECUTE format('DELETE FROM %I.users', 'app');",
)


@pytest.fixture(scope="module")
def policy() -> Policy:
    """Give a policy over one table."""
    columns = (
        Column("id", "integer"),
        Column("email", "text"),
        Column("deleted_at", "timestamp with time zone"),
    )
    made, problems = compile_policy(
        [TableRule("app.*")], {}, Catalog("db", 180000, {1: Relation(1, "app", "users", columns=columns)})
    )
    assert not problems
    return made


def anew(body: str, policy: Policy) -> str | None:
    """Return the body written anew."""
    whole = f"\nDECLARE found text; one record; BEGIN\n  {body}\nEND"
    head, tail = "CREATE OR REPLACE FUNCTION f(who int) AS $function$", "$function$\n"
    made = routine_anew(Routine(9, "app", "f", "plpgsql", whole), f"{head}{whole}{tail}", WHO, policy)
    if made is None:
        return None
    assert made.startswith(head) and made.endswith(tail)
    return made.removeprefix(head).removesuffix(tail).partition("BEGIN\n  ")[2].removesuffix("\nEND")


@pytest.mark.parametrize("body", ANEW)
def test_statements_are_guarded_where_they_stand(body: str, policy: Policy) -> None:
    assert anew(body, policy) == ANEW[body]


@pytest.mark.parametrize("body", UNKNOWN)
def test_there_is_no_answer_where_a_place_cannot_be_told(body: str, policy: Policy) -> None:
    assert anew(body, policy) is None


def test_a_truncate_becomes_a_soft_deletion(policy: Policy) -> None:
    routine = Routine(9, "app", "f", "sql", "TRUNCATE app.users")
    form = "CREATE PROCEDURE f() AS $procedure${}$procedure$"
    made = routine_anew(routine, form.format(routine.body), None, policy)
    assert made == form.format(f"UPDATE app.users SET deleted_at = pg_catalog.now() WHERE {LIVE}")
