"""A PgBouncer before a server or a proxy, in any mode; all clients of a test share its one connection."""

from pathlib import Path

from tests.bench.daemons import Daemon, program
from tests.bench.pgbouncer import CONFIG
from tests.processes import free_port, owned_directory

CLIENTS = 50


def start_pooler(upstream: int, mode: str) -> Daemon:
    """Start one that has a single connection for each user and database to a port of this machine."""
    path = program("pgbouncer")
    assert path is not None, "PgBouncer is not on this machine (Debian: apt install pgbouncer)"
    directory: Path = owned_directory("pgsoftproxy-pooler-")
    (directory / "users").write_text('"postgres" ""\n"ann" ""\n')
    port = free_port()
    config = directory / "pgbouncer.ini"
    values = {"host": "127.0.0.1", "upstream": upstream, "port": port, "mode": mode, "size": 1}
    config.write_text(CONFIG.format(**values, directory=directory, clients=CLIENTS))
    return Daemon([path, str(config)], directory, port)
