"""Every metric of the process, in one registry of its own; each is described in docs/operations.md.

Owns names, labels and counting. What is counted per statement or per read is a plain number here and becomes
a sample only when scraped, so that the query path pays one dict update. Must not know HTTP, logs or sockets.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pgsoftproxy import __version__
from pgsoftproxy.kernel import Cell
from pgsoftproxy.model.context import VisibilityMode
from pgsoftproxy.model.routines import RoutineClass
from pgsoftproxy.model.statements import StatementClass
from pgsoftproxy.rewrite.cache import CacheFigures
from pgsoftproxy.rewrite.plan import Kind, StatementPlan

REWRITE_BUCKETS = (5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 5e-2, 0.1, 0.5, 1.0)
CONNECT_BUCKETS = (2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
MOST_ROLES = 500
"""Distinct values of the label `role`; the role of any further one is "other"."""
WARNED_OF = tuple(kind for kind in RoutineClass if not kind.is_granted)
"""What is refused, warned of or let pass, as the configuration says."""

Counts = dict[tuple[str, ...], int]


class RefusedBecause(Enum):
    """Why a connection did not become a session."""

    LIMIT = "limit"
    USER_LIMIT = "user_limit"
    DATABASE_LIMIT = "database_limit"
    ADDRESS_LIMIT = "address_limit"
    UPSTREAM = "upstream"
    CATALOG = "catalog"
    DRAINING = "draining"
    LOGIN_TIMEOUT = "login_timeout"
    AUTHENTICATION = "authentication"


class TimedOut(Enum):
    """What took too long in a session that had logged in."""

    IDLE = "idle"
    IDLE_IN_TRANSACTION = "idle_in_transaction"
    QUERY = "query"


class CatalogRead(Enum):
    """How a reading of a catalog ended."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    FAILED = "failed"


class Reload(Enum):
    """How a reload of the configuration ended."""

    OK = "ok"
    FAILED = "failed"


@dataclass(slots=True)
class Figures:
    """What the gauges and label-free counters show; written by whoever owns the thing."""

    connections_open: int = 0
    connections_limit: int = 0
    connections: int = 0
    cancel_requests: int = 0
    bytes_from_client: Cell = field(default_factory=Cell)
    bytes_from_upstream: Cell = field(default_factory=Cell)
    shelf_hits: Cell = field(default_factory=Cell)
    shelf_shape_hits: Cell = field(default_factory=Cell)
    upstream_connect_failures: int = 0
    session_crashes: int = 0
    names_deletion_column: int = 0
    audit_lines_lost: int = 0
    workers: int = 1
    worker_restarts: int = 0
    ready: bool = False
    draining: bool = False
    tasks: Callable[[], int] = int
    """Counts the tasks of the event loop; called on the thread that serves a scrape."""
    plan_cache: CacheFigures = field(default_factory=CacheFigures)


class Metrics:
    """Count what happens; `registry` holds all of it for a scrape."""

    def __init__(self) -> None:
        self.figures = Figures()
        self.statements: Counts = defaultdict(int)
        self.soft_deleted_rows: Counts = defaultdict(int)
        self.guarded_reads: Counts = defaultdict(int)
        self.observed: Counts = defaultdict(int)
        self.manual_deletes: Counts = defaultdict(int)
        self.visibility_uses: Counts = defaultdict(int)
        self.hard_deletes: Counts = defaultdict(int)
        self.warned: Counts = defaultdict(int)
        self.errors: Counts = defaultdict(int)
        self.connections_refused: Counts = defaultdict(int)
        self.timeouts: Counts = defaultdict(int)
        self.catalog_reads: Counts = defaultdict(int)
        self.reloads: Counts = defaultdict(int)
        self.policy_problems: dict[str, int] = {}
        self._cells: dict[tuple[int, tuple[str, ...]], Cell] = {}
        self.registry = CollectorRegistry(auto_describe=False)
        self._roles: set[str] = set()
        self.rewrite_seconds = Histogram(
            "pgsoftproxy_rewrite_seconds",
            "Time to plan one SQL text that the plan cache did not hold.",
            buckets=REWRITE_BUCKETS,
            registry=self.registry,
        )
        self.upstream_connect_seconds = Histogram(
            "pgsoftproxy_upstream_connect_seconds",
            "Time to open one TCP connection to the upstream server.",
            buckets=CONNECT_BUCKETS,
            registry=self.registry,
        )
        self.catalog_read_seconds = Histogram(
            "pgsoftproxy_catalog_read_seconds",
            "Time to read the catalog of one database.",
            registry=self.registry,
        )
        self.registry.register(_Counted(self))
        ProcessCollector(registry=self.registry)

    def statement(self, plan: StatementPlan, role: str, rows: int | None) -> None:
        """Count one statement whose reply is complete; `rows` is the count in its command tag."""
        # `_value_` is what `.value` returns, without the descriptor: this runs once per statement.
        self.statements[plan.kind._value_, plan.outcome._value_] += 1
        for table in plan.guarded:
            self.guarded_reads[(table,)] += 1
        for table in plan.observed:
            self.observed[(table,)] += 1
        for table in plan.by_hand:
            if plan.kind is not Kind.PREPARE:
                self.manual_deletes[(table,)] += 1
        if plan.deletes is not None and rows:
            self.soft_deleted_rows[(plan.deletes,)] += rows
        for warning in plan.warnings:
            self.warned[(warning.kind,)] += 1
        if plan.names_column:
            self.figures.names_deletion_column += 1

    def cells(self, plans: tuple[StatementPlan, ...]) -> tuple[Cell, ...] | None:
        """Return what counts these statements each time they are complete; None if only `statement` can."""
        found: list[Cell] = []
        for plan in plans:
            if plan.deletes is not None or plan.warnings or plan.names_column or plan.by_hand:
                return None
            found.append(self._cell(self.statements, (plan.kind.value, plan.outcome.value)))
            found += (self._cell(self.guarded_reads, (table,)) for table in plan.guarded)
            found += (self._cell(self.observed, (table,)) for table in plan.observed)
        return tuple(found)

    def _cell(self, counts: Counts, key: tuple[str, ...]) -> Cell:
        cell = self._cells.get((id(counts), key))
        if cell is None:
            cell = self._cells[id(counts), key] = Cell()
        return cell

    def total(self, counts: Counts) -> Counts:
        """Return counts with what their cells have counted."""
        found = dict(counts)
        for (counted, key), cell in list(self._cells.items()):
            if counted == id(counts) and cell.n:
                found[key] = found.get(key, 0) + cell.n
        return found

    def error(self, sqlstate: str) -> None:
        """Count one ErrorResponse that reached a client, by the class of its SQLSTATE."""
        self.errors[(sqlstate[:2],)] += 1

    def bypass(self, mode: VisibilityMode, role: str) -> None:
        """Count one statement that saw other than live rows."""
        self.visibility_uses[mode.value, self._label_of(role)] += 1

    def hard_delete(self, kind: Kind, role: str) -> None:
        """Count one statement that physically removed rows of protected tables."""
        self.hard_deletes[kind.value, self._label_of(role)] += 1

    def _label_of(self, role: str) -> str:
        if role not in self._roles and len(self._roles) >= MOST_ROLES:
            role = "other"
        self._roles.add(role)
        return role

    def connection_refused(self, reason: RefusedBecause) -> None:
        """Count one connection that did not become a session."""
        self.connections_refused[(reason.value,)] += 1

    def catalog_read(self, result: CatalogRead) -> None:
        """Count one reading of a catalog."""
        self.catalog_reads[(result.value,)] += 1


class _Counted(Collector):
    """Turn the plain numbers into samples; called on the thread that serves a scrape."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._connections()
        yield from self._statements()
        yield from self._plan_cache()
        yield from self._process()

    def _connections(self) -> Iterator[Metric]:
        metrics, figures = self._metrics, self._metrics.figures
        yield _gauge("connections_open", "Client connections that are open now.", figures.connections_open)
        yield _gauge("connections_limit", "Client connections that are admitted.", figures.connections_limit)
        yield _counter("connections", "Client connections accepted.", figures.connections)
        yield _labelled(
            "connections_refused",
            "Connections that did not become a session.",
            ("reason",),
            _with_zeros(RefusedBecause, metrics.connections_refused),
        )
        yield _labelled(
            "timeouts",
            "Sessions and queries that took too long.",
            ("kind",),
            _with_zeros(TimedOut, metrics.timeouts),
        )
        yield _counter("cancel_requests", "Cancel requests passed on.", figures.cancel_requests)
        moved: Counts = {
            ("from_client",): figures.bytes_from_client.n,
            ("from_upstream",): figures.bytes_from_upstream.n,
        }
        yield _labelled("bytes", "Bytes received.", ("direction",), moved)
        failures = figures.upstream_connect_failures
        yield _counter("upstream_connect_failures", "Upstream connections that failed.", failures)
        yield _counter("session_crashes", "Sessions ended by a bug in the proxy.", figures.session_crashes)

    def _statements(self) -> Iterator[Metric]:
        metrics = self._metrics
        yield _labelled(
            "statements", "Statements answered.", ("kind", "outcome"), metrics.total(metrics.statements)
        )
        yield _labelled(
            "soft_deleted_rows", "Rows deleted softly by a DELETE.", ("table",), metrics.soft_deleted_rows
        )
        yield _labelled(
            "manual_deletes", "Statements that set a table's deletion column by hand.", ("table",),
            metrics.manual_deletes,
        )  # fmt: skip
        yield _labelled(
            "guarded_reads", "Statements from which a table's deleted rows were kept.", ("table",),
            metrics.total(metrics.guarded_reads),
        )  # fmt: skip
        yield _labelled(
            "observed",
            "Statements that a table in observe mode let pass.",
            ("table",),
            metrics.total(metrics.observed),
        )
        yield _labelled(
            "visibility_uses", "Statements that saw other than live rows.", ("visibility", "role"),
            metrics.visibility_uses,
        )  # fmt: skip
        yield _labelled(
            "hard_deletes", "Statements that physically removed rows of protected tables.", ("kind", "role"),
            metrics.hard_deletes,
        )  # fmt: skip
        yield _counter(
            "names_deletion_column", "Statements that name a deletion column.",
            metrics.figures.names_deletion_column,
        )  # fmt: skip
        yield _labelled(
            "warned", "Statements forwarded though the proxy cannot see their work.", ("class",),
            _with_zeros(StatementClass, _with_zeros(WARNED_OF, metrics.warned)),
        )  # fmt: skip
        lost = metrics.figures.audit_lines_lost
        yield _counter("audit_lines_lost", "Lines that the audit log could not take.", lost)
        yield _labelled("errors", "ErrorResponses sent to clients.", ("class",), metrics.errors)

    def _plan_cache(self) -> Iterator[Metric]:
        cache = self._metrics.figures.plan_cache
        yield _counter(
            "plan_cache_hits", "Texts whose plan was cached.", cache.hits + self._metrics.figures.shelf_hits.n
        )
        words = "Texts whose plan was that of another text, which differs only in literals."
        yield _counter(
            "plan_cache_shape_hits", words, cache.shape_hits + self._metrics.figures.shelf_shape_hits.n
        )
        yield _counter("plan_cache_misses", "Texts whose plan had to be made.", cache.misses)
        yield _counter("plan_cache_evictions", "Plans dropped to keep within the bound.", cache.evictions)
        yield _gauge("plan_cache_bytes", "Estimated size of the plan cache.", cache.bytes)

    def _process(self) -> Iterator[Metric]:
        metrics, figures = self._metrics, self._metrics.figures
        reads = _with_zeros(CatalogRead, metrics.catalog_reads)
        yield _labelled("catalog_reads", "Readings of a database's catalog.", ("result",), reads)
        yield _gauge("databases", "Databases that have a policy now.", len(metrics.policy_problems))
        words = "What a database lacks for the configured rules."
        problems = GaugeMetricFamily("pgsoftproxy_policy_problems", words, labels=("database",))
        for database, count in dict(metrics.policy_problems).items():
            problems.add_metric((database,), count)
        yield problems
        reloads = _with_zeros(Reload, metrics.reloads)
        yield _labelled("reloads", "Configuration reloads.", ("result",), reloads)
        yield _gauge("workers", "Processes that serve clients.", figures.workers)
        words = "Workers that ended unasked and were replaced."
        yield _counter("worker_restarts", words, figures.worker_restarts)
        yield _gauge("ready", "1 if new clients are served.", figures.ready and not figures.draining)
        yield _gauge("draining", "1 while the proxy shuts down.", figures.draining)
        yield _gauge("tasks", "Tasks of the event loop, those of sessions among them.", figures.tasks())
        build = GaugeMetricFamily("pgsoftproxy_build_info", "The version that runs.", labels=("version",))
        build.add_metric((__version__,), 1)
        yield build


def _with_zeros(labels: Iterable[Enum], counts: Counts) -> Counts:
    # A series that is there from the start can be alerted on at its first increase.
    return {**{(str(label.value),): 0 for label in labels}, **counts}


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(f"pgsoftproxy_{name}", words, value=value)


def _counter(name: str, words: str, value: float) -> Metric:
    return CounterMetricFamily(f"pgsoftproxy_{name}", words, value=value)


def _labelled(name: str, words: str, labels: tuple[str, ...], values: Counts) -> Metric:
    family = CounterMetricFamily(f"pgsoftproxy_{name}", words, labels=labels)
    for key, value in dict(values).items():
        family.add_metric(key, value)
    return family
