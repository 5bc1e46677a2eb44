"""From the first byte to the first ReadyForQuery: the packets before authentication, and its relay.

Knows what may come from either side until then. Authentication itself is between client and server.
"""

from dataclasses import replace
from typing import Final

from pgsoftproxy.errors import ClientProtocolError, StatementRefused, UpstreamProtocolError
from pgsoftproxy.kernel import Scanner
from pgsoftproxy.model.context import DeleteMode
from pgsoftproxy.model.policy import Policy
from pgsoftproxy.model.routines import Action
from pgsoftproxy.model.statements import StatementClass
from pgsoftproxy.rewrite.plan import Kind, StatementPlan, Warned
from pgsoftproxy.session.door import REFUSED, Door, Method, Secured, TlsMode, Visitor
from pgsoftproxy.session.observer import Observer
from pgsoftproxy.session.phase import Event
from pgsoftproxy.session.startup import NEWEST_MINOR, Startup, read_startup
from pgsoftproxy.wire import backend, frontend

_REQUESTS = {frontend.SSL_REQUEST: "SSL", frontend.GSSENC_REQUEST: "GSSAPI encryption"}
OLD_MAJORS: Final = (1, 2)
"""Protocols whose clients read errors of another form."""
_HANDSHAKE: Final = b"\x16"
"""What a TLS handshake begins with, and no startup packet: that would be 352 MiB long."""


class Packets:
    """Read the untyped packets of a connection's beginning, one `step` at a time."""

    def __init__(self) -> None:
        self.buffer = b""
        self.packet = b""
        self.startup: Startup
        self._door = Door()
        self._visitor = Visitor()
        self._direct = False
        self._asked: set[int] = set()

    def meet(self, door: Door, visitor: Visitor) -> None:
        """Say who has come, and what is asked of them."""
        self._door = door
        self._visitor = visitor

    @property
    def visitor(self) -> Visitor:
        """Return who has come."""
        return self._visitor

    def ciphertext(self) -> bytes:
        """Take what the client has sent of its handshake already."""
        data, self.buffer = self.buffer, b""
        return data

    def secured(self, secured: Secured) -> None:
        """Take what encryption has shown; raises ClientProtocolError."""
        self._visitor = replace(self._visitor, secured=secured)
        if self._direct and secured.alpn is None:
            # Another protocol's client may have been led here; its bytes are not to be read as ours.
            raise ClientProtocolError(
                "received direct SSL connection request without ALPN protocol negotiation extension"
            )

    def step(self, to_client: list[bytes]) -> Event | None:
        """Handle the next packet, if a whole one is buffered; return what it leads to.

        `packet` is then that packet, and `startup` what a StartupMessage asks for. Raises
        ClientProtocolError or StatementRefused.
        """
        encrypts = self._door.tls is not TlsMode.DISABLE
        if encrypts and not self._asked and self.buffer[:1] == _HANDSHAKE:
            self._direct = True
            self._asked.update(_REQUESTS)
            return Event.TLS_REQUEST
        while True:
            length = frontend.startup_length(self.buffer)
            if length == frontend.NO_STARTUP:
                return Event.END  # without a word, as the server: this is no client of ours
            if length is None or len(self.buffer) < length:
                return None
            self.packet, self.buffer = self.buffer[:length], self.buffer[length:]
            message = frontend.parse_startup(self.packet)
            if message.code == frontend.CANCEL_REQUEST:
                return Event.CANCEL_REQUEST
            if message.version[0] in OLD_MAJORS:
                to_client.append(backend.old_error(_unsupported(message)))
                return Event.END
            if message.code not in _REQUESTS or message.code in self._asked:
                self.startup = self._read(message)
                method = self._door.judge(self._visitor, self.startup.user, self.startup.database)
                return Event.STARTUP_PACKET if method is Method.RELAY else Event.MUST_PROVE
            if encrypts and message.code == frontend.SSL_REQUEST:
                self._asked.update(_REQUESTS)
                self._must_wait(message.code)
                to_client.append(b"S")
                return Event.TLS_REQUEST
            self._refuse_encryption(message.code, to_client)

    def _refuse_encryption(self, code: int, to_client: list[bytes]) -> None:
        self._asked.add(code)
        to_client.append(b"N")
        self._must_wait(code)

    def _must_wait(self, code: int) -> None:
        if self.buffer:
            # Sent before our answer was read: it may have been injected by someone in the middle.
            raise ClientProtocolError(f"received unencrypted data after {_REQUESTS[code]} request")

    def _read(self, message: frontend.StartupPacket) -> Startup:
        major, minor = message.version
        if major < 3 or message.code in _REQUESTS:
            raise StatementRefused(_unsupported(message))
        startup = read_startup(minor, frontend.startup_parameters(message.body))
        return startup if major == 3 else replace(startup, hopeless=True)


def _unsupported(message: frontend.StartupPacket) -> str:
    major, minor = message.version
    return f"unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{NEWEST_MINOR}"


def judge_replication(user: str, policy: Policy, observer: Observer) -> None:
    """Judge a replication connection, which nobody will look into; raises StatementRefused."""
    action = policy.statements.replication
    message = "a replication connection shows deleted rows, and takes SQL that the proxy does not read"
    if action is Action.REFUSE:
        raise StatementRefused(
            message,
            hint="Connect to the server itself. The configuration may say otherwise: "
            '[statements] replication = "warn".',
        )
    if action is Action.WARN:
        warned = StatementPlan(Kind.UTILITY, warnings=(Warned(StatementClass.REPLICATION.value, message),))
        observer.statement(warned, user, None)
        observer.hinted(warned, b"")


def _without_binding(body: bytes) -> bytes | None:
    """Return the server's list of mechanisms without those that bind to a channel: the client's is another one."""
    offered = backend.sasl_mechanisms(body)
    kept = [name for name in offered if not name.endswith(b"-PLUS")]
    return None if len(kept) in (0, len(offered)) else backend.sasl(kept)


def judge_state(startup: Startup, policy: Policy) -> None:
    """Judge what a session would start with, where none may keep anything; raises StatementRefused."""
    given = startup.visibility_given or startup.search_path is not None or startup.role is not None
    if policy.statements.session_state is Action.REFUSE and (given or startup.delete is not DeleteMode.SOFT):
        raise StatementRefused(
            "a session that may be another client's cannot start with a visibility, delete mode, search_path "
            "or role of its own",
            hint="Use SET LOCAL in a transaction, or a comment before the statement.",
        )


class Authentication:
    """Watch authentication pass: who may speak, and which protocol version the server agrees to."""

    def __init__(self, startup: Startup, *, other_way: bool = False) -> None:
        self._other_way = other_way
        self._minor = startup.minor
        self._extensions = startup.extensions
        self._hopeless = startup.hopeless
        self.waits_for_client = False
        self.stalled = False

    def read_client(self, scanner: Scanner) -> Event | None:
        """Let the client's answers pass; `stalled` is then whether it has sent what must wait.

        Raises ClientProtocolError.
        """
        try:
            while kind := scanner.next():
                if kind == frontend.TERMINATE:
                    return Event.END
                if not self._client_may_send(kind):
                    scanner.hold()
                    self.stalled = True
                    break
        except ClientProtocolError:
            scanner.hold()
            raise
        return None

    def turned_away(self, sqlstate: str) -> bool:
        """Tell whether an error says no more than that this way to connect is closed, and there is another."""
        return self._other_way and sqlstate == REFUSED

    def read_upstream(self, kind: int, body: bytes) -> bytes | None:
        """Look at what the server says of authentication; return what the client is told instead, if anything.

        Raises UpstreamProtocolError.
        """
        self._other_way = False
        match kind:
            case backend.AUTHENTICATION:
                self._request(body)
                return _without_binding(body)
            case backend.NEGOTIATE:
                self._negotiate(body)
            case _:
                raise UpstreamProtocolError(
                    f"the upstream server sent message type {kind} before it was ready"
                )
        return None

    def _client_may_send(self, kind: int) -> bool:
        if kind == frontend.PASSWORD:
            self.waits_for_client = False
            return True
        if self.waits_for_client:
            raise ClientProtocolError(f"expected password response, got message type {kind}")
        return False

    def _negotiate(self, body: bytes) -> None:
        """Check the server's NegotiateProtocolVersion."""
        version, unknown = backend.negotiated(body)
        major, minor = version >> 16, version & 0xFFFF
        if major not in (0, 3) or minor > NEWEST_MINOR or minor > self._minor:
            raise UpstreamProtocolError(f"the upstream server negotiated protocol version {version:#x}")
        self._minor = minor
        self._extensions -= unknown

    def _request(self, body: bytes) -> None:
        """Note an Authentication message; the first one ends the negotiation of the protocol."""
        code = backend.authentication_code(body)
        self.waits_for_client = code not in (backend.AUTHENTICATION_OK, backend.SASL_FINAL)
        if self._minor > NEWEST_MINOR or self._extensions:
            # Accepted without a word: from here on the protocol is one that nobody here has read.
            raise UpstreamProtocolError("the upstream server speaks a newer protocol than this proxy")

    def end(self, body: bytes) -> None:
        """Check the first ReadyForQuery."""
        if self._hopeless:
            raise UpstreamProtocolError("the upstream server accepted a startup packet that it should refuse")
        if backend.transaction_status(body) != backend.IDLE:
            raise UpstreamProtocolError("the upstream server began a session inside a transaction")
