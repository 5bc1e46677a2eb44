"""One session: hands bytes to it, does what it needs, ends it in time.

Owns the session's work (connecting, cancelling, reading the catalog) and its timers. Must not know messages or
SQL: it asks the session what to write, what it waits for, and whether it is idle.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, assert_never

from pgsoftproxy.db import inside
from pgsoftproxy.errors import ProxyError, UpstreamLost, UpstreamUnavailable
from pgsoftproxy.model.policy import Policy
from pgsoftproxy.ops.metrics import RefusedBecause, TimedOut
from pgsoftproxy.proxy.gate import Gate
from pgsoftproxy.proxy.pair import Pair
from pgsoftproxy.proxy.refusals import login_timed_out, shutdown, unserved
from pgsoftproxy.proxy.services import Services
from pgsoftproxy.proxy.upstream import UpstreamSide
from pgsoftproxy.proxy.watch import Watch, ended_by, heard
from pgsoftproxy.proxy.wires import Connection
from pgsoftproxy.session.door import LOCAL, Secured, Visitor
from pgsoftproxy.session.phase import Need
from pgsoftproxy.session.session import CatalogTexts, Session

CATALOG_TEXTS = CatalogTexts(inside.SETTINGS, inside.QUERY)


class Relay:
    """The client's side of a session; holds the session and the upstream's side."""

    def __init__(self, services: Services, gate: Gate, host: str = LOCAL) -> None:
        self._services = services
        self._gate = gate
        self._figures = services.reporter.metrics.figures
        self._loop = asyncio.get_running_loop()
        self.session = Session(
            services.planner, services.reporter, services.bounds.now.session, CATALOG_TEXTS, services.shelves
        )
        self.session.packets.meet(services.entrance.way.door, Visitor(host))
        self._pair = Pair()
        self._need = Need.NOTHING
        self._stalled = False
        self._work: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle  # until it has logged in
        self._watch = Watch()
        self.host = host
        self._connected = False
        self._logged_in = False
        self._gone = False
        self._draining = self._over = False

    # The client's side, called by its connection.

    def connection_made(self, connection: Connection) -> None:
        """Take an accepted connection."""
        self._pair.take_client(connection)
        self._timer = self._loop.call_later(
            self._services.bounds.now.timeouts.login,
            self._refuse,
            RefusedBecause.LOGIN_TIMEOUT,
            login_timed_out(),
        )
        refusal = self._gate.arrived(self)
        if refusal is not None:
            self.end(refusal)

    def data_received(self, data: bytes) -> None:
        """Hand the client's bytes to the session."""
        if self._over:
            return
        try:
            self.session.from_client(data)
        except Exception as error:
            self._crashed(error)
        self._pump()

    def eof_received(self) -> bool:
        """Note that the client sends no more; what it has sent may still be owed answers, so its side stays open."""
        self._pair.client_ended()
        if not self._over:
            self._tell(self.session.client_closed)
            self._steer()
        return not self._over

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the client is gone."""
        self._pair.client_lost()
        self._finish()
        self._leave_if_gone()

    def pause_writing(self) -> None:
        """Stop reading the server: the client does not keep up."""
        self._pair.client_full(True)

    def resume_writing(self) -> None:
        """Read the server again."""
        self._pair.client_full(False)

    # The upstream's side.

    def upstream_made(self, connection: Connection) -> None:
        """Take a connection that `_connect` asked for."""
        self._pair.take_upstream(connection)

    def upstream_data(self, data: bytes) -> None:
        """Hand the server's bytes to the session."""
        if self._over:
            return
        try:
            self.session.from_upstream(data)
        except Exception as error:
            self._crashed(error)
        self._pump()
        if not self._logged_in and self.session.ready_once:
            self._log_in()
        if self._draining and self.session.idle:
            self.end(shutdown())

    def upstream_gone(self, connection: Connection) -> None:
        """End the session: the server closed its connection, or it broke."""
        if not self._pair.upstream_lost(connection):
            return
        self.end(UpstreamLost("the upstream server closed the connection unexpectedly"))
        self._leave_if_gone()

    def upstream_full(self, full: bool) -> None:
        """Stop reading from the client while the server does not keep up."""
        self._pair.upstream_full(full)

    # What others may ask of a session.

    def policy_changed(self, policy: Policy) -> None:
        """Put a new policy in force from the next statement."""
        if self._over or not self._connected:
            return  # `_connect` takes the policy of the moment
        self._tell(lambda: self.session.policy_changed(policy))

    def drain(self) -> None:
        """End the session at its next idle point; at once if it has not logged in."""
        self._draining = True
        self.session.close_lane()  # its bytes are looked at here again
        if not self._logged_in or self.session.idle:
            self.end(shutdown())

    def end(self, error: ProxyError) -> None:
        """End the session with a FATAL error to its client."""
        if not self._over:
            self._tell(lambda: self.session.fail(error))

    def abort(self) -> None:
        """Drop both connections now."""
        self._stop()
        self._pair.abort()

    # Moving bytes, and what the session needs.

    def _tell(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception as error:
            self._crashed(error)
        self._pump()

    def _pump(self) -> None:
        session = self.session
        need = session.need
        # Who hears that DDL is done may go on in another session, which must know of it by then.
        self._pair.hold(need is Need.CATALOG)
        self._pair.send(session.to_client, session.to_upstream)
        if need is not self._need and not self._over:
            self._serve(need)
        if session.stalled is not self._stalled:
            self._stalled = session.stalled
            self._steer()

    def _serve(self, need: Need) -> None:
        self._need = need
        if need is not Need.CONNECT and need is not Need.CLOSE:
            self._steer()
        match need:
            case Need.NOTHING:
                pass
            case Need.TLS:
                entrance = self._services.entrance
                secure = partial(entrance.secure, owner=self, tell=self._secured)
                self._pair.secure(secure, self.session.packets.ciphertext())
            case Need.CHALLENGE | Need.REJECT:
                proving = self._services.entrance.prove(self.session, self._answer, self._refuse)
                self._begin(proving, need.value)
            case Need.CONNECT:
                self._pair.forget_upstream()  # if it has turned us away
                refusal = self._gate.admit(self)
                if refusal is not None:
                    self.end(refusal)
                elif not self._connects_at_once():
                    self._steer()
                    self._begin(self._connect(), "connect")
            case Need.CANCEL:
                self._begin(self._cancel(), "cancel")
            case Need.CATALOG:
                self._begin(self._refresh(), "refresh")
            case Need.PLAN:
                self._begin(self._plan(), "plan")
            case Need.COMPILE:
                self._begin(self._compile(), "compile")
            case Need.CLOSE:
                self._finish()
            case _:
                assert_never(need)

    def _steer(self) -> None:
        self._pair.wait(self._stalled or self._need not in (Need.NOTHING, Need.TLS))

    def _secured(self, secured: Secured) -> None:
        self._answer(lambda: self.session.secured(secured))

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._work = self._services.tasks.start(work, name, self._crashed)

    def _connects_at_once(self) -> bool:
        store, database = self._services.store, self.session.database
        policy = None if self._connected else store.at_hand(database)
        if policy is None or not self._services.upstream.connects_at_once(UpstreamSide(self)):
            return False
        store.subscribe(database, self)
        self._connected = True
        self._answer(lambda: self.session.connected(policy, other_way=False))
        return True

    async def _connect(self) -> None:
        store, database = self._services.store, self.session.database
        store.subscribe(database, self)
        try:
            await store.get(database)
        except UpstreamUnavailable as error:
            self._refuse(RefusedBecause.CATALOG, unserved(database, error))
            return
        try:
            # Asked for a second time, the server has turned us away by the first of two ways.
            again, upstream = self._connected, self._services.upstream
            connection = await upstream.connect(UpstreamSide(self), again=again)
            other_way = not again and upstream.encryption.other_way(connection)
            policy = await store.get(database)  # it may have changed while we connected
        except UpstreamUnavailable as error:
            self._refuse(RefusedBecause.UPSTREAM, error)
            return
        self._connected = True
        self._answer(lambda: self.session.connected(policy, other_way=other_way))

    async def _refresh(self) -> None:
        database = self.session.database
        try:
            policy = await self._services.store.refresh(database)
        except UpstreamUnavailable as error:
            self.end(unserved(database, error))
            return
        self._answer(lambda: self.session.catalog_refreshed(policy))

    async def _plan(self) -> None:
        # The text is large: made here, its plan would keep every other session waiting.
        job = self.session.plan_job()
        await self._loop.run_in_executor(None, job.run)
        self._answer(lambda: self.session.planned(job))

    async def _compile(self) -> None:
        # In a thread: of a large catalog it would keep every other session waiting.
        rows, base = self.session.catalog_rows()
        policy = await self._loop.run_in_executor(None, self._services.store.changed, rows, base)
        self._answer(lambda: self.session.compiled(policy, base))

    async def _cancel(self) -> None:
        self._figures.cancel_requests += 1
        # A client that cancels reads no answer: an upstream that cannot be reached is in the log.
        with contextlib.suppress(UpstreamUnavailable):
            await self._services.upstream.deliver(self.session.cancel_request)
        self._finish()

    def _answer(self, tell: Callable[[], None]) -> None:
        # The session may need the same thing again at once, so what it needed is forgotten first.
        if self._over:
            return
        self._need = Need.NOTHING
        self._tell(tell)
        self._steer()

    def _refuse(self, reason: RefusedBecause, error: ProxyError) -> None:
        self._services.reporter.connection_refused(reason, error)
        self.end(error)

    def _crashed(self, error: BaseException) -> None:
        # A bug costs its own session, never another.
        self._services.reporter.session_crashed(error, self.session.user, self.session.database)
        try:
            self.session.fail(ProxyError("internal error in pgsoftproxy", hint="Its log has the details."))
        except Exception:  # the session that has the bug may not even be able to say so
            self.abort()
        else:
            self._pump()

    # Timers.

    def _log_in(self) -> None:
        self._logged_in = True
        self._services.reporter.session_opened(self.session.user, self.session.database)
        self._pair.join(self.session)
        self._timer.cancel()

    def look(self, now: float) -> None:
        """End the session, or stop its query, if it has waited too long."""
        kind = self._watch.look(self.session, now, self._services.bounds.now.timeouts)
        if self._over or kind is None:
            return
        self._services.reporter.timed_out(kind, self.session.user, self.session.database)
        if kind is TimedOut.QUERY and self.session.cancel_key:
            self._tell(self.session.stop_query)
            self._services.tasks.start(self._stop_query(), "stop a query", self._crashed)
        else:
            self.end(ended_by(kind))

    async def _stop_query(self) -> None:
        if not await heard(self._services.upstream, self.session.cancel_key):
            self.end(ended_by(TimedOut.QUERY))
        if not self._over:
            self._tell(self.session.go_on)

    # The end.

    def _stop(self) -> None:
        self._over = True
        self.session.lane.open = False  # nobody takes over from it any more
        self._timer.cancel()
        if self._work is not None:
            self._work.cancel()
        self._services.store.unsubscribe(self.session.database, self)

    def _finish(self) -> None:
        if not self._over:
            self._stop()
            self._pair.finish(self._loop.call_later)

    def _leave_if_gone(self) -> None:
        if self._pair.gone and not self._gone:
            self._gone = True
            self._gate.left(self)
            if self._logged_in:
                self._services.reporter.session_closed(self.session.user, self.session.database)
