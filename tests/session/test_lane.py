"""The lane beside the core: what takes it comes out as from the core alone, and what must not take it does not."""

from dataclasses import replace
from random import Random

import pytest

from pgsoftproxy.rewrite.cache import Planner
from pgsoftproxy.rewrite.rewriter import rewrite
from pgsoftproxy.session.core import Core
from pgsoftproxy.session.session import Session, SessionLimits
from pgsoftproxy.wire import frontend
from tests.fuzz.offline import LIMITS, Offline, Planned, pieces_of
from tests.fuzz.transcript import CLIENT, Transcript, load
from tests.playbook import (
    BOUND,
    PARSED,
    ROW_DESCRIPTION,
    SYNC,
    Heard,
    Opening,
    answer,
    ask,
    complete,
    error,
    ready,
    rows,
    status,
)
from tests.rewrite import example

READ = b"SELECT id FROM app.users"
GUARDED = b"SELECT id FROM app.users WHERE app.users.deleted_at IS NULL"
QUERY, SENT = frontend.query(READ), frontend.query(GUARDED)
PARSE, SENT_PARSE = frontend.parse(b"", READ), frontend.parse(b"", GUARDED)
RUN = frontend.bind(b"", b"") + frontend.describe(b"P", b"") + frontend.execute(b"") + SYNC
PAST = BOUND + rows(2) + ready()


def opened(heard: Heard | None = None, **parameters: str) -> Session:
    """Return a session whose lane knows the read, as Query and as Parse."""
    session = Opening(parameters)(heard)
    for _ in range(2):
        assert ask(session, QUERY) == SENT
        answer(session, rows(), ready())
        assert ask(session, PARSE + RUN) == SENT_PARSE + RUN
        answer(session, PARSED, PAST)
    assert session.lane.open
    return session


def test_known_frames_take_the_lane_with_all_that_they_are_answered() -> None:
    heard = Heard()
    session = opened(heard)
    count = len(heard.statements)
    assert ask(session, QUERY) == SENT
    owed = session.lane.owes
    assert (owed, session.idle) == (True, False)
    assert answer(session, rows(3), ready()) == rows(3) + ready()
    owed = session.lane.owes
    assert (owed, session.idle) == (False, True)
    assert ask(session, PARSE + RUN) == SENT_PARSE + RUN
    assert answer(session, PARSED, PAST) == PARSED + PAST
    assert ask(session, RUN) == RUN
    assert answer(session, PAST) == PAST
    assert session.lane.open
    assert [statement.guarded for statement, _, _ in heard.statements[count:]] == [("app.users",)] * 3


def test_a_query_takes_the_unnamed_statement_away_on_the_lane_too() -> None:
    session = opened()
    ask(session, QUERY)
    answer(session, rows(), ready())
    assert b"pgsoftproxy_refuses" in ask(session, RUN)  # the server would say that there is no such statement


@pytest.mark.parametrize("at", range(len(PARSED + PAST)))
def test_the_core_takes_over_at_any_byte_of_the_answer(at: int) -> None:
    session = opened()
    ask(session, PARSE + RUN)
    told = answer(session, (PARSED + PAST)[:at])
    session.policy_changed(example.policy())
    assert not session.lane.open
    assert told + answer(session, (PARSED + PAST)[at:]) == PARSED + PAST
    assert session.idle


def test_an_error_position_is_mapped_back_though_the_lane_carried_the_statement() -> None:
    session = opened()
    ask(session, QUERY)
    late = b"%d" % (len(GUARDED) + 1)
    assert (
        answer(session, error(b"42883", P=late), ready())
        == error(b"42883", P=b"%d" % (len(READ) + 1)) + ready()
    )


def test_a_changed_visibility_leaves_nothing_on_the_lane() -> None:
    session = opened(user="support")
    ask(session, frontend.query(b"SET pgsoftproxy.visibility = 'all'"))
    answer(session, complete(b"SET"), ready())
    assert ask(session, QUERY) == QUERY
    answer(session, rows(), ready())
    ask(session, frontend.query(b"RESET pgsoftproxy.visibility"))
    answer(session, complete(b"RESET"), ready())
    for _ in range(3):
        assert ask(session, QUERY) == SENT
        answer(session, rows(), ready())


def test_a_new_policy_leaves_nothing_on_the_lane() -> None:
    session = opened()
    ask(session, frontend.parse(b"named", READ) + SYNC)
    answer(session, PARSED, ready())
    nothing = example.policy()
    session.policy_changed(replace(nothing, protections={}, version=nothing.version + 1))
    assert ask(session, QUERY) == QUERY
    answer(session, rows(), ready())
    assert READ + b"\0" in ask(session, frontend.bind(b"", b"named") + SYNC)


def test_a_search_path_that_the_server_reports_closes_the_lane_before_the_next_statement() -> None:
    session = opened()
    ask(session, frontend.query(b"SELECT 1"))
    answer(session, rows(), ready())
    assert ask(session, QUERY) == SENT
    answer(session, rows(), status("search_path", "elsewhere"), ready())
    assert session._state.tracker.context.values.search_path.schemas == ("elsewhere",)


def test_a_status_that_nobody_foresaw_is_the_cores() -> None:
    session = opened()
    ask(session, QUERY)
    assert answer(session, rows(), ready(b"T")) == rows() + ready(b"T")
    assert session._state.in_transaction


def test_the_longest_frame_that_there_can_be_passes_piece_by_piece() -> None:
    session = opened()
    ask(session, QUERY)
    begun = ROW_DESCRIPTION + b"D\x7f\xff\xff\xff" + bytes(10)
    assert answer(session, begun) == begun
    assert session.lane.open
    assert session.lane.skip == 0x7FFFFFFF - 4 - 10
    assert answer(session, bytes(1000)) == bytes(1000)


@pytest.mark.parametrize(
    "wrong", [ROW_DESCRIPTION, BOUND, PARSED, complete(b"SELECT 1"), ready(), b"2\0\0\0\5!"]
)
def test_a_reply_that_nobody_owes_ends_the_session(wrong: bytes) -> None:
    session = opened()
    assert b"VFATAL" in answer(session, wrong)


@pytest.mark.parametrize("transcript", load(), ids=lambda one: one.name)
def test_recorded_conversations_come_out_as_from_the_core_alone(transcript: Transcript) -> None:
    planner, rng = Planned(), Random(1)  # noqa: S311 - no secret
    alone = Offline(planner, LIMITS[0], lazy=False, alone=True).run(
        transcript.turns, pieces_of(rng, "whole"), CLIENT
    )
    for way in ("whole", "whole", "random", "random"):
        run = Offline(planner, LIMITS[0], lazy=False)
        assert run.run(transcript.turns, pieces_of(rng, way), CLIENT) == alone


PATTERNS = (
    "SELECT id FROM app.users WHERE id = %d",
    "SELECT id FROM app.users u LEFT JOIN app.logs l ON l.id = u.id AND u.id > -%d WHERE l.id < %d OR u.id=%d;",
    "SELECT id, %d FROM app.users ORDER BY %d",
    "SELECT id FROM app.users LIMIT %d OFFSET %d",
    "SELECT id FROM app.users GROUP BY %d, id + %d",
    "UPDATE app.users SET id = %d WHERE id IN (%d, %d)",
    "INSERT INTO app.logs (id) VALUES (%d), (%d)",
    "SELECT id FROM app.users WHERE id = %d -- %d",
    "SELECT '%d' FROM app.users WHERE id = %d",
    "SELECT id%d FROM app.users WHERE id = %d.5 OR id = .%d",
    "SELECT id FROM app.users WHERE id = %de1",
    "SELECT * FROM app.users TABLESAMPLE SYSTEM (%d)",
    "SELECT %d; SELECT id FROM app.users WHERE id = %d",
)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_texts_that_differ_in_integers_go_out_as_from_the_core_alone(pattern: str) -> None:
    rng = Random(2)  # noqa: S311 - no secret
    opening = Opening()
    session = opening()
    for size in (1, 1, 10, 10, 1000, 10**6, 10**9 - 1, 10**12, 1, 1000):
        numbers = tuple(rng.randint(0, size) for _ in range(pattern.count("%d")))
        text = frontend.query((pattern % numbers).encode())
        told = [rows() for _ in range(pattern.count(";") + 1 - pattern.endswith(";"))]
        alone = Core(Planner(rewrite, 0, lambda: 0.0, lambda seconds: None), Heard(), SessionLimits())
        opening.open(alone)
        assert ask(session, text) == ask(alone, text), numbers
        assert answer(session, *told, ready()) == answer(alone, *told, ready())


LITERAL_PATTERNS = (
    "SELECT id FROM app.users WHERE name = %s",
    'SELECT "app"."users"."id" FROM "app"."users" WHERE "app"."users"."name" = %s LIMIT 21',
    "INSERT INTO app.logs (id, note) VALUES (%s, %s), (%s, %s);",
    "UPDATE app.users SET name = %s WHERE id > %s - %s",
    "SELECT id FROM app.users WHERE name LIKE %s\n%s",
    "SELECT id, %s::text FROM app.users ORDER BY %s",
    "SELECT nextval(%s) FROM app.users WHERE name = %s",
    "SELECT id FROM app.users WHERE name IN (%s,%s)--x",
    "SELECT id FROM app.users WHERE name =E%s OR name = %s",
)
LITERALS = ("'a'", "''", "'it''s'", "'-- /*'", "'$1'", "'\"'", "'a\\'", "'é'", "'app.users'", "1.5", "0.0",
            "3000000000", "7", "-1", "'", "''''", "'a' ", "1.", "NULL")  # fmt: skip


@pytest.mark.parametrize("pattern", LITERAL_PATTERNS)
def test_texts_that_differ_in_other_literals_go_out_as_from_the_core_alone(pattern: str) -> None:
    rng = Random(3)  # noqa: S311 - no secret
    opening = Opening()
    session = opening()
    for number in range(30):
        usual = [f"'{rng.randint(0, 99)}{rng.choice(['', chr(39) * 2])}'" for _ in range(pattern.count("%s"))]
        others = [rng.choice(LITERALS) if rng.random() < 0.2 else one for one in usual]
        text = frontend.query((pattern % tuple(others if number > 4 else usual)).encode())
        alone = Core(Planner(rewrite, 0, lambda: 0.0, lambda seconds: None), Heard(), SessionLimits())
        opening.open(alone)
        sent = ask(session, text)
        assert sent == ask(alone, text), text
        told = (error(b"22000"),) if b"pgsoftproxy_refuses" in sent else (rows(),)
        assert answer(session, *told, ready()) == answer(alone, *told, ready())


def test_texts_with_strings_and_quoted_names_take_the_lane() -> None:
    session = Opening()()
    shelves = session._state.shelves
    assert shelves is not None
    for number in range(9):
        text = b"""SELECT "id" FROM "app"."users" WHERE "name" = 'it''s %d' AND id < 1.5""" % number
        assert b"deleted_at IS NULL" in ask(session, frontend.query(text))
        answer(session, rows(), ready())
    assert [cell.n for cell in shelves.hits] == [7, 7]


def test_a_text_of_a_known_shape_takes_the_lane_and_is_counted_as_found_by_its_shape() -> None:
    session = Opening()()
    shelves = session._state.shelves
    assert shelves is not None
    for number in range(9):
        sent = ask(session, frontend.query(b"SELECT id FROM app.users WHERE id = %d" % number))
        assert sent == frontend.query(
            b"SELECT id FROM app.users WHERE app.users.deleted_at IS NULL AND (id = %d)" % number
        )
        answer(session, rows(), ready())
    assert [cell.n for cell in shelves.hits] == [7, 7]


def test_a_text_beyond_the_limit_is_refused_though_its_shape_is_known() -> None:
    session = Opening(limits=SessionLimits(statement_bytes=40))()
    for number in (1, 2, 3, 4):
        ask(session, frontend.query(b"SELECT id FROM app.users WHERE id = %d" % number))
        answer(session, rows(), ready())
    assert b"pgsoftproxy_refuses" in ask(
        session, frontend.query(b"SELECT id FROM app.users WHERE id = 123456789")
    )
