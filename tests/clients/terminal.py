"""psql at a terminal of its own, so that Ctrl-C does what it does for a person."""

import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.clients.shop import Shop, Target

DEADLINE = 20.0
ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PGTZ": "UTC", "TERM": "dumb", "PAGER": "cat"}
PROMPT = b"ready> "


class Terminal:
    """An interactive psql."""

    def __init__(self, psql: Path, target: Target, environment: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        self._seen = b""
        self.process = subprocess.Popen(
            [psql, "-X", "-n", "-d", target.conninfo, "-P", "pager=off", "-v", f"PROMPT1={PROMPT.decode()}"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**ENVIRONMENT, **environment},
            start_new_session=True,
        )
        os.close(slave)
        self.wait_for_prompt()

    def send(self, line: str) -> None:
        """Type a line."""
        os.write(self._master, line.encode() + b"\n")

    def ask(self, line: str) -> str:
        """Type a line; return what is printed before the next prompt, the echo included."""
        self.send(line)
        return self.wait_for_prompt()

    def wait_for_prompt(self) -> str:
        """Return what is printed before the next prompt."""
        return self.wait_for(PROMPT)

    def wait_for(self, mark: bytes) -> str:
        """Return what is printed before a mark."""
        deadline = time.monotonic() + DEADLINE
        while mark not in self._seen:
            readable, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
            assert readable, f"waited for {mark!r}, saw {self._seen[-300:]!r}"
            assert time.monotonic() < deadline, f"waited for {mark!r}, saw {self._seen[-300:]!r}"
            self._seen += os.read(self._master, 65536)
        before, _, self._seen = self._seen.partition(mark)
        return before.decode().replace("\r\n", "\n")

    def close(self) -> None:
        """End the program without asking it."""
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@contextmanager
def terminal(psql: Path, target: Target, environment: Mapping[str, str] | None = None) -> Iterator[Terminal]:
    """Give an interactive psql, with more environment variables if wanted."""
    session = Terminal(psql, target, environment or {})
    try:
        yield session
    finally:
        session.close()


def wait_until_sleeping(shop: Shop, text: str) -> None:
    """Wait until the server is inside pg_sleep() of a statement that holds `text`."""
    deadline = time.monotonic() + DEADLINE
    condition = f"wait_event = 'PgSleep' AND query LIKE '%{text}%' AND pid <> pg_backend_pid()"
    while shop.rows(f"SELECT count(*) FROM pg_stat_activity WHERE {condition}") == [(0,)]:
        assert time.monotonic() < deadline, "the statement never ran"
