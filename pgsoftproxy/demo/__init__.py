"""The self-contained demonstration: an embedded PostgreSQL, a sample shop, the proxy, and what it does.

Everything it shows is a real result, and checked. All that it starts lives in one temporary directory
and ends with it.
"""

import time
from contextlib import ExitStack
from importlib.resources import files
from typing import NoReturn

from pgsoftproxy.db.demo_client import DemoClient, Unreachable
from pgsoftproxy.demo.commands import Commands
from pgsoftproxy.demo.failure import DemoFailed, Stopped
from pgsoftproxy.demo.proxy import CONFIG, Proxy
from pgsoftproxy.demo.screen import Screen
from pgsoftproxy.demo.server import Server
from pgsoftproxy.demo.stage import Stage
from pgsoftproxy.demo.story import Story
from pgsoftproxy.demo.telling import Cast, Telling

DATABASE = "shop"


def main(serve: bool = False) -> int:
    """Run the demo, or with `serve` keep its server and proxy up until a signal. Return the exit code.

    0: all was as promised (or a served demo was ended). 1: it was not, or something could not be started.
    128 + n: signal n ended it early.
    """
    screen = Screen()
    started = time.monotonic()
    try:
        with Stage() as stage:
            checks = _run(screen, stage, serve=serve)
    except DemoFailed as error:
        screen.failure(error.message, error.detail)
        return 1
    except Unreachable as error:
        screen.failure("a connection was not accepted", str(error))
        return 1
    except Stopped as stopped:
        return 0 if serve else 128 + stopped.number
    seconds = time.monotonic() - started
    screen.end(f"{checks} checks, all as promised, in {seconds:.1f} s; nothing is left behind.")
    return 0


def _run(screen: Screen, stage: Stage, *, serve: bool) -> int:
    screen.title("pgsoftproxy: soft delete that no statement can forget")
    server = Server(stage)
    version = _build_shop(server)
    proxy = Proxy(stage, _config(server))
    facts = [
        (f"PostgreSQL {version}", f"{server.host}:{server.port}"),
        ("the proxy in front of it", f"{proxy.host}:{proxy.port}"),
    ]
    if serve:
        _serve(screen, proxy, facts)
    screen.facts([*facts, ("protected (deleted_at)", "customers, products, orders, invoices")])
    with ExitStack() as clients:
        shop = clients.enter_context(DemoClient(proxy.dsn(DATABASE, "shop", "shop")))
        support = clients.enter_context(DemoClient(proxy.dsn(DATABASE, "support", "support")))
        direct = clients.enter_context(DemoClient(server.dsn(DATABASE)))
        commands = Commands(proxy.config, server.dsn(DATABASE))
        telling = Telling(screen, Cast(shop, support, direct, proxy.metrics, commands.run, proxy.reload))
        Story(telling).tell()
    return telling.checks


def _serve(screen: Screen, proxy: Proxy, facts: list[tuple[str, str]]) -> NoReturn:
    """Say how to connect and wait for a signal, which raises `Stopped`."""
    screen.facts(
        [
            *facts,
            ("as the application", f"psql {proxy.dsn(DATABASE, 'shop', 'shop')}"),
            ("as a role that may see all", f"psql {proxy.dsn(DATABASE, 'support', 'support')}"),
            ("metrics", proxy.metrics_url),
        ]
    )
    screen.end("Ready. Ctrl-C ends it and removes everything.")
    proxy.wait()


def _build_shop(server: Server) -> str:
    """Create the sample database and return the server's version."""
    with DemoClient(server.dsn("postgres")) as client:
        _must(client, f"CREATE DATABASE {DATABASE}")
    with DemoClient(server.dsn(DATABASE)) as client:
        _must(client, files("pgsoftproxy.demo").joinpath("shop.sql").read_text("utf-8"))
        _must(client, "ANALYZE")
        return client.server_version


def _must(client: DemoClient, sql: str) -> None:
    error = client.run(sql).error
    if error is not None:
        raise DemoFailed("the sample shop could not be created", f"{error.sqlstate}: {error.message}")


def _config(server: Server) -> str:
    return CONFIG.format(
        upstream_host=server.host,
        upstream_port=server.port,
        control_dsn=server.dsn(DATABASE, "pgsoftproxy", "pgsoftproxy"),
    )
