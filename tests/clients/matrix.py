"""The drivers of the matrix: how each is run, what stands in its way, and what every one of them must see.

Knows the programs beside it only by the lines of JSON that they print: one a step, on a database that
`test_matrix.py` makes. A program asserts nothing: what the steps give is said here, once for all languages.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
NODE = HERE / "node"
PGX = HERE / "go" / "pgx"
SECONDS = 100

NAMES = ["Ada", "Bob", "Cyd"]
BACK = {"replaced": True, "names": NAMES}
STEPS: dict[str, Any] = {
    "connect": NAMES,
    # A row is inserted, updated and deleted; a second time, and under a deleted row, nothing is there.
    "crud": {
        "inserted": "Zoe", "updated": 1, "untouched": 0, "returned": ["Zoë"], "again": 0, "hidden": 0, "names": NAMES,
    },
    # A DELETE, a savepoint, a refused statement, another in the failed transaction, the way back to each.
    "transaction": {
        "inside": ["Bob", "Cyd"], "refused": "0A000", "failed": "25P02", "kept": ["Bob", "Cyd"], "after": NAMES,
    },
    # INSERT, DELETE, the same DELETE again and SELECT, sent at once.
    "batch": {"counts": [1, 1, 0], "names": NAMES},
    "cursor": NAMES,
    "copy_out": "1\tAda\n2\tBob\n3\tCyd\n",
    "copy_in": {"copied": 2, "deleted": 2},
    "cancel": {"code": "57014", "names": NAMES},
    # A cached DELETE and SELECT before a column is added, after, and after it was dropped: rows of each; then
    # what a cached `SELECT *` meets once the column is there: the server's own error.
    "prepared": {"seen": [1, 3, 1, 3, 1, 3], "changed": "0A000"},
    "reconnect": BACK,
    "restart": BACK,
}  # fmt: skip
UNCHANGED = {**STEPS["prepared"], "changed": None}
RELATIONS = [["Ada", [1]], ["Bob", [3]], ["Cyd", []]]
BELOW_ORM = ("batch", "cursor", "copy_out", "copy_in", "cancel")
"""What is the business of the driver below an ORM."""
DJANGO_CRUD = {
    "inserted": "Zoe", "updated": 1, "untouched": 0, "deleted": 1, "again": 0, "hidden": 0, "names": NAMES,
}  # fmt: skip
# What the admin asks before it deletes a user and a deleted one, what it says then, lists, finds and opens.
ADMIN = {
    "asked": ["Zoe"], "said": ["1"], "listed": NAMES, "searched": ["Ada", "Cyd"], "orders": 0, "opened": [200, 302],
}  # fmt: skip
READING = ("connect", "cursor", "copy_out", "cancel", "restart")
"""Steps that leave the rows alone, so that drivers may run them side by side; the restart must be the last."""


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver's program. `unlike` are the steps that go another way there; None: it has no such thing."""

    name: str
    command: tuple[str, ...]
    missing: Callable[[], str | None]
    unlike: Mapping[str, Any]
    pinned: bool = True
    """Whether the project says which version is installed; else the machine does."""

    def expected(self, steps: tuple[str, ...]) -> dict[str, Any]:
        """Return what these steps must give."""
        everything = {**STEPS, **self.unlike}
        return {step: everything[step] for step in steps if everything[step] is not None}


def node_program() -> str | None:
    """Return the Node of this Python's environment, else that on PATH."""
    own = Path(sys.executable).parent / "node"
    return str(own) if own.exists() else shutil.which("node")


def _lacks_npm() -> str | None:
    wanted = json.loads((NODE / "package.json").read_text())["dependencies"]
    absent = [name for name in wanted if not (NODE / "node_modules" / name / "package.json").exists()]
    if node_program() is None:
        return "there is no node"
    return f"not installed: {', '.join(absent)} (make clients)" if absent else None


def _lacks_module(name: str) -> Callable[[], str | None]:
    return lambda: None if importlib.util.find_spec(name) else f"there is no Python module {name}"


def _node(name: str, **unlike: Any) -> Driver:
    return Driver(name, (node_program() or "node", str(NODE / f"{name}.js")), _lacks_npm, unlike)


def _python(name: str, **unlike: Any) -> Driver:
    program = f"tests.clients.drivers.use_{name.lower()}"
    return Driver(name, (sys.executable, "-m", program), _lacks_module(name.lower()), unlike)


def _lacks_ruby() -> str | None:
    found = (
        shutil.which("ruby")
        and subprocess.run(["ruby", "-e", "require 'pg'"], capture_output=True).returncode == 0
    )
    return None if found else "there is no ruby with pg (Debian: apt install ruby-pg)"


def _lacks_pgx() -> str | None:
    return (
        None
        if PGX.exists()
        else "not built: Debian's golang-go and golang-github-jackc-pgx-v4-dev, make clients"
    )


DRIVERS = (
    _python("psycopg"),
    _python("asyncpg"),
    _python("psycopg2"),
    _python("SQLAlchemy", relations=RELATIONS, copy_out=None, copy_in=None, cancel=None, prepared=None),
    _python(
        "Django",
        relations=RELATIONS,
        crud=DJANGO_CRUD,
        admin=ADMIN,
        copy_out=None,
        copy_in=None,
        prepared=None,
    ),
    _node("pg"),
    # It prepares the statement anew by itself where the server says that its columns have changed.
    _node("postgres", prepared=UNCHANGED),
    # It names the columns that it knows.
    _node("drizzle-orm", relations=RELATIONS, prepared=UNCHANGED, **dict.fromkeys(BELOW_ORM)),
    _node("typeorm", relations=RELATIONS, prepared=None, **dict.fromkeys(BELOW_ORM)),
    Driver("ruby-pg", ("ruby", str(HERE / "ruby" / "pg.rb")), _lacks_ruby, {}, pinned=False),
    Driver("pgx", (str(PGX),), _lacks_pgx, {}, pinned=False),
)


def require(driver: Driver) -> None:
    """Skip the test where a driver is absent; fail it where PGSOFTPROXY_TEST_REQUIRE names the clients."""
    reason = driver.missing()
    if reason is not None:
        if "clients" in os.environ.get("PGSOFTPROXY_TEST_REQUIRE", "").split(","):
            pytest.fail(f"{driver.name}: {reason}")
        # Outside CI alone: there PGSOFTPROXY_TEST_REQUIRE makes an absent driver an error.
        pytest.skip(f"{driver.name}: {reason}")


class Program:
    """A driver's program at work on a place."""

    def __init__(self, driver: Driver, place: Mapping[str, Any], steps: tuple[str, ...]) -> None:
        self.driver = driver
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            [*driver.command, json.dumps({**place, "steps": steps})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            env={**os.environ, "PGSSLMODE": "disable", "LC_ALL": "C.UTF-8"},
        )
        self.seen: dict[str, Any] = {}

    def read(self, until: str | None = None) -> dict[str, Any]:
        """Return what the steps gave, up to the line of that name, else to the end."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found = json.loads(line)
            if found["step"] == until:
                break
            self.seen[found["step"]] = found.get("result", found.get("error"))
        return self.seen

    def go_on(self) -> None:
        """Tell the program that what it waits for has happened."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def __enter__(self) -> "Program":
        """Return it."""
        return self

    def __exit__(self, *error: object) -> None:
        """Leave no process behind where the test has failed in its midst."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def end(self) -> str:
        """Return what it wrote to standard error; kill it if it does not end."""
        try:
            self._process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        with self._errors as errors:
            errors.seek(0)
            return errors.read().decode(errors="replace")
