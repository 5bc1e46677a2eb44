"""Sessions side by side: whatever the order of their steps, they answer, wait and fail as on the twin.

There DELETE removes rows. Whether a statement waits is asked of the server, as isolationtester does.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from random import Random

import pytest

from tests.fix_proxy import RunningProxy, config_text
from tests.oracle.client import Address, Client
from tests.oracle.compare import Naming, Origins, Terms, answer_differences, is_ordered, leaks
from tests.oracle.isolation import Event, Order, Side, Step, orders
from tests.oracle.isolation_specs import (
    DELETE_1,
    DELETED_ROWS,
    EMPTY,
    END,
    LEVELS,
    LIVE_ROWS,
    LOCK_1,
    READ,
    SPECS,
    STATE,
    TABLES,
    UPDATE_1,
    Spec,
)
from tests.servers import Server, execute

FULL, TWIN = "isolation_full", "isolation_twin"
OWNER = "isolation_owner"
CONFIG = f"""
[tables."app.*"]

[tables."app.flags"]
column = "gone"

[roles.{OWNER}]
visibility = ["live", "all"]
restore = true
"""
SAMPLED = 2
"""Orders of each spec, level and end that the quick test runs; the slow one runs all."""
SEED = int(os.environ.get("PGSOFTPROXY_ISOLATION_SEED", "20260131"))
DEADLOCK_TIMEOUTS = (1500, 300, 600)
"""Milliseconds for each session: whoever's is shortest is the victim, on both sides."""

TERMS = Naming(lambda _, oid: str(oid), lambda _, oid: str(oid))
CONCURRENTLY = "could not serialize access due to concurrent"


@dataclass(frozen=True, slots=True)
class Run:
    """One way to run a spec."""

    spec: Spec
    level: str
    end: str
    order: Order
    protocol: str

    def steps(self, *, twin: bool) -> list[list[str]]:
        """Return what each session of a side sends."""
        return [[_text(step, self.end, twin=twin) for step in own] for own in self.spec.sessions]

    def __str__(self) -> str:
        turns = " ".join(f"s{turn + 1}" for turn in self.order)
        return f"{self.level}, {self.end}, {self.protocol}, {turns}"


def _text(step: str | Step, end: str, *, twin: bool = False) -> str:
    if isinstance(step, Step):
        return step.twin if twin and step.twin is not None else step.sql
    return end if step == END else step


class Stage:
    """The two databases, the sessions on them, and their comparison."""

    def __init__(self, server: Server, proxy: RunningProxy) -> None:
        self._server = server

        def direct(database: str) -> Client:
            return Client(Address(server.host, server.port, OWNER, database))

        def proxied() -> Client:
            return Client(Address(proxy.host, proxy.port, OWNER, FULL))

        self._admins = {name: direct(name) for name in (FULL, TWIN)}
        self._full = Side(proxied, self._admins[FULL])
        self._twin = Side(lambda: direct(TWIN), self._admins[TWIN])

    def differences(self, run: Run) -> list[str]:
        """Run it on both sides from the same start; return how they differ."""
        self._ask(FULL, EMPTY + LIVE_ROWS + DELETED_ROWS)
        proxied = self._events(self._full, run, twin=False)
        direct = self._directly(run)
        found = self._compared(run, proxied, direct)
        if found and run.spec.stricter and run.level == "SERIALIZABLE":
            found = self._more_than_rolled_back(run, proxied) and found
        (kept,) = self._ask(FULL, "SELECT count(*) FROM app.users WHERE id <= 6")
        if kept != (b"6",):
            found.append(f"{kept} of the 6 rows of app.users are left")
        if found:
            sides = (("proxied", proxied), ("direct", direct))
            found += [f"   {side}: {event}" for side, events in sides for event in events]
        return found

    def _compared(self, run: Run, proxied: list[Event], direct: list[Event]) -> list[str]:
        if run.spec.lingering:
            proxied, direct = _by_session(proxied), _by_session(direct)
        found = _event_differences(run, proxied, direct)
        for table, (query, live) in STATE.items():
            left = self._ask(FULL, query.format(live=live))
            right = self._ask(TWIN, query.format(live="true"))
            if left != right:
                found.append(f"app.{table} holds {left}, not {right}")
        return found

    def _more_than_rolled_back(self, run: Run, proxied: list[Event]) -> list[str]:
        """Return how the run differs from one in which those that could not be serialized roll back there."""
        failed: dict[int, int] = {}
        for event in proxied:
            if event.answer is not None and event.answer.error and event.answer.error["C"] == "40001":
                failed.setdefault(event.session, event.step)
        sessions = tuple(
            tuple(
                step if index < failed.get(number, len(own)) else Step(_text(step, run.end), "ROLLBACK")
                for index, step in enumerate(own)
            )
            for number, own in enumerate(run.spec.sessions)
        )
        direct = self._directly(replace(run, spec=replace(run.spec, sessions=sessions)))
        kept, twins = (
            [event for event in events if event.step < failed.get(event.session, event.step + 1)]
            for events in (proxied, direct)
        )
        return self._compared(run, kept, twins) if failed else ["nothing failed"]

    def _directly(self, run: Run) -> list[Event]:
        self._ask(TWIN, EMPTY + LIVE_ROWS)
        return self._events(self._twin, run, twin=True)

    def close(self) -> None:
        """Close every connection."""
        self._full.close()
        self._twin.close()
        for admin in self._admins.values():
            admin.close()

    def _events(self, side: Side, run: Run, *, twin: bool) -> list[Event]:
        timeouts = DEADLOCK_TIMEOUTS[: len(run.spec.sessions)]
        setups = [
            f"BEGIN ISOLATION LEVEL {run.level}; SET LOCAL deadlock_timeout = {timeout}"
            for timeout in timeouts
        ]
        return side.run(setups, run.steps(twin=twin), run.order, run.protocol)

    def _ask(self, database: str, sql: str) -> list[tuple[bytes | None, ...]]:
        answer = self._admins[database].query(sql)
        assert answer.error is None, answer.error
        return answer.results[-1].rows


def _event_differences(run: Run, proxied: list[Event], direct: list[Event]) -> list[str]:
    found: list[str] = []
    for one, other in zip_longest(proxied, direct):
        if one is not None and one.answer is not None:
            found += leaks(bytes(one.answer.raw))
        if one is None or other is None or _place(one) != _place(other):
            return [*found, f"{one}, but directly {other}"]
        if one.answer is None or other.answer is None:
            continue
        step = run.spec.sessions[one.session][one.step]
        if isinstance(step, Step):
            pairs = zip(one.answer.results, other.answer.results, strict=True)
            same = all((a.error or {}).get("C") == (b.error or {}).get("C") for a, b in pairs)
            found += [] if same and one.answer.status == other.answer.status else [f"{one}, not {other}"]
            continue
        terms = Terms(TERMS, is_ordered(step), Origins.IGNORED)
        lines = answer_differences(one.answer, other.answer, terms)
        # A soft delete is an update to whoever waited for it: the SQLSTATE is the same, the last word is not.
        found += [f"{one}: {line}" for line in lines if not (CONCURRENTLY in line and "field M" in line)]
    return found


def _place(event: Event) -> tuple[int, int, bool]:
    return event.session, event.step, event.answer is None


def _by_session(events: list[Event]) -> list[Event]:
    """Return the answers of each session, whenever they came."""
    answered = [event for event in events if event.answer is not None]
    return sorted(answered, key=lambda event: (event.session, event.step))


def runs(spec: Spec) -> Iterator[Run]:
    """Yield every way to run a spec; the protocols take turns."""
    ends = ("COMMIT", "ROLLBACK") if any(END in own for own in spec.sessions) else ("COMMIT",)
    number = 0
    for level in LEVELS:
        for end in ends:
            for order in orders([len(own) for own in spec.sessions]):
                if spec.lingering and order[0] != 0:
                    continue
                number += 1
                yield Run(spec, level, end, order, ("simple", "extended")[number % 2])


@pytest.fixture(scope="module")
def stage(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Give the two databases with a proxy before the one that has deleted rows."""
    if not execute(server.dsn(), f"SELECT 1 FROM pg_roles WHERE rolname = '{OWNER}'"):
        execute(server.dsn(), f"CREATE ROLE {OWNER} LOGIN SUPERUSER")
    for name, template in ((FULL, "template1"), (TWIN, FULL)):  # a copy, so that oids are equal
        execute(server.dsn(), f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        execute(server.dsn(), f"CREATE DATABASE {name} TEMPLATE {template}")
        execute(server.dsn(name), TABLES if name == FULL else "SELECT 1")
    config: Path = tmp_path_factory.mktemp("isolation") / "proxy.toml"
    config.write_text(config_text(server, FULL, CONFIG))
    proxy = RunningProxy(config, server, FULL)
    made = Stage(server, proxy)
    yield made
    made.close()
    proxy.stop()
    print(proxy.output())


Check = Callable[[str, list[Run]], None]


@pytest.fixture
def check(stage: Stage) -> Check:
    """Give a function that makes runs of one spec and fails with all that differed."""

    def compare(name: str, chosen: list[Run]) -> None:
        failures = []
        for run in chosen:
            found = stage.differences(run)
            if found:
                failures.append("\n".join([f"{name} ({run})", *found]))
        assert not failures, "\n\n".join(failures[:5]) + f"\n{len(failures)} of {len(chosen)} differ"

    return compare


@pytest.mark.parametrize("name", SPECS)
def test_some_orders_of_steps_go_as_on_the_twin(check: Check, name: str) -> None:
    every = list(runs(SPECS[name]))
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in every:
        groups.setdefault((run.level, run.end), []).append(run)
    random = Random(f"{SEED} {name}")  # noqa: S311
    check(name, [run for group in groups.values() for run in random.sample(group, min(SAMPLED, len(group)))])


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_every_order_of_steps_goes_as_on_the_twin(check: Check, name: str) -> None:
    check(name, list(runs(SPECS[name])))


def test_a_delete_and_a_lock_for_key_share_do_not_wait_for_each_other(stage: Stage) -> None:
    lock = "SELECT id FROM app.users WHERE id = 1 FOR KEY SHARE"
    spec = Spec.of((DELETE_1, "COMMIT"), (lock, "COMMIT"))
    shown = {}
    for order in ((0, 1, 0, 1), (1, 0, 1, 0)):
        found = stage.differences(Run(spec, "READ COMMITTED", "COMMIT", order, "simple"))
        shown[order] = found[0]
    assert shown == {
        (0, 1, 0, 1): "s2.1 SELECT 1 [(b'1',)] [T], but directly s2.1 waits",
        (1, 0, 1, 0): "s1.1 DELETE 1 [] [T], but directly s1.1 waits",
    }


@pytest.mark.parametrize(
    ("step", "difference"),
    [
        (Step(DELETE_1, "SELECT 1"), "app.users holds"),
        (Step("SELECT 1", DELETE_1), "app.users holds"),
        (Step(DELETE_1, "SELECT nope"), "not s1.1 42703"),
        (Step(READ, LOCK_1), "but directly s2.1 waits"),
    ],
)
def test_a_difference_between_the_sides_is_found(stage: Stage, step: Step, difference: str) -> None:
    spec = Spec.of((step, "COMMIT"), (UPDATE_1, "COMMIT"))
    found = stage.differences(Run(spec, "READ COMMITTED", "COMMIT", (0, 1, 0, 1), "simple"))
    assert any(difference in line for line in found)
