"""Texts so long that their plans are made apart: the session waits, nothing is lost, nothing overtakes."""

from pgsoftproxy.rewrite.cache import LARGE_TEXT
from pgsoftproxy.session.phase import Need
from pgsoftproxy.session.session import Session
from pgsoftproxy.wire import frontend
from tests.playbook import (
    PARSED,
    SYNC,
    TERMINATE,
    Opening,
    answer,
    ask,
    complete,
    drain,
    ready,
    rows,
)

PADDING = b"/*" + b"x" * LARGE_TEXT + b"*/"
LARGE = b"SELECT 1 FROM users " + PADDING
SENT = b"SELECT 1 FROM users WHERE users.deleted_at IS NULL " + PADDING
SMALL = frontend.query(b"SELECT 2")


def plan(session: Session) -> bytes:
    """Do what the relay does for Need.PLAN; return what goes upstream then."""
    assert session.need is Need.PLAN
    job = session.plan_job()
    job.run()
    session.planned(job)
    return drain(session)[1]


def test_large_text_waits_for_its_plan_and_what_follows_waits_too() -> None:
    session = Opening()()
    assert ask(session, frontend.query(LARGE), SMALL) == b""
    assert not session.idle
    assert plan(session) == frontend.query(SENT) + SMALL
    assert answer(session, rows(), ready(), rows(), ready()) == rows() + ready() + rows() + ready()
    assert session.idle


def test_plan_of_a_large_text_is_kept() -> None:
    session = Opening()()
    ask(session, frontend.query(LARGE))
    plan(session)
    answer(session, rows(), ready())
    assert ask(session, frontend.query(LARGE)) == frontend.query(SENT)


def test_plan_that_the_cache_cannot_keep_is_used_all_the_same() -> None:
    session = Opening()()
    batch = b"BEGIN; SET LOCAL search_path = app; " + LARGE + b"; COMMIT"
    ask(session, frontend.query(batch))
    while session.need is Need.PLAN:
        sent = plan(session)
    assert sent == frontend.query(batch.replace(LARGE, SENT))


def test_large_parse_waits_inside_its_pipeline() -> None:
    session = Opening()()
    parse = frontend.parse(b"s", LARGE, b"\0\0")
    assert ask(session, frontend.parse(b"t", b"SELECT 3", b"\0\0"), parse, SYNC) == frontend.parse(
        b"t", b"SELECT 3", b"\0\0"
    )
    assert plan(session) == frontend.parse(b"s", SENT, b"\0\0") + SYNC
    assert answer(session, PARSED, PARSED, ready()) == PARSED + PARSED + ready()


def test_replies_pass_while_a_plan_is_made() -> None:
    session = Opening()()
    ask(session, SMALL, frontend.query(LARGE))
    assert answer(session, rows(), ready()) == rows() + ready()
    assert plan(session) == frontend.query(SENT)


def test_catalog_is_read_again_before_what_was_planned_meanwhile() -> None:
    session = Opening()()
    ask(session, frontend.query(b"BEGIN; CREATE TABLE x ()"))
    answer(session, complete(b"BEGIN"), complete(b"CREATE TABLE"), ready(b"T"))
    ask(session, frontend.query(b"COMMIT"), frontend.query(LARGE))
    while session.need is Need.PLAN:
        plan(session)
    answer(session, complete(b"COMMIT"), ready())
    assert session.need is Need.CATALOG


def test_client_that_leaves_is_still_answered() -> None:
    session = Opening()()
    ask(session, frontend.query(LARGE), TERMINATE)
    session.client_closed()
    drain(session)
    assert plan(session).startswith(frontend.query(SENT))
    assert answer(session, rows(), ready()) == rows() + ready()
    assert session.need is Need.CLOSE
