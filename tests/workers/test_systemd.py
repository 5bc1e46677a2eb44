"""What systemd asks of a service: states told to its socket, listening sockets taken from it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.fix_proxy import ROOT, RunningProxy, config_text
from tests.fix_servers import Database
from tests.waiting import wait_until

WORKERS = pytest.mark.parametrize("workers", [1, 2])
SESSIONS = 8
PASS = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Give the socket that states are sent to."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        path = tmp_path / "notify"
        sock.bind(str(path))
        sock.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield sock


def states(told: socket.socket, last: str) -> list[str]:
    """Return what is told up to a state, heartbeats and times left out."""
    found: list[str] = []
    while last not in found:
        found += [line for line in told.recv(4096).decode().splitlines() if "USEC" not in line]
    return [state for state in found if state != "WATCHDOG=1"]


@WORKERS
def test_start_reload_and_end_are_told(
    database: Database, start_proxy: Callable[..., RunningProxy], told: socket.socket, workers: int
) -> None:
    proxy = start_proxy(database, listen={"workers": workers})
    assert states(told, "READY=1") == ["READY=1"]
    text = proxy.config.read_text()
    for config, answer in ((text, "reloaded"), ("[listen\n", "reload_refused")):
        assert proxy.reload(config)["event"] == answer
        assert states(told, "READY=1") == ["RELOADING=1", "READY=1"]
    assert proxy.stop() == 0
    assert states(told, "STOPPING=1") == ["STOPPING=1"]
    told.setblocking(False)
    with pytest.raises(BlockingIOError):
        told.recv(4096)  # the workers say nothing


@WORKERS
def test_watchdog_is_told_in_time_that_the_loop_goes_round_and_no_more_once_it_stands_still(
    database: Database,
    start_proxy: Callable[..., RunningProxy],
    told: socket.socket,
    workers: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    proxy = start_proxy(database, listen={"workers": workers})
    beats = 0
    while beats < 3:
        beats += told.recv(4096) == b"WATCHDOG=1"
    proxy.process.send_signal(signal.SIGSTOP)
    told.settimeout(0.5)
    with pytest.raises(TimeoutError):
        for _ in range(1000):
            told.recv(4096)
    proxy.process.send_signal(signal.SIGCONT)
    told.settimeout(30)
    assert told.recv(4096) == b"WATCHDOG=1"


@contextmanager
def activated(config: Path, sock: socket.socket) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a proxy that is given this socket as systemd gives it: file descriptor 3, for this process id."""
    fd = sock.fileno()
    command = [sys.executable, "-c", PASS, str(fd), "-m", "pgsoftproxy", "run", "--config", str(config)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    log = config.with_suffix(".log")
    with (
        log.open("ab") as out,
        subprocess.Popen(command, stderr=out, env=environ, pass_fds=(fd,)) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)
            print(log.read_text())


@WORKERS
def test_clients_who_come_while_the_proxy_is_away_wait_for_the_next_one(
    database: Database, tmp_path: Path, workers: int
) -> None:
    config = tmp_path / "proxy.toml"
    config.write_text(config_text(database.server, database.name, "", {"listen": {"workers": workers}}))
    with socket.create_server(("127.0.0.1", 0)) as held:
        dsn = f"postgresql://postgres@127.0.0.1:{held.getsockname()[1]}/{database.name}"
        for _ in range(2):
            waiting = [socket.create_connection(held.getsockname()) for _ in range(SESSIONS)]
            with activated(config, held) as process, ExitStack() as early:
                for client in waiting:
                    early.enter_context(client)
                    client.settimeout(30)
                    client.sendall(bytes((0, 0, 0, 8, 4, 210, 22, 47)))  # SSLRequest
                    assert client.recv(1) == b"N"
                with psycopg.connect(dsn) as session:
                    assert session.execute("SELECT 1").fetchone() == (1,)
            assert process.returncode == 0


def test_sockets_for_another_process_are_left_alone(
    database: Database, start_proxy: Callable[..., RunningProxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", "1")
    proxy = start_proxy(database)
    with psycopg.connect(proxy.dsn()) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_socket_that_is_none_of_tcp_is_refused(database: Database, tmp_path: Path) -> None:
    config = tmp_path / "proxy.toml"
    config.write_text(config_text(database.server, database.name))
    with socket.socket(socket.AF_UNIX) as wrong, activated(config, wrong) as process:
        wait_until(lambda: process.poll() is not None)
    assert process.returncode == 2
    assert "LISTEN_FDS: file descriptor 3 is no TCP socket" in config.with_suffix(".log").read_text()
