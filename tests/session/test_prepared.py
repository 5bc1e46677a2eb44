"""Prepared statements, by protocol and by SQL: what they do follows the moment of their use."""

from pgsoftproxy.session.session import Session
from pgsoftproxy.wire import frontend
from tests.playbook import (
    BOUND,
    CLOSED,
    COPY_OUT,
    FLUSH,
    GUARDED,
    PARAMETERS,
    PARSED,
    READ,
    REFUSAL,
    ROW_DESCRIPTION,
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
    drain,
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


def run(session: Session, text: bytes, *replies: bytes) -> bytes:
    """Run a Query that succeeds; return what was sent for it."""
    sent = ask(session, query(text))
    answer(session, *replies, ready())
    return sent


def with_statement(opening: Opening, text: bytes, types: bytes = b"\0\0") -> Session:
    """Open a session that has prepared `s`."""
    session = opening()
    ask(session, parse(b"s", text, types), SYNC)
    assert answer(session, PARSED, ready()) == PARSED + ready()
    return session


def test_statement_is_prepared_once_and_used_often() -> None:
    session = with_statement(Opening(), READ)
    for _ in range(3):
        use = bind(b"", b"s") + execute(b"") + SYNC
        assert ask(session, use) == use
        answer(session, BOUND, complete(b"SELECT 0"), ready())


def test_statement_follows_the_visibility_of_its_use() -> None:
    types = b"\0\1" + (20).to_bytes(4, "big")
    set_all, set_live = query(SHOW_ALL), query(SHOW_LIVE)
    use, done = (bind(b"", b"s"), execute(b""), SYNC), (BOUND, complete(b"SELECT 9"), ready())
    play(
        SUPPORT,
        [
            Client(parse(b"s", READ, types), SYNC),
            Upstream(parse(b"s", GUARDED, types), SYNC),
            Server(PARSED, ready()),
            ToClient(PARSED, ready()),
            Client(set_all),
            Upstream(set_all),
            Server(complete(b"SET"), ready()),
            ToClient(complete(b"SET"), ready()),
            Client(*use),
            Upstream(close(b"S", b"s"), parse(b"s", READ, types), *use),
            Server(CLOSED, PARSED, *done),
            ToClient(*done),
            Client(*use),
            Upstream(*use),
            Server(*done),
            ToClient(*done),
            Client(set_live),
            Upstream(set_live),
            Server(complete(b"SET"), ready()),
            ToClient(complete(b"SET"), ready()),
            Client(*use),
            Upstream(close(b"S", b"s"), parse(b"s", GUARDED, types), *use),
            Server(CLOSED, PARSED, *done),
            ToClient(*done),
        ],
    )


def test_describe_of_a_statement_follows_the_visibility_too() -> None:
    session = with_statement(SUPPORT, READ)
    run(session, SHOW_ALL, complete(b"SET"))
    describe = frontend.describe(b"S", b"s")
    assert ask(session, describe, SYNC) == close(b"S", b"s") + parse(b"s", READ) + describe + SYNC
    replies = PARAMETERS + ROW_DESCRIPTION + ready()
    assert answer(session, CLOSED, PARSED, replies) == replies


def test_statement_that_stays_the_same_is_not_prepared_again() -> None:
    session = with_statement(SUPPORT, b"SELECT 1")
    run(session, SHOW_ALL, complete(b"SET"))
    assert ask(session, bind(b"", b"s")) == bind(b"", b"s")


def test_statement_follows_a_search_path_that_makes_its_table_protected() -> None:
    session = with_statement(Opening({"search_path": "public"}), b"SELECT id FROM users")
    run(session, b"SET search_path = app", complete(b"SET"))
    sent = ask(session, bind(b"", b"s"))
    assert sent == (
        close(b"S", b"s")
        + parse(b"s", b"SELECT id FROM users WHERE users.deleted_at IS NULL")
        + bind(b"", b"s")
    )


def test_statement_is_prepared_again_in_the_middle_of_a_pipeline() -> None:
    set_all = (parse(b"", SHOW_ALL), bind(b"", b""), execute(b""))
    use = (bind(b"", b"s"), execute(b""))
    session = with_statement(SUPPORT, READ)
    again = close(b"S", b"s") + parse(b"s", READ)
    assert ask(session, *use, *set_all, *use, *use, SYNC) == b"".join(
        (*use, *set_all, again, *use, *use, SYNC)
    )
    one = BOUND + complete(b"SELECT 1")
    set_done = PARSED + BOUND + complete(b"SET")
    assert (
        answer(session, one, set_done, CLOSED, PARSED, one, one, ready())
        == one + set_done + one + one + ready()
    )


def test_failed_pipeline_leaves_the_statement_as_it_was() -> None:
    session = with_statement(SUPPORT, READ)
    set_all = (parse(b"", SHOW_ALL), bind(b"", b""), execute(b""))
    ask(session, parse(b"", b"SELECT nothing"), *set_all, bind(b"", b"s"), execute(b""), SYNC)
    answer(session, error(b"42703"), ready())
    assert ask(session, bind(b"", b"s")) == bind(b"", b"s")


def test_statement_that_cannot_be_prepared_again_fails_in_its_place_and_is_tried_again() -> None:
    session = with_statement(SUPPORT, READ)
    run(session, SHOW_ALL, complete(b"SET"))
    use = (bind(b"", b"s"), execute(b""), SYNC)
    ask(session, *use)
    missing = error(b"42P01")
    assert answer(session, CLOSED, missing, ready()) == missing + ready()
    assert ask(session, *use) == close(b"S", b"s") + parse(b"s", READ) + b"".join(use)
    assert answer(session, CLOSED, PARSED, BOUND, complete(b"SELECT 1"), ready()) == (
        BOUND + complete(b"SELECT 1") + ready()
    )
    assert ask(session, *use) == b"".join(use)


def test_statement_that_is_refused_now_fails_in_its_place_and_survives() -> None:
    session = with_statement(Opening({"search_path": "public"}), b"SELECT * FROM broken")
    run(session, b"SET search_path = app", complete(b"SET"))
    use = (bind(b"", b"s"), execute(b""), SYNC)
    assert ask(session, *use) == parse(b"_pgsoftproxy_refused", REFUSAL) + b"".join(use)
    out = answer(session, refused(), ready())
    assert b"C0A000\0" in out and b"app.broken" in out
    run(session, b"SET search_path = public", complete(b"SET"))
    assert ask(session, *use) == b"".join(use)


def test_unnamed_statement_is_gone_after_a_query() -> None:
    session = Opening()()
    ask(session, parse(b"", READ), SYNC)
    answer(session, PARSED, ready())
    run(session, b"SELECT 1", rows())
    assert (
        ask(session, bind(b"", b""), SYNC) == parse(b"_pgsoftproxy_refused", REFUSAL) + bind(b"", b"") + SYNC
    )
    assert answer(session, refused(), ready()) == (
        refusal("26000", "unnamed prepared statement does not exist") + ready()
    )


def test_unnamed_statement_is_gone_after_a_parse_that_failed() -> None:
    session = Opening()()
    ask(session, parse(b"", READ), SYNC, parse(b"", b"SELECT nothing"), SYNC)
    answer(session, PARSED, ready(), error(b"42703"), ready())
    assert b"_pgsoftproxy_refused" in ask(session, bind(b"", b""), SYNC)


def test_statement_that_the_proxy_never_saw_does_not_exist() -> None:
    session = Opening()()
    assert ask(session, bind(b"", b"x")) == parse(b"_pgsoftproxy_refused", REFUSAL) + bind(b"", b"x")
    assert answer(session, refused()) == refusal("26000", 'prepared statement "x" does not exist')


def test_closed_statement_is_gone_once_the_server_confirms() -> None:
    session = with_statement(Opening(), READ)
    ask(session, close(b"S", b"s"), SYNC)
    answer(session, CLOSED, ready())
    assert b"_pgsoftproxy_refused" in ask(session, bind(b"", b"s"))


def test_close_that_was_skipped_closes_nothing() -> None:
    session = with_statement(Opening(), READ)
    ask(session, parse(b"", b"SELECT nothing"), close(b"S", b"s"), SYNC)
    answer(session, error(b"42703"), ready())
    assert ask(session, bind(b"", b"s")) == bind(b"", b"s")


def test_second_statement_of_the_same_name_that_fails_leaves_the_first() -> None:
    session = with_statement(Opening(), READ)
    ask(session, parse(b"s", b"SELECT 2"), SYNC)
    answer(session, error(b"42P05"), ready())
    ask(session, parse(b"s", b"DELETE FROM app.users"), bind(b"", b"s"), SYNC)
    answer(session, error(b"42P05"), ready())
    ask(session, bind(b"", b"s"), execute(b""), SYNC)
    assert answer(session, BOUND, complete(b"UPDATE 3"), ready()) == BOUND + complete(b"UPDATE 3") + ready()


def test_names_are_the_same_up_to_63_bytes() -> None:
    session = Opening()()
    ask(session, parse(b"n" * 70, READ), SYNC)
    answer(session, PARSED, ready())
    assert ask(session, bind(b"", b"n" * 63)) == bind(b"", b"n" * 63)


def test_use_waits_for_a_change_of_its_name_in_an_earlier_segment() -> None:
    session = with_statement(Opening(), READ)
    first = close(b"S", b"s") + parse(b"s", b"SELECT 2") + SYNC
    assert ask(session, first, bind(b"", b"s"), SYNC) == first + FLUSH
    assert session.stalled
    session.from_upstream(CLOSED + PARSED + ready())
    assert drain(session) == (CLOSED + PARSED + ready(), bind(b"", b"s") + SYNC)


def test_soft_delete_is_tagged_at_every_execute_of_its_portal() -> None:
    session = with_statement(Opening(), b"DELETE FROM app.orders WHERE id = $1")
    for count in (b"0", b"1"):
        ask(session, bind(b"p", b"s"), execute(b"p"), SYNC)
        out = answer(session, BOUND, complete(b"UPDATE " + count), ready())
        assert out == BOUND + complete(b"DELETE " + count) + ready()


def test_portal_keeps_the_plan_that_it_was_bound_with() -> None:
    session = with_statement(Opening(), b"DELETE FROM app.orders")
    ask(session, bind(b"p", b"s"), close(b"S", b"s"), parse(b"s", b"SELECT 1"), execute(b"p"), SYNC)
    out = answer(session, BOUND, CLOSED, PARSED, complete(b"UPDATE 5"), ready())
    assert complete(b"DELETE 5") in out


# PREPARE, EXECUTE and DEALLOCATE


def prepared_by_sql(opening: Opening, body: bytes) -> Session:
    """Open a session that has run PREPARE s."""
    session = opening()
    run(session, b"PREPARE s AS " + body, complete(b"PREPARE"))
    return session


def test_execute_of_a_soft_delete_answers_with_the_tag_of_a_delete() -> None:
    session = prepared_by_sql(Opening(), b"DELETE FROM app.orders")
    assert ask(session, query(b"EXECUTE s")) == query(b"EXECUTE s")
    assert answer(session, complete(b"UPDATE 2"), ready()) == complete(b"DELETE 2") + ready()


def test_execute_behind_its_prepare_in_the_same_batch_passes() -> None:
    session = Opening()()
    assert b"EXECUTE s" in ask(session, query(b"PREPARE s AS " + READ + b"; EXECUTE s"))


def test_execute_of_a_statement_of_the_protocol_answers_for_what_it_runs() -> None:
    session = with_statement(SUPPORT, b"DELETE FROM app.orders")
    ask(session, query(b"EXECUTE s"))
    assert answer(session, complete(b"UPDATE 4"), ready()) == complete(b"DELETE 4") + ready()


def test_execute_of_a_name_that_the_proxy_never_saw_is_refused() -> None:
    session = Opening()()
    assert ask(session, query(b"EXECUTE hidden")) == query(REFUSAL)
    assert answer(session, refused()) == refusal("26000", 'prepared statement "hidden" does not exist')


def test_deallocate_and_discard_make_names_free() -> None:
    for text in (b"DEALLOCATE s", b"DEALLOCATE ALL", b"DISCARD ALL"):
        session = prepared_by_sql(Opening(), READ)
        run(session, text, complete(text))
        assert ask(session, query(b"EXECUTE s")) == query(REFUSAL)


def test_deallocate_all_leaves_the_unnamed_statement() -> None:
    session = Opening()()
    every = parse(b"e", b"DEALLOCATE ALL") + bind(b"", b"e") + execute(b"")
    ask(session, parse(b"", READ), parse(b"s", READ), every, SYNC)
    answer(session, PARSED * 3, BOUND, complete(b"DEALLOCATE ALL"), ready())
    assert ask(session, bind(b"", b""), SYNC) == bind(b"", b"") + SYNC
    assert b"_pgsoftproxy_refused" in ask(session, bind(b"", b"s"), SYNC)


def test_execute_of_a_copy_that_the_protocol_prepared_is_a_copy() -> None:
    session = with_statement(Opening(), b"COPY app.logs TO STDOUT")
    ask(session, query(b"EXECUTE s"), query(b"SELECT 1"))
    assert session.stalled
    reply = COPY_OUT + complete(b"COPY 0") + ready()
    assert answer(session, reply) == reply


def test_execute_of_an_empty_statement_passes() -> None:
    session = with_statement(Opening(), b"")
    assert ask(session, query(b"EXECUTE s")) == query(b"EXECUTE s")


def test_refusal_in_a_failed_transaction_is_told_as_the_server_would() -> None:
    aborted = error(b"25P02", b"current transaction is aborted")
    session = Opening()()
    ask(session, query(b"BEGIN"))
    answer(session, complete(b"BEGIN"), ready(b"T"))
    ask(session, query(b"SELEC 1"), query(b"EXECUTE x"), bind(b"", b"x"), SYNC)
    replies = (aborted, ready(b"E"), aborted, ready(b"E"), aborted, ready(b"E"))
    assert answer(session, *replies) == b"".join(
        (
            *(refusal("42601", 'syntax error at or near "SELEC"', position=1), ready(b"E")),
            *(aborted, ready(b"E")),
            *(refusal("26000", 'prepared statement "x" does not exist'), ready(b"E")),
        )
    )


def test_deallocate_that_fails_changes_nothing() -> None:
    session = prepared_by_sql(Opening(), READ)
    ask(session, query(b"SELECT 1/0; DEALLOCATE s"))
    answer(session, error(b"22012"), ready())
    assert ask(session, query(b"EXECUTE s")) == query(b"EXECUTE s")


def test_prepare_in_a_batch_counts_even_if_the_batch_fails_later() -> None:
    session = Opening()()
    ask(session, query(b"PREPARE s AS DELETE FROM app.orders; SELECT 1/0"))
    answer(session, complete(b"PREPARE"), error(b"22012"), ready())
    ask(session, query(b"EXECUTE s"))
    assert answer(session, complete(b"UPDATE 1"), ready()) == complete(b"DELETE 1") + ready()


def test_prepare_by_the_protocol_counts_once_it_is_executed() -> None:
    session = Opening()()
    ask(session, parse(b"", b"PREPARE s AS DELETE FROM app.orders"), bind(b"", b""), execute(b""), SYNC)
    answer(session, PARSED, BOUND, complete(b"PREPARE"), ready())
    ask(session, query(b"EXECUTE s"))
    assert answer(session, complete(b"UPDATE 1"), ready()) == complete(b"DELETE 1") + ready()
