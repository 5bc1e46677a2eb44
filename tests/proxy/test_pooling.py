"""With PgBouncer before or behind the proxy, in each mode, no deleted row reaches who did not ask for it."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.fix_proxy import RunningProxy
from tests.fix_servers import Database
from tests.proxy.pooling import start_pooler
from tests.raw import RawClient, error_fields, frame

StartProxy = Callable[..., RunningProxy]
Arrange = Callable[[str, str], str]

TABLES = '[tables."public.users"]\n[roles.postgres]\nvisibility = ["all"]\nhard_delete = true\n'
SCHEMA = """
CREATE TABLE users (id int PRIMARY KEY, deleted_at timestamptz);
INSERT INTO users VALUES (1, NULL), (2, now());
CREATE SCHEMA other;
CREATE TABLE other.users (id int);
"""
COUNT = "SELECT count(*) FROM users"
ALL = "/* pgsoftproxy: visibility=all */ "
STRICT = {"session_state": "refuse", "named_statements": "refuse"}
ORDERS = ["before", "behind"]

KEPT = {
    "visibility": "SET pgsoftproxy.visibility = 'all'",
    "delete mode": "SET pgsoftproxy.delete = 'hard'",
    "search_path": "SET search_path = other, public",
    "search_path by a function": "SELECT set_config('search_path', 'other', false)",
    "a setting by a name that is not known": "SELECT set_config(name, 'other', false) FROM pg_settings",
    "role": "SET ROLE pg_monitor",
    "session user": "SET SESSION AUTHORIZATION pg_monitor",
    "temporary table": "CREATE TEMP TABLE users (id int)",
    "temporary table from a query": "SELECT 1 AS id INTO TEMP users",
    "temporary table by its schema": "CREATE TABLE pg_temp.users (id int)",
    "temporary view": "CREATE TEMP VIEW users AS SELECT 1 AS id",
    "prepared statement": f"{ALL}PREPARE seen AS {COUNT}",
    "executed statement": "EXECUTE seen",
    "explained statement": "EXPLAIN EXECUTE seen",
    "held cursor": f"{ALL}DECLARE seen CURSOR WITH HOLD FOR {COUNT}",
    "notifications": "LISTEN news",
}
LOCAL = [
    "SET LOCAL pgsoftproxy.visibility = 'all'",
    "SET LOCAL search_path = other, public",
    "SELECT set_config('search_path', 'other', true)",
    "CREATE TEMP TABLE users ON COMMIT DROP AS SELECT 1 AS id",
    f"DECLARE seen CURSOR FOR {COUNT}",
    "SET statement_timeout = '1min'",
    "RESET ALL",
    "SET search_path TO DEFAULT",
]


@pytest.fixture
def arrange(database: Database, start_proxy: StartProxy) -> Iterator[Arrange]:
    """Give the way to a server through a proxy and a pooler, in one order or the other, as a connection string."""
    database.execute(SCHEMA)
    made = []

    def start(order: str, mode: str, **statements: str) -> str:
        if order == "before":
            proxy = start_proxy(database, TABLES, statements=statements)
            made.append(start_pooler(proxy.port, mode))
            return f"postgresql://postgres@127.0.0.1:{made[-1].port}/{database.name}"
        made.append(start_pooler(database.server.port, mode))
        behind = {"host": "127.0.0.1", "port": made[-1].port}
        return start_proxy(database, TABLES, upstream=behind, statements=statements).dsn()

    yield start
    for pooler in made:
        pooler.stop()


def connected(dsn: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(dsn, autocommit=True, prepare_threshold=None)


def count(dsn: str) -> object:
    with connected(dsn) as connection:
        row = connection.execute(COUNT).fetchone()
        return row and row[0]


@pytest.mark.parametrize("order", ORDERS)
def test_in_session_mode_what_the_last_client_changed_is_gone(arrange: Arrange, order: str) -> None:
    dsn = arrange(order, "session")
    for change in ("visibility", "search_path", "temporary table", "prepared statement", "held cursor"):
        with connected(dsn) as connection:
            before = connection.execute("SELECT pg_backend_pid()").fetchone()
            connection.execute(KEPT[change])
            if change == "visibility":
                assert connection.execute(COUNT).fetchone() == (2,)
        with connected(dsn) as connection:
            assert connection.execute("SELECT pg_backend_pid()").fetchone() == before, "not the same session"
            assert connection.execute(COUNT).fetchone() == (1,)
            with pytest.raises(psycopg.Error):
                connection.execute("EXECUTE seen")
            with pytest.raises(psycopg.Error):
                connection.execute("FETCH ALL FROM seen")


@pytest.mark.parametrize("order", ORDERS)
def test_in_transaction_mode_nothing_that_outlives_a_transaction_is_taken(
    arrange: Arrange, order: str
) -> None:
    dsn = arrange(order, "transaction", **STRICT)
    with connected(dsn) as other:
        for what, statement in KEPT.items():
            with connected(dsn) as connection:
                with pytest.raises(psycopg.errors.FeatureNotSupported, match="outlive its transaction"):
                    connection.execute(statement.encode())
                with pytest.raises(psycopg.errors.FeatureNotSupported), connection.transaction():
                    connection.execute(statement.encode())
            assert other.execute(COUNT).fetchone() == (1,), what


@pytest.mark.parametrize("order", ORDERS)
def test_in_transaction_mode_what_ends_with_its_transaction_is_taken(arrange: Arrange, order: str) -> None:
    dsn = arrange(order, "transaction", **STRICT)
    with connected(dsn) as connection, connected(dsn) as other:
        for statement in LOCAL:
            with connection.transaction():
                connection.execute(statement.encode())
                if "visibility" in statement:
                    assert connection.execute(COUNT).fetchone() == (2,)
            assert other.execute(COUNT).fetchone() == (1,), statement
            assert connection.execute(COUNT).fetchone() == (1,), statement
        assert connection.execute(ALL + COUNT).fetchone() == (2,)
        assert other.execute(COUNT).fetchone() == (1,)
        assert other.execute("DELETE FROM users WHERE id = %s", (1,)).statusmessage == "DELETE 1"
        assert connection.execute(ALL + COUNT).fetchone() == (2,)


@pytest.mark.parametrize("order", ORDERS)
def test_a_statement_that_another_client_prepared_under_the_same_name_is_never_run(
    arrange: Arrange, order: str
) -> None:
    # PgBouncer of this version knows nothing of prepared statements: all clients of a connection share their names.
    dsn = arrange(order, "transaction", **STRICT)
    with connected(dsn) as connection:
        port, dbname = connection.info.port, connection.info.dbname
    with (
        RawClient("127.0.0.1", port).login(dbname) as raising,
        RawClient("127.0.0.1", port).login(dbname) as other,
    ):
        parse = frame(b"P", b"s1\0" + (ALL + "SELECT id FROM users").encode() + b"\0\0\0")
        answers = raising.send(parse + frame(b"S")).until(b"Z")
        fields = error_fields(answers[0][1])
        assert (fields["C"], fields["S"]) == ("0A000", "ERROR")
        assert "has a name" in fields["M"]
        bind = frame(b"B", b"\0s1\0" + b"\0" * 6) + frame(b"E", b"\0" * 5) + frame(b"S")
        assert [kind for kind, _ in other.send(bind).until(b"Z")] == [b"E", b"Z"]


@pytest.mark.parametrize("option", ["pgsoftproxy.visibility=all", "search_path=other", "role=pg_monitor"])
def test_a_session_that_others_will_have_starts_with_nothing_of_its_own(
    database: Database, start_proxy: StartProxy, option: str
) -> None:
    database.execute(SCHEMA)
    proxy = start_proxy(database, TABLES, statements=STRICT)
    with pytest.raises(psycopg.OperationalError, match="cannot start with a visibility"):
        psycopg.connect(proxy.dsn(), options=f"-c {option}")


def test_what_outlives_a_transaction_can_be_warned_of(database: Database, start_proxy: StartProxy) -> None:
    database.execute(SCHEMA)
    proxy = start_proxy(database, TABLES, statements=dict.fromkeys(STRICT, "warn"))
    with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
        connection.execute("SET search_path = public")
        connection.execute(COUNT, prepare=True)
    for kind in STRICT:
        assert proxy.metric("pgsoftproxy_warned_total", **{"class": kind}) == 1
