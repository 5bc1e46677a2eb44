"""PL/pgSQL bodies taken apart: which statements they run, which texts; what cannot be read is None."""

import pytest

from pgsoftproxy.model.evidence import Signature
from pgsoftproxy.rewrite.plpgsql import Code, read_code
from pgsoftproxy.rewrite.scope import find

NAMES = frozenset({"users", "orders"})


def tables(code: Code | None) -> list[str]:
    """Return what is done to which table."""
    assert code is not None
    return sorted(
        f"{reference.use.value} {reference.node['relname']}"
        for tree in code.statements
        for reference in find(tree, NAMES).references
    )


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("BEGIN DELETE FROM users; END", ["delete users"]),
        ("BEGIN PERFORM 1 FROM app.users; END", ["read users"]),
        ("BEGIN IF EXISTS (SELECT FROM users) THEN NULL; END IF; END", ["read users"]),
        ("DECLARE n int := (SELECT count(*) FROM users); BEGIN NULL; END", ["read users"]),
        ("DECLARE n int; BEGIN n := (SELECT count(*) FROM users); END", ["read users"]),
        ("DECLARE a int[]; BEGIN a[1] := (SELECT count(*) FROM users); END", ["read users"]),
        ("DECLARE c CURSOR FOR SELECT * FROM orders; BEGIN OPEN c; CLOSE c; END", ["read orders"]),
        ("DECLARE r record; BEGIN FOR r IN SELECT * FROM users LOOP NULL; END LOOP; END", ["read users"]),
        ("DECLARE r app.users%ROWTYPE; BEGIN SELECT * INTO r FROM users; END", ["read users"]),
        ("DECLARE n app.users.id%TYPE; m n%TYPE; BEGIN SELECT id INTO n FROM users; END", ["read users"]),
        (
            "DECLARE s app.state := 'x'; n CONSTANT app.kind = 1; BEGIN SELECT 1 INTO s FROM users; END",
            ["read users"],
        ),
        ("DECLARE s app.state[]; BEGIN DELETE FROM users; END", ["delete users"]),
        ("DECLARE u app.users; BEGIN u.id := (SELECT max(id) FROM users); END", ["read users"]),
        ("DECLARE u app.users; v app.state; BEGIN SELECT * INTO u FROM users; END", ["read users"]),
        ("BEGIN EXECUTE 'DELETE FROM users WHERE id = $1' USING 1; END", ["delete users"]),
        ("BEGIN WHILE (SELECT true FROM users) LOOP EXIT WHEN true; END LOOP; END", ["read users"]),
        ("BEGIN NULL; EXCEPTION WHEN OTHERS THEN DELETE FROM orders; END", ["delete orders"]),
        ("BEGIN CASE WHEN EXISTS (SELECT FROM users) THEN NULL; ELSE NULL; END CASE; END", ["read users"]),
        ("BEGIN RAISE NOTICE 'DELETE FROM users'; -- users\n END", []),
        ("BEGIN ASSERT (SELECT true FROM users); END", ["read users"]),
    ],
)
def test_every_statement_and_expression_is_found(body: str, found: list[str]) -> None:
    assert tables(read_code(body, Signature())) == found


def test_a_text_that_is_put_together_is_told_apart() -> None:
    code = read_code("BEGIN EXECUTE format('DELETE FROM %I', 'users'); END", Signature())
    assert code == Code((), ("format('DELETE FROM %I', 'users')",))


@pytest.mark.parametrize(
    ("signature", "body"),
    [
        (
            Signature(returns="trigger"),
            "BEGIN NEW.x := 1; IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END",
        ),
        (Signature((("a", "i", False),), "text"), "BEGIN a := a || 1; RETURN a; END"),
        (Signature((("a", "i", True),), "int4"), "BEGIN RETURN a.id; END"),
        (Signature((("a", "i", False), ("b", "o", False)), "text"), "BEGIN b := a; END"),
        (Signature((("a", "o", False), ("b", "o", False)), "record"), "BEGIN SELECT 1, 2 INTO a, b; END"),
        (Signature((("a", "t", False),), "int4", True), "BEGIN a := 1; RETURN NEXT; END"),
        (Signature(returns="users", returns_set=True), "BEGIN RETURN QUERY SELECT * FROM users; END"),
        (Signature((("a", "v", False),), "int4"), "BEGIN RETURN a[1]; END"),
        (Signature((("", "i", False),), "text"), "BEGIN RETURN $1; END"),
        (Signature((("a", "b", False),), procedure=True), "BEGIN a := 1; COMMIT; END"),
        (Signature((('Weird "name"', "i", False),), "text"), 'BEGIN RETURN "Weird ""name"""; END'),
    ],
)
def test_bodies_are_read_under_every_kind_of_signature(signature: Signature, body: str) -> None:
    assert read_code(body, signature) is not None


@pytest.mark.parametrize(
    "body",
    [
        "BEGIN this is not a statement END",
        "BEGIN SELECT $pgsoftproxy$x$pgsoftproxy$; END",
        "BEGIN PERFORM " + "(" * 5000 + "1" + ")" * 5000 + "; END",
        "BEGIN " * 5000 + "NULL; " + "END; " * 5000,
        "BEGIN " + "IF true THEN " * 5000 + "NULL; " + "END IF; " * 5000 + "END",
        "BEGIN PERFORM 1; END" + " " * 300_000,
        "BEGIN PERFORM 'open; END",
        "",
    ],
    ids=["wrong", "own mark", "parentheses", "blocks", "ifs", "long", "open string", "empty"],
)
def test_what_cannot_be_read_is_none(body: str) -> None:
    assert read_code(body, Signature()) is None
