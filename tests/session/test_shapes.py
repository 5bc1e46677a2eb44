"""Texts that share a plan with others: their own literals go out, and positions lead back into their own text."""

import pytest

from pgsoftproxy.rewrite.rewriter import rewrite
from pgsoftproxy.session.statements import Script
from pgsoftproxy.wire import frontend
from tests.playbook import Opening, answer, ask, error, ready, rows
from tests.rewrite import example

GUARD = b"app.users.deleted_at IS NULL"


def text(name: str, number: int) -> tuple[bytes, bytes]:
    """Return a text and what is sent in its place."""
    start = f"SELECT id FROM app.users WHERE email = '{name}'".encode()
    guarded = start.replace(b"email", GUARD + b" AND (email")
    return start + b" ORDER BY id LIMIT %d" % number, guarded + b") ORDER BY id LIMIT %d" % number


def test_every_text_of_a_shape_goes_out_with_its_own_literals_and_errors_lead_back_into_it() -> None:
    session = Opening()()
    for number, name in enumerate(
        ["a", "b", "c" * 50, "", "it''s -- ; '' /*", "é漢😀", "a", "_sd", "c" * 50, "f"]
    ):
        client, sent = text(name, 10**number)
        assert ask(session, frontend.query(client)) == frontend.query(sent)
        if number % 3:
            place, back = (len(whole.decode()) - number for whole in (sent, client))
            assert answer(session, error(b"42601", P=b"%d" % place), ready()) == (
                error(b"42601", P=b"%d" % back) + ready()
            )
        else:
            assert answer(session, rows(1), ready()) == rows(1) + ready()
    assert session._state.planner.figures.misses == 2


@pytest.mark.parametrize(
    "sql", ["DELETE FROM users WHERE id = {}", "SELECT deleted_at FROM users WHERE id = {}"]
)
def test_a_script_with_other_edits_is_that_of_the_other_text(sql: str) -> None:
    one, other = (rewrite(sql.format(number), example.policy(), example.context()) for number in (1, 1234))
    script = Script.of(one)
    assert script.with_edits(other.edits) == Script.of(other)  # type: ignore[union-attr]
    assert script != Script.of(other)
