"""The phases of a session, and what leads from one to the next. Nothing else decides a phase.

    STARTUP <--secured-- SECURING <--TLS request-- STARTUP
    STARTUP --startup packet--> CONNECTING --connected--> AUTHENTICATING --first ReadyForQuery--> READY
       \\--CancelRequest--> CANCELLING       or, of a replication connection, --> PASSING  any --end--> CLOSED

Until STARTUP is left, the client sends untyped packets (an SSLRequest and a GSSENCRequest may come first, each
once). In SECURING the relay encrypts the connection, and what the client sends is none of ours. In PROVING
the proxy itself asks for a proof of the password, where it is configured to, before it connects. In CONNECTING and
CANCELLING the relay works and the client's bytes wait. In AUTHENTICATING only the
upstream server knows what it wants from the client: its requests and the client's answers pass untouched. In
PASSING everything does, both ways. A server that refuses encryption, or its absence, turns us away at once; if there
is another way, that leads from AUTHENTICATING back to CONNECTING.
"""

from enum import Enum


class Phase(Enum):
    """Where a session stands."""

    STARTUP = "startup"
    SECURING = "securing"
    PROVING = "proving"
    CONNECTING = "connecting"
    CANCELLING = "cancelling"
    AUTHENTICATING = "authenticating"
    READY = "ready"
    PASSING = "passing"
    CLOSED = "closed"


class Event(Enum):
    """What moves a session on."""

    TLS_REQUEST = "TLS request"
    SECURED = "secured"
    STARTUP_PACKET = "startup packet"
    MUST_PROVE = "must prove"
    PROVEN = "proven"
    DISPROVEN = "disproven"
    CANCEL_REQUEST = "cancel request"
    CONNECTED = "connected"
    TURNED_AWAY = "turned away"
    READY_FOR_QUERY = "ready for query"
    READY_TO_REPLICATE = "ready to replicate"
    END = "end"


class Need(Enum):
    """What a session waits for its relay to do; while it is not NOTHING, client bytes only pile up."""

    NOTHING = "nothing"
    TLS = "tls"
    CHALLENGE = "challenge"
    REJECT = "reject"
    CONNECT = "connect"
    CANCEL = "cancel"
    CATALOG = "catalog"
    PLAN = "plan"
    COMPILE = "compile"
    CLOSE = "close"


NEXT = {
    (Phase.STARTUP, Event.TLS_REQUEST): Phase.SECURING,
    (Phase.SECURING, Event.SECURED): Phase.STARTUP,
    (Phase.STARTUP, Event.STARTUP_PACKET): Phase.CONNECTING,
    (Phase.STARTUP, Event.MUST_PROVE): Phase.PROVING,
    (Phase.PROVING, Event.PROVEN): Phase.CONNECTING,
    (Phase.STARTUP, Event.CANCEL_REQUEST): Phase.CANCELLING,
    (Phase.CONNECTING, Event.CONNECTED): Phase.AUTHENTICATING,
    (Phase.AUTHENTICATING, Event.TURNED_AWAY): Phase.CONNECTING,
    (Phase.AUTHENTICATING, Event.READY_FOR_QUERY): Phase.READY,
    (Phase.AUTHENTICATING, Event.READY_TO_REPLICATE): Phase.PASSING,
    **{(phase, Event.END): Phase.CLOSED for phase in Phase},
}

NEED_IN = {
    Phase.SECURING: Need.TLS,
    Phase.PROVING: Need.CHALLENGE,
    Phase.CONNECTING: Need.CONNECT,
    Phase.CANCELLING: Need.CANCEL,
    Phase.CLOSED: Need.CLOSE,
}
"""What a phase needs from the relay on entry; NOTHING where it is not listed."""
