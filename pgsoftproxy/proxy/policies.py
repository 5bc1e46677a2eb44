"""The policies in force: one for each database behind the upstream, loaded before its first session.

Owns when a catalog is read and which policy is current. Must not know how a catalog is read (`load`), what a
policy says, nor what a session does with it. A database without a readable catalog has no policy and so no
sessions: nothing is ever served unfiltered.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from pgsoftproxy.db import inside
from pgsoftproxy.db.readiness import with_links
from pgsoftproxy.errors import ConfigError, UpstreamUnavailable
from pgsoftproxy.model.catalog import Catalog
from pgsoftproxy.model.context import Grant
from pgsoftproxy.model.links import KeyRule
from pgsoftproxy.model.policy import Policy, Problem, TableRule, compile_policy
from pgsoftproxy.model.routines import RoutineRules
from pgsoftproxy.model.statements import StatementRules

Load = Callable[[str | None], Awaitable[Catalog]]
"""Read the catalog of one database; None means the control connection's own."""

RETRY_SECONDS = 1.0
FORGET_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration says, before any catalog."""

    tables: tuple[TableRule, ...] = ()
    grants: Mapping[str, Grant] = field(default_factory=dict)
    routines: RoutineRules = field(default_factory=RoutineRules)
    statements: StatementRules = field(default_factory=StatementRules)
    keys: tuple[KeyRule, ...] = ()


class Subscriber(Protocol):
    """A session that wants to know of a new policy of its database."""

    def policy_changed(self, policy: Policy) -> None:
        """Take a policy that is in force from now on."""


class Events(Protocol):
    """What the store reports; for logs and metrics."""

    def catalog_refreshed(self, database: str, seconds: float, *, changed: bool) -> None:
        """A catalog was read."""

    def catalog_failed(self, database: str, reason: str) -> None:
        """A catalog could not be read."""

    def policy_compiled(self, database: str, problems: tuple[Problem, ...]) -> None:
        """A new policy is in force; `problems` is what the catalog lacks for the rules."""

    def database_forgotten(self, database: str) -> None:
        """A database has no policy any more."""


@dataclass(slots=True)
class _Entry:
    # `requested` numbers the requests for a reading. A reading answers all that were made before it began:
    # `answered` is the last such number, `read` that of the last one that succeeded. `changed` is the last
    # request made because the catalog is known to have changed; until it is read, no new session may start.
    name: str
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    policy: Policy | None = None
    problems: tuple[Problem, ...] = ()
    requested: int = 0
    answered: int = 0
    read: int = 0
    changed: int = 0
    error: UpstreamUnavailable | None = None
    subscribers: set[Subscriber] = field(default_factory=set)
    used: float = 0.0


class PolicyStore:
    """Keep a policy for each database in use; compile anew when rules or catalog change."""

    def __init__(
        self, load: Load, rules: Rules, events: Events, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._load = load
        self._rules = rules
        self._events = events
        self._clock = clock
        self._versions = itertools.count(1)
        self._entries: dict[str, _Entry] = {}
        self._default: str | None = None

    @property
    def default_database(self) -> str | None:
        """Return the name of the control connection's database; None until its catalog was read."""
        return self._default

    @property
    def databases(self) -> tuple[str, ...]:
        """Return the names of the databases that have a policy now."""
        return tuple(name for name, entry in self._entries.items() if entry.policy is not None)

    async def open_default(self) -> tuple[Problem, ...]:
        """Load the control connection's own database; return what its catalog lacks for the rules.

        Raises UpstreamUnavailable if the catalog cannot be read.
        """
        started = self._clock()
        try:
            catalog = await self._load(None)
        except UpstreamUnavailable as error:
            self._events.catalog_failed("", error.message)
            raise
        self._default = catalog.database
        entry = self._entry(catalog.database)
        if entry.policy is None:
            self._install(entry, catalog, self._clock() - started)
        return entry.problems

    async def get(self, database: str) -> Policy:
        """Return the policy of a database, reading its catalog first if there is none that still holds.

        A catalog that failed to be read again in its turn still holds; one that a client's DDL has outdated
        does not. Raises UpstreamUnavailable.
        """
        found = self.at_hand(database)
        if found is not None:
            return found
        entry = self._entry(database)
        if not entry.lock.locked():
            entry.requested += 1
        return await self._answer(entry, entry.requested)

    def at_hand(self, database: str) -> Policy | None:
        """Return the policy of a database if there is one that still holds."""
        entry = self._entry(database)
        entry.used = self._clock()
        return entry.policy if entry.read >= entry.changed else None

    async def refresh(self, database: str) -> Policy:
        """Read a catalog that is known to have changed, and return the policy that follows from it.

        The catalog is read after this call began, never before; callers that wait together share one
        reading. Raises UpstreamUnavailable; the sessions there keep their policy, new ones must wait.
        """
        entry = self._entry(database)
        entry.requested += 1
        entry.changed = entry.requested
        return await self._answer(entry, entry.requested)

    def changed(self, rows: list[bytes], base: Policy) -> Policy | None:
        """Return what a policy becomes by the rows of a catalog query; None if they do not tell."""
        catalog = inside.changed(rows, base.catalog)
        return None if catalog is None else self.compile(catalog)

    def compile(self, catalog: Catalog) -> Policy:
        """Return what the rules make of a catalog that only one session knows; safe to call from any thread."""
        return self._compile(self._rules, catalog)[0]

    def subscribe(self, database: str, subscriber: Subscriber) -> None:
        """Have a session told of each new policy of its database."""
        self._entry(database).subscribers.add(subscriber)

    def unsubscribe(self, database: str, subscriber: Subscriber) -> None:
        """Forget a session; harmless if it never subscribed."""
        entry = self._entries.get(database or self._default or "")
        if entry is not None:
            entry.subscribers.discard(subscriber)
            entry.used = self._clock()
            self._drop_if_unused(entry)

    async def reload(self, rules: Rules) -> None:
        """Put new rules in force in every database at once, or, raising ConfigError, in none.

        All catalogs in use are read anew first. A rule for every database may name a table that only the
        default database has; a rule for one database may not name a table that it lacks.
        """
        compiled = await self._tried(rules)
        self._rules = rules
        for entry, policy, problems in compiled:
            self._publish(entry, policy, problems)

    async def check(self, rules: Rules) -> None:
        """Do what `reload` does, but put nothing in force. Raises ConfigError."""
        await self._tried(rules)

    def adopt(self, rules: Rules) -> None:
        """Put rules in force that were checked; a table that they do not fit any more is refused."""
        self._rules = rules
        for entry in self._entries.values():
            if entry.policy is not None:
                self._publish(entry, *self._compile(rules, entry.policy.catalog))

    async def _tried(self, rules: Rules) -> list[tuple["_Entry", Policy, tuple[Problem, ...]]]:
        wrong: list[str] = []
        await self._reread_where(lambda entry: True)
        for entry in self._entries.values():
            if entry.policy is not None and entry.error is not None:
                wrong.append(f'the catalog of database "{entry.name}" cannot be read: {entry.error.message}')
        # No await from here on, nor in `reload`: a catalog that is read meanwhile can neither be lost nor meet
        # half the rules.
        compiled: list[tuple[_Entry, Policy, tuple[Problem, ...]]] = []
        for entry in self._entries.values():
            if entry.policy is not None:
                policy, problems = self._compile(rules, entry.policy.catalog)
                wrong.extend(str(problem) for problem in self._fatal(rules, entry.name, problems))
                compiled.append((entry, policy, problems))
        if wrong:
            raise ConfigError(tuple(dict.fromkeys(wrong)))
        return compiled

    async def keep_fresh(self, interval: float) -> None:
        """Read every catalog anew each `interval` seconds, a failed one sooner; never returns."""
        due = self._clock() + interval
        while True:
            await asyncio.sleep(min(RETRY_SECONDS, interval))
            everything = self._clock() >= due
            if everything:
                await self.refresh_all()
                due = self._clock() + interval
            else:
                await self._reread_where(lambda entry: entry.error is not None)

    async def refresh_all(self) -> None:
        """Read every catalog in use anew; forget databases that had no session for long."""
        now = self._clock()
        for name, entry in list(self._entries.items()):
            idle = not entry.subscribers and not entry.lock.locked()
            if idle and name != self._default and now - entry.used > FORGET_SECONDS:
                del self._entries[name]
                self._events.database_forgotten(name)
        await self._reread_where(lambda entry: True)

    async def _reread_where(self, wanted: Callable[[_Entry], bool]) -> None:
        for entry in list(self._entries.values()):
            if entry.policy is not None and wanted(entry):
                await self._reread(entry)

    async def _reread(self, entry: _Entry) -> None:
        entry.requested += 1
        with contextlib.suppress(UpstreamUnavailable):  # reported as an event where it happened
            await self._answer(entry, entry.requested)

    async def _answer(self, entry: _Entry, request: int) -> Policy:
        async with entry.lock:
            if entry.answered < request:
                await self._read(entry)
            if entry.error is not None:
                self._drop_if_unused(entry)
                raise entry.error
            assert entry.policy is not None
            return entry.policy

    async def _read(self, entry: _Entry) -> None:
        covers = entry.requested
        started = self._clock()
        try:
            catalog = await self._load(entry.name)
        except UpstreamUnavailable as error:
            entry.answered, entry.error = covers, error
            self._events.catalog_failed(entry.name, error.message)
            return
        self._install(entry, catalog, self._clock() - started)
        entry.answered = entry.read = covers

    def _install(self, entry: _Entry, catalog: Catalog, seconds: float) -> None:
        entry.error = None
        changed = entry.policy is None or entry.policy.catalog != catalog
        self._events.catalog_refreshed(entry.name, seconds, changed=changed)
        if changed:
            # An unchanged catalog keeps its policy and version, so that the plan cache stays warm.
            self._publish(entry, *self._compile(self._rules, catalog))

    def _publish(self, entry: _Entry, policy: Policy, problems: tuple[Problem, ...]) -> None:
        entry.policy, entry.problems = policy, problems
        self._events.policy_compiled(entry.name, problems)
        for subscriber in list(entry.subscribers):
            subscriber.policy_changed(policy)

    def _compile(self, rules: Rules, catalog: Catalog) -> tuple[Policy, tuple[Problem, ...]]:
        policy, problems = compile_policy(rules.tables, rules.grants, catalog, next(self._versions))
        policy, more = with_links(policy, rules.keys)
        return replace(policy, routines=rules.routines, statements=rules.statements), (*problems, *more)

    def _fatal(self, rules: Rules, database: str, problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
        if database == self._default:
            return problems
        every: list[TableRule | KeyRule] = [*rules.tables, *rules.keys]
        own = {rule.origin for rule in every if rule.database == database}
        return tuple(problem for problem in problems if problem.origin in own)

    def _entry(self, database: str) -> _Entry:
        # A session without a database, which physical replication has, goes by the control connection's own.
        database = database or self._default or ""
        entry = self._entries.get(database)
        if entry is None:
            entry = self._entries[database] = _Entry(database, used=self._clock())
        return entry

    def _drop_if_unused(self, entry: _Entry) -> None:
        # Names that clients make up must not pile up.
        if entry.policy is None and not entry.subscribers and entry.answered == entry.requested:
            self._entries.pop(entry.name, None)
