"""A running proxy audits by itself where it is told to, and shows the figures beside its own."""

from collections.abc import Callable

from tests.fix_proxy import RunningProxy
from tests.fix_servers import Database
from tests.waiting import wait_until

LEAKY = """
CREATE TABLE users (id int PRIMARY KEY, deleted_at timestamptz);
CREATE VIEW everybody AS SELECT id FROM users;
INSERT INTO users SELECT n, CASE WHEN n > 10 THEN now() END FROM generate_series(1, 40) AS n;
ANALYZE users;
"""
RULES = '[tables."public.users"]\n'


def test_metrics_show_what_an_audit_found(
    database: Database, start_proxy: Callable[..., RunningProxy]
) -> None:
    database.execute(LEAKY)
    proxy = start_proxy(database, RULES, audit={"interval": 1})
    name = "pgsoftproxy_audit_findings"
    wait_until(lambda: proxy.metric(name, check="view-leaks", severity="error") == 1)
    assert proxy.metric("pgsoftproxy_table_deleted_rows", table="public.users") == 30
    database.execute("DROP VIEW everybody")
    wait_until(lambda: proxy.metric(name, check="view-leaks", severity="error") == 0)
    assert proxy.metric(name, check="guard-missing", severity="error") == 1


def test_no_audit_runs_unless_it_is_asked_for_and_a_reload_may_ask(
    database: Database, start_proxy: Callable[..., RunningProxy]
) -> None:
    database.execute(LEAKY)
    proxy = start_proxy(database, RULES)
    without = proxy.config.read_text()
    assert "pgsoftproxy_audit_findings" not in proxy.metrics()
    proxy.reload(f"{without}[audit]\ninterval = 3600\n")
    wait_until(lambda: "pgsoftproxy_audit_findings" in proxy.metrics())
    proxy.reload(without)
    wait_until(lambda: "pgsoftproxy_audit_findings" not in proxy.metrics())


def test_an_audit_that_fails_is_logged_and_the_proxy_goes_on(
    database: Database, start_proxy: Callable[..., RunningProxy]
) -> None:
    database.execute(LEAKY)
    proxy = start_proxy(database, RULES, audit={"interval": 1, "ignore": ["no-such-check"]})
    wait_until(lambda: "audit_failed" in proxy.output())
    assert "no-such-check" in proxy.output()
    assert proxy.get("/healthz")
