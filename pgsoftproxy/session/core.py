"""One client's conversation, without sockets: bytes in, bytes out, each message looked at.

Owns the phase, and which room handles which bytes in it. The relay owns sockets, time and the policy. Must not know
the lane, by which `session` lets plain messages pass it by.
"""

from pgsoftproxy.errors import ClientProtocolError, ProxyError, UpstreamLost, UpstreamProtocolError
from pgsoftproxy.model.policy import Policy
from pgsoftproxy.rewrite.cache import PlanJob, Planner
from pgsoftproxy.session.client import ClientSide
from pgsoftproxy.session.door import Secured
from pgsoftproxy.session.inside import CatalogTexts, InsideReader
from pgsoftproxy.session.limits import SessionLimits
from pgsoftproxy.session.login import Authentication, judge_replication, judge_state
from pgsoftproxy.session.observer import Observer
from pgsoftproxy.session.opening import Opening
from pgsoftproxy.session.phase import Event, Need, Phase
from pgsoftproxy.session.proof import Challenge, Proof
from pgsoftproxy.session.shelves import Shelves
from pgsoftproxy.session.state import State
from pgsoftproxy.wire import backend, frontend

_FRAMED = frozenset({Phase.PROVING, Phase.AUTHENTICATING, Phase.READY, Phase.PASSING})
"""The phases in which the client sends frames."""


class Core(Opening):
    """Drive one conversation.

    After each call the relay writes what is in the lists `to_client` and `to_upstream` and clears them. While
    `need` is not NOTHING it stops reading the client and does what is needed; while `stalled` it stops reading
    the client until the server has said more (bytes given all the same only pile up). With Need.CLOSE it
    writes what there is and closes both connections.
    """

    def __init__(
        self,
        planner: Planner,
        observer: Observer,
        limits: SessionLimits,
        catalog_texts: CatalogTexts | None = None,
        shelves: Shelves | None = None,
    ) -> None:
        super().__init__(State(planner, observer, limits, shelves))
        self._reader = InsideReader(self._state, self._from_upstream, catalog_texts)
        self._client_side = ClientSide(self._state, self._from_client, self._reader)
        self._doom: ClientProtocolError | None = None
        self._client_ended = False

    @property
    def idle(self) -> bool:
        """Tell whether the session could end without loss: nothing is owed, open, or half sent."""
        state = self._state
        return (
            self.phase is Phase.READY
            and state.need is Need.NOTHING
            and not state.in_transaction
            and not state.replies.queue
            and not state.replies.skipping
            and self._from_client.empty
        )

    def from_client(self, data: bytes) -> None:
        """Take bytes that the client sent."""
        if self.phase is Phase.CLOSED or self._doom is not None or self._client_side.left:
            return
        if self.phase in _FRAMED:
            self._from_client.feed(data)
        else:
            self.packets.buffer += data
        if self._state.need is Need.NOTHING:
            self._go_on()

    def from_upstream(self, data: bytes) -> None:
        """Take bytes that the upstream server sent."""
        if self.phase is Phase.CLOSED:
            return
        scanner, state = self._from_upstream, self._state
        scanner.feed(data)
        wrong: UpstreamProtocolError | None = None
        try:
            self._read_upstream()
        except UpstreamProtocolError as error:
            scanner.hold()  # what does not fit does not reach the client
            wrong = error
        run = scanner.flush()
        if run:
            state.to_client.append(run)
        if wrong is not None:
            self.fail(wrong)
        elif state.need is Need.CLOSE:
            self._move(Event.END)
        elif self._doom is not None:
            self._fail_when_answered(self._doom)
        else:
            if state.need is Need.NOTHING and not self._from_client.empty:
                self._go_on()
            if self._client_ended:
                self._end_when_answered()

    def secured(self, secured: Secured) -> None:
        """Answer Need.TLS: the client's connection is encrypted, and this is what it has shown."""
        try:
            self.packets.secured(secured)
        except ProxyError as error:
            self.fail(error)
        else:
            self._move(Event.SECURED)

    def challenged(self, challenge: Challenge) -> None:
        """Answer Need.CHALLENGE: this is what the client is asked by."""
        self._proof = Proof(challenge)
        self.to_client.append(self._proof.request())
        self._from_client.rules = frontend.PROOF_RULES
        self._resume()

    def connected(self, policy: Policy, *, other_way: bool = False) -> None:
        """Answer Need.CONNECT: the upstream server is connected, and this is its database's policy.

        `other_way`: if the server turns us away at once, Need.CONNECT comes again, for the other way to encrypt.
        """
        assert self.phase is Phase.CONNECTING
        startup = self.packets.startup
        try:
            if startup.replicates:
                judge_replication(startup.user, policy, self._state.observer)
            judge_state(startup, policy)
            self._state.connect(startup, policy)
            self._state.client_address = self.packets.visitor.host
        except ProxyError as error:
            self.fail(error)
            return
        self._authentication = (
            Authentication(startup, other_way=other_way)
            if self._proof is None
            else self._proof.login(startup, self.to_upstream, other_way=other_way)
        )
        self.to_upstream.append(self.packets.packet)
        self._move(Event.CONNECTED)
        if self.packets.buffer:
            self._from_client.feed(self.packets.buffer)
        if not self._from_client.empty:
            self._go_on()

    def catalog_refreshed(self, policy: Policy) -> None:
        """Answer Need.CATALOG."""
        self._state.set_policy(policy)
        if self._state.need is Need.CATALOG:
            self._state.tracker.catalog_read()
            self._resume()

    def catalog_rows(self) -> tuple[list[bytes], Policy]:
        """Return what Need.COMPILE is about: the rows of the catalog query, and the policy that they change."""
        return self._reader.rows, self._state.shared

    def compiled(self, policy: Policy | None, base: Policy) -> None:
        """Answer Need.COMPILE: what `base` has become for this session, None if the rows did not tell."""
        if self._state.need is Need.COMPILE:
            self._reader.take(policy, base)
            self._resume()

    def plan_job(self) -> PlanJob:
        """Return the job of Need.PLAN, to be run in another thread."""
        return next(job for job in self._state.jobs.values() if job.plan is None)

    def planned(self, job: PlanJob) -> None:
        """Answer Need.PLAN: the job has run."""
        state = self._state
        state.planner.finish(job)
        if state.need is Need.PLAN:
            waits = state.catalog_changed and not state.in_transaction
            state.catalog_changed = state.catalog_changed and not waits
            state.need = Need.CATALOG if waits else Need.NOTHING
            if state.need is Need.NOTHING:
                self._go_on()
            if self._client_ended:
                self._end_when_answered()

    def _resume(self) -> None:
        self._state.need = Need.NOTHING
        self._go_on()
        if self._client_ended:
            self._end_when_answered()

    def policy_changed(self, policy: Policy) -> None:
        """Put a policy in force from the next statement on."""
        if self.phase is Phase.AUTHENTICATING or self.phase is Phase.READY:
            self._state.set_policy(policy)

    def fail(self, error: ProxyError) -> None:
        """End the session with a FATAL ErrorResponse, unless that would be the second, or inside a cut-off frame."""
        if self.phase is Phase.CLOSED:
            return
        # The server's answer to the client's end.
        as_told = self._client_ended and isinstance(error, UpstreamLost)
        if not (self._from_upstream.inside or self._client_side.left or as_told):
            self.to_client.append(backend.refusal(error.refusal, b"FATAL", self._state.codec))
            self._state.observer.error(error.sqlstate)
        self._move(Event.END)

    def client_closed(self) -> None:
        """Take the client's end of file: what it sent before is still answered, as it would be by the server.

        Unless the session ends at once, the relay lets the server see it behind what is sent.
        """
        if self.phase is Phase.CLOSED or self._doom is not None or self._client_ended:
            return
        self._client_ended = True
        self._end_when_answered()

    def _end_when_answered(self) -> None:
        match self.phase:
            case Phase.READY:
                # A server that waits for data of a COPY, the rest of a frame or a Sync hears of the end and answers it.
                replies = self._state.replies
                waits = self._from_upstream.inside or bool(replies.queue) or replies.skipping or self.stalled
            case Phase.AUTHENTICATING:
                # What came along with the startup packet may be answered.
                waits = not self._authentication.waits_for_client
            case _:
                waits = self.phase is Phase.CLOSED
        if not waits:
            self._move(Event.END)

    def _go_on(self) -> None:
        """Handle what the client has sent so far, as far as the phase allows."""
        try:
            match self.phase:
                case Phase.STARTUP:
                    self._read_packets()
                case Phase.PROVING:
                    self._read_proof()
                case Phase.AUTHENTICATING:
                    self._read_login()
                case Phase.READY:
                    self.stalled = not self._client_side.run()
                    if self._client_side.left:
                        self._client_ended = True
                        self._end_when_answered()
                case Phase.PASSING:
                    self._from_client.next()
                    run = self._from_client.flush()
                    if run:
                        self.to_upstream.append(run)
                case Phase.SECURING | Phase.CONNECTING | Phase.CANCELLING | Phase.CLOSED:
                    pass
        except ClientProtocolError as error:
            self._fail_when_answered(error)
        except ProxyError as error:
            self.fail(error)

    def _fail_when_answered(self, error: ClientProtocolError) -> None:
        """Fail once what came ahead of the client's mistake has its answer, as it would have from the server."""
        replies = self._state.replies
        if (not replies.queue or replies.starved) and not self._from_upstream.inside:
            self.fail(error)
        elif self._doom is None:
            self._doom = error
            self.stalled = True
            if replies.queue:
                self.to_upstream.append(frontend.FLUSH_FRAME)

    def _read_upstream(self) -> None:
        scanner = self._from_upstream
        handle, state = self._server_side.handle, self._state
        while state.need is not Need.CLOSE:
            kind = scanner.next()
            if not kind:
                return
            if not self.ready_once:
                self._login_reply(kind)
            elif not (self._reader.active and self._reader.handle(kind)):
                handle(kind)
