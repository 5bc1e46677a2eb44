"""The beginning of a conversation, up to the first ReadyForQuery: what is read from either side, and where it leads.

Owns the phase and its transitions. Must not know statements; `core` goes on from here.
"""

from pgsoftproxy.kernel import Scanner
from pgsoftproxy.model.context import Grant
from pgsoftproxy.session.answers import sqlstate_of
from pgsoftproxy.session.login import Authentication, Packets
from pgsoftproxy.session.phase import NEED_IN, NEXT, Event, Need, Phase
from pgsoftproxy.session.proof import Proof
from pgsoftproxy.session.server import ServerSide
from pgsoftproxy.session.state import State
from pgsoftproxy.session.variables import Tracker
from pgsoftproxy.wire import backend, frontend


class Opening:
    """What leads a conversation to where it may begin."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.phase = Phase.STARTUP
        self.ready_once = False
        self.stalled = False
        self.cancel_request = b""
        self.cancel_key = b""
        self.user = ""
        self.database = ""
        self.application_name = ""
        self.packets = Packets()
        self._from_client = Scanner(frontend.AUTHENTICATION_RULES)
        self._from_upstream = Scanner(backend.AUTHENTICATION_RULES)
        self._server_side = ServerSide(state, self._from_upstream)
        self._authentication: Authentication
        self._proof: Proof | None = None

    @property
    def to_client(self) -> list[bytes]:
        """Return the list of what must be written to the client; the relay clears it."""
        return self._state.to_client

    @property
    def to_upstream(self) -> list[bytes]:
        """Return the list of what must be written to the upstream server; the relay clears it."""
        return self._state.to_upstream

    @property
    def need(self) -> Need:
        """Return what the session waits for its relay to do."""
        return self._state.need

    def _move(self, event: Event) -> None:
        self.phase = NEXT[self.phase, event]
        self._state.need = NEED_IN.get(self.phase, Need.NOTHING)

    def _read_packets(self) -> None:
        event = self.packets.step(self.to_client)
        if event in (Event.STARTUP_PACKET, Event.MUST_PROVE):
            startup = self.packets.startup
            self.user, self.database = startup.user, startup.database
            self.application_name = startup.application_name
            # Until its policy is known.
            self._state.tracker = Tracker(startup.values(()), startup.user, Grant())
        elif event is Event.CANCEL_REQUEST:
            self.cancel_request = self.packets.packet
        if event is not None:
            self._move(event)

    def _read_proof(self) -> None:
        assert self._proof is not None
        scanner = self._from_client
        event = self._proof.read(scanner, self.to_client)
        scanner.flush()
        if event is Event.DISPROVEN:
            self._state.need = Need.REJECT
        elif event is not None:
            scanner.rules = frontend.AUTHENTICATION_RULES
            self._move(event)

    def _read_login(self) -> None:
        scanner = self._from_client
        try:
            event = self._authentication.read_client(scanner)
        finally:
            run = scanner.flush()
            if run:
                self.to_upstream.append(run)
        self.stalled = self._authentication.stalled
        if event is not None:
            self._move(event)

    def _login_reply(self, kind: int) -> None:
        match kind:
            case backend.BACKEND_KEY:
                self.cancel_key = self._from_upstream.body()
                self._state.backend_pid = backend.backend_pid(self.cancel_key)
            case backend.PARAMETER_STATUS:
                self._server_side.parameter_status()
            case backend.ERROR:
                fields = backend.error_fields(self._from_upstream.body())
                if self._authentication.turned_away(sqlstate_of(fields)):
                    self._from_upstream.rest()
                    self.packets.buffer, self.stalled = self._from_client.rest(), False
                    self._move(Event.TURNED_AWAY)
                    return
                self._state.observer.error(sqlstate_of(fields))
                self._state.need = Need.CLOSE
            case backend.READY:
                self._begin()
            case _:
                scanner = self._from_upstream
                instead = self._authentication.read_upstream(kind, scanner.body())
                if instead is not None:
                    self.to_client.extend((scanner.drop(), instead))

    def _begin(self) -> None:
        self._authentication.end(self._from_upstream.body())
        self.ready_once = True
        self.stalled = False
        if self._state.startup.replicates:
            self._move(Event.READY_TO_REPLICATE)
            self._from_upstream.rules = backend.PASSING_RULES
            self._from_client.rules = frontend.PASSING_RULES
            return
        self._move(Event.READY_FOR_QUERY)
        self._state.tracker.begin()
        self._from_upstream.rules = backend.READY_RULES
        self._from_client.rules = frontend.ready_rules(self._state.limits.statement_bytes)
