"""Every driver through the proxy: the same steps in each language, and the same rows, counts and errors."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.access.authority import Authority
from tests.clients.matrix import DRIVERS, NAMES, READING, STEPS, Driver, Program, require
from tests.clients.shop import CONFIG, ROLES, ROWS, SCHEMA
from tests.fix_proxy import ROOT, RunningProxy, config_text
from tests.fix_servers import VERSIONS, Database
from tests.fix_shop import temporary_database
from tests.servers import LocalServer, Server, execute, local_server

OWNED = """
ALTER TABLE app.users OWNER TO ann; ALTER TABLE app.orders OWNER TO ann; GRANT CREATE ON SCHEMA app TO ann;
"""
HBA = """
host all postgres 127.0.0.1/32 trust
host all ann 127.0.0.1/32 scram-sha-256
"""
PASSWORD = "pä ss'w=rd"
SECRETS = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1"
EXISTING = 5
DOCUMENT = ROOT / "docs" / "clients.md"


@dataclass(frozen=True, slots=True)
class Place:
    """A database behind a proxy, and what a program must know to reach it."""

    server: Server
    address: dict[str, Any]

    def run(self, driver: Driver, steps: tuple[str, ...]) -> Program:
        return Program(driver, self.address, steps)


@pytest.fixture(scope="module")
def place(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with temporary_database(server, SCHEMA + OWNED) as name:
        config = tmp_path_factory.mktemp("matrix") / "proxy.toml"
        config.write_text(config_text(server, name, CONFIG))
        proxy = RunningProxy(config, server, name)
        try:
            address = {"host": proxy.host, "port": proxy.port, "database": name, "user": "ann"}
            yield Place(server, address)
        finally:
            proxy.stop()
            print(proxy.output())


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.name)
def test_a_driver_sees_live_rows_and_the_servers_own_answers(place: Place, driver: Driver) -> None:
    require(driver)
    database = Database(place.server, place.address["database"])
    database.execute(ROWS)
    steps = tuple(step for step in {**STEPS, **driver.unlike} if step != "restart")
    with place.run(driver, steps) as program:
        seen = program.read()
        errors = program.end()
    assert {step: seen.get(step) for step in driver.expected(steps)} == driver.expected(steps), errors
    # Whatever the program has inserted it has deleted again, and all of it is still there.
    ((rows, inserted, stamped),) = database.execute(
        f"SELECT count(*), count(*) FILTER (WHERE id > {EXISTING}), count(deleted_at) FROM app.users"
    )
    assert (rows - inserted, stamped - inserted) == (EXISTING, 2)
    assert inserted >= 1
    if driver.pinned:
        assert f"| {driver.name} | {seen['version']} |" in DOCUMENT.read_text()


@dataclass(frozen=True, slots=True)
class Guarded:
    """A server with passwords behind two proxies that take encrypted clients alone: one relays passwords, one asks."""

    server: LocalServer
    relaying: RunningProxy
    verifying: RunningProxy
    ca: Path

    def address(self, proxy: RunningProxy) -> dict[str, Any]:
        """Return what a program must know to get in."""
        return {
            "host": proxy.host, "port": proxy.port, "database": "postgres", "user": "ann",
            "password": PASSWORD, "ca": str(self.ca),
        }  # fmt: skip


@pytest.fixture(scope="module", params=VERSIONS, ids="pg{}".format)
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    authority = Authority(folder)
    cert, key = authority.issue("proxy", hosts=("127.0.0.1", "localhost"))
    server = local_server(request.param, hba=HBA)
    try:
        for role in ROLES:
            execute(server.dsn(), f"CREATE ROLE {role} LOGIN")
        quoted = PASSWORD.replace("'", "''")
        execute(
            server.dsn(), f"SET password_encryption = 'scram-sha-256'; ALTER ROLE ann PASSWORD '{quoted}'"
        )
        execute(server.dsn(), SCHEMA + OWNED + ROWS)
        tls = {"client_tls": {"mode": "require", "cert": cert, "key": key}}
        with ExitStack() as started:

            def proxy(auth: dict[str, str]) -> RunningProxy:
                config = folder / f"{auth['method']}.toml"
                config.write_text(config_text(server, "postgres", CONFIG, {**tls, "auth": auth}))
                made = RunningProxy(config, server, "postgres")
                started.callback(lambda: print(made.stop(), made.output()))
                return made

            verifying = proxy({"method": "scram", "query": SECRETS})
            yield Guarded(server, proxy({"method": "relay"}), verifying, authority.ca)
    finally:
        server.destroy()


def test_drivers_get_in_by_tls_and_password_and_outlive_a_restart_of_the_server(guarded: Guarded) -> None:
    present = [driver for driver in DRIVERS if driver.missing() is None]
    address = guarded.address(guarded.relaying)
    seen, errors = {}, []
    with ExitStack() as running:
        programs = [running.enter_context(Program(driver, address, READING)) for driver in present]
        for program in programs:
            program.read(until="ready")
        guarded.server.stop()
        guarded.server.start()
        for program in programs:
            program.go_on()
        for program in programs:
            expected = program.driver.expected(READING)
            answers = program.read()
            seen[program.driver.name] = {step: answers.get(step) for step in expected}
            errors.append(program.end())
    assert seen == {driver.name: driver.expected(READING) for driver in present}, "\n".join(errors)


def test_drivers_get_in_by_tls_and_a_password_that_the_proxy_verifies(guarded: Guarded) -> None:
    present = [driver for driver in DRIVERS if driver.missing() is None]
    with ExitStack() as running:
        address = guarded.address(guarded.verifying)
        programs = [running.enter_context(Program(driver, address, ("connect",))) for driver in present]
        seen = {program.driver.name: program.read().get("connect") for program in programs}
        errors = [program.end() for program in programs]
    assert seen == {driver.name: NAMES for driver in present}, "\n".join(errors)
