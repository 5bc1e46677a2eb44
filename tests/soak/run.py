"""One soak: a server, a proxy, the clients, the trouble, and what it all came to."""

import asyncio
import tempfile
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path

from tests.access.authority import trusting
from tests.fix_proxy import RunningProxy
from tests.raw import RawClient
from tests.servers import LocalServer, execute, local_server
from tests.soak.acts import TABLES
from tests.soak.client import live
from tests.soak.ground import Ground
from tests.soak.trouble import Configurations, reload_again_and_again, restart_server
from tests.soak.watch import Watch, connections

DATABASE = "soak"
CONNECTIONS = 1500
FIRST_SESSIONS = 50
"""So many come and go before the proxy's rest is looked at."""


class Plant(Enum):
    """A fault that is planted, to see that it is found."""

    ROW = "row"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how many, and how hard."""

    seconds: float = 60.0
    clients: int = 500
    workers: int = 2
    version: int = 15
    restart_seconds: float = 45.0
    pace: float = 0.5
    seed: int = 1
    rest_seconds: float = 20.0
    """How long the proxy may take to let go of everything once all clients have left."""
    plants: frozenset[Plant] = frozenset()


def soak(plan: Plan) -> Ground:
    """Run a server and a proxy under this load; return what was found."""
    # Clients check that what was committed is there after a crash of the server.
    settings = {"max_connections": str(CONNECTIONS), "synchronous_commit": "on"}
    server = local_server(plan.version, settings)
    try:
        return soak_server(server, plan)
    finally:
        server.destroy()


def soak_server(server: LocalServer, plan: Plan) -> Ground:
    """Run a proxy before this server under this load."""
    execute(server.dsn(), f"CREATE DATABASE {DATABASE}")
    execute(server.dsn(DATABASE), TABLES)
    with tempfile.TemporaryDirectory(prefix="pgsoftproxy-soak-") as folder:
        leaks = Plant.ROW in plan.plants
        texts = Configurations.make(server, DATABASE, Path(folder), plan.workers, leaks=leaks).texts
        config = Path(folder) / "proxy.toml"
        config.write_text(texts[0])
        proxy = RunningProxy(config, server, DATABASE)
        try:
            return asyncio.run(_run(server, proxy, plan, texts))
        except BaseException:
            print(proxy.output()[-5000:])
            raise
        finally:
            proxy.stop()


async def _run(server: LocalServer, proxy: RunningProxy, plan: Plan, texts: tuple[str, ...]) -> Ground:
    ground = Ground(proxy.port, DATABASE, trusting(), plan.pace)
    await asyncio.to_thread(_warm, proxy, texts)
    watch = Watch(proxy)
    before = await asyncio.to_thread(watch.held)
    troubles = [
        asyncio.create_task(reload_again_and_again(ground, proxy, texts)),
        asyncio.create_task(restart_server(ground, server, plan.restart_seconds)),
        asyncio.create_task(watch.keep(ground)),
    ]
    clients = [asyncio.create_task(live(ground, owner, plan.seed)) for owner in range(plan.clients)]
    done, _ = await asyncio.wait(
        (*clients, *troubles), timeout=plan.seconds, return_when=asyncio.FIRST_EXCEPTION
    )
    ground.over = True
    for task in done:
        task.result()
    await asyncio.gather(*clients)
    await asyncio.gather(*troubles)
    watch.judge_memory(ground)
    left = [RawClient(proxy.host, proxy.port).login(DATABASE)] if Plant.SESSION in plan.plants else []
    await watch.judge_rest(ground, partial(connections, server, DATABASE), before, plan.rest_seconds)
    watch.judge_log(ground)
    for client in left:
        client.sock.close()
    return ground


def _warm(proxy: RunningProxy, texts: tuple[str, ...]) -> None:
    for text in texts:
        proxy.reload(text)
    for _ in range(FIRST_SESSIONS):
        with RawClient(proxy.host, proxy.port).login(DATABASE) as client:
            client.query("SELECT count(*) FROM soak_shared")
