"""Which encoding a client's text is read in: as of the SET that it follows, also before the server has confirmed it."""

from pgsoftproxy.session.session import Session
from pgsoftproxy.wire import frontend
from tests.playbook import (
    BOUND,
    FLUSH,
    PARSED,
    REFUSAL,
    SYNC,
    Opening,
    answer,
    ask,
    complete,
    drain,
    error,
    ready,
    rows,
    status,
)

query, parse, bind, execute = frontend.query, frontend.parse, frontend.bind, frontend.execute
SET = complete(b"SET")
TO_LATIN1, TO_UTF8 = b"SET client_encoding = 'LATIN1'", b"SET NAMES 'UTF8'"
NAME = "größe"


def read(codec: str) -> bytes:
    """Return a read of a protected table with a name outside ASCII."""
    return f'SELECT id AS "{NAME}" FROM app.users'.encode(codec)


def guarded(codec: str) -> bytes:
    """Return what is sent for it."""
    return read(codec) + b" WHERE app.users.deleted_at IS NULL"


def run(session: Session, text: bytes, *replies: bytes) -> None:
    """Run a Query; the replies end with a ReadyForQuery."""
    ask(session, query(text))
    answer(session, *replies)


def test_text_behind_a_set_in_the_pipeline_waits_for_it() -> None:
    session = Opening()()
    assert ask(session, query(TO_LATIN1), query(read("latin-1"))) == query(TO_LATIN1)
    session.from_upstream(SET + status("client_encoding", "LATIN1") + ready())
    assert drain(session)[1] == query(guarded("latin-1"))


def test_text_behind_a_set_that_failed_is_read_as_before() -> None:
    session = Opening()()
    assert ask(session, query(TO_LATIN1), query(read("utf-8"))) == query(TO_LATIN1)
    session.from_upstream(error(b"25P02") + ready())
    assert drain(session)[1] == query(guarded("utf-8"))


def test_text_in_the_same_segment_is_read_as_the_server_will() -> None:
    session = Opening()()
    set_it = parse(b"", TO_LATIN1) + bind(b"", b"") + execute(b"")
    use = parse(b"", read("latin-1")) + bind(b"", b"") + execute(b"")
    sent = parse(b"", guarded("latin-1")) + bind(b"", b"") + execute(b"")
    assert ask(session, set_it, use, SYNC) == set_it + sent + SYNC
    answer(session, PARSED, BOUND, SET, PARSED, BOUND, complete(b"SELECT 0"))
    answer(session, status("client_encoding", "LATIN1"), ready())
    assert ask(session, query(read("latin-1"))) == query(guarded("latin-1"))


def test_batch_is_read_in_the_encoding_that_it_came_in() -> None:
    session = Opening()()
    sent = ask(session, query(TO_LATIN1 + b"; " + read("utf-8")))
    assert sent == query(TO_LATIN1 + b"; " + guarded("utf-8"))


def test_rollback_brings_the_encoding_back() -> None:
    session = Opening()()
    run(session, b"BEGIN", complete(b"BEGIN"), ready(b"T"))
    run(session, TO_LATIN1, SET, status("client_encoding", "LATIN1"), ready(b"T"))
    assert ask(session, query(b"ROLLBACK"), query(read("utf-8"))) == query(b"ROLLBACK")
    session.from_upstream(complete(b"ROLLBACK") + status("client_encoding", "UTF8") + ready())
    assert drain(session)[1] == query(guarded("utf-8"))


def test_reset_brings_the_encoding_of_the_startup_back() -> None:
    session = Opening({"client_encoding": "LATIN1"}, {"client_encoding": "LATIN1"})()
    run(session, TO_UTF8, SET, status("client_encoding", "UTF8"), ready())
    run(session, b"RESET client_encoding", complete(b"RESET"), status("client_encoding", "LATIN1"), ready())
    assert ask(session, query(read("latin-1"))) == query(guarded("latin-1"))


def test_encoding_that_the_server_reports_first_is_that_of_the_role() -> None:
    session = Opening({}, {"client_encoding": "LATIN1"})()
    assert ask(session, query(read("latin-1"))) == query(guarded("latin-1"))


def test_text_outside_ascii_is_refused_while_the_encoding_is_not_known() -> None:
    session = Opening()()
    run(session, b"BEGIN", complete(b"BEGIN"), ready(b"T"))
    set_it = parse(b"", b"SELECT set_config('client_' || 'encoding', 'LATIN1', false)")
    run_it = bind(b"", b"") + execute(b"")
    sent = ask(session, set_it, run_it, parse(b"", read("latin-1")), SYNC)
    assert sent == set_it + run_it + parse(b"", REFUSAL) + SYNC
    ask(session)
    answer(session, PARSED, BOUND, complete(b"SELECT 1"), error(b"42883"), ready(b"E"))


def test_backslash_is_refused_while_standard_conforming_strings_is_not_known() -> None:
    session = Opening()()
    set_it = parse(b"", b"SELECT set_config('standard_' || 'conforming_strings', 'off', false)")
    run_it = bind(b"", b"") + execute(b"")
    text = b"SELECT '\\', $$ ', (SELECT count(*) FROM app.users) --$$"
    sent = ask(session, set_it, run_it, parse(b"", text), SYNC)
    assert sent == set_it + run_it + parse(b"", REFUSAL) + SYNC


def test_prepared_statement_is_prepared_again_in_the_encoding_of_its_use() -> None:
    session = Opening({"user": "support", "client_encoding": "LATIN1"})()
    ask(session, parse(b"s", read("latin-1")), SYNC)
    answer(session, PARSED, ready())
    run(session, TO_UTF8, SET, status("client_encoding", "UTF8"), ready())
    use = bind(b"", b"s") + SYNC
    assert ask(session, use) == use
    answer(session, BOUND, ready())
    run(session, b"SET pgsoftproxy.visibility = 'all'", SET, ready())
    assert ask(session, use) == frontend.close(b"S", b"s") + parse(b"s", read("utf-8")) + use


def test_prepared_statement_that_the_new_encoding_cannot_write_is_refused() -> None:
    session = Opening({"user": "support"})()
    ask(session, parse(b"s", 'SELECT id AS "\u20ac" FROM app.users'.encode()), SYNC)
    answer(session, PARSED, ready())
    run(session, TO_LATIN1, SET, status("client_encoding", "LATIN1"), ready())
    run(session, b"SET pgsoftproxy.visibility = 'all'", SET, ready())
    assert (
        ask(session, bind(b"", b"s"), SYNC)
        == parse(b"_pgsoftproxy_refused", REFUSAL) + bind(b"", b"s") + SYNC
    )


def test_name_outside_ascii_is_refused_where_the_database_is_not_in_utf8() -> None:
    session = Opening({}, {"server_encoding": "LATIN1"})()
    refused = [read("utf-8"), b'SELECT 1 AS U&"\\00fc"', "SET search_path = 'ü'".encode()]
    for text in refused:
        assert ask(session, query(text)) == query(REFUSAL)
        answer(session, error(b"42883", b"pgsoftproxy_refuses"), ready())
    value = "SELECT 'ü' /* ü */ FROM app.logs".encode()
    assert ask(session, query(value)) == query(value)
    answer(session, rows(), ready())
    assert FLUSH not in ask(session, query(b'SELECT 1 AS "u"'))
