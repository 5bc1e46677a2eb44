"""pgbench through the proxy: its own set-up and its built-in loads, without a failed transaction."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.clients.shop import Shop, Target
from tests.fix_proxy import RunningProxy, config_text
from tests.fix_shop import temporary_database
from tests.servers import Server, find_programs

CLIENTS, TRANSACTIONS = 4, 60
CONFIG = """
[tables."public.pgbench_account*"]

[roles.dpo]
hard_delete = true
"""


@pytest.fixture
def bench(server: Server, tmp_path: Path) -> Iterator[Shop]:
    """A database with pgbench's tables, made by `pgbench -i` through a proxy."""
    with temporary_database(server, "GRANT ALL ON SCHEMA public TO ann, dpo") as name:
        config = tmp_path / "proxy.toml"
        config.write_text(config_text(server, name, CONFIG))
        proxy = RunningProxy(config, server, name)
        try:
            proxied = Target(proxy.host, proxy.port, name, "ann")
            made = initialise(proxied)
            assert made.returncode == 0, made.stderr
            yield Shop(server, proxy, proxied, Target(server.host, server.port, name, server.user))
        finally:
            proxy.stop()
            print(proxy.output())


def pgbench(target: Target, *arguments: str, options: str = "") -> subprocess.CompletedProcess[str]:
    """Run pgbench against a target."""
    folder = find_programs(18)
    assert folder is not None
    place = ["-h", target.host, "-p", str(target.port), "-U", target.user, target.dbname]
    return subprocess.run(
        [Path(folder) / "pgbench", *arguments, *place],
        env={"PGOPTIONS": options, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=100,
    )


def initialise(target: Target, options: str = "") -> subprocess.CompletedProcess[str]:
    return pgbench(target, "-i", "-q", options=options)


def load(target: Target, mode: str, script: str) -> None:
    """Run a built-in script and check that every transaction succeeded."""
    done = pgbench(target, "-M", mode, "-b", script, "-c", str(CLIENTS), "-j", "2", "-t", str(TRANSACTIONS))
    total = CLIENTS * TRANSACTIONS
    assert done.returncode == 0, done.stderr
    assert re.findall(r"transactions actually processed: (\S+)", done.stdout) == [f"{total}/{total}"]
    assert re.findall(r"failed transactions: (\d+)", done.stdout) == ["0"]
    assert "ERROR" not in done.stderr and "error" not in done.stderr


def protect(bench: Shop) -> None:
    """Give the accounts a deletion column, by DDL through the proxy, and delete some."""
    with psycopg.connect(bench.proxied.conninfo, autocommit=True) as connection:
        connection.execute("ALTER TABLE pgbench_accounts ADD deleted_at timestamptz")
        deleted = connection.execute("DELETE FROM pgbench_accounts WHERE aid % 100 = 0")
        assert deleted.statusmessage == "DELETE 1000"
    assert bench.rows("SELECT count(*) FROM pgbench_accounts") == [(100000,)]


MODES = ("simple", "extended", "prepared")


def test_every_load_runs_on_tables_that_are_not_protected(bench: Shop) -> None:
    for mode in MODES:
        load(bench.proxied, mode, "tpcb-like")
        assert bench.rows("SELECT count(*) FROM pgbench_history") == [(CLIENTS * TRANSACTIONS,)]
        load(bench.proxied, mode, "select-only")


def test_every_load_runs_with_protected_accounts(bench: Shop) -> None:
    protect(bench)
    for mode in MODES:
        load(bench.proxied, mode, "tpcb-like")
        load(bench.proxied, mode, "select-only")
    # Deleted accounts were neither read nor changed: their balances are as `pgbench -i` made them.
    assert bench.rows(
        "SELECT sum(abs(abalance)), count(*) FROM pgbench_accounts WHERE deleted_at IS NOT NULL"
    ) == [(0, 1000)]
    assert bench.proxy.metric("pgsoftproxy_guarded_reads_total", table="public.pgbench_accounts") > 0


def test_set_up_anew_is_refused_over_protected_tables_and_allowed_to_a_role_that_may(bench: Shop) -> None:
    protect(bench)
    refused = initialise(bench.proxied)
    assert refused.returncode != 0
    assert "pgbench_accounts" in refused.stderr
    denied = initialise(bench.proxied, options="-c pgsoftproxy.delete=hard")
    assert denied.returncode != 0
    assert "may not use delete mode" in denied.stderr
    assert bench.rows("SELECT count(*) FROM pgbench_accounts") == [(100000,)]

    bench.execute("GRANT ann TO dpo")
    dpo = bench.proxied.as_user("dpo")
    soft = initialise(dpo)
    assert soft.returncode != 0
    assert bench.rows("SELECT count(*) FROM pgbench_accounts") == [(100000,)]
    hard = initialise(dpo, options="-c pgsoftproxy.delete=hard")
    assert hard.returncode == 0, hard.stderr
    assert bench.rows("SELECT count(*) FROM pgbench_accounts") == [(100000,)]
    bench.execute("REVOKE ann FROM dpo; REASSIGN OWNED BY dpo TO ann")
    load(bench.proxied, "simple", "select-only")
