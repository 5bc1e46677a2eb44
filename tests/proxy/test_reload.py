"""What a reload puts in force: the level of the log, limits, for sessions from then on; and what it leaves."""

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import psycopg
import pytest

from pgsoftproxy.ops.logs import make_logger, set_level
from tests.fix_proxy import RunningProxy, config_text
from tests.fix_servers import Database


def test_level_changes_for_every_logger_that_was_bound_before() -> None:
    stream = StringIO()
    logger = make_logger("json", "warning", stream)
    bound = logger.bind(worker=1)
    other = make_logger("json", "warning", stream)
    for one in (logger, bound, other):
        one.info("unheard")
    set_level(bound, "debug")
    bound.debug("heard", worker=1)
    logger.debug("heard")
    other.info("unheard")
    set_level(logger, "error")
    bound.warning("unheard")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["heard", "heard"]


@pytest.mark.parametrize("workers", [1, 2])
def test_limits_and_level_hold_for_sessions_from_then_on(
    database: Database, start_proxy: Callable[..., RunningProxy], workers: int
) -> None:
    proxy = start_proxy(database, listen={"workers": workers})

    def reload(**sections: Any) -> str:
        text = config_text(database.server, database.name, "", {"listen": {"workers": workers}, **sections})
        return str(proxy.reload(text)["event"])

    long = f"SELECT '{'x' * 1000}'"
    with psycopg.connect(proxy.dsn(), autocommit=True) as before:
        assert not any(entry["level"] == "debug" for entry in proxy.logs())
        count = len(proxy.logs())
        limits = {"statement_bytes": 500, "connections": 5}
        logs = {"level": "debug", "format": "json"}
        assert reload(limits=limits, logs=logs) == "reloaded"
        assert not any(entry["event"] == "reload_needs_restart" for entry in proxy.logs()[count:])
        assert proxy.metric("pgsoftproxy_connections_limit") == 5
        with psycopg.connect(proxy.dsn(), autocommit=True) as after:
            with pytest.raises(psycopg.errors.ProgramLimitExceeded):
                after.execute(long)
            proxy.wait_for("session_opened", after=count)
        before.execute(long)
    count = len(proxy.logs())
    assert reload(limits={"plan_cache_bytes": 0, "connections": 6}) == "reloaded"
    assert proxy.wait_for("reload_needs_restart", after=count)["sections"] == ["limits.plan_cache_bytes"]
    assert proxy.metric("pgsoftproxy_connections_limit") == 6


def test_new_limit_of_connections_is_kept_to(
    database: Database, start_proxy: Callable[..., RunningProxy]
) -> None:
    proxy = start_proxy(database)
    with psycopg.connect(proxy.dsn()), psycopg.connect(proxy.dsn()):
        text = config_text(database.server, database.name, "", {"limits": {"connections": 1}})
        assert proxy.reload(text)["event"] == "reloaded"
        with pytest.raises(psycopg.OperationalError, match="too many clients"):
            psycopg.connect(proxy.dsn())
        assert proxy.reload(config_text(database.server, database.name))["event"] == "reloaded"
        psycopg.connect(proxy.dsn()).close()
