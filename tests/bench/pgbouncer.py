"""A PgBouncer in session mode before a server, to compare with: it passes bytes on and reads no SQL."""

from tests.bench.daemons import Daemon, program
from tests.processes import free_port, owned_directory
from tests.servers import LocalServer

CONFIG = """\
[databases]
* = host={host} port={upstream}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {directory}/users
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = {clients}
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
"""


def start_pgbouncer(server: LocalServer, clients: int) -> Daemon | None:
    """Start it, for so many clients; None if this machine does not have it."""
    path = program("pgbouncer")
    if path is None:
        return None
    directory = owned_directory("pgsoftproxy-pgbouncer-")
    port = free_port()
    (directory / "users").write_text('"postgres" ""\n')
    config = directory / "pgbouncer.ini"
    values = {"host": server.host, "upstream": server.port, "port": port, "mode": "session", "size": clients}
    config.write_text(CONFIG.format(**values, directory=directory, clients=clients))
    return Daemon([path, str(config)], directory, port)
