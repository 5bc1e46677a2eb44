"""What sessions, the policy store and the relay report: counted, and logged where a person should see it.

Owns which event is worth a log line, at what level and how often. Must not know sockets or SQL.
"""

import time
from collections.abc import Callable

from pgsoftproxy.errors import ProxyError, Refusal
from pgsoftproxy.model.policy import Problem
from pgsoftproxy.model.who import Who
from pgsoftproxy.ops.logs import Logger, Once, describe_error, describe_text
from pgsoftproxy.ops.metrics import CatalogRead, Metrics, RefusedBecause, TimedOut
from pgsoftproxy.ops.trail import Trail
from pgsoftproxy.rewrite.plan import StatementPlan

REPEAT_SECONDS = 10.0
ONCE = float("inf")
OWN_WORDS = frozenset({"0A000", "42501", "54000", "54001", "57P03", "53300"})
"""SQLSTATEs whose message is our own and holds only names; a parser's message quotes the client's text."""


class Reporter:
    """Implement the observers of every room on top of metrics and one logger."""

    def __init__(
        self,
        metrics: Metrics,
        logger: Logger,
        *,
        literals: bool = False,
        trail: Trail | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.metrics = metrics
        self.logger = logger
        self._literals = literals
        self._trail = trail or Trail("", metrics.figures, logger)
        self._repeats = Once(REPEAT_SECONDS, clock)
        self._hints = Once(ONCE, clock)
        self._problems: dict[str, tuple[Problem, ...]] = {}
        # Bound straight to the counting: they run for every statement.
        self.statement = metrics.statement
        self.cells = metrics.cells
        self.error = metrics.error

    def refused(self, refusal: Refusal, plan: StatementPlan, who: Who) -> None:
        """Log a refused statement; a burst of the same refusal is one line with a count, but in the audit log."""
        own_words = self._literals or refusal.sqlstate in OWN_WORDS
        message = refusal.message if own_words else ""
        self._audit("statement_refused", plan, who, sqlstate=refusal.sqlstate, reason=message)
        suppressed = self._repeats.allows((refusal.sqlstate, message, plan.kind, who.user, who.database))
        if suppressed is not None:
            self.logger.info(
                "statement_refused",
                sqlstate=refusal.sqlstate,
                kind=plan.kind.value,
                user=who.user,
                database=who.database,
                **({"reason": message} if message else {}),
                **({"suppressed": suppressed} if suppressed else {}),
            )

    def bypass(self, plan: StatementPlan, who: Who) -> None:
        """Log and count a statement that saw other than live rows."""
        mode = plan.bypass
        assert mode is not None
        self.metrics.bypass(mode, who.user)
        self.logger.info("visibility_used", visibility=mode.value, role=who.user)
        self._audit("visibility_used", plan, who, visibility=mode.value)

    def hard_delete(self, plan: StatementPlan, who: Who) -> None:
        """Log and count a statement that physically removed rows of protected tables."""
        self.metrics.hard_delete(plan.kind, who.user)
        self.logger.info("hard_delete", kind=plan.kind.value, role=who.user)
        self._audit("hard_delete", plan, who)

    def restored(self, plan: StatementPlan, who: Who) -> None:
        """Log a statement that called the function that restores."""
        deletion = {"deletion_id": plan.restores} if plan.restores else {}
        self.logger.info("restore_called", role=who.user, **deletion)
        self._audit("restore_called", plan, who, **deletion)

    def _audit(self, event: str, plan: StatementPlan, who: Who, **fields: str) -> None:
        self._trail.write(
            event,
            user=who.user,
            database=who.database,
            application_name=who.application_name,
            client_address=who.client_address,
            backend_pid=who.backend_pid,
            kind=plan.kind.value,
            tables=sorted({*plan.removed, *plan.guarded}),
            **fields,
        )

    def hinted(self, plan: StatementPlan, text: bytes) -> None:
        """Log a text that names a deletion column, or whose work the proxy cannot see, once."""
        described = describe_text(text, literals=self._literals)
        for warning in plan.warnings:
            if self._hints.allows((warning, *described.values())) is not None:
                reason = {"reason": warning.message, "class": warning.kind}
                self.logger.warning(
                    "statement_runs_past_the_proxy", kind=plan.kind.value, **reason, **described
                )
        if plan.names_column and self._hints.allows(tuple(described.values())) is not None:
            self.logger.info(
                "statement_names_a_deletion_column",
                kind=plan.kind.value,
                tables=sorted({*plan.guarded, *plan.observed}),
                **described,
            )

    def catalog_refreshed(self, database: str, seconds: float, *, changed: bool) -> None:
        """Count a reading of a catalog; log it if it brought something new."""
        self.metrics.catalog_read(CatalogRead.CHANGED if changed else CatalogRead.UNCHANGED)
        self.metrics.catalog_read_seconds.observe(seconds)
        if changed:
            self.logger.info("catalog_refreshed", database=database, seconds=round(seconds, 4))

    def catalog_failed(self, database: str, reason: str) -> None:
        """Count and log a catalog that could not be read."""
        self.metrics.catalog_read(CatalogRead.FAILED)
        suppressed = self._repeats.allows(("catalog", database, reason))
        if suppressed is not None:
            self.logger.warning(
                "catalog_cannot_be_read", database=database, reason=reason, suppressed=suppressed
            )

    def policy_compiled(self, database: str, problems: tuple[Problem, ...]) -> None:
        """Keep what a database lacks for the rules; log each problem that is new."""
        known = self._problems.get(database, ())
        self._problems[database] = problems
        self.metrics.policy_problems[database] = len(problems)
        for problem in problems:
            if problem not in known:
                self.logger.warning("policy_problem", database=database, problem=str(problem))

    def database_forgotten(self, database: str) -> None:
        """Forget a database that has no policy any more."""
        self._problems.pop(database, None)
        self.metrics.policy_problems.pop(database, None)

    def tls_failed(self, reason: str) -> None:
        """Log a client's handshake that failed, a burst as one line."""
        suppressed = self._repeats.allows(("tls", reason))
        if suppressed is not None:
            self.logger.warning("tls_handshake_failed", reason=reason, suppressed=suppressed)

    def auth_query_failed(self, error: ProxyError) -> None:
        """Log that the secrets of users could not be asked for."""
        suppressed = self._repeats.allows(("auth_query", error.message))
        if suppressed is not None:
            self.logger.warning("auth_query_failed", reason=error.message, suppressed=suppressed)

    def connection_refused(self, reason: RefusedBecause, error: ProxyError) -> None:
        """Count a connection that did not become a session; log it, a burst as one line."""
        self.metrics.connection_refused(reason)
        suppressed = self._repeats.allows(("connection", reason, error.message))
        if suppressed is not None:
            self.logger.warning(
                "connection_refused", why=reason.value, sqlstate=error.sqlstate, reason=error.message,
                suppressed=suppressed,
            )  # fmt: skip

    def timed_out(self, kind: TimedOut, user: str, database: str) -> None:
        """Count and log a session, or a query, that took too long."""
        self.metrics.timeouts[(kind.value,)] += 1
        suppressed = self._repeats.allows((kind, user, database))
        if suppressed is not None:
            self.logger.info(
                "timed_out", kind=kind.value, user=user, database=database, suppressed=suppressed
            )

    def session_opened(self, user: str, database: str) -> None:
        """Log, for who looks closely, that a client has logged in."""
        self.logger.debug("session_opened", user=user, database=database)

    def session_closed(self, user: str, database: str) -> None:
        """Log, for who looks closely, that a session has ended."""
        self.logger.debug("session_closed", user=user, database=database)

    def session_crashed(self, error: BaseException, user: str, database: str) -> None:
        """Count and log a bug, with its place in the code."""
        self.metrics.figures.session_crashes += 1
        described = describe_error(error, literals=self._literals)
        self.logger.error("session_crashed", user=user, database=database, **described)
