"""Ordinary conversations: simple and extended, pipelined, and errors in their right place."""

from dataclasses import replace

import pytest

from pgsoftproxy.errors import UpstreamLost
from pgsoftproxy.model.context import VisibilityMode
from pgsoftproxy.session.session import Need, SessionLimits
from pgsoftproxy.wire import backend, frontend
from tests.playbook import (
    BOUND,
    CLOSED,
    DATA_ROW,
    EMPTY,
    FLUSH,
    GUARDED,
    NO_DATA,
    PARAMETERS,
    PARSED,
    READ,
    REFUSAL,
    ROW_DESCRIPTION,
    SUSPENDED,
    SYNC,
    TERMINATE,
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
    refusal,
    refused,
    rows,
    status,
)
from tests.rewrite import example

query = frontend.query
DELETE = b"DELETE FROM app.orders"
UPDATE = b"UPDATE app.orders SET deleted_at = pg_catalog.now() WHERE app.orders.deleted_at IS NULL"
TRUNCATE = b"TRUNCATE app.users"
TRUNCATE_REFUSED = refusal(
    "0A000",
    'TRUNCATE would remove or uncover rows of protected table "app.users"',
    "A role with hard_delete = true may, after SET pgsoftproxy.delete = 'hard'.",
)


def test_untouched_statement_passes_byte_for_byte() -> None:
    session = play(
        Opening(),
        [
            Client(query(b"SELECT 1")),
            Upstream(query(b"SELECT 1")),
            Server(rows(3), ready()),
            ToClient(rows(3), ready()),
        ],
    )
    assert session.idle


def test_protected_read_is_guarded_and_its_rows_pass() -> None:
    play(
        Opening(),
        [Client(query(READ)), Upstream(query(GUARDED)), Server(rows(2), ready()), ToClient(rows(2), ready())],
    )


def test_soft_delete_answers_with_the_tag_of_a_delete() -> None:
    heard = Heard()
    play(
        lambda: Opening()(heard),
        [
            Client(query(DELETE)),
            Upstream(query(UPDATE)),
            Server(complete(b"UPDATE 3"), ready()),
            ToClient(complete(b"DELETE 3"), ready()),
        ],
    )
    assert {(plan.deletes, role, count) for plan, role, count in heard.statements} == {
        ("app.orders", "web", 3)
    }


def test_each_statement_of_a_batch_gets_its_own_tag() -> None:
    play(
        Opening(),
        [
            Client(query(b"SELECT 1; " + DELETE + b"; UPDATE app.logs SET id = 1")),
            Upstream(query(b"SELECT 1; " + UPDATE + b"; UPDATE app.logs SET id = 1")),
            Server(rows(), complete(b"UPDATE 2"), complete(b"UPDATE 7"), ready()),
            ToClient(rows(), complete(b"DELETE 2"), complete(b"UPDATE 7"), ready()),
        ],
    )


def test_empty_query_is_answered_as_such() -> None:
    play(
        Opening(),
        [Client(query(b" ; ")), Upstream(query(b" ; ")), Server(EMPTY, ready()), ToClient(EMPTY, ready())],
    )


def test_asynchronous_messages_pass_at_any_time() -> None:
    notice = backend.message(backend.NOTICE, b"SNOTICE\0\0")
    notification = backend.message(backend.NOTIFICATION, bytes(4) + b"channel\0payload\0")
    quiet = notice + notification + status("TimeZone", "UTC")
    play(
        Opening(),
        [
            Server(quiet),
            ToClient(quiet),
            Client(query(b"LISTEN channel")),
            Upstream(query(b"LISTEN channel")),
            Server(notice, complete(b"LISTEN"), notification, ready(), notification),
            ToClient(notice, complete(b"LISTEN"), notification, ready(), notification),
        ],
    )


def test_refused_statement_fails_in_its_place() -> None:
    heard = Heard()
    session = play(
        lambda: Opening()(heard),
        [
            Client(query(TRUNCATE)),
            Upstream(query(REFUSAL)),
            Server(refused(), ready()),
            ToClient(TRUNCATE_REFUSED, ready()),
        ],
    )
    assert session.idle
    assert set(heard.errors) == {"0A000"}
    assert {(one.sqlstate, plan.kind.value, user) for one, plan, user, _ in heard.refusals} == {
        ("0A000", "truncate", "web")
    }


def test_refusal_waits_for_earlier_replies_and_the_rest_up_to_sync_is_skipped() -> None:
    play(
        Opening(),
        [
            Client(
                *(frontend.parse(b"", b"SELECT 1"), frontend.bind(b"", b""), frontend.execute(b"")),
                *(frontend.parse(b"", TRUNCATE), frontend.bind(b"", b""), frontend.execute(b"")),
                *(frontend.parse(b"", DELETE), frontend.bind(b"", b""), frontend.execute(b""), SYNC),
                query(b"SELECT 2"),
            ),
            Upstream(
                *(frontend.parse(b"", b"SELECT 1"), frontend.bind(b"", b""), frontend.execute(b"")),
                *(frontend.parse(b"", REFUSAL), frontend.bind(b"", b""), frontend.execute(b"")),
                *(frontend.parse(b"", UPDATE), frontend.bind(b"", b""), frontend.execute(b""), SYNC),
                query(b"SELECT 2"),
            ),
            Server(PARSED, BOUND, DATA_ROW, complete(b"SELECT 1"), refused(), ready(), rows(), ready()),
            ToClient(
                PARSED, BOUND, DATA_ROW, complete(b"SELECT 1"), TRUNCATE_REFUSED, ready(), rows(), ready()
            ),
        ],
    )


def test_refused_statement_inside_a_batch_fails_in_its_place() -> None:
    session = Opening()()
    sent = ask(session, query(b"SELECT 1; " + TRUNCATE + b"; SELECT 2"))
    assert sent == query(b"SELECT 1; " + REFUSAL + b"; SELECT 2")
    assert answer(session, rows(), refused(), ready()) == rows() + TRUNCATE_REFUSED + ready()


def test_refusal_in_a_failed_transaction_says_what_the_server_says() -> None:
    aborted = error(b"25P02", b"current transaction is aborted")
    play(
        Opening(),
        [
            Client(query(b"BEGIN")),
            Upstream(query(b"BEGIN")),
            Server(complete(b"BEGIN"), ready(b"T")),
            ToClient(complete(b"BEGIN"), ready(b"T")),
            Client(query(b"SELECT 1/0")),
            Upstream(query(b"SELECT 1/0")),
            Server(error(b"22012"), ready(b"E")),
            ToClient(error(b"22012"), ready(b"E")),
            Client(query(TRUNCATE)),
            Upstream(query(REFUSAL)),
            Server(aborted, ready(b"E")),
            ToClient(aborted, ready(b"E")),
        ],
    )


def test_server_that_runs_a_refused_statement_ends_the_session() -> None:
    session = Opening()()
    ask(session, query(TRUNCATE))
    out = answer(session, rows(), ready())
    assert out == ROW_DESCRIPTION + DATA_ROW + fatal("08P01", "the upstream server ran a refused statement")
    assert session.need is Need.CLOSE


def test_query_behind_an_extended_error_is_skipped_up_to_sync() -> None:
    session = Opening()()
    ask(session, frontend.parse(b"", b"SELECT nothing"), query(b"SELECT 1"), SYNC, query(b"SELECT 2"))
    missing = error(b"42703")
    assert answer(session, missing, ready(), rows(), ready()) == missing + ready() + rows() + ready()
    assert session.idle


def test_messages_after_an_error_are_skipped_until_a_sync_comes() -> None:
    session = Opening()()
    ask(session, frontend.parse(b"", b"SELECT nothing"), FLUSH)
    answer(session, error(b"42703"))
    assert not session.idle
    ask(session, frontend.bind(b"", b""), frontend.execute(b""), query(READ), SYNC)
    assert answer(session, ready()) == ready()
    assert session.idle


def test_error_at_commit_comes_at_the_sync() -> None:
    deferred = error(b"23503")
    session = Opening()()
    insert = frontend.parse(b"", b"INSERT INTO app.logs VALUES (1)")
    ask(session, insert, frontend.bind(b"", b""), frontend.execute(b""), SYNC)
    replies = PARSED + BOUND + complete(b"INSERT 0 1") + deferred + ready()
    assert answer(session, replies) == replies
    assert session.idle


def test_described_statements_and_portals_are_answered_in_order() -> None:
    session = Opening()()
    ask(
        session,
        frontend.parse(b"s", READ),
        frontend.describe(b"S", b"s"),
        frontend.bind(b"p", b"s"),
        frontend.describe(b"P", b"p"),
        frontend.execute(b"p", 1),
        frontend.execute(b"p", 1),
        frontend.close(b"P", b"p"),
        frontend.close(b"S", b"s"),
        SYNC,
    )
    replies = (
        *(PARSED, PARAMETERS, ROW_DESCRIPTION, BOUND, ROW_DESCRIPTION),
        *(DATA_ROW, SUSPENDED, complete(b"SELECT 1"), CLOSED, CLOSED, ready()),
    )
    assert answer(session, *replies) == b"".join(replies)
    assert session.idle


def test_statement_without_rows_is_described_by_no_data() -> None:
    session = Opening()()
    ask(session, frontend.parse(b"", DELETE), frontend.describe(b"S", b""), SYNC)
    assert answer(session, PARSED, PARAMETERS, NO_DATA, ready()) == PARSED + PARAMETERS + NO_DATA + ready()


def test_empty_statement_is_executed() -> None:
    session = Opening()()
    ask(session, frontend.parse(b"", b""), frontend.bind(b"", b""), frontend.execute(b""), SYNC)
    assert answer(session, PARSED, BOUND, EMPTY, ready()) == PARSED + BOUND + EMPTY + ready()


def test_execute_of_a_cursor_declared_in_sql_passes() -> None:
    session = Opening()()
    ask(session, frontend.execute(b"cursor", 10), SYNC)
    assert (
        answer(session, DATA_ROW, complete(b"SELECT 1"), ready())
        == DATA_ROW + complete(b"SELECT 1") + ready()
    )


def test_error_position_is_mapped_back_into_the_clients_text() -> None:
    text = b"SELECT id FROM app.users ORDER BY nothing"
    sent = b"SELECT id FROM app.users WHERE app.users.deleted_at IS NULL ORDER BY nothing"
    for frames, replies in (
        ((query(text),), (b"", ready())),
        ((frontend.parse(b"", text), SYNC), (b"", ready())),
        ((frontend.parse(b"", text), frontend.bind(b"", b""), SYNC), (PARSED, ready())),
    ):
        session = Opening()()
        assert sent in ask(session, *frames)
        before, after = replies
        there = error(b"42703", P=b"%d" % (sent.index(b"nothing") + 1), p=b"3")
        here = error(b"42703", P=b"%d" % (text.index(b"nothing") + 1), p=b"3")
        assert answer(session, before, there, after) == before + here + after


def test_translated_error_says_what_the_client_should_read() -> None:
    session = Opening()()
    ask(session, query(b"INSERT INTO app.users VALUES (1) ON CONFLICT (id) DO NOTHING"))
    held = error(b"22P02", b'invalid input syntax for type boolean: "pgsoftproxy_key_held 2026-01-01"')
    out = answer(session, held, ready())
    assert b"C23505\0" in out and b"held by a deleted row" in out and b"pgsoftproxy_key_held" not in out


@pytest.mark.parametrize("sqlstate", [b"23505", b"23P01", b"23514", b"44000"])
def test_detail_that_could_show_a_deleted_row_is_removed(sqlstate: bytes) -> None:
    session = Opening()()
    for fields, kept in (
        ({"s": b"app", "t": b"users"}, False),
        ({"s": b"app", "t": b"logs"}, True),
        ({"s": b"app", "t": b"watched"}, True),
        ({"s": b"app", "t": b"broken"}, False),
        ({"s": b"app", "t": b"younger than the catalog"}, False),
        ({}, False),
    ):
        ask(session, query(b"INSERT INTO app.logs VALUES (1)"))
        told = error(sqlstate, D=b"Key (email)=(someone@deleted) already exists.", **fields)
        expected = told if kept else error(sqlstate, **fields)
        assert answer(session, told, ready()) == expected + ready()


def test_detail_of_other_errors_stays() -> None:
    session = Opening()()
    ask(session, query(b"INSERT INTO app.logs VALUES (1)"))
    told = error(b"23503", D=b"Key (id)=(1) is not present.", s=b"app", t=b"users")
    assert answer(session, told) == told


def test_function_call_is_refused_in_its_place() -> None:
    call = frontend.message(frontend.FUNCTION_CALL, bytes(12))
    message = "only functions of large objects may be called by the FunctionCall message"
    play(
        Opening(),
        [
            Client(query(b"SELECT 1"), call, query(b"SELECT 2")),
            Upstream(query(b"SELECT 1"), query(REFUSAL), query(b"SELECT 2")),
            Server(rows(), ready(), refused(), ready(), rows(), ready()),
            ToClient(rows(), ready(), refusal("0A000", message, "Call the function in a SELECT."), ready()),
            ToClient(rows(), ready()),
        ],
    )


LO_CREAT = frontend.message(frontend.FUNCTION_CALL, (957).to_bytes(4, "big") + bytes(8))
CREATED = backend.message(backend.FUNCTION_RESPONSE, b"\0\0\0\4\0\0\0\7")


def test_function_call_of_large_objects_is_passed_on() -> None:
    full = error(b"54000")
    session = play(
        Opening(),
        [
            Client(query(b"SELECT 1"), LO_CREAT, LO_CREAT, query(b"SELECT 2")),
            Upstream(query(b"SELECT 1"), LO_CREAT, LO_CREAT, query(b"SELECT 2")),
            Server(rows(), ready(), CREATED, ready(), full, ready(), rows(), ready()),
            ToClient(rows(), ready(), CREATED, ready(), full, ready(), rows(), ready()),
        ],
    )
    assert session.idle


def test_function_call_behind_an_error_is_skipped_up_to_the_sync() -> None:
    wrong = error(b"42601")
    play(
        Opening(),
        [
            Client(frontend.parse(b"", b"SELECT 1"), LO_CREAT, SYNC, LO_CREAT),
            Upstream(frontend.parse(b"", b"SELECT 1"), LO_CREAT, SYNC, LO_CREAT),
            Server(wrong, ready(), CREATED, ready()),
            ToClient(wrong, ready(), CREATED, ready()),
        ],
    )


@pytest.mark.parametrize("reply", [CREATED * 2, ready(), CREATED + rows()])
def test_function_call_is_answered_once_before_its_ready(reply: bytes) -> None:
    session = Opening()()
    ask(session, LO_CREAT)
    assert b"C08P01\0" in answer(session, reply)
    assert session.need is Need.CLOSE


def test_function_call_whose_function_is_cut_short_is_refused() -> None:
    session = Opening()()
    assert ask(session, frontend.message(frontend.FUNCTION_CALL, b"\0\0\3")) == query(REFUSAL)


def test_text_beyond_the_limit_is_refused_in_its_place_and_never_held() -> None:
    limits = SessionLimits(statement_bytes=100)
    long = b"SELECT '" + b"x" * 20_000 + b"'"
    message = "statement is longer than 100 bytes"
    hint = "The proxy's limits.statement_bytes sets the longest text that it reads."
    for frame, sent in (
        (query(long), query(REFUSAL)),
        (frontend.parse(b"name", long), frontend.parse(b"name", REFUSAL)),
        (query(b"SELECT '" + b"x" * 100 + b"'"), query(REFUSAL)),
    ):
        session = Opening(limits=limits)()
        out = b""
        for at in range(0, len(frame), 1000):
            out += ask(session, frame[at : at + 1000])
        assert out == sent
        ask(session, SYNC)
        out = answer(session, refused(), *([ready()] if frame[0] == ord("Q") else []), ready())
        assert out.startswith(refusal("54000", message, hint))
        assert session.idle


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"SELECT 1", "invalid string in message"),
        (b"SELECT 1\0; DELETE FROM app.users\0", "invalid message format"),
        (b"\0\0", "invalid message format"),
    ],
)
def test_malformed_query_is_refused_in_its_place_and_the_session_goes_on(body: bytes, message: str) -> None:
    play(
        Opening(),
        [
            Client(frontend.message(frontend.QUERY, body)),
            Upstream(query(REFUSAL)),
            Server(refused(), ready()),
            ToClient(refusal("08P01", message), ready()),
        ],
    )


def test_malformed_parse_is_refused_in_its_place() -> None:
    session = Opening()()
    sent = ask(session, frontend.message(frontend.PARSE, b"s\0SELECT 1\0; SELECT 2\0\0\0"), SYNC)
    assert sent == frontend.parse(b"s", REFUSAL) + SYNC
    assert answer(session, refused(), ready()).startswith(
        refusal("08P01", "insufficient data left in message")
    )


@pytest.mark.parametrize(
    "frame",
    [
        frontend.message(frontend.BIND, b"no names"),
        frontend.message(frontend.DESCRIBE, b"X\0"),
        frontend.message(frontend.CLOSE, b"Sname"),
        frontend.message(frontend.EXECUTE, b"portal\0"),
        frontend.message(frontend.FLUSH, b"more"),
    ],
)
def test_malformed_message_without_a_text_is_the_servers_to_refuse(frame: bytes) -> None:
    session = Opening()()
    assert ask(session, frame, SYNC) == frame + SYNC
    no = error(b"08P01", b"invalid message format")
    assert answer(session, no, ready()) == no + ready()
    assert session.idle


def test_malformed_message_that_the_server_accepts_ends_the_session() -> None:
    session = Opening()()
    ask(session, frontend.message(frontend.BIND, b"no names"), SYNC)
    assert b"08P01" in answer(session, BOUND, ready())
    assert session.need is Need.CLOSE


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"y\0\0\0\4", "invalid frontend message type 121"),
        (b"p\0\0\0\4", "invalid frontend message type 112"),
        (b"Q\0\0\0\3", "invalid message length"),
        (b"S\0\1\0\0", "invalid message length"),
        (b"d\xff\xff\xff\xff", "invalid message length"),
    ],
)
def test_bad_header_ends_the_session_after_earlier_replies(bad: bytes, message: str) -> None:
    session = play(
        Opening(),
        [
            Client(query(b"SELECT 1"), frontend.parse(b"", b"SELECT 2")),
            Upstream(query(b"SELECT 1"), frontend.parse(b"", b"SELECT 2")),
            Client(bad),
            Upstream(FLUSH),
            Server(rows(), ready(), PARSED),
            ToClient(rows(), ready(), PARSED, fatal("08P01", message)),
        ],
    )
    assert session.need is Need.CLOSE


def test_bad_header_with_nothing_owed_ends_the_session_at_once() -> None:
    play(Opening(), [Client(b"y\0\0\0\4"), ToClient(fatal("08P01", "invalid frontend message type 121"))])


@pytest.mark.parametrize(
    ("frames", "replies"),
    [
        ((), (complete(b"SELECT 1"),)),
        ((), (ready(),)),
        ((), (error(b"42601"),)),
        ((), (PARSED,)),
        ((query(b"SELECT 1"),), (complete(b"SELECT 1"), complete(b"SELECT 1"))),
        ((query(b"SELECT 1"),), (ready(),)),
        ((query(b"SELECT 1"),), (BOUND,)),
        ((query(b"SELECT 1"),), (EMPTY,)),
        ((query(b"SELECT 1"),), (error(b"42601"), error(b"42601"))),
        ((query(b"SELECT 1"),), (error(b"42601"), complete(b"SELECT 1"))),
        ((query(b"SELECT 1"),), (backend.message(backend.COPY_IN, b"\0\0\0"),)),
        ((query(b"SELECT 1"),), (backend.message(backend.COPY_BOTH, b"\0\0\0"),)),
        ((frontend.parse(b"", b"SELECT 1"), SYNC), (CLOSED,)),
        ((frontend.parse(b"", b"SELECT 1"), SYNC), (ready(),)),
        ((SYNC,), (complete(b"SELECT 1"),)),
        ((), (backend.message(ord("V"), b"\0\0\0\0"),)),
        ((), (b"!\0\0\0\4",)),
        ((), (b"Z\0\0\0\3",)),
    ],
)
def test_reply_that_fits_nothing_owed_ends_the_session_and_does_not_pass(
    frames: tuple[bytes, ...], replies: tuple[bytes, ...]
) -> None:
    session = Opening()()
    ask(session, *frames)
    out = answer(session, *replies)
    assert out.startswith(b"".join(replies[:-1]))
    assert b"SFATAL\0VFATAL\0C08P01\0" in out[len(b"".join(replies[:-1])) :]
    assert session.need is Need.CLOSE


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"n", b"I", b"s", b"c", b"Z"])
def test_reply_that_would_swallow_others_ends_the_session_and_does_not_pass(kind: bytes) -> None:
    session = Opening()()
    ask(session, frontend.parse(b"", b"SELECT 1"), frontend.bind(b"", b""), SYNC)
    out = answer(session, kind + b"\0\0\0\x07II", PARSED)
    assert out == fatal("08P01", "invalid message length")
    assert session.need is Need.CLOSE


def test_fatal_error_of_the_server_passes_and_ends_the_session() -> None:
    session = Opening()()
    ask(session, query(b"SELECT 1"))
    shutdown = error(b"57P01", b"terminating connection", b"FATAL")
    assert answer(session, shutdown) == shutdown
    assert session.need is Need.CLOSE
    session.fail(UpstreamLost("lost"))
    assert drain(session) == (b"", b"")


def test_fatal_error_may_come_when_nothing_is_owed() -> None:
    session = Opening()()
    shutdown = error(b"57P01", b"terminating connection", b"FATAL")
    assert answer(session, shutdown) == shutdown


def test_lost_server_is_told_to_the_client() -> None:
    session = Opening()()
    ask(session, query(b"SELECT 1"))
    session.fail(UpstreamLost("the server is gone"))
    assert drain(session)[0] == fatal("08006", "the server is gone")


def test_lost_server_in_the_middle_of_a_row_leaves_no_false_bytes() -> None:
    session = Opening()()
    ask(session, query(b"SELECT 1"))
    assert answer(session, ROW_DESCRIPTION, DATA_ROW[:-1]) == ROW_DESCRIPTION + DATA_ROW[:-1]
    session.fail(UpstreamLost("the server is gone"))
    assert drain(session)[0] == b""
    assert session.need is Need.CLOSE


def test_terminate_is_forwarded_and_nothing_after_it() -> None:
    session = play(Opening(), [Client(TERMINATE), Upstream(TERMINATE)])
    assert session.need is Need.CLOSE
    late = Opening()()
    assert ask(late, TERMINATE, query(b"SELECT 1")) == TERMINATE


def test_what_was_sent_before_a_goodbye_is_still_answered() -> None:
    session = play(
        Opening(),
        [
            Client(query(b"SELECT 1"), TERMINATE, query(b"SELECT 2")),
            Upstream(query(b"SELECT 1"), TERMINATE),
            Server(rows(), ready()),
            ToClient(rows(), ready()),
        ],
    )
    assert session.need is Need.CLOSE


def test_server_that_closes_after_a_goodbye_is_no_error() -> None:
    session = Opening()()
    ask(session, query(b"SELECT 1"), TERMINATE)
    session.fail(UpstreamLost("the server is gone"))
    assert drain(session)[0] == b""
    assert session.need is Need.CLOSE


def test_client_that_closes_early_still_gets_its_answers() -> None:
    session = Opening()()
    ask(session, query(b"SELECT 1"), frontend.parse(b"", b"SELECT 2"))
    session.client_closed()
    assert drain(session) == (b"", b"")
    assert answer(session, rows(), ready()) == rows() + ready()
    assert answer(session, PARSED) == PARSED
    assert session.need is Need.CLOSE


def test_client_that_closes_behind_an_error_without_a_sync_hears_what_the_server_says_of_it() -> None:
    wrong, lost = error(b"42601"), error(b"08P01", severity=b"FATAL")
    session = Opening()()
    ask(session, frontend.parse(b"", b"SELECT 1"))
    session.client_closed()
    assert answer(session, wrong) == wrong
    assert answer(session, lost) == lost
    assert session.need is Need.CLOSE


def test_client_that_closes_with_nothing_owed_ends_the_session() -> None:
    session = Opening()()
    session.client_closed()
    assert session.need is Need.CLOSE


def test_session_is_idle_only_between_transactions_with_nothing_half_sent() -> None:
    session = Opening()()
    ask(session, query(b"SELECT 1")[:3])
    assert not session.idle
    ask(session, query(b"SELECT 1")[3:])
    assert not session.idle
    answer(session, rows(), ready(b"T"))
    assert not session.idle
    ask(session, query(b"COMMIT"))
    answer(session, complete(b"COMMIT"), ready())
    assert session.idle


def test_too_many_unanswered_messages_wait_for_answers() -> None:
    session = Opening(limits=SessionLimits(pipeline=4))()
    frames = [frontend.parse(b"", b"SELECT 1")] * 6
    assert ask(session, *frames, SYNC) == b"".join(frames[:4]) + FLUSH
    assert session.stalled
    session.from_upstream(PARSED * 4)
    assert drain(session) == (PARSED * 4, frames[4] * 2 + SYNC)
    assert not session.stalled


@pytest.mark.parametrize(
    "reply",
    [
        error(b"\xff\xfe", b"\xff"),
        error(b"42601", P=b"9" * 5000),
        error(b"42601", P=b"-1"),
        complete(b"UPDATE " + b"9" * 5000),
        complete(b"\xff\xfe"),
    ],
)
def test_answer_whose_fields_no_server_writes_harms_nobody(reply: bytes) -> None:
    session = Opening()()
    ask(session, query(b"DELETE FROM app.users"))
    out = answer(session, reply, ready())
    assert out.endswith(ready())
    assert session.idle


def test_a_flood_of_syncs_waits_for_answers_too() -> None:
    session = Opening(limits=SessionLimits(pipeline=4))()
    assert ask(session, SYNC * 6) == SYNC * 4 + FLUSH
    assert session.stalled
    session.from_upstream(ready())
    assert drain(session) == (ready(), SYNC + FLUSH)
    session.from_upstream(ready() * 4)
    assert drain(session) == (ready() * 4, SYNC)
    assert not session.stalled


def test_text_that_names_a_deletion_column_is_hinted_at() -> None:
    heard = Heard()
    session = Opening()(heard)
    text = b"SELECT 1 FROM app.users WHERE deleted_at IS NULL"
    ask(session, query(text))
    assert heard.hints == [text]


def test_use_of_another_visibility_is_told_once_it_happened() -> None:
    heard = Heard()
    session = Opening({"user": "support"})(heard)
    ask(session, query(b"/* pgsoftproxy: visibility=all */ SELECT * FROM app.users"))
    assert heard.bypasses == []
    answer(session, rows(), ready())
    assert heard.bypasses == [(VisibilityMode.ALL, "support")]


def test_reloaded_policy_is_in_force_from_the_next_statement() -> None:
    session = Opening()()
    session.policy_changed(
        replace(example.policy(), protections={}, exposing={}, broken={}, destroying={}, version=2)
    )
    assert ask(session, query(READ)) == query(READ)


def test_latin1_texts_are_read_and_written_as_such() -> None:
    session = Opening({"client_encoding": "LATIN1"})()
    text = "SELECT 'ä' FROM app.users"
    sent = ask(session, query(text.encode("latin-1")))
    assert sent == query((text + " WHERE app.users.deleted_at IS NULL").encode("latin-1"))


def test_changed_encoding_counts_from_the_next_text() -> None:
    session = Opening()()
    ask(session, query(b"SET client_encoding = latin1"))
    answer(session, complete(b"SET"), status("client_encoding", "LATIN1"), ready())
    text = "SELECT 'ä' FROM app.users".encode("latin-1")
    assert text in ask(session, query(text))


def test_setting_that_makes_texts_unreadable_ends_the_session() -> None:
    for name, value in (("client_encoding", "SJIS"), ("standard_conforming_strings", "off")):
        session = Opening()()
        ask(session, query(b"SELECT sneaky()"))
        out = answer(session, rows(), status(name, value), ready())
        assert out.startswith(rows() + b"E") and b"0A000" in out
        assert session.need is Need.CLOSE
