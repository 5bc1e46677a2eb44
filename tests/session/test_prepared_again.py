"""EXECUTE and Bind of what SQL's PREPARE prepared under something else: it is prepared again, and nobody notices."""

import pytest

from pgsoftproxy.session.session import Session
from pgsoftproxy.wire import frontend
from tests.playbook import (
    BOUND,
    CLOSED,
    GUARDED,
    PARSED,
    READ,
    REFUSAL,
    SHOW_ALL,
    SHOW_LIVE,
    SUPPORT,
    SYNC,
    Client,
    Opening,
    Server,
    ToClient,
    Upstream,
    answer,
    ask,
    complete,
    error,
    play,
    ready,
    refusal,
    refused,
    rows,
)

parse, bind, execute, close, query = (
    frontend.parse,
    frontend.bind,
    frontend.execute,
    frontend.close,
    frontend.query,
)
SET, PREPARED, DROPPED = complete(b"SET"), complete(b"PREPARE"), complete(b"DEALLOCATE")
CARRIER = b"_pgsoftproxy_carrier"
DONE = (PREPARED, DROPPED, DROPPED, PREPARED)
"""What the server answers to `again`."""


def again(tail: bytes, name: bytes = b"s") -> bytes:
    """Return the SQL that prepares a statement again."""
    return (
        b"PREPARE _pgsoftproxy_again" + tail + b"\n; DEALLOCATE _pgsoftproxy_again\n; "
        b"DEALLOCATE " + name + b"\n; PREPARE " + name + tail + b"\n; "
    )


def carried(sql: bytes) -> bytes:
    """Return the messages that carry SQL between those of the client."""
    closes = close(b"P", CARRIER) + close(b"S", CARRIER)
    return closes + parse(CARRIER, sql) + bind(CARRIER, CARRIER) + execute(CARRIER) + closes


def again_by_protocol(tail: bytes, name: bytes = b"s") -> bytes:
    """Return the messages that prepare a statement again."""
    return (
        carried(b"PREPARE _pgsoftproxy_again" + tail)
        + close(b"S", b"_pgsoftproxy_again")
        + close(b"S", name)
        + carried(b"PREPARE " + name + tail)
    )


CARRIED = CLOSED * 2 + PARSED + BOUND + PREPARED + CLOSED * 2
DONE_BY_PROTOCOL = CARRIED + CLOSED * 2 + CARRIED
"""What the server answers to `again_by_protocol`."""


def run(session: Session, text: bytes, *replies: bytes) -> None:
    """Run a Query that succeeds."""
    ask(session, query(text))
    answer(session, *replies, ready())


def prepared(opening: Opening, statement: bytes) -> Session:
    """Open a session that has prepared `s`, and then sees all rows."""
    session = opening()
    run(session, statement, PREPARED)
    run(session, SHOW_ALL, SET)
    return session


def test_execute_follows_the_visibility_of_its_use() -> None:
    prepare = b"PREPARE s (int) AS "
    play(
        SUPPORT,
        [
            Client(query(prepare + READ)),
            Upstream(query(prepare + GUARDED)),
            Server(PREPARED, ready()),
            ToClient(PREPARED, ready()),
            Client(query(SHOW_ALL)),
            Upstream(query(SHOW_ALL)),
            Server(SET, ready()),
            ToClient(SET, ready()),
            Client(query(b"EXECUTE s (1)")),
            Upstream(query(again(b" (int) AS " + READ) + b"EXECUTE s (1)")),
            Server(*DONE, rows(3), ready()),
            ToClient(rows(3), ready()),
            Client(query(b"EXECUTE s (2)")),
            Upstream(query(b"EXECUTE s (2)")),
            Server(rows(), ready()),
            ToClient(rows(), ready()),
            Client(query(SHOW_LIVE)),
            Upstream(query(SHOW_LIVE)),
            Server(SET, ready()),
            ToClient(SET, ready()),
            Client(query(b"EXECUTE s (3)")),
            Upstream(query(again(b" (int) AS " + GUARDED) + b"EXECUTE s (3)")),
            Server(*DONE, rows(), ready()),
            ToClient(rows(), ready()),
        ],
    )


@pytest.mark.parametrize("text", [b"EXPLAIN ANALYZE EXECUTE s", b"CREATE TEMP TABLE t AS EXECUTE s"])
def test_what_executes_inside_another_statement_follows_too(text: bytes) -> None:
    session = prepared(SUPPORT, b"PREPARE s AS " + READ)
    assert ask(session, query(text)) == query(again(b" AS " + READ) + text)


def test_batch_prepares_again_where_its_own_statements_change_what_is_in_force() -> None:
    session = SUPPORT()
    text = b"PREPARE s AS " + READ + b"; " + SHOW_ALL + b"; EXECUTE s; EXECUTE s; RESET ALL; EXECUTE s -- end"
    sent = ask(session, query(text))
    assert sent == query(
        b"PREPARE s AS "
        + GUARDED
        + b"; "
        + SHOW_ALL
        + b"; "
        + again(b" AS " + READ)
        + b"EXECUTE s; EXECUTE s; "
        b"RESET ALL; " + again(b" AS " + GUARDED) + b"EXECUTE s -- end"
    )
    read = rows(2)
    reset = complete(b"RESET")
    out = answer(session, PREPARED, SET, *DONE, read, read, reset, *DONE, read, ready())
    assert out == PREPARED + SET + read + read + reset + read + ready()


def test_directive_holds_for_its_execute_alone() -> None:
    session = SUPPORT()
    run(session, b"PREPARE s AS " + READ, PREPARED)
    directive = b"/* pgsoftproxy: visibility=all */ "
    assert ask(session, query(directive + b"EXECUTE s")) == query(
        directive + again(b" AS " + READ) + b"EXECUTE s"
    )
    answer(session, *DONE, rows(), ready())
    assert ask(session, query(b"EXECUTE s")) == query(again(b" AS " + GUARDED) + b"EXECUTE s")


def test_directive_ahead_of_a_prepare_belongs_to_what_is_prepared() -> None:
    session = SUPPORT()
    text = b"/* pgsoftproxy: visibility=all */ PREPARE s AS " + READ
    assert ask(session, query(text)) == query(text)
    answer(session, PREPARED, ready())
    assert ask(session, query(b"EXECUTE s")) == query(b"EXECUTE s")


def test_text_that_the_server_refuses_leaves_the_statement_as_it_was() -> None:
    session = prepared(SUPPORT, b"PREPARE s AS " + READ)
    ask(session, query(b"EXECUTE s"))
    wrong = error(b"42703", b"no such column", P=b"41")
    assert answer(session, wrong, ready()) == error(b"42703", b"no such column", P=b"24") + ready()
    run(session, SHOW_LIVE, SET)
    assert ask(session, query(b"EXECUTE s")) == query(b"EXECUTE s")


def test_error_in_the_second_of_two_is_told_where_its_prepare_has_it() -> None:
    session = prepared(SUPPORT, b"PREPARE s AS " + READ)
    sent = ask(session, query(b"SELECT 1; EXECUTE s"))[5:]
    at = sent.index(b"app.users", sent.index(b"PREPARE s"))
    out = answer(session, rows(), PREPARED, DROPPED, DROPPED, error(b"42P01", P=b"%d" % (at + 1)), ready())
    place = b"PREPARE s AS SELECT id FROM app.users".index(b"app.users") + 1
    assert out == rows() + error(b"42P01", P=b"%d" % place) + ready()


def test_statement_that_was_lost_on_the_way_is_prepared_by_the_next_use() -> None:
    session = prepared(SUPPORT, b"PREPARE s AS " + READ)
    ask(session, query(b"EXECUTE s"))
    cancelled = error(b"57014")
    assert answer(session, PREPARED, DROPPED, DROPPED, cancelled, ready()) == cancelled + ready()
    for text, tail in ((SHOW_ALL, READ), (SHOW_LIVE, GUARDED)):
        run(session, text, SET)
        sent = ask(session, query(b"EXECUTE s"))
        assert sent == query(again(b" AS " + tail).replace(b"DEALLOCATE s\n; ", b"") + b"EXECUTE s")
        answer(session, PREPARED, DROPPED, error(b"57014"), ready())


def test_execute_by_the_protocol_has_it_prepared_when_it_is_executed() -> None:
    prepare = b"PREPARE s AS "
    use = (bind(b"", b"e"), execute(b""), SYNC)
    play(
        SUPPORT,
        [
            Client(query(prepare + READ)),
            Upstream(query(prepare + GUARDED)),
            Server(PREPARED, ready()),
            ToClient(PREPARED, ready()),
            Client(parse(b"e", b"EXECUTE s"), SYNC),
            Upstream(parse(b"e", b"EXECUTE s"), SYNC),
            Server(PARSED, ready()),
            ToClient(PARSED, ready()),
            Client(query(SHOW_ALL)),
            Upstream(query(SHOW_ALL)),
            Server(SET, ready()),
            ToClient(SET, ready()),
            Client(*use),
            Upstream(bind(b"", b"e"), again_by_protocol(b" AS " + READ), execute(b""), SYNC),
            Server(BOUND, DONE_BY_PROTOCOL, complete(b"SELECT 2"), ready()),
            ToClient(BOUND, complete(b"SELECT 2"), ready()),
            Client(*use),
            Upstream(*use),
            Server(BOUND, complete(b"SELECT 2"), ready()),
            ToClient(BOUND, complete(b"SELECT 2"), ready()),
        ],
    )


def test_bind_has_it_prepared_before() -> None:
    session = prepared(SUPPORT, b"PREPARE s (int) AS " + READ)
    use = bind(b"", b"s") + execute(b"") + SYNC
    assert ask(session, use) == again_by_protocol(b" (int) AS " + READ) + use
    done = BOUND + complete(b"SELECT 9") + ready()
    assert answer(session, DONE_BY_PROTOCOL, done) == done
    assert ask(session, use) == use


def test_bind_of_a_text_that_the_server_refuses_gets_its_error() -> None:
    session = prepared(SUPPORT, b"PREPARE s AS " + READ)
    use = bind(b"", b"s") + execute(b"") + SYNC
    ask(session, use)
    out = answer(session, CLOSED * 2, PARSED, BOUND, error(b"42P01", P=b"41"), ready())
    assert out == error(b"42P01", P=b"24") + ready()
    run(session, SHOW_LIVE, SET)
    assert ask(session, use) == use


def test_statement_of_the_protocol_is_prepared_again_by_sql_if_it_was_given_no_types() -> None:
    session = SUPPORT()
    ask(session, parse(b"s", READ), SYNC)
    answer(session, PARSED, ready())
    run(session, SHOW_ALL, SET)
    assert ask(session, query(b"EXECUTE s")) == query(again(b" AS " + READ) + b"EXECUTE s")


def test_statement_of_the_protocol_with_types_is_not_prepared_again_by_sql() -> None:
    session = SUPPORT()
    types = b"\0\1" + (20).to_bytes(4, "big")
    ask(session, parse(b"s", READ, types), parse(b"e", b"EXECUTE s"), SYNC)
    answer(session, PARSED * 2, ready())
    run(session, SHOW_ALL, SET)
    assert ask(session, query(b"EXECUTE s")) == query(REFUSAL)
    message = 'prepared statement "s" was prepared under another visibility, search_path or policy'
    hint = "Use it by the protocol that it was prepared by, or prepare it again."
    assert answer(session, refused(), ready()) == refusal("0A000", message, hint) + ready()
    use = bind(b"", b"e") + execute(b"") + SYNC
    again = close(b"S", b"s") + parse(b"s", READ, types)
    assert ask(session, use) == bind(b"", b"e") + again + execute(b"") + SYNC


def test_execute_of_an_execute_is_refused() -> None:
    session = SUPPORT()
    run(session, b"PREPARE s AS " + READ, PREPARED)
    ask(session, parse(b"e", b"EXECUTE s"), SYNC)
    answer(session, PARSED, ready())
    assert ask(session, query(b"EXECUTE e")) == query(REFUSAL)


def test_refused_execute_in_a_batch_follows_what_came_before_it() -> None:
    session = SUPPORT()
    sent = ask(session, query(b"SELECT 1; EXPLAIN EXECUTE x; SELECT 2"))
    assert sent == query(b"SELECT 1; " + REFUSAL + b"; SELECT 2")
    out = answer(session, rows(), refused(), ready())
    assert out == rows() + refusal("26000", 'prepared statement "x" does not exist') + ready()


def test_statement_that_would_be_refused_now_gets_that_refusal() -> None:
    session = Opening({"search_path": "public"})()
    run(session, b"PREPARE s AS SELECT * FROM broken", PREPARED)
    run(session, b"SET search_path = app", SET)
    assert ask(session, query(b"EXECUTE s")) == query(REFUSAL)
    assert b"app.broken" in answer(session, refused(), ready())
    run(session, b"SET search_path = public", SET)
    assert ask(session, query(b"EXECUTE s")) == query(b"EXECUTE s")


def test_statement_in_characters_that_the_encoding_lacks_is_not_sent() -> None:
    session = Opening({"user": "support", "client_encoding": "LATIN1"})()
    run(session, b"PREPARE \xe9 AS " + READ, PREPARED)
    run(session, SHOW_ALL, SET)
    assert ask(session, query(b"EXECUTE \xe9")) == query(again(b" AS " + READ, b'"\xe9"') + b"EXECUTE \xe9")
