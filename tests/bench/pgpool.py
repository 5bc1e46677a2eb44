"""A Pgpool-II before a server, to compare with: it parses each statement, as the proxy does.

It runs as its package sets it up, streaming replication mode, but for one backend and no checks of its health.
"""

from tests.bench.daemons import Daemon, program
from tests.processes import free_port, owned_directory
from tests.servers import LocalServer

CONFIG = """\
backend_clustering_mode = 'streaming_replication'
listen_addresses = '127.0.0.1'
port = {port}
socket_dir = '{directory}'
pcp_listen_addresses = '127.0.0.1'
pcp_port = {pcp_port}
pcp_socket_dir = '{directory}'
wd_ipc_socket_dir = '{directory}'
pid_file_name = '{directory}/pgpool.pid'
logdir = '{directory}'
backend_hostname0 = '{host}'
backend_port0 = {upstream}
backend_weight0 = 1
backend_flag0 = 'DISALLOW_TO_FAILOVER'
num_init_children = {clients}
child_life_time = 0
enable_pool_hba = off
pool_passwd = ''
sr_check_period = 0
health_check_period = 0
use_watchdog = off
log_min_messages = error
"""


def start_pgpool(server: LocalServer, clients: int) -> Daemon | None:
    """Start it, with a process for each of so many clients; None if this machine does not have it."""
    path = program("pgpool")
    if path is None:
        return None
    directory = owned_directory("pgsoftproxy-pgpool-")
    port = free_port()
    values = {"host": server.host, "upstream": server.port, "port": port, "pcp_port": free_port()}
    config = directory / "pgpool.conf"
    config.write_text(CONFIG.format(**values, directory=directory, clients=clients))
    (directory / "pcp.conf").write_text("")
    (directory / "hba.conf").write_text("")
    files = ["-f", str(config), "-F", str(directory / "pcp.conf"), "-a", str(directory / "hba.conf")]
    return Daemon([path, "-n", *files], directory, port)
