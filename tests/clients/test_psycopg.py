"""psycopg 3 through the proxy, synchronous: text, binary, pipelines, cursors, COPY, cancel, notifications."""

import contextlib
import datetime
import decimal
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from tests.clients.shop import ALL_USERS, LIVE_USERS, Shop
from tests.clients.terminal import wait_until_sleeping

Connection = psycopg.Connection[Any]
USERS = "SELECT id, name FROM app.users ORDER BY id"


@pytest.fixture
def connection(shop: Shop) -> Iterator[Connection]:
    with psycopg.connect(shop.proxied.conninfo, autocommit=True) as made:
        yield made


@pytest.fixture
def support(shop: Shop) -> Iterator[Connection]:
    with psycopg.connect(shop.proxied.as_user("support").conninfo, autocommit=True) as made:
        yield made


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
@pytest.mark.parametrize("prepare", [False, True], ids=["unprepared", "prepared"])
def test_deleted_rows_are_gone_from_reads_and_still_there(
    shop: Shop, connection: Connection, binary: bool, prepare: bool
) -> None:
    cursor = connection.cursor(binary=binary)
    assert cursor.execute(USERS, prepare=prepare).fetchall() == LIVE_USERS
    cursor.execute("DELETE FROM app.users WHERE id = %s RETURNING name, deleted_at", [2], prepare=prepare)
    assert (cursor.statusmessage, cursor.rowcount, cursor.fetchall()) == ("DELETE 1", 1, [("Bob", None)])
    cursor.execute("DELETE FROM app.users WHERE id = %s", [2], prepare=prepare)
    assert (cursor.statusmessage, cursor.rowcount) == ("DELETE 0", 0)
    assert cursor.execute(USERS, prepare=prepare).fetchall() == [(1, "Ada"), (3, "Cyd")]
    joined = "SELECT o.id, u.name FROM app.orders o LEFT JOIN app.users u ON u.id = o.user_id ORDER BY 1"
    assert cursor.execute(joined, prepare=prepare).fetchall() == [(1, "Ada"), (3, None), (4, None)]
    assert shop.is_deleted(2)


def test_values_of_many_types_come_back_as_on_a_direct_connection(shop: Shop) -> None:
    query = (
        "SELECT %s::int8, %s::text, %s::bytea, %s::jsonb, %s::timestamptz, %s::numeric, %s::text[], %s::uuid, "
        "NULL::date, u.id FROM app.users u WHERE u.id = %s"
    )
    values = [
        2**40, "ä'\\\n", bytes(range(256)), Jsonb({"a": [1, None]}),
        datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC), decimal.Decimal("1.50"), ["x", None, "y,z"],
        uuid.UUID(int=7), 1,
    ]  # fmt: skip
    answers = []
    for target in (shop.proxied, shop.direct.as_user("ann")):
        with psycopg.connect(target.conninfo) as connection:
            for binary in (False, True):
                cursor = connection.cursor(binary=binary).execute(query, values)
                described = [
                    (column.name, column.type_code, column.internal_size)
                    for column in cursor.description or []
                ]
                answers.append((cursor.fetchall(), described))
    assert answers[:2] == answers[2:]
    assert answers[0][0][0][-1] == 1


def test_a_delete_in_a_transaction_is_undone_by_its_rollback(shop: Shop, connection: Connection) -> None:
    with pytest.raises(RuntimeError), connection.transaction():
        assert connection.execute("DELETE FROM app.users").rowcount == 3
        assert connection.execute(USERS).fetchall() == []
        raise RuntimeError
    assert connection.execute(USERS).fetchall() == LIVE_USERS
    assert not shop.is_deleted(1)


def test_savepoints_take_back_what_came_after_them(shop: Shop, connection: Connection) -> None:
    with connection.transaction():
        connection.execute("DELETE FROM app.users WHERE id = 1")
        with pytest.raises(errors.DivisionByZero), connection.transaction():
            connection.execute("DELETE FROM app.users WHERE id = 2")
            connection.execute("SELECT 1/0")
        assert connection.execute(USERS).fetchall() == [(2, "Bob"), (3, "Cyd")]
    assert (shop.is_deleted(1), shop.is_deleted(2)) == (True, False)


def test_a_refused_statement_fails_its_transaction_like_any_error(connection: Connection) -> None:
    with pytest.raises(errors.FeatureNotSupported) as caught, connection.transaction():
        connection.execute("TRUNCATE app.users")
    assert caught.value.diag.message_hint
    with connection.transaction():
        with pytest.raises(errors.FeatureNotSupported), connection.transaction():
            connection.execute("DROP TABLE app.orders")
        assert connection.execute(USERS).fetchall() == LIVE_USERS
    connection.autocommit = False
    with pytest.raises(errors.FeatureNotSupported):
        connection.execute("TRUNCATE app.users")
    with pytest.raises(errors.InFailedSqlTransaction):
        connection.execute(USERS)
    connection.rollback()
    assert connection.execute(USERS).fetchall() == LIVE_USERS


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_server_side_cursors_hide_deleted_rows(connection: Connection, binary: bool) -> None:
    with connection.transaction(), connection.cursor("live", scrollable=True) as cursor:
        cursor.execute(USERS, binary=binary)
        assert cursor.fetchmany(2) == LIVE_USERS[:2]
        cursor.scroll(-1)
        assert cursor.fetchall() == LIVE_USERS[1:]
    with connection.transaction(), connection.cursor("chunks") as cursor:
        cursor.itersize = 1
        assert list(cursor.execute("SELECT count(*) FROM app.users WHERE id > %s", [1])) == [(2,)]


def test_a_row_under_a_cursor_is_deleted_softly(shop: Shop, connection: Connection) -> None:
    with connection.transaction():
        connection.execute("DECLARE here CURSOR FOR SELECT id FROM app.users ORDER BY id FOR UPDATE")
        connection.execute("FETCH 2 FROM here")
        assert connection.execute("DELETE FROM app.users WHERE CURRENT OF here").statusmessage == "DELETE 1"
    assert connection.execute(USERS).fetchall() == [(1, "Ada"), (3, "Cyd")]
    assert shop.is_deleted(2)


def test_pipelined_statements_are_answered_in_order(shop: Shop, connection: Connection) -> None:
    with connection.pipeline():
        first = connection.execute(USERS)
        deleted = [connection.execute("DELETE FROM app.users WHERE id = %s", [n]) for n in (1, 2, 4)]
        last = connection.execute(USERS)
        assert first.fetchall() == LIVE_USERS
        assert [(one.rowcount, one.statusmessage) for one in deleted] == [
            (1, "DELETE 1"), (1, "DELETE 1"), (0, "DELETE 0"),
        ]  # fmt: skip
        assert last.fetchall() == [(3, "Cyd")]
    assert shop.is_deleted(1)


@pytest.mark.parametrize("statement", ["SELECT 1/0", "SELECT nothing FROM app.users", "TRUNCATE app.users"])
def test_an_error_in_a_pipeline_skips_to_its_end_and_no_further(
    connection: Connection, statement: str
) -> None:
    with connection.pipeline() as pipeline:
        before = connection.execute(USERS)
        pipeline.sync()
        assert before.fetchall() == LIVE_USERS
        with pytest.raises(psycopg.Error):  # at whichever of these the answer has come
            connection.execute(statement)
            connection.execute("DELETE FROM app.users")
            pipeline.sync()
        with contextlib.suppress(errors.PipelineAborted):
            pipeline.sync()
        assert connection.execute(USERS).fetchall() == LIVE_USERS


@pytest.mark.parametrize("prepare", [False, True], ids=["unprepared", "prepared"])
def test_executemany_counts_deleted_rows(shop: Shop, connection: Connection, prepare: bool) -> None:
    connection.prepare_threshold = 0 if prepare else None
    cursor = connection.cursor()
    cursor.executemany(
        "DELETE FROM app.users WHERE id = %s RETURNING id", [(1,), (2,), (2,), (5,)], returning=True
    )
    rows = [cursor.fetchall()]
    while cursor.nextset():
        rows.append(cursor.fetchall())
    assert rows == [[(1,)], [(2,)], [], []]
    cursor.executemany("DELETE FROM app.orders WHERE id = %s", [(1,), (3,), (5,)])
    assert cursor.rowcount == 2
    assert shop.rows("SELECT count(*), count(deleted_at) FROM app.orders") == [(5, 4)]


def test_several_statements_in_one_query_give_their_results_in_order(connection: Connection) -> None:
    cursor = connection.execute(
        "SELECT 1; DELETE FROM app.users WHERE id = 3; SELECT name FROM app.users ORDER BY id; UPDATE app.notes "
        "SET note = 'n'"
    )
    seen = [(cursor.statusmessage, cursor.fetchall() if cursor.description else None)]
    while cursor.nextset():
        seen.append((cursor.statusmessage, cursor.fetchall() if cursor.description else None))
    assert seen == [
        ("SELECT 1", [(1,)]),
        ("DELETE 1", None),
        ("SELECT 2", [("Ada",), ("Bob",)]),
        ("UPDATE 5", None),
    ]


@pytest.mark.parametrize("source", ["app.users (id, name)", "(SELECT id, name FROM app.users ORDER BY id)"])
@pytest.mark.parametrize("form", ["text", "binary"])
def test_copy_out_holds_live_rows_only(connection: Connection, source: str, form: str) -> None:
    with connection.cursor().copy(f"COPY {source} TO STDOUT (FORMAT {form})") as copy:
        copy.set_types(["int8", "text"])
        assert list(copy.rows()) == LIVE_USERS


def test_copy_in_reaches_the_table(shop: Shop, connection: Connection) -> None:
    cursor = connection.cursor()
    with cursor.copy("COPY app.users (id, email, name) FROM STDIN") as copy:
        for number in range(100, 1100):
            copy.write_row([number, f"{number}@example.org", "x" * 100])
    assert cursor.rowcount == 1000
    assert connection.execute("SELECT count(*) FROM app.users").fetchone() == (1003,)


def test_failing_copies_leave_the_session_usable(shop: Shop, connection: Connection) -> None:
    with (
        pytest.raises(errors.InvalidTextRepresentation),
        connection.cursor().copy("COPY app.users FROM STDIN") as copy,
    ):
        copy.write(b"no number\n")
    with (
        pytest.raises(ZeroDivisionError),
        connection.cursor().copy("COPY app.users (email) FROM STDIN") as copy,
    ):
        copy.write(b"lost@example.org\n")
        raise ZeroDivisionError
    with pytest.raises(errors.UndefinedTable), connection.cursor().copy("COPY app.nothing FROM STDIN"):
        pass
    with (
        pytest.raises(errors.DivisionByZero),
        connection.cursor().copy("COPY (SELECT 1 / (2 - id) FROM app.users ORDER BY id) TO STDOUT") as copy,
    ):
        list(copy)
    endless = "COPY (SELECT generate_series(1, 1000000000) FROM app.users) TO STDOUT"
    with pytest.raises(errors.QueryCanceled), connection.cursor().copy(endless) as copy:
        for number, _ in enumerate(copy):
            if number == 10:
                connection.cancel_safe()
    assert connection.execute(USERS).fetchall() == LIVE_USERS
    assert shop.rows("SELECT count(*) FROM app.users") == [(5,)]


def test_cancel_stops_the_statement_and_not_the_session(shop: Shop, connection: Connection) -> None:
    def cancel() -> None:
        wait_until_sleeping(shop, "psycopg")
        connection.cancel_safe()

    threading.Thread(target=cancel).start()
    with pytest.raises(errors.QueryCanceled):
        connection.execute("SELECT pg_sleep(60) AS psycopg FROM app.users")
    assert connection.execute(USERS).fetchall() == LIVE_USERS


def test_notifications_arrive(shop: Shop, connection: Connection) -> None:
    connection.execute("LISTEN mail")
    connection.execute("NOTIFY mail, 'own'")
    shop.execute("NOTIFY mail, 'foreign'")
    heard = [notice.payload for notice in connection.notifies(timeout=20, stop_after=2)]
    assert heard == ["own", "foreign"]


def test_notices_arrive(connection: Connection) -> None:
    heard: list[str | None] = []
    connection.add_notice_handler(lambda diagnostic: heard.append(diagnostic.message_primary))
    connection.execute("DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; END $$")
    assert heard == ["one", "two"]


def test_visibility_is_set_shown_and_reset(support: Connection) -> None:
    def shown() -> tuple[Any, ...] | None:
        return support.execute("SHOW pgsoftproxy.visibility").fetchone()

    assert shown() == ("live",)
    support.execute("SET pgsoftproxy.visibility = 'all'")
    assert (shown(), support.execute(USERS).fetchall()) == (("all",), ALL_USERS)
    with support.transaction(force_rollback=True):
        support.execute("SET LOCAL pgsoftproxy.visibility = 'deleted'")
        assert (shown(), support.execute(USERS).fetchall()) == (("deleted",), ALL_USERS[3:])
    assert support.execute(USERS).fetchall() == ALL_USERS
    support.execute("SET pgsoftproxy.visibility = 'as_of 2024-05-15T00:00Z'")
    assert support.execute(USERS).fetchall() == [*LIVE_USERS, (5, "Eve")]
    support.execute("SET pgsoftproxy.visibility = 'all for app.orders'")
    assert support.execute(USERS).fetchall() == LIVE_USERS
    assert support.execute("SELECT count(*) FROM app.orders").fetchone() == (5,)
    support.execute("RESET pgsoftproxy.visibility")
    assert (shown(), support.execute(USERS).fetchall()) == (("live",), LIVE_USERS)


def test_visibility_of_one_statement_by_comment(support: Connection) -> None:
    assert support.execute(f"/* pgsoftproxy: visibility=all */ {USERS}").fetchall() == ALL_USERS
    assert support.execute(f"/* pgsoftproxy: visibility=deleted */ {USERS}").fetchall() == ALL_USERS[3:]
    assert support.execute(USERS).fetchall() == LIVE_USERS


def test_visibility_set_in_a_rolled_back_transaction_is_forgotten(support: Connection) -> None:
    with support.transaction(force_rollback=True):
        support.execute("SET pgsoftproxy.visibility = 'all'")
        assert support.execute(USERS).fetchall() == ALL_USERS
    assert support.execute(USERS).fetchall() == LIVE_USERS


def test_visibility_may_come_as_a_startup_option_and_reset_returns_to_it(shop: Shop) -> None:
    conninfo = shop.proxied.as_user("support").conninfo
    with psycopg.connect(conninfo, autocommit=True, options="-c pgsoftproxy.visibility=all") as connection:
        assert connection.execute("SHOW pgsoftproxy.visibility").fetchone() == ("all",)
        assert connection.execute(USERS).fetchall() == ALL_USERS
        connection.execute("SET pgsoftproxy.visibility = 'live'")
        assert connection.execute(USERS).fetchall() == LIVE_USERS
        connection.execute("RESET ALL")
        assert connection.execute(USERS).fetchall() == ALL_USERS
    with pytest.raises(psycopg.OperationalError, match='role "ann" may not use visibility all'):
        psycopg.connect(shop.proxied.conninfo, options="-c pgsoftproxy.visibility=all")


@pytest.mark.parametrize(
    "statement",
    [
        "SET pgsoftproxy.visibility = 'all'",
        "SET LOCAL pgsoftproxy.visibility = 'deleted'",
        f"/* pgsoftproxy: visibility=all */ {USERS}",
        "SET pgsoftproxy.delete = 'hard'",
        "/* pgsoftproxy: delete=hard */ DELETE FROM app.users",
    ],
)
def test_an_ordinary_role_may_not_see_or_remove_deleted_rows(
    shop: Shop, connection: Connection, statement: str
) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement)
    assert connection.execute(USERS).fetchall() == LIVE_USERS
    assert shop.rows("SELECT count(*) FROM app.users") == [(5,)]


def test_a_visibility_that_does_not_exist_is_an_error(support: Connection) -> None:
    with pytest.raises(errors.InvalidParameterValue):
        support.execute("SET pgsoftproxy.visibility = 'everything'")
    assert support.execute(USERS).fetchall() == LIVE_USERS


def test_a_prepared_statement_follows_the_visibility_of_its_use(support: Connection) -> None:
    support.prepare_threshold = 0
    seen = []
    for visibility in ("live", "all", "live", "deleted", "all", "live"):
        support.execute(f"SET pgsoftproxy.visibility = '{visibility}'".encode())
        seen.append(support.execute("SELECT count(*) FROM app.users WHERE id > %s", [0]).fetchall()[0][0])
    assert seen == [3, 5, 3, 2, 5, 3]
    names = support.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
    assert names is not None and names[0] >= 2


def test_a_prepared_delete_stays_soft_and_becomes_hard_only_when_asked(shop: Shop) -> None:
    with psycopg.connect(
        shop.proxied.as_user("dpo").conninfo, autocommit=True, prepare_threshold=0
    ) as connection:
        delete = "DELETE FROM app.orders WHERE id = %s"
        assert connection.execute(delete, [1]).statusmessage == "DELETE 1"
        connection.execute("SET pgsoftproxy.delete = 'hard'")
        assert connection.execute(delete, [3]).statusmessage == "DELETE 1"
        connection.execute("RESET pgsoftproxy.delete")
        assert connection.execute(delete, [4]).statusmessage == "DELETE 1"
    assert shop.rows("SELECT id, deleted_at IS NULL FROM app.orders ORDER BY id") == [
        (1, False), (2, False), (4, False), (5, False),
    ]  # fmt: skip


def test_a_role_that_may_restore_sets_the_column_to_null(shop: Shop, support: Connection) -> None:
    support.execute("SET pgsoftproxy.visibility = 'deleted'")
    assert support.execute("UPDATE app.users SET deleted_at = NULL WHERE id = 4").statusmessage == "UPDATE 1"
    support.execute("RESET pgsoftproxy.visibility")
    assert support.execute(USERS).fetchall() == ALL_USERS[:4]


def test_an_update_does_not_touch_deleted_rows(shop: Shop, connection: Connection) -> None:
    assert connection.execute("UPDATE app.users SET name = 'same'").statusmessage == "UPDATE 3"
    assert shop.rows("SELECT count(*) FROM app.users WHERE name = 'same'") == [(3,)]


def test_an_upsert_over_a_deleted_row_inserts_anew(shop: Shop, connection: Connection) -> None:
    cursor = connection.cursor(row_factory=dict_row)
    upsert = (
        "INSERT INTO app.users (email, name) VALUES (%s, 'New') ON CONFLICT (email) DO UPDATE SET name = 'Known' "
        "RETURNING id, name"
    )
    assert cursor.execute(upsert, ["dan@example.org"]).fetchall() == [{"id": 6, "name": "New"}]
    assert cursor.execute(upsert, ["dan@example.org"]).fetchall() == [{"id": 6, "name": "Known"}]
    assert cursor.execute(upsert, ["ada@example.org"]).fetchall() == [{"id": 1, "name": "Known"}]
    assert shop.is_deleted(4)


def test_a_session_that_ends_badly_leaves_its_transaction_undone(shop: Shop) -> None:
    connection = psycopg.connect(shop.proxied.conninfo)
    connection.execute("DELETE FROM app.users")
    pid = connection.info.backend_pid
    connection.close()  # in a transaction
    while shop.rows(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}"):
        pass
    assert not shop.is_deleted(1)


def test_two_phase_commit_deletes_at_its_commit(shop: Shop, connection: Connection) -> None:
    connection.autocommit = False
    connection.tpc_begin(connection.xid(1, shop.proxied.dbname, "branch"))
    connection.execute("DELETE FROM app.users WHERE id = 1")
    connection.tpc_prepare()
    assert not shop.is_deleted(1)
    connection.tpc_commit()
    assert shop.is_deleted(1)


def test_a_temporary_table_that_shadows_a_protected_one_never_uncovers_it(connection: Connection) -> None:
    # The proxy cannot know whose session has which temporary tables: the name counts as the protected one.
    connection.execute("SET search_path = app, public")
    connection.execute("CREATE TEMP TABLE users (id int, deleted_at timestamptz)")
    connection.execute("INSERT INTO users VALUES (1, NULL), (2, NULL)")
    assert connection.execute("SELECT count(*) FROM users").fetchone() == (2,)
    assert connection.execute("SELECT count(*) FROM app.users").fetchone() == (3,)
    connection.execute("DROP TABLE pg_temp.users")
    assert connection.execute("SELECT count(*) FROM users").fetchone() == (3,)


def test_a_table_protected_by_new_columns_is_guarded_from_the_next_statement_on(shop: Shop) -> None:
    # `app.orders` keeps its rule through a DROP and ADD of an ordinary column: prepared statements see it.
    with psycopg.connect(shop.proxied.conninfo, autocommit=True, prepare_threshold=0) as connection:
        before = connection.execute("SELECT * FROM app.orders ORDER BY id").fetchall()
        shop.execute("ALTER TABLE app.orders ADD note text")
        try:
            after = connection.execute("SELECT * FROM app.orders ORDER BY id, id").fetchall()
        finally:
            shop.execute("ALTER TABLE app.orders DROP note")
    assert after == [(*row, None) for row in before]
    assert len(before) == 3


def test_second_delete_at_a_position_of_a_cursor_leaves_the_stamps(shop: Shop) -> None:
    with psycopg.connect(shop.proxied.as_user("support").conninfo) as connection:
        connection.execute("DECLARE c CURSOR FOR SELECT id FROM app.users WHERE id = 1 FOR UPDATE")
        connection.execute("FETCH c")
        found = []
        for _ in range(2):
            answer = connection.execute("DELETE FROM app.users WHERE CURRENT OF c").statusmessage
            connection.execute("SET LOCAL pgsoftproxy.visibility = 'deleted'")
            stamps = connection.execute("SELECT deletion_id FROM app.users WHERE id = 1").fetchall()
            connection.execute("SET LOCAL pgsoftproxy.visibility = 'live'")
            found.append((answer, stamps))
    assert found[0][1] != [(None,)]
    assert found[0] == found[1] == ("DELETE 1", found[0][1])


def test_deleting_by_hand_is_counted(shop: Shop) -> None:
    with psycopg.connect(shop.proxied.conninfo, autocommit=True) as connection:
        before = shop.proxy.metric("pgsoftproxy_manual_deletes_total", table="app.users")
        updated = connection.execute(
            "UPDATE app.users SET deleted_at = now() WHERE id IN (1, 4) RETURNING id, deleted_at"
        )
        assert updated.statusmessage == "UPDATE 1"
        assert [(row[0], row[1] is None) for row in updated] == [(1, False)]
        connection.execute("PREPARE p AS UPDATE app.users SET deleted_at = $1 WHERE id = 2")
        connection.execute("EXECUTE p (now())")
        connection.execute("UPDATE app.users SET deleted_at = NULL WHERE id = 3")
        assert shop.proxy.metric("pgsoftproxy_manual_deletes_total", table="app.users") == before + 2
    assert [shop.is_deleted(user) for user in (1, 2, 3)] == [True, True, False]
