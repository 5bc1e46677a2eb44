"""Run a case on both sides and say how they differ.

Owns the connections of a run. Most cases run in a transaction that is rolled back; a case that commits makes
the databases be built again before the next one.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.oracle.cases import Case, Message
from tests.oracle.client import Address, Answer, Client, ServerGone
from tests.oracle.compare import (
    Naming,
    Origins,
    StateRow,
    Terms,
    answer_differences,
    is_ordered,
    leaks,
    newly_deleted,
    revival_differences,
    state_differences,
    state_losses,
    status_differences,
)
from tests.oracle.databases import FULL, MIRROR, OWNER, TWIN, Databases

DELETION_COLUMNS = frozenset(
    {"deleted_at", "is_deleted", "is_gone", "gone", "Deleted At", "deleted_by", "deletion_id"}
)
CASES_BETWEEN_VACUUMS = 200
STATE = "SELECT relation, live, line FROM oracle.state()"

Connect = Callable[[str, str], Client]
"""Connect to a database as a user, through whatever is under test."""


@dataclass(slots=True)
class Report:
    """How a case went; without differences it passed."""

    differences: list[str] = field(default_factory=list)
    refused: bool = False


class Harness:
    """Compare what `connect` reaches with the twin of the same server."""

    def __init__(self, databases: Databases, connect: Connect) -> None:
        self.databases = databases
        self._connect = connect
        self._clients: dict[tuple[str, str, str], Client] = {}
        self._dirty = False
        self._start: dict[str, list[StateRow]] = {}
        self._runs = 0

    def run(self, case: Case, protocol: str) -> Report:
        """Run one case by one protocol."""
        self._runs += 1
        if self._runs % CASES_BETWEEN_VACUUMS == 0:
            self.databases.vacuum()
        if self._dirty:
            self.close()
            self.databases.reset()
            self._dirty = False
        self.started_with(FULL)
        try:
            return _Run(self, case, protocol).report()
        except ServerGone as gone:
            self.close()
            self._dirty = True
            return Report([f"the connection was closed: {gone}", *leaks(bytes(gone.answer.raw))])

    def client(self, side: str, database: str, role: str) -> Client:
        """Return the open connection of a side, `proxied` or `direct`."""
        key = (side, database, role)
        if key not in self._clients:
            connect = self._connect if side == "proxied" else self._direct
            self._clients[key] = connect(database, role)
        return self._clients[key]

    def started_with(self, database: str) -> list[StateRow]:
        """Return the rows that a database holds before each case."""
        if not self._start:
            self._start = {name: self._committed_state(name) for name in (FULL, TWIN, MIRROR)}
        return self._start[database]

    def committed(self, database: str) -> list[StateRow]:
        """Return the rows that a database holds now, and note whether a case left any changes."""
        state = self._committed_state(database)
        self._dirty = self._dirty or state != self._start[database]
        return state

    def forget(self) -> None:
        """Have the databases built anew before the next case."""
        self._dirty = True

    def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def _direct(self, database: str, role: str) -> Client:
        return Client(Address(self.databases.host, self.databases.port, role, database))

    def _committed_state(self, database: str) -> list[StateRow]:
        client = self._direct(database, OWNER)
        try:
            return read_state(client)
        finally:
            client.close()


class _Run:
    def __init__(self, harness: Harness, case: Case, protocol: str) -> None:
        self.harness = harness
        self.case = case
        self.protocol = protocol
        role = case.directives.get("role", OWNER)
        self.role = role
        self.reference = MIRROR if case.directives.get("against") == "full" else TWIN
        self.proxied = harness.client("proxied", FULL, role)
        self.direct = harness.client("direct", self.reference, role)
        self.naming = Naming(_namer(self.proxied), _namer(self.direct))
        self.found: list[str] = []
        self.last = Answer()
        self.text = " ".join(message.sql for message in case.messages).lower()

    def report(self) -> Report:
        try:
            self._prepare()
            status = ""
            for message in self.case.messages[:-1] if self.case.refused else self.case.messages:
                status = self._compare(message)
            if self.case.refused:
                status = self._refusal(self.case.messages[-1])
            elif not self.found:
                self._expected_error()
            self._states(status)
        finally:
            self._clean()
        return Report(self.found, refused=bool(self.case.refused))

    def _prepare(self) -> None:
        texts = [] if self.case.directives.get("transaction") == "none" else ["BEGIN"]
        path = self.case.directives.get("path")
        if path:
            texts.append(f"SET {'LOCAL ' if texts else ''}search_path = {path}")
        texts += self.case.setup
        for text in texts:
            for client in (self.proxied, self.direct):
                answer = client.query(text)
                if answer.error:
                    self.found.append(f"setup {text!r} fails: {answer.error}")

    def _compare(self, message: Message) -> str:
        direct_message = message if message.direct is None else Message(message.direct, message.copy_in)
        direct = self._send(self.direct, direct_message)
        proxied = self._send(self.proxied, message)
        self._leaks(proxied)
        self.last = direct
        if self.case.directives.get("compare") == "status":
            self.found += status_differences(proxied, direct)
            return proxied.status
        order = self.case.directives.get("order")
        ordered = order == "yes" or (order is None and is_ordered(message.sql))
        self.found += answer_differences(proxied, direct, Terms(self.naming, ordered, self._origins()))
        return proxied.status

    def _origins(self) -> Origins:
        if self.case.directives.get("origins") == "ignored":
            return Origins.IGNORED
        # The deletion column as it was is not the column any more: a documented difference.
        returning = re.search(r"\bdelete\b.*\breturning\b", self.text, re.DOTALL)
        return Origins.EQUAL_OR_NONE if returning else Origins.EQUAL

    def _refusal(self, message: Message) -> str:
        answer = self._send(self.proxied, message)
        self._leaks(answer)
        if answer.error is None:
            tags = [result.tag for result in answer.results]
            self.found.append(f"not refused: {tags} {[r.rows for r in answer.results]}")
        elif answer.error["C"] != self.case.refused:
            self.found.append(f"refused otherwise: {answer.error}")
        elif answer.error["C"] == "0A000" and "H" not in answer.error:
            self.found.append(f"a refusal without a hint: {answer.error}")
        return answer.status

    def _expected_error(self) -> None:
        state = self.last.error["C"] if self.last.error else None
        if state != self.case.fails and self.case.directives.get("expect") != "any":
            self.found.append(
                f"both answer {self.last.error or 'without error'}, declared: {self.case.fails}"
            )

    def _send(self, client: Client, message: Message) -> Answer:
        if self.protocol == "simple":
            return client.query(message.sql, message.copy_in)
        return client.extended(message.sql, self.case.parameters, message.copy_in)

    def _leaks(self, answer: Answer) -> None:
        if self.case.directives.get("against") != "full":
            self.found += leaks(bytes(answer.raw))

    def _states(self, status: str) -> None:
        """Compare the rows of all tables, as the open transaction sees them or as they were committed."""
        before = self.harness.started_with(FULL)
        if status == "E" or self.found:
            return
        if status == "T":
            full = read_state(self.proxied)
            other = full if self.case.refused else read_state(self.direct)
        else:
            full, other = self.harness.committed(FULL), self.harness.committed(self.reference)
        if self.case.refused:
            self.found += state_losses(before, full)
        elif self.case.directives.get("state") == "revived":
            self.found += revival_differences(before, full, other)
        elif self.reference == MIRROR or self.case.directives.get("state") == "live":
            self.found += [f"state: {line}" for line in state_differences([], full, other)]
        else:
            self.found += state_differences(before, full, other)
            self._deleted_rows(newly_deleted(before, full), other)

    def _deleted_rows(self, new: list[tuple[str, dict[str, object]]], twin: list[StateRow]) -> None:
        """Check that what a DELETE removed from the twin is what the proxy stamped, as it was."""
        if any(word in self.text for word in ("update", "insert", "deleted_at", "call ")):
            return
        start = self.harness.started_with(FULL)
        protected = {row[0] for row in start if not row[1]}
        gone = Counter(row for row in start if row[1] and row[0] in protected) - Counter(twin)
        expected = Counter(_as_it_was(row[0], json.loads(row[2])) for row in gone.elements())
        stamped = Counter(_as_it_was(name, row) for name, row in new)
        if expected != stamped:
            self.found.append(f"stamped {list(stamped - expected)}, removed {list(expected - stamped)}")
        users = [row for name, row in new if name == "app.users"]
        if any(row["deleted_by"] != self.role or not row["deletion_id"] for row in users):
            self.found.append(f"not stamped with who and which deletion: {users}")
        if self.text.count("delete") == 1 and len({row["deletion_id"] for row in users}) > 1:
            self.found.append(f"one DELETE, several deletion_ids: {users}")

    def _clean(self) -> None:
        for client in (self.proxied, self.direct):
            if self.case.directives.get("transaction") != "none":
                client.query("ROLLBACK")
            answer = client.query("DISCARD ALL")
            if answer.error:
                self.found.append(f"cannot clean up: {answer.error}")


def read_state(client: Client) -> list[StateRow]:
    """Return all rows of all tables as the client's transaction sees them."""
    answer = client.query(STATE)
    if answer.error:
        raise RuntimeError(f"cannot read the state: {answer.error}")
    rows = answer.results[0].rows
    return [(str(r[0], "utf8"), r[1] == b"t", str(r[2], "utf8")) for r in rows if r[0] and r[1] and r[2]]


def _as_it_was(relation: str, row: dict[str, object]) -> str:
    kept = {key: value for key, value in row.items() if key not in DELETION_COLUMNS}
    return f"{relation} {json.dumps(kept, sort_keys=True)}"


def _namer(client: Client) -> Callable[[str, int], str]:
    def name(kind: str, oid: int) -> str:
        answer = client.query(f"SELECT {oid}::{kind}::text")
        return str(oid) if answer.error else str(answer.results[0].rows[0][0])

    return name
