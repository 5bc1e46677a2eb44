"""The audit log of a proxy of two workers: who did what, from where, to which tables; and what logrotate does."""

import contextlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors

from tests.fix_proxy import RunningProxy
from tests.fix_servers import Database

TABLES = """
CREATE TABLE users (id int PRIMARY KEY, deleted_at timestamptz);
CREATE TABLE orders (id int PRIMARY KEY, deleted_at timestamptz);
INSERT INTO users SELECT n FROM generate_series(1, 9) n;
"""
CLIENTS, STATEMENTS = 8, 25


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def proxy(database: Database, start_proxy: Callable[..., RunningProxy], trail: Path) -> RunningProxy:
    """Give a proxy whose role may delete physically and see everything."""
    database.execute(TABLES)
    user = json.dumps(database.server.user)
    grants = f'[tables."public.*"]\n[roles.{user}]\nhard_delete = true\nvisibility = ["live", "all"]'
    return start_proxy(database, grants, listen={"workers": 2}, logs={"audit": str(trail)})


@pytest.fixture
def client(proxy: RunningProxy) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(f"{proxy.dsn()}?application_name=shop", autocommit=True) as client:
        yield client


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_is_audited_is_recorded_with_who_and_what(
    client: psycopg.Connection[Any], database: Database, trail: Path
) -> None:
    with pytest.raises(errors.FeatureNotSupported):
        client.execute("TRUNCATE users")
    with pytest.raises(errors.SyntaxError):
        client.execute("SELECT 'secret' FROM FROM")
    client.execute("SET application_name = 'backoffice'")
    client.execute("SELECT id FROM users")
    client.execute("/* pgsoftproxy: visibility=all */ SELECT u.id FROM users u, orders o WHERE u.id = 99")
    client.execute("/* pgsoftproxy: delete=hard */ DELETE FROM users WHERE id = 1")
    client.execute("SET pgsoftproxy.delete = 'hard'")
    client.execute("DELETE FROM users WHERE id = %s", (2,), prepare=True)
    client.execute("TRUNCATE users, public.orders")
    client.execute("DROP TABLE orders")
    found = lines(trail)
    assert [(line["event"], line["kind"], line["tables"], line["application_name"]) for line in found] == [
        ("statement_refused", "truncate", [], "shop"),
        ("statement_refused", "invalid", [], "shop"),
        ("visibility_used", "select", ["public.orders", "public.users"], "backoffice"),
        ("hard_delete", "delete", ["public.users"], "backoffice"),
        ("hard_delete", "delete", ["public.users"], "backoffice"),
        ("hard_delete", "truncate", ["public.orders", "public.users"], "backoffice"),
        ("hard_delete", "ddl", ["public.orders"], "backoffice"),
    ]
    assert (found[0]["sqlstate"], "public.users" in found[0]["reason"]) == ("0A000", True)
    assert (found[1]["sqlstate"], found[1]["reason"]) == ("42601", "")
    assert found[2]["visibility"] == "all"
    for line in found:
        assert line["client_address"] == "127.0.0.1"
        assert (line["user"], line["database"]) == (database.server.user, database.name)
        assert line["backend_pid"] == client.info.backend_pid
        assert "secret" not in json.dumps(line)


def test_lines_of_two_workers_do_not_mix_and_follow_the_file_that_was_rotated(
    proxy: RunningProxy, trail: Path
) -> None:
    def refuse(number: int) -> int:
        with psycopg.connect(f"{proxy.dsn()}?application_name={number}", autocommit=True) as client:
            for _ in range(STATEMENTS):
                with contextlib.suppress(errors.FeatureNotSupported):
                    client.execute("TRUNCATE users")
            return client.info.backend_pid

    with ThreadPoolExecutor(CLIENTS) as pool:
        pids = list(pool.map(refuse, range(CLIENTS)))
    found = lines(trail)
    for number, pid in enumerate(pids):
        assert [line["backend_pid"] for line in found if line["application_name"] == str(number)] == [
            pid
        ] * STATEMENTS
    moved = trail.rename(trail.with_suffix(".1"))
    assert proxy.reload()["event"] == "reloaded"
    refuse(CLIENTS)
    assert len(lines(trail)) == STATEMENTS
    assert lines(moved) == found
    moved.unlink()
    trail.unlink()
    trail.mkdir()
    assert proxy.reload()["event"] == "reloaded"
    refuse(CLIENTS)
    assert proxy.metric("pgsoftproxy_audit_lines_lost_total") == STATEMENTS
    assert proxy.wait_for("audit_log_cannot_be_written")["path"] == str(trail)
