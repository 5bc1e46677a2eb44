"""What later statements are planned under: after SET and ROLLBACK, across pipelines, as the server reports it."""

from dataclasses import replace

from pgsoftproxy.model.context import Grant
from pgsoftproxy.model.policy import Policy
from pgsoftproxy.session.session import Need, Session
from pgsoftproxy.wire import frontend
from tests.playbook import (
    BOUND,
    FLUSH,
    GUARDED,
    PARSED,
    READ,
    SHOW_ALL,
    SUPPORT,
    SUSPENDED,
    SYNC,
    Call,
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
    rows,
    status,
)
from tests.rewrite import example

query = frontend.query
SHOW_ALL_LOCAL = b"SET LOCAL pgsoftproxy.visibility = 'all'"
SET = complete(b"SET")


def extended(text: bytes) -> bytes:
    """Build Parse, Bind and Execute of a text."""
    return frontend.parse(b"", text) + frontend.bind(b"", b"") + frontend.execute(b"")


def run(session: Session, text: bytes, *replies: bytes) -> None:
    """Run a Query; the replies end with a ReadyForQuery."""
    ask(session, query(text))
    answer(session, *replies)


def sees_all(session: Session) -> bool:
    """Tell whether a read in this moment is sent unguarded, and leave the session as it was."""
    sent = ask(session, query(READ))
    assert sent in (query(READ), query(GUARDED))
    in_transaction = session._state.in_transaction
    answer(session, rows(), ready(b"T" if in_transaction else b"I"))
    return sent == query(READ)


def test_set_counts_once_it_is_confirmed() -> None:
    session = SUPPORT()
    run(session, SHOW_ALL, SET, ready())
    assert sees_all(session)


def test_set_that_failed_does_not_count() -> None:
    session = SUPPORT()
    run(session, SHOW_ALL, error(b"42501"), ready())
    assert not sees_all(session)


def test_set_counts_for_the_rest_of_its_batch() -> None:
    session = SUPPORT()
    assert ask(session, query(SHOW_ALL + b"; " + READ)) == query(SHOW_ALL + b"; " + READ)


def test_set_of_a_batch_that_failed_later_is_rolled_back() -> None:
    session = SUPPORT()
    run(session, SHOW_ALL + b"; SELECT 1/0", SET, error(b"22012"), ready())
    assert not sees_all(session)


def test_set_that_its_batch_committed_stays_although_the_batch_failed_later() -> None:
    session = SUPPORT()
    text = b"BEGIN; " + SHOW_ALL + b"; COMMIT; SELECT 1/0"
    run(session, text, complete(b"BEGIN"), SET, complete(b"COMMIT"), error(b"22012"), ready())
    assert sees_all(session)


def test_rollback_brings_the_old_value_back() -> None:
    session = SUPPORT()
    run(session, b"BEGIN", complete(b"BEGIN"), ready(b"T"))
    run(session, SHOW_ALL, SET, ready(b"T"))
    assert sees_all(session)
    run(session, b"ROLLBACK", complete(b"ROLLBACK"), ready())
    assert not sees_all(session)


def test_commit_of_a_failed_transaction_is_a_rollback() -> None:
    session = SUPPORT()
    run(session, b"BEGIN", complete(b"BEGIN"), ready(b"T"))
    run(session, SHOW_ALL, SET, ready(b"T"))
    run(session, b"SELECT 1/0", error(b"22012"), ready(b"E"))
    run(session, b"COMMIT", complete(b"ROLLBACK"), ready())
    assert not sees_all(session)


def test_commit_that_fails_is_a_rollback() -> None:
    session = SUPPORT()
    run(session, b"BEGIN", complete(b"BEGIN"), ready(b"T"))
    run(session, SHOW_ALL, SET, ready(b"T"))
    run(session, b"COMMIT", error(b"23503"), ready())
    assert not sees_all(session)


def test_set_local_ends_with_its_transaction() -> None:
    session = SUPPORT()
    run(session, b"BEGIN", complete(b"BEGIN"), ready(b"T"))
    run(session, SHOW_ALL_LOCAL, SET, ready(b"T"))
    assert sees_all(session)
    run(session, b"COMMIT", complete(b"COMMIT"), ready())
    assert not sees_all(session)


def test_set_local_outside_a_transaction_counts_for_its_batch_only() -> None:
    session = SUPPORT()
    text = SHOW_ALL_LOCAL + b"; " + READ
    assert ask(session, query(text)) == query(text)
    answer(session, SET, rows(), ready())
    assert not sees_all(session)


def test_rollback_to_a_savepoint_brings_its_value_back() -> None:
    session = SUPPORT()
    run(session, b"BEGIN; SAVEPOINT a", complete(b"BEGIN"), complete(b"SAVEPOINT"), ready(b"T"))
    run(session, SHOW_ALL, SET, ready(b"T"))
    run(session, b"SELECT 1/0", error(b"22012"), ready(b"E"))
    run(session, b"ROLLBACK TO a", complete(b"ROLLBACK"), ready(b"T"))
    assert not sees_all(session)


def test_rollback_to_a_savepoint_is_foreseen_inside_a_batch() -> None:
    session = SUPPORT()
    run(session, b"BEGIN; SAVEPOINT a", complete(b"BEGIN"), complete(b"SAVEPOINT"), ready(b"T"))
    run(session, SHOW_ALL, SET, ready(b"T"))
    assert ask(session, query(b"ROLLBACK TO a; " + READ)) == query(b"ROLLBACK TO a; " + GUARDED)


def test_discard_all_brings_the_start_values_back() -> None:
    session = SUPPORT()
    run(session, SHOW_ALL, SET, ready())
    run(session, b"DISCARD ALL", complete(b"DISCARD ALL"), ready())
    assert not sees_all(session)


def test_reset_brings_the_value_of_the_startup_packet_back() -> None:
    session = Opening({"user": "support", "pgsoftproxy.visibility": "all"})()
    run(session, b"SET pgsoftproxy.visibility = 'live'", SET, ready())
    assert not sees_all(session)
    run(session, b"RESET pgsoftproxy.visibility", complete(b"RESET"), ready())
    assert sees_all(session)


def test_set_is_foreseen_inside_its_segment() -> None:
    session = SUPPORT()
    sent = extended(SHOW_ALL) + extended(READ) + SYNC
    assert ask(session, sent) == sent


def test_statement_behind_the_end_of_a_segment_waits_for_what_became_of_a_set() -> None:
    play(
        SUPPORT,
        [
            Client(extended(SHOW_ALL), SYNC, extended(READ), SYNC),
            Upstream(extended(SHOW_ALL), SYNC),
            Server(PARSED, BOUND, SET),
            ToClient(PARSED, BOUND, SET),
            Server(ready()),
            ToClient(ready()),
            Upstream(extended(READ), SYNC),
        ],
    )
    play(
        SUPPORT,
        [
            Client(query(SHOW_ALL), query(READ)),
            Upstream(query(SHOW_ALL)),
            Server(error(b"42501"), ready()),
            ToClient(error(b"42501"), ready()),
            Upstream(query(GUARDED)),
        ],
    )


def test_client_is_not_read_while_a_statement_waits() -> None:
    session = SUPPORT()
    ask(session, query(SHOW_ALL), query(READ))
    assert session.stalled
    answer(session, SET, ready())
    assert not session.stalled


def test_transaction_control_alone_holds_nothing_back() -> None:
    session = SUPPORT()
    frames = [
        query(b"BEGIN"),
        query(READ),
        query(b"SAVEPOINT a"),
        query(b"RELEASE a"),
        query(b"COMMIT"),
        query(READ),
    ]
    expected = b"".join(query(GUARDED) if frame == query(READ) else frame for frame in frames)
    assert ask(session, *frames) == expected
    assert not session.stalled


def test_transaction_control_that_may_bring_a_value_back_is_awaited() -> None:
    session = SUPPORT()
    run(session, b"BEGIN", complete(b"BEGIN"), ready(b"T"))
    run(session, SHOW_ALL, SET, ready(b"T"))
    assert ask(session, query(b"COMMIT"), query(READ)) == query(b"COMMIT")
    session.from_upstream(complete(b"COMMIT") + ready())
    assert drain(session)[1] == query(READ)


def test_set_that_was_skipped_does_not_count() -> None:
    session = SUPPORT()
    ask(session, frontend.parse(b"", b"SELECT nothing"), extended(SHOW_ALL), SYNC, extended(READ), SYNC)
    session.from_upstream(error(b"42703") + ready())
    assert drain(session)[1] == extended(GUARDED) + SYNC


def test_set_confirmed_before_a_later_error_of_its_segment_is_rolled_back() -> None:
    session = SUPPORT()
    ask(session, extended(SHOW_ALL), frontend.parse(b"", b"SELECT nothing"), SYNC)
    answer(session, PARSED, BOUND, SET, error(b"42703"), ready())
    assert not sees_all(session)


def test_set_config_counts_even_if_its_portal_is_left_suspended() -> None:
    session = Opening({"search_path": "public"})()
    text = b"SELECT set_config('search_path', 'app', false)"
    ask(session, frontend.parse(b"", text), frontend.bind(b"", b""), frontend.execute(b"", 1), SYNC)
    answer(session, PARSED, BOUND, SUSPENDED, ready())
    assert ask(session, query(b"TABLE users")) != query(b"TABLE users")


def test_flush_lets_confirmed_effects_count_before_the_sync() -> None:
    session = SUPPORT()
    ask(session, extended(SHOW_ALL), FLUSH)
    answer(session, PARSED, BOUND, SET)
    assert ask(session, extended(READ), SYNC) == extended(READ) + SYNC


# search_path, as PostgreSQL 18 reports it


def guards(session: Session, name: bytes = b"users") -> bool:
    """Tell whether an unqualified name is read as a protected table."""
    sent = ask(session, query(b"SELECT * FROM " + name))
    answer(session, rows(), ready())
    return b"deleted_at" in sent


def test_reported_search_path_is_the_truth_from_the_start() -> None:
    assert guards(Opening({"search_path": "public"}, {"search_path": "app"})())
    assert not guards(Opening({"search_path": "app"}, {"search_path": "public"})())


def test_reported_search_path_ends_uncertainty() -> None:
    session = Opening({"search_path": "public"})()
    text = b"SELECT set_config('search_path', current_user, false)"
    run(session, text, rows(), ready())
    assert guards(session)  # not certain: taken for protected
    run(session, text, rows(), status("search_path", "public"), ready())
    assert not guards(session)


def test_search_path_that_a_function_changed_is_noticed_by_its_report() -> None:
    session = Opening({}, {"search_path": "public"})()
    assert not guards(session)
    run(session, b"SELECT sneaky()", rows(), status("search_path", "app"), ready())
    assert guards(session)


def test_report_inside_a_transaction_leaves_what_commit_keeps_uncertain() -> None:
    session = Opening({}, {"search_path": "public"})()
    run(session, b"BEGIN", complete(b"BEGIN"), ready(b"T"))
    run(session, b"SELECT sneaky()", rows(), status("search_path", "app, public"), ready(b"T"))
    run(session, b"COMMIT", complete(b"COMMIT"), status("search_path", "public"), ready())
    assert not guards(session)


def test_path_that_an_error_has_already_brought_back_is_certain_in_the_text_that_ends_the_transaction() -> (
    None
):
    session = Opening({}, {"search_path": "public"})()
    run(session, b"BEGIN", complete(b"BEGIN"), ready(b"T"))
    run(session, b"SET LOCAL search_path = app", SET, status("search_path", "app"), ready(b"T"))
    run(session, b"SELECT 1/0", error(b"22012"), status("search_path", "public"), ready(b"E"))
    sent = ask(session, query(b"COMMIT; SELECT * FROM users"))
    assert b"deleted_at" not in sent


def test_path_that_an_error_brought_back_to_a_savepoint_is_certain_in_the_text_that_goes_back_there() -> None:
    session = Opening({}, {"search_path": "app"})()
    run(session, b"BEGIN", complete(b"BEGIN"), ready(b"T"))
    run(session, b"SET LOCAL search_path = public", SET, status("search_path", "public"), ready(b"T"))
    run(session, b"SAVEPOINT a", complete(b"SAVEPOINT"), ready(b"T"))
    run(session, b"SET LOCAL search_path = app", SET, status("search_path", "app"), ready(b"T"))
    run(session, b"SELECT 1/0", error(b"22012"), status("search_path", "public"), ready(b"E"))
    sent = ask(session, query(b"ROLLBACK TO a; SELECT * FROM users; ROLLBACK; SELECT id FROM users"))
    assert sent.count(b"deleted_at") == 1
    assert b"SELECT id FROM users WHERE users.deleted_at IS NULL" in sent


def test_malformed_report_leaves_the_path_uncertain() -> None:
    assert guards(Opening({"search_path": "public"}, {"search_path": 'public, "'})())


# catalog and policy


def needs_catalog(session: Session) -> bool:
    """Tell whether the relay must read the catalog again."""
    return session.need is Need.CATALOG


def refresh(session: Session) -> None:
    """Answer Need.CATALOG with the same policy under a new version."""
    assert needs_catalog(session)
    session.catalog_refreshed(replace(example.policy(), version=2))


def test_committed_ddl_needs_a_new_catalog_before_the_next_statement() -> None:
    create = query(b"CREATE TABLE app.more (id int, deleted_at timestamptz)")
    play(
        Opening(),
        [
            Client(create, query(READ)),
            Upstream(create),
            Server(complete(b"CREATE TABLE"), ready()),
            ToClient(complete(b"CREATE TABLE"), ready()),
            Call(refresh),
            Upstream(query(GUARDED)),
        ],
    )


def test_client_bytes_wait_while_the_catalog_is_read() -> None:
    session = Opening()()
    run(session, b"CREATE TABLE x (id int)", complete(b"CREATE TABLE"), ready())
    assert needs_catalog(session)
    assert ask(session, query(READ)) == b""
    refresh(session)
    assert drain(session)[1] == query(GUARDED)


def test_ddl_needs_a_new_catalog_only_once_it_is_committed() -> None:
    session = Opening()()
    run(session, b"BEGIN", complete(b"BEGIN"), ready(b"T"))
    run(session, b"CREATE TABLE x (id int)", complete(b"CREATE TABLE"), ready(b"T"))
    assert not needs_catalog(session)
    run(session, b"COMMIT", complete(b"COMMIT"), ready())
    assert needs_catalog(session)


def test_ddl_that_failed_needs_no_new_catalog() -> None:
    session = Opening()()
    run(session, b"CREATE TABLE x (id int)", error(b"42P07"), ready())
    assert session.need is Need.NOTHING


def test_policy_without_the_grant_takes_a_visibility_back() -> None:
    session = SUPPORT()
    run(session, SHOW_ALL, SET, ready())
    policy: Policy = replace(example.policy(), grants={"support": Grant()}, version=2)
    session.policy_changed(policy)
    assert not sees_all(session)


def test_policy_with_the_same_grant_leaves_a_visibility() -> None:
    session = SUPPORT()
    run(session, SHOW_ALL, SET, ready())
    session.policy_changed(replace(example.policy(), version=2))
    assert sees_all(session)
