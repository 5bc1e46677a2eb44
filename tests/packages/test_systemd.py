"""The systemd unit: it says what the proxy does, and takes from it nothing that it needs."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from pgsoftproxy.cli.exits import WRONG
from pgsoftproxy.proxy.sockets import BACKLOG
from pgsoftproxy.settings.tree import Limits, Listen
from tests.fix_proxy import RunningProxy
from tests.fix_servers import Database
from tests.packages.dockerfile import FILE, ROOT, Keyword, stages
from tests.waiting import wait_until

UNIT = ROOT / "config" / "systemd" / "pgsoftproxy.service"
MOST_EXPOSED = "20"
"""Of 100, as `systemd-analyze security` counts."""
TABLES = """
CREATE SCHEMA app;
CREATE TABLE app.users (id int PRIMARY KEY, deleted_at timestamptz);
INSERT INTO app.users SELECT n FROM generate_series(1, 5000) AS n;
"""
CALL = re.compile(r"^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed)", re.MULTILINE)
WRITABLE_CODE = re.compile(r"mmap\(.*PROT_WRITE\|PROT_EXEC|(?:mprotect|pkey_mprotect)\(.*PROT_EXEC")


def said() -> dict[str, list[str]]:
    """Return what the unit says, by key."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_unit_runs_what_the_image_runs_and_gives_it_time_and_files() -> None:
    unit, limits = said(), Limits()
    program, *arguments = unit["ExecStart"][0].split()
    image = stages(FILE.read_text())[-1]
    assert [Path(program).name] == image.last(Keyword.ENTRYPOINT).command()
    assert arguments == image.last(Keyword.CMD).command()
    assert int(unit["TimeoutStopSec"][0]) >= limits.drain_timeout + 5
    assert int(unit["LimitNOFILE"][0]) > 2 * limits.connections + 100


def test_wrong_configuration_is_not_tried_again() -> None:
    assert said()["RestartPreventExitStatus"] == [str(WRONG)]
    assert said()["Restart"] == ["on-failure"]


def test_secret_comes_as_a_credential() -> None:
    (file,) = re.findall(
        r"^#Environment=PGSOFTPROXY_CONTROL__DSN_FILE=%d/(\w+)$", UNIT.read_text(), re.MULTILINE
    )
    assert f"\n#LoadCredential={file}:" in UNIT.read_text()


def syscalls(name: str) -> set[str]:
    """Return the system calls of one of systemd's sets, those in it included."""
    command = ["systemd-analyze", "syscall-filter", "--no-pager", name]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    words = [word for line in text.splitlines() if (word := line.strip()) and word[0] != "#"]
    below = [syscalls(word) for word in words if word[0] == "@" and word != name]
    return set().union({word for word in words if word[0] != "@"}, *below)


@pytest.mark.slow
def test_systemd_takes_the_unit_and_finds_it_hardly_exposed(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    program = said()["ExecStart"][0].split()[0]
    copy.write_text(UNIT.read_text().replace(program, sys.executable))
    security = ["security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager"]
    for arguments in (["verify", "--man=no"], security):
        done = subprocess.run(["systemd-analyze", *arguments, str(copy)], capture_output=True, text=True)
        complaints = [line for line in done.stderr.splitlines() if UNIT.name in line]
        assert (done.returncode, complaints) == (0, []), done.stdout + done.stderr


@pytest.mark.slow
def test_proxy_makes_no_system_call_that_the_unit_takes_away(
    database: Database,
    start_proxy: Callable[..., RunningProxy],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database.execute(TABLES)
    trace, traced = tmp_path / "trace", tmp_path / "traced"
    # With -D the tracer is a child of what it traces, and the signals of the test reach the proxy.
    traced.write_text(f'#!/bin/sh\nexec strace -D -f -o {trace} {sys.executable} "$@"\n')
    traced.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(traced))
    proxy = start_proxy(database, '[tables."app.*"]\n', audit={"interval": 1})
    with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
        for number in range(50):
            connection.execute("DELETE FROM app.users WHERE id = %s", [number])
        with connection.cursor().copy("COPY app.users TO STDOUT") as rows:
            assert sum(1 for _ in rows.rows()) == 5000 - 49
        assert proxy.reload()["event"] == "reloaded"
        wait_until(lambda: "pgsoftproxy_audit_findings" in proxy.metrics())
    assert proxy.stop() == 0
    wait_until(lambda: trace.read_text().endswith("+++ exited with 0 +++\n"))
    calls = trace.read_text()
    # As SystemCallFilter of the unit says.
    assert set(CALL.findall(calls)) - (syscalls("@system-service") - syscalls("@privileged")) == set()
    assert said()["SystemCallFilter"] == ["@system-service", "~@privileged"]
    # As MemoryDenyWriteExecute and RestrictAddressFamilies say.
    assert WRITABLE_CODE.findall(calls) == []
    families = set(re.findall(r" socket(?:pair)?\((AF_\w+)", calls))
    assert "AF_INET" in families
    assert families <= {*said()["RestrictAddressFamilies"][0].split()}


def test_unit_waits_for_what_the_proxy_tells_and_stops_the_main_process_alone() -> None:
    unit = said()
    assert unit["Type"] == ["notify"]
    assert unit["KillMode"] == ["mixed"]
    assert int(unit["WatchdogSec"][0]) > 0


def test_socket_unit_holds_the_port_that_the_proxy_has_by_default() -> None:
    listen = Listen()
    lines = UNIT.with_suffix(".socket").read_text().splitlines()
    assert f"ListenStream={listen.host}:{listen.port}" in lines
    assert f"Backlog={BACKLOG}" in lines
