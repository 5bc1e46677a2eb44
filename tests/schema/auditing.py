"""Run `audit` on a test's database and look at what it found."""

import json
from typing import Any

from tests.schema.migrating import Migration

Pair = tuple[str, str]


def command(migration: Migration, *arguments: str) -> tuple[int, str]:
    """Run the command in this process; return its exit code and all that it printed."""
    ended = migration.invoke("audit", *arguments)
    return ended.exit_code, ended.output


def findings(migration: Migration, *arguments: str) -> list[dict[str, Any]]:
    """Return the findings."""
    code, out = command(migration, "--json", "--fail-on", "never", *arguments)
    assert code == 0, out
    (database,) = json.loads(out)["databases"]
    found: list[dict[str, Any]] = database["findings"]
    return found


def pairs(migration: Migration) -> set[Pair]:
    """Return check and object of each finding; none is told twice."""
    found = [(one["check"], one["object"]) for one in findings(migration)]
    assert len(found) == len(set(found))
    return set(found)
