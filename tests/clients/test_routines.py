"""Functions and procedures through a running proxy: refused, warned of, allowed, and followed as they change."""

from collections.abc import Callable

import psycopg
import pytest
from psycopg import errors

from tests.fix_proxy import RunningProxy
from tests.fix_servers import Database

SCHEMA = """
CREATE SCHEMA app;
CREATE TABLE app.users (id int PRIMARY KEY, email text, deleted_at timestamptz);
INSERT INTO app.users VALUES (1, 'a', NULL), (2, 'b', now());
CREATE FUNCTION app.report() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM app.users';
CREATE FUNCTION app.outer_report() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN app.report(); END';
CREATE FUNCTION app.atomic() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM app.users; END;
CREATE FUNCTION app.mailbox(u app.users) RETURNS text LANGUAGE sql AS 'SELECT max(email) FROM app.users';
CREATE FUNCTION app.twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2';
CREATE PROCEDURE app.clear() LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DELETE FROM app.users'; END $$;
"""
TABLE = '[tables."app.users"]\n'
Start = Callable[..., RunningProxy]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT app.report()",
        "SELECT * FROM app.outer_report()",
        "SELECT app.atomic()",
        "CALL app.clear()",
        "SELECT u.mailbox FROM app.users AS u",
        "DO $$ BEGIN PERFORM app.report(); END $$",
    ],
)
def test_call_that_leads_to_a_protected_table_is_refused_with_the_way_out(
    database: Database, start_proxy: Start, statement: str
) -> None:
    database.execute(SCHEMA)
    proxy = start_proxy(database, TABLE)
    with psycopg.connect(proxy.dsn(), autocommit=True, options="-c search_path=app") as connection:
        with pytest.raises(errors.FeatureNotSupported, match=r'names "app\.users"') as caught:
            connection.execute(statement.encode())
        assert "[routines]" in (caught.value.diag.message_hint or "")
        assert connection.execute("SELECT app.twice(4)").fetchall() == [(8,)]
    assert database.execute("SELECT count(*) FROM app.users") == [(2,)]


def test_warned_call_passes_is_counted_and_logged_once(database: Database, start_proxy: Start) -> None:
    database.execute(SCHEMA)
    proxy = start_proxy(database, f'{TABLE}[routines]\nexisting = "warn"\nallow = ["app.atomic"]\n')
    with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
        for _ in range(3):
            assert connection.execute("SELECT app.report()").fetchall() == [(2,)]
        assert connection.execute("SELECT app.atomic()").fetchall() == [(2,)]
    assert proxy.metric("pgsoftproxy_warned_total", **{"class": "existing"}) == 3
    events = [event for event in proxy.logs() if event["event"] == "statement_runs_past_the_proxy"]
    assert len(events) == 1
    assert (events[0]["class"], '"app.users"' in str(events[0]["reason"])) == ("existing", True)


def test_role_that_sees_every_row_may_call(database: Database, start_proxy: Start) -> None:
    database.execute(SCHEMA)
    role = database.server.user
    proxy = start_proxy(database, f'{TABLE}[roles.{role}]\nvisibility = ["all"]\n')
    with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
        connection.execute("SET pgsoftproxy.visibility = 'all'")
        assert connection.execute("SELECT app.report()").fetchall() == [(2,)]
        connection.execute("RESET pgsoftproxy.visibility")
        with pytest.raises(errors.FeatureNotSupported):
            connection.execute("SELECT app.report()")
    assert proxy.metric("pgsoftproxy_visibility_uses_total", visibility="all") == 1


def test_function_that_comes_to_be_through_the_proxy_is_known_at_once(
    database: Database, start_proxy: Start
) -> None:
    database.execute(SCHEMA)
    proxy = start_proxy(database, f'{TABLE}[routines]\nbodies = "allow"\n')
    create = "CREATE FUNCTION app.made() RETURNS bigint LANGUAGE sql AS 'SELECT {} FROM app.users'"
    with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
        connection.execute(create.format("max(id)").encode())
        with pytest.raises(errors.FeatureNotSupported):
            connection.execute("SELECT app.made()")
        connection.execute("DROP FUNCTION app.made()")
        with pytest.raises(errors.UndefinedFunction):
            connection.execute("SELECT app.made()")


def test_reload_changes_what_may_be_called(database: Database, start_proxy: Start) -> None:
    database.execute(SCHEMA)
    proxy = start_proxy(database, TABLE)
    with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
        with pytest.raises(errors.FeatureNotSupported):
            connection.execute("SELECT app.report()")
        allowed = proxy.config.read_text() + '\n[routines]\nallow = ["app.report"]\n'
        assert proxy.reload(allowed)["event"] == "reloaded"
        assert connection.execute("SELECT app.report()").fetchall() == [(2,)]
