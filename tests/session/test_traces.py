"""Comments that tracing puts into texts: the server gets them as they are, and they cost no plan of their own."""

import re
from random import Random

import pytest

from pgsoftproxy.wire import frontend
from tests.fix_servers import Database
from tests.playbook import SYNC, Opening, answer, ask, ready, rows
from tests.session.real import Through
from tests.session.test_real_server import policy, run, tables

__all__ = ["tables"]

RANDOM = Random(3)  # noqa: S311 - no secret


def comment() -> str:
    """Return what OpenTelemetry's sqlcommenter adds to a text."""
    trace, span = RANDOM.randbytes(16).hex(), RANDOM.randbytes(8).hex()
    return f"/*action='%2Fpolls',traceparent='00-{trace}-{span}-01',tracestate='congo%3Dt61rcWkgMzE'*/"


TEXTS = [
    "{} SELECT pg_catalog.current_query() FROM app.items WHERE id = 1",
    "SELECT pg_catalog.current_query() FROM app.items WHERE id = 1 {}",
    "SELECT pg_catalog.current_query() FROM app.items LIMIT 1{}",
    "SELECT pg_catalog.current_query() FROM app.items a LEFT JOIN app.items b ON a.id = b.id {} WHERE a.id = 1 {};",
    "UPDATE app.items SET id = 1 WHERE id = 1 RETURNING pg_catalog.current_query() {}",
    "{} DELETE FROM app.items WHERE id = 2 RETURNING pg_catalog.current_query() {}",
    "/* more */ {} DELETE {} FROM app.items WHERE id = 3 RETURNING pg_catalog.current_query() --{}",
]


@pytest.mark.parametrize("extended", [False, True])
def test_the_server_gets_a_rewritten_text_with_its_comments(tables: Database, extended: bool) -> None:
    with Through(tables, policy(tables)) as line:
        for text in TEXTS:
            comments = [comment() for _ in range(text.count("{}"))]
            sql = text.format(*comments)
            given = run(sql.encode()) + SYNC if extended else frontend.query(sql.encode())
            row = next(message for message in line.ask(given) if message.kind == "D")
            received = row.body[6:].decode()
            assert "deleted_at" in received and received != sql
            assert re.findall(r"/\*.*?\*/", received) == re.findall(r"/\*.*?\*/", sql)
            assert all(one in received for one in comments)


@pytest.mark.parametrize("text", ["{} SELECT id FROM app.users WHERE id = 5", "SELECT id FROM app.users {}"])
def test_texts_that_differ_in_their_trace_alone_share_a_plan_and_take_the_lane(text: str) -> None:
    session = Opening()()
    for number in range(10):
        sql = text.format(comment())
        sent = ask(session, frontend.query(sql.encode()))
        assert re.findall(rb"/.*/", sent) == re.findall(rb"/.*/", sql.encode())
        assert b"deleted_at IS NULL" in sent
        assert session.lane.open is (number > 1)
        answer(session, rows(), ready())
    assert session._state.planner.figures.misses == 2


def test_a_comment_to_the_proxy_is_no_trace() -> None:
    session = Opening({"user": "support"})()
    for visibility in ("live", "all", "live", "all") * 3:
        sql = f"/* pgsoftproxy: visibility={visibility} */ SELECT id FROM app.users {comment()}"
        sent = ask(session, frontend.query(sql.encode()))
        assert (b"deleted_at IS NULL" in sent) is (visibility == "live")
        answer(session, rows(), ready())
