"""The reading of a catalog inside a transaction, message by message: what goes wrong stays between proxy and server."""

import pytest

from pgsoftproxy.session.session import CatalogTexts, Need, Session
from pgsoftproxy.wire import backend, frontend
from tests.playbook import (
    BOUND,
    CLOSED,
    GUARDED,
    PARSED,
    READ,
    SYNC,
    Call,
    Client,
    Heard,
    Opening,
    Server,
    ToClient,
    Upstream,
    answer,
    ask,
    complete,
    drain,
    error,
    fatal,
    play,
    ready,
    rows,
    status,
)
from tests.rewrite import example

query = frontend.query
OPENING = Opening(texts=CatalogTexts(b"SELECT settings", b"SELECT catalog"))
NAME = b"_pgsoftproxy_catalog"
DDL = b"ALTER TABLE app.users ADD COLUMN x int"
COLUMNS = b"SELECT 1 FROM app.users AS u (a, b)"
CANCELED = error(b"57014", b"canceling statement due to user request")
ROW = backend.message(backend.DATA_ROW, b"\0\1\0\0\0\3[1]")
SETTINGS_ROW = backend.message(backend.DATA_ROW, b"\0\2\0\0\0\0\0\0\0\0")


def step(text: bytes) -> bytes:
    """Build what is sent for one statement of the reading."""
    return (
        frontend.parse(NAME, text)
        + frontend.bind(NAME, NAME, b"\0\0\0\0\0\1\0\1")
        + frontend.execute(NAME)
        + CLOSE
    )


CLOSE = frontend.close(b"S", NAME) + frontend.close(b"P", NAME)
ROLL_BACK = step(b"ROLLBACK TO SAVEPOINT " + NAME) + step(b"RELEASE SAVEPOINT " + NAME)
READING = step(b"SAVEPOINT " + NAME) + step(b"SELECT settings") + step(b"SELECT catalog") + ROLL_BACK + SYNC
UNDOING = CLOSE + ROLL_BACK + SYNC


def done(tag: bytes, *data: bytes) -> tuple[bytes, ...]:
    """Return the replies to one statement of the reading."""
    return (PARSED, BOUND, *data, complete(tag), CLOSED, CLOSED)


REPLIES = (
    *done(b"SAVEPOINT"),
    *done(b"SELECT 1", SETTINGS_ROW),
    *done(b"SELECT 2", ROW, ROW),
    *done(b"ROLLBACK"),
    *done(b"RELEASE"),
)
UNDONE = (CLOSED, CLOSED, *done(b"ROLLBACK"), *done(b"RELEASE"), ready(b"T"))
BEGIN = [
    Client(query(b"BEGIN")), Upstream(query(b"BEGIN")),
    Server(complete(b"BEGIN"), ready(b"T")), ToClient(complete(b"BEGIN"), ready(b"T")),
    Client(query(DDL)), Upstream(query(DDL)),
    Server(complete(b"ALTER TABLE"), ready(b"T")), ToClient(complete(b"ALTER TABLE"), ready(b"T")),
]  # fmt: skip


def compiled(session: Session) -> None:
    assert session.need is Need.COMPILE
    found, base = session.catalog_rows()
    assert found == [b"[1]", b"[1]"]
    session.compiled(example.policy(), base)


def test_client_sees_nothing_of_a_reading_but_what_the_server_says_on_its_own() -> None:
    notice = backend.message(backend.NOTICE, b"SNOTICE\0C00000\0Mby the way\0\0")
    told = backend.message(backend.NOTIFICATION, b"\0\0\0\1channel\0\0")
    zone = status("TimeZone", "UTC")
    play(OPENING, [
        *BEGIN,
        Client(query(READ)), Upstream(READING),
        Server(*REPLIES[:7], notice, *REPLIES[7:], zone, ready(b"T"), told), ToClient(notice, zone, told),
        Call(compiled), Upstream(query(GUARDED)),
        Server(rows(), ready(b"T")), ToClient(rows(), ready(b"T")),
    ])  # fmt: skip


@pytest.mark.parametrize("before", range(len(REPLIES)))
def test_error_anywhere_in_a_reading_is_undone_and_the_statement_goes_its_way(before: int) -> None:
    session = OPENING()
    _feed(session)
    assert ask(session, query(READ)) == READING
    session.from_upstream(b"".join((*REPLIES[:before], CANCELED, ready(b"E"))))
    assert drain(session) == (b"", UNDOING)
    session.from_upstream(b"".join(UNDONE))
    assert drain(session) == (b"", query(GUARDED))
    assert answer(session, rows(), ready(b"T")) == rows() + ready(b"T")


def test_undoing_that_is_canceled_is_tried_again() -> None:
    play(OPENING, [
        *BEGIN,
        Client(query(READ)), Upstream(READING),
        Server(*REPLIES[:9], CANCELED, ready(b"E")), Upstream(UNDOING),
        Server(*UNDONE[:3], CANCELED, ready(b"E")), Upstream(UNDOING),
        Server(*UNDONE), Upstream(query(GUARDED)),
    ])  # fmt: skip


def test_transaction_that_cannot_be_mended_answers_as_a_failed_one() -> None:
    missing = error(b"3B001", b"savepoint does not exist")
    failed = error(b"25P02", b"current transaction is aborted")
    play(OPENING, [
        *BEGIN,
        Client(query(READ)), Upstream(READING),
        Server(CANCELED, ready(b"E")), Upstream(UNDOING),
        Server(CLOSED, CLOSED, missing, ready(b"E")), Upstream(UNDOING),
        Server(CLOSED, CLOSED, missing, ready(b"E")), Upstream(UNDOING),
        Server(CLOSED, CLOSED, missing, ready(b"E")), Upstream(query(GUARDED)),
        Server(failed, ready(b"E")), ToClient(failed, ready(b"E")),
        Client(query(READ)), Upstream(query(GUARDED)),
        Server(failed, ready(b"E")), ToClient(failed, ready(b"E")),
    ])  # fmt: skip


def test_reading_that_fails_again_and_again_is_given_up_until_the_transaction_ends() -> None:
    session = OPENING()
    _feed(session)
    for _ in range(3):
        assert ask(session, query(COLUMNS)) == READING
        answer(session, CANCELED, ready(b"E"))
        session.from_upstream(b"".join(UNDONE))
        assert b"pgsoftproxy_refuses" in drain(session)[1], "columns are in doubt"
        answer(
            session, error(b"42883", b"function pg_catalog.pgsoftproxy_refuses() does not exist"), ready(b"T")
        )
    assert ask(session, query(READ)) == query(GUARDED)
    answer(session, rows(), ready(b"T"))
    ask(session, query(b"ROLLBACK"))
    answer(session, complete(b"ROLLBACK"), ready())
    session.catalog_refreshed(example.policy())
    _feed(session)
    assert ask(session, query(READ)) == READING


def test_rows_that_do_not_tell_leave_the_catalog_in_doubt() -> None:
    session = OPENING()
    _feed(session)
    ask(session, query(COLUMNS))
    answer(session, *REPLIES, ready(b"T"))
    session.compiled(None, session.catalog_rows()[1])
    assert b"pgsoftproxy_refuses" in drain(session)[1]


def test_policy_of_all_that_changes_while_one_is_compiled_is_not_undone_by_it() -> None:
    session = OPENING()
    _feed(session)
    ask(session, query(READ))
    answer(session, *REPLIES, ready(b"T"))
    base = session.catalog_rows()[1]
    session.policy_changed(example.policy())
    session.compiled(example.policy(), base)
    assert drain(session)[1] == READING, "it is read again"


def test_server_that_goes_away_while_it_is_read_takes_the_session_with_it() -> None:
    heard = Heard()
    session = OPENING(heard)
    _feed(session)
    ask(session, query(READ))
    gone = error(b"57P01", b"terminating connection due to administrator command", b"FATAL")
    assert answer(session, *REPLIES[:4], gone) == gone
    assert session.need is Need.CLOSE
    assert heard.errors == ["57P01"]


def test_client_that_leaves_while_it_is_read_is_answered_first() -> None:
    session = OPENING()
    _feed(session)
    ask(session, query(READ))
    session.client_closed()
    drain(session)
    answer(session, *REPLIES, ready(b"T"))
    compiled(session)
    assert drain(session)[1].startswith(query(GUARDED))
    answer(session, rows(), ready(b"T"))
    assert session.need is Need.CLOSE


def test_copy_in_answer_to_a_reading_ends_the_session() -> None:
    session = OPENING()
    _feed(session)
    ask(session, query(READ))
    told = answer(session, backend.message(backend.COPY_IN, b"\0\0\0"))
    assert told == fatal("08P01", "the upstream server answered the reading of its catalog by a COPY")


def test_failed_transaction_is_not_read_for() -> None:
    session = OPENING()
    _feed(session)
    ask(session, query(b"SET x.y = 1"))
    answer(session, error(b"42704"), ready(b"E"))
    assert ask(session, query(READ)) == query(GUARDED)


def test_outside_an_explicit_transaction_nothing_is_read() -> None:
    session = OPENING()
    segment = frontend.parse(b"", DDL) + frontend.bind(b"", b"") + frontend.execute(b"")
    ask(session, segment)
    assert ask(session, frontend.parse(b"", READ)) == frontend.parse(b"", GUARDED)


def _feed(session: Session) -> None:
    for text, tag in ((b"BEGIN", b"BEGIN"), (DDL, b"ALTER TABLE")):
        ask(session, query(text))
        answer(session, complete(tag), ready(b"T"))
