"""The fixture `start_proxy`: the real program in a process of its own, before a real server."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Condition, Thread
from typing import IO, Any

import pytest

from tests.fix_servers import Database
from tests.nursery import bear
from tests.servers import Server

ROOT = Path(__file__).parent.parent
WAIT_SECONDS = 30.0
PYTHON = sys.executable
"""A test that puts another program in its place is to have that one."""

Event = dict[str, Any]


def start_anew(arguments: Sequence[str], folder: Path, environ: Mapping[str, str]) -> "subprocess.Popen[str]":
    """Run `pgsoftproxy` with these arguments; what it prints comes from its `stdout`."""
    return subprocess.Popen(
        [sys.executable, "-m", "pgsoftproxy", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=folder,
        env=environ,
        start_new_session=True,
    )


class RunningProxy:
    """A proxy process, its ports, and what it logs; `anew` starts Python for it, as an operator's system does."""

    def __init__(self, config: Path, server: Server, dbname: str, *, anew: bool = False) -> None:
        self.config = config
        self.host = "127.0.0.1"
        self._user = server.user
        self._dbname = dbname
        self._lines: list[str] = []
        self._events: list[Event] = []
        self._changed = Condition()
        self._ended = False
        arguments, environ = ("run", "--config", str(config)), {**os.environ, "PYTHONPATH": str(ROOT)}
        start = start_anew if anew or sys.executable != PYTHON else bear
        self.process = start(arguments, config.parent, environ)
        assert self.process.stdout is not None
        self._reader = Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()
        try:
            listening = self.wait_for("listening")
        except BaseException:
            self.stop()
            raise
        self.port = int(listening["port"])
        self.metrics_port = int(listening["metrics_port"])

    def dsn(self, dbname: str | None = None, user: str | None = None) -> str:
        """Return a connection string through the proxy."""
        return f"postgresql://{user or self._user}@{self.host}:{self.port}/{dbname or self._dbname}"

    def logs(self) -> list[Event]:
        """Return the events logged so far."""
        with self._changed:
            return list(self._events)

    def output(self) -> str:
        """Return everything the process has printed, also what is not an event."""
        with self._changed:
            return "\n".join(self._lines)

    def wait_for(self, event: str, *, after: int = 0, timeout: float = WAIT_SECONDS) -> Event:
        """Return the first event of that name among those from number `after` on, once it is logged."""

        def found() -> Event | None:
            return next((entry for entry in self._events[after:] if entry.get("event") == event), None)

        with self._changed:
            self._changed.wait_for(lambda: found() or self._ended, timeout)
            entry = found()
            if entry is None:
                output = "\n".join(self._lines)
                raise AssertionError(f"the proxy never logged {event!r}:\n{output}")
            return entry

    def metrics(self) -> str:
        """Return the text of its /metrics."""
        return self.get("/metrics")

    def get(self, path: str) -> str:
        """Return the body at a path of its metrics port; urllib's HTTPError if the status is an error."""
        with urllib.request.urlopen(f"http://{self.host}:{self.metrics_port}{path}", timeout=10) as answer:
            body: bytes = answer.read()
            return body.decode()

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that carry these labels; 0.0 if there is none."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        total = 0.0
        for line in self.metrics().splitlines():
            sample, _, value = line.rpartition(" ")
            if sample.partition("{")[0] == name and all(label in sample for label in wanted):
                total += float(value)
        return total

    def reload(self, config: str | None = None) -> Event:
        """Send SIGHUP, with a new text of the configuration if given; return the event that answers it."""
        if config is not None:
            self.config.write_text(config)
        count = len(self.logs())
        self.process.send_signal(signal.SIGHUP)
        with self._changed:
            answers = ("reloaded", "reload_refused")
            self._changed.wait_for(
                lambda: self._ended or any(entry.get("event") in answers for entry in self._events[count:]),
                WAIT_SECONDS,
            )
            found = [entry for entry in self._events[count:] if entry.get("event") in answers]
        assert found, f"the proxy did not answer SIGHUP:\n{self.output()}"
        return found[0]

    def stop(self) -> int:
        """Send SIGTERM, wait, return the exit code; SIGKILL if it does not end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            self._reader.join(WAIT_SECONDS)

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                try:
                    entry = json.loads(line)
                except ValueError:
                    entry = None
                with self._changed:
                    self._lines.append(line.rstrip("\n"))
                    if isinstance(entry, dict):
                        self._events.append(entry)
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def toml(sections: Mapping[str, Any], path: str = "") -> str:
    """Write nested mappings as TOML; strings, numbers, booleans and lists of them are values."""
    plain = {key: value for key, value in sections.items() if not isinstance(value, Mapping)}
    # A JSON string, number, boolean or list of them is a TOML value too.
    lines = [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in plain.items()]
    text = (f"[{path}]\n" if path and lines else "") + "".join(f"{line}\n" for line in lines)
    for key, value in sections.items():
        if isinstance(value, Mapping):
            text += toml(value, f"{path}.{json.dumps(key)}" if path else json.dumps(key))
    return text


def config_text(
    server: Server, dbname: str, extra: str = "", sections: Mapping[str, Any] | None = None
) -> str:
    """Write a configuration for a proxy before this server; `sections` are merged over the defaults."""
    merged: dict[str, dict[str, Any]] = {
        "listen": {"host": "127.0.0.1", "port": 0},
        "upstream": {"host": server.host, "port": server.port},
        "control": {"dsn": server.dsn(dbname)},
        "metrics": {"host": "127.0.0.1", "port": 0},
        "logs": {"format": "json"},
        # Few tests create the triggers that foreign keys need.
        "defaults": {"relations": "parent_only"},
    }
    for name, section in (sections or {}).items():
        merged[name] = {**merged.get(name, {}), **section}
    return f"{toml(merged)}\n{extra}\n"


class Proxies:
    """Proxies before one server, one for each configuration that is asked for, and a folder for their files."""

    def __init__(self, server: Server, folder: Path, dbname: str = "postgres") -> None:
        self.server = server
        self.folder = folder
        self._dbname = dbname
        self._made: dict[str, RunningProxy] = {}

    def get(self, extra: str = "", **sections: Any) -> RunningProxy:
        """Return the proxy of that configuration, started when first asked for."""
        text = config_text(self.server, self._dbname, extra, sections)
        if text not in self._made:
            config = self.folder / f"proxy{len(self._made)}.toml"
            config.write_text(text)
            self._made[text] = RunningProxy(config, self.server, self._dbname)
        return self._made[text]

    def stop(self) -> list[str]:
        """Stop them all, at once; print, and return, what each has printed."""
        for proxy in self._made.values():
            proxy.process.send_signal(signal.SIGTERM)
        outputs = []
        for proxy in self._made.values():
            proxy.stop()
            outputs.append(proxy.output())
        print(*outputs, sep="\n")
        return outputs


@pytest.fixture
def start_proxy(tmp_path: Path) -> Iterator[Callable[..., RunningProxy]]:
    """Give a factory of proxies: `start_proxy(database, '[tables."app.users"]', limits={"connections": 2})`.

    The extra text comes after the sections. Whatever the proxies printed is shown where the test failed.
    """
    made: list[RunningProxy] = []

    def start(target: Database | Server, config_toml_extra: str = "", **sections: Any) -> RunningProxy:
        server = target.server if isinstance(target, Database) else target
        dbname = target.name if isinstance(target, Database) else "postgres"
        config = tmp_path / f"proxy{len(made)}.toml"
        config.write_text(config_text(server, dbname, config_toml_extra, sections))
        made.append(RunningProxy(config, server, dbname))
        return made[-1]

    yield start
    for proxy in made:
        proxy.stop()
        print(proxy.output())
