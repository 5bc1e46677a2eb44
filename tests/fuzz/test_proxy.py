"""Broken conversations against a running proxy before a real server: nothing leaks, is lost, or disturbs anyone."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsoftproxy.app import App
from pgsoftproxy.source import Source
from tests.fix_proxy import config_text
from tests.fix_shop import temporary_database
from tests.fuzz.ground import (
    CONFIG,
    Attack,
    Ground,
    broken_clients,
    bystander,
    decent_clients,
    mangled,
    running,
)
from tests.servers import Server
from tests.waiting import wait_until

COUNTS = [100, pytest.param(2500, marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def ground(server: Server) -> Iterator[Ground]:
    """Give a filled database."""
    with temporary_database(server, "") as name:
        yield Ground.make(server, name)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", COUNTS)
def test_broken_clients_see_and_remove_nothing_and_disturb_nobody(
    ground: Ground, tmp_path: Path, count: int
) -> None:
    before = ground.rows()
    assert sum(value is not None for *_, value in before) == 10
    with running(ground, tmp_path, ground.server.port) as proxy, bystander(proxy):
        attack = Attack(broken_clients(ground, (proxy.host, proxy.port)), count * 1_000_000).run(count=count)
        assert (attack.wrong, attack.count) == ([], count)
    assert ground.rows() == before


@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", COUNTS)
def test_a_broken_server_ends_its_sessions_and_disturbs_nobody(
    ground: Ground, tmp_path: Path, count: int
) -> None:
    before = ground.rows()
    with (
        mangled(ground.server, count) as port,
        running(ground, tmp_path, port) as proxy,
        bystander(proxy),
    ):
        attack = Attack(decent_clients(ground, (proxy.host, proxy.port)), 0).run(count=count)
        assert (attack.wrong, attack.count) == ([], count)
    assert ground.rows() == before


async def test_no_task_outlives_a_broken_conversation(ground: Ground, tmp_path: Path) -> None:
    config = tmp_path / "proxy.toml"
    config.write_text(config_text(ground.server, ground.name, CONFIG))
    source = Source(config, os.environ)
    app = App(source, source.load())
    await app._store.open_default()
    address = "127.0.0.1", app._listener.open("127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    try:
        attack = Attack(broken_clients(ground, address), 0)
        await asyncio.to_thread(attack.run, count=40)
        assert attack.wrong == []
        await asyncio.to_thread(wait_until, lambda: not app._listener._relays and not app._tasks._running)
        await asyncio.to_thread(wait_until, lambda: len(asyncio.all_tasks(loop)) == 1)
    finally:
        await app.close()
