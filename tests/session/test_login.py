"""From the first byte to the first ReadyForQuery, as a conversation."""

import pytest

from pgsoftproxy.errors import UpstreamUnavailable
from pgsoftproxy.session.phase import Phase
from pgsoftproxy.session.session import Need, Session
from pgsoftproxy.wire import backend, frontend
from tests.playbook import (
    AUTHENTICATED,
    SYNC,
    TERMINATE,
    Call,
    Client,
    Heard,
    Server,
    ToClient,
    Upstream,
    answer,
    ask,
    drain,
    error,
    fatal,
    fresh,
    play,
    ready,
    rows,
    startup,
    status,
)
from tests.rewrite import example

SSL = frontend.request(frontend.SSL_REQUEST)
GSSENC = frontend.request(frontend.GSSENC_REQUEST)
KEY = backend.message(backend.BACKEND_KEY, bytes(8))
ENCODING = status("client_encoding", "UTF8")
SELECT = frontend.query(b"SELECT 1")
PASSWORD_REQUEST = backend.message(backend.AUTHENTICATION, (3).to_bytes(4, "big"))
PASSWORD = frontend.message(frontend.PASSWORD, b"secret\0")


def connect(session: Session) -> None:
    """Answer Need.CONNECT."""
    assert session.need is Need.CONNECT
    session.connected(example.policy())


CONNECT = Call(connect)


def negotiate(version: int, *options: bytes) -> bytes:
    """Build a NegotiateProtocolVersion."""
    body = (
        version.to_bytes(4, "big")
        + len(options).to_bytes(4, "big")
        + b"".join(one + b"\0" for one in options)
    )
    return backend.message(backend.NEGOTIATE, body)


def test_trust_login_is_relayed() -> None:
    session = play(
        fresh,
        [
            Client(startup()),
            CONNECT,
            Upstream(startup()),
            Server(AUTHENTICATED, ENCODING, KEY, ready()),
            ToClient(AUTHENTICATED, ENCODING, KEY, ready()),
            Client(SELECT),
            Upstream(SELECT),
        ],
    )
    assert (session.user, session.database, session.ready_once) == ("web", "web", True)


def test_who_asks_for_what_is_known_when_a_connection_is_needed() -> None:
    session = fresh()
    session.from_client(startup({"database": "shop", "application_name": "till"}))
    assert session.need is Need.CONNECT
    assert (session.user, session.database, session.application_name) == ("web", "shop", "till")


def test_password_exchange_is_relayed_untouched() -> None:
    sasl = backend.message(backend.AUTHENTICATION, (10).to_bytes(4, "big") + b"SCRAM-SHA-256\0\0")
    more = backend.message(backend.AUTHENTICATION, (11).to_bytes(4, "big") + b"r=...")
    final = backend.message(backend.AUTHENTICATION, (12).to_bytes(4, "big") + b"v=...")
    play(
        fresh,
        [
            Client(startup()),
            CONNECT,
            Upstream(startup()),
            Server(sasl),
            ToClient(sasl),
            Client(PASSWORD),
            Upstream(PASSWORD),
            Server(more),
            ToClient(more),
            Client(PASSWORD),
            Upstream(PASSWORD),
            Server(final, AUTHENTICATED, ready()),
            ToClient(final, AUTHENTICATED, ready()),
        ],
    )


def test_both_requests_for_encryption_are_declined() -> None:
    declined = [Client(SSL), ToClient(b"N"), Client(GSSENC), ToClient(b"N")]
    play(fresh, [*declined, Client(startup()), CONNECT, Upstream(startup())])


@pytest.mark.parametrize(("request_", "name"), [(SSL, "SSL"), (GSSENC, "GSSAPI encryption")])
def test_bytes_sent_with_a_request_for_encryption_end_the_session(request_: bytes, name: str) -> None:
    session = fresh()
    session.from_client(request_ + startup())
    message = fatal("08P01", f"received unencrypted data after {name} request")
    assert drain(session) == (b"N" + message, b"")
    assert session.need is Need.CLOSE


def test_a_second_request_for_encryption_is_no_protocol_version() -> None:
    message = fatal("0A000", "unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2")
    session = play(fresh, [Client(SSL), ToClient(b"N"), Client(SSL), ToClient(message)])
    assert session.need is Need.CLOSE


def test_a_cancel_request_is_the_relays_to_forward() -> None:
    packet = frontend.request(frontend.CANCEL_REQUEST, bytes(32))
    session = play(fresh, [Client(SSL), ToClient(b"N"), Client(packet)])
    assert (session.need, session.cancel_request) == (Need.CANCEL, packet)


def test_protocol_2_is_refused_by_name_in_its_own_form() -> None:
    session = fresh()
    session.from_client(startup(version=(2, 0)))
    message = b"unsupported frontend protocol 2.0: server supports 3.0 to 3.2"
    assert drain(session)[0] == b"EFATAL:  " + message + b"\n\0"
    assert session.need is Need.CLOSE


def test_a_version_from_the_future_is_left_for_the_server_to_refuse() -> None:
    packet, no = startup(version=(4, 0)), error(b"0A000", b"unsupported frontend protocol 4.0", b"FATAL")
    session = play(fresh, [Client(packet), CONNECT, Upstream(packet), Server(no), ToClient(no)])
    assert session.need is Need.CLOSE


def test_a_packet_that_the_server_should_refuse_and_accepts_ends_the_session() -> None:
    message = fatal("08P01", "the upstream server accepted a startup packet that it should refuse")
    for packet in (startup(version=(4, 0)), startup({"options": "-c"})):
        replies = [Server(AUTHENTICATED, ready()), ToClient(AUTHENTICATED, message)]
        play(fresh, [Client(packet), CONNECT, Upstream(packet), *replies])


def test_a_newer_minor_version_with_options_is_negotiated_down() -> None:
    packet = startup({"_pq_.one": "1", "_pq_.two": ""}, version=(3, 9999))
    reply = negotiate(3 << 16 | 2, b"_pq_.one", b"_pq_.two")
    play(
        fresh,
        [
            Client(packet),
            CONNECT,
            Upstream(packet),
            Server(reply, AUTHENTICATED, KEY, ready()),
            ToClient(reply, AUTHENTICATED, KEY, ready()),
        ],
    )


@pytest.mark.parametrize(
    ("version", "parameters", "reply"),
    [
        ((3, 9999), {}, b""),
        ((3, 3), {}, b""),
        ((3, 0), {"_pq_.one": "1"}, b""),
        ((3, 9999), {"_pq_.one": "1"}, negotiate(3 << 16)),
        ((3, 9999), {}, negotiate(3 << 16 | 3)),
        ((3, 0), {"_pq_.one": "1"}, negotiate(3 << 16 | 2, b"_pq_.one")),
        ((3, 9999), {}, negotiate(4 << 16)),
    ],
)
def test_a_protocol_that_this_proxy_has_not_read_ends_the_session(
    version: tuple[int, int], parameters: dict[str, str], reply: bytes
) -> None:
    session = fresh()
    ask(session, startup(parameters, version))
    connect(session)
    drain(session)
    out = answer(session, reply, AUTHENTICATED, ready())
    assert session.need is Need.CLOSE
    assert b"08P01" in out and ready() not in out


def test_protocol_3_2_needs_no_negotiation() -> None:
    session = fresh()
    ask(session, startup(version=(3, 2)))
    connect(session)
    assert answer(session, AUTHENTICATED, ready()) == AUTHENTICATED + ready()


def test_statements_sent_early_wait_for_the_end_of_authentication() -> None:
    play(
        fresh,
        [
            Client(startup()),
            CONNECT,
            Upstream(startup()),
            Client(SELECT, SELECT),
            Server(AUTHENTICATED, KEY),
            ToClient(AUTHENTICATED, KEY),
            Server(ready()),
            ToClient(ready()),
            Upstream(SELECT, SELECT),
        ],
    )


def test_statements_sent_with_the_startup_packet_wait_too() -> None:
    session = fresh()
    session.from_client(startup() + SELECT)
    connect(session)
    assert drain(session) == (b"", startup())
    assert session.stalled
    session.from_upstream(AUTHENTICATED + ready())
    assert drain(session) == (AUTHENTICATED + ready(), SELECT)
    assert not session.stalled


def test_a_statement_where_the_server_wants_a_password_ends_the_session() -> None:
    session = fresh()
    ask(session, startup())
    connect(session)
    drain(session)
    answer(session, PASSWORD_REQUEST)
    session.from_client(SELECT)
    assert drain(session) == (fatal("08P01", "expected password response, got message type 81"), b"")


def test_a_statement_sent_early_is_refused_behind_the_whole_request_for_a_password() -> None:
    request = backend.message(backend.AUTHENTICATION, (10).to_bytes(4, "big") + b"SCRAM-SHA-256\0\0")
    wrong = fatal("08P01", "expected password response, got message type 81")
    script = [
        Client(startup()),
        CONNECT,
        Upstream(startup()),
        Client(SELECT),
        Server(request),
        ToClient(request, wrong),
    ]
    assert play(fresh, script).need is Need.CLOSE


def test_a_login_that_the_server_refuses_is_refused_in_its_words() -> None:
    no = error(b"28P01", b"password authentication failed", b"FATAL")
    heard = Heard()
    session = play(
        lambda: fresh(heard),
        [Client(startup()), CONNECT, Upstream(startup()), Server(no), ToClient(no)],
    )
    assert session.need is Need.CLOSE
    assert set(heard.errors) == {"28P01"}


def test_a_client_may_leave_in_the_middle_of_the_login() -> None:
    session = play(
        fresh, [Client(startup()), CONNECT, Upstream(startup()), Client(TERMINATE), Upstream(TERMINATE)]
    )
    assert session.need is Need.CLOSE


@pytest.mark.parametrize(
    "data", [b"\0\0\0\0", b"\0\0\0\7\0\3\0", b"GET / HTTP/1.1\r\n", b"\xff\xff\xff\xff\0\3\0\0"]
)
def test_a_first_packet_of_an_impossible_length_ends_the_session_without_a_word(data: bytes) -> None:
    session = fresh()
    session.from_client(data)
    assert drain(session) == (b"", b"")
    assert session.need is Need.CLOSE


def test_what_the_role_may_not_is_refused_before_the_server_is_asked() -> None:
    session = fresh()
    ask(session, startup({"pgsoftproxy.visibility": "all"}))
    connect(session)
    to_client, to_upstream = drain(session)
    assert b"42501" in to_client and not to_upstream
    assert session.need is Need.CLOSE


def test_what_the_role_may_is_in_force_from_the_first_statement() -> None:
    session = fresh()
    ask(session, startup({"user": "support", "pgsoftproxy.visibility": "all"}))
    connect(session)
    answer(session, AUTHENTICATED, ready())
    drain(session)
    text = frontend.query(b"SELECT * FROM app.users")
    assert ask(session, text) == text


def test_a_database_that_cannot_be_served_is_a_clear_error() -> None:
    session = fresh()
    ask(session, startup())
    session.fail(UpstreamUnavailable("the database cannot be read", hint="Try again."))
    assert drain(session) == (fatal("57P03", "the database cannot be read", "Try again."), b"")
    assert session.phase is Phase.CLOSED


@pytest.mark.parametrize(
    ("name", "value"), [("client_encoding", "EUC_JP"), ("standard_conforming_strings", "off")]
)
def test_a_server_that_starts_with_an_unreadable_setting_ends_the_session(name: str, value: str) -> None:
    session = fresh()
    ask(session, startup())
    connect(session)
    drain(session)
    out = answer(session, AUTHENTICATED, status(name, value), ready())
    assert out.startswith(AUTHENTICATED + b"E") and b"0A000" in out
    assert session.need is Need.CLOSE


@pytest.mark.parametrize("frame", [rows(), error(b"42601"), backend.message(ord("D"), b"\0\0"), ready(b"T")])
def test_a_reply_that_does_not_belong_into_a_login_ends_the_session(frame: bytes) -> None:
    session = fresh()
    ask(session, startup())
    connect(session)
    drain(session)
    answer(session, AUTHENTICATED, frame)
    assert session.need is Need.CLOSE


def test_nothing_is_read_from_a_client_that_has_been_refused() -> None:
    session = fresh()
    ask(session, startup(version=(2, 0)))
    assert ask(session, startup(), SYNC) == b""


@pytest.mark.parametrize("length", [4, 32, 256])
def test_cancel_keys_of_any_length_pass_both_ways(length: int) -> None:
    key = backend.message(backend.BACKEND_KEY, bytes(range(length // 4)) * 4 + b"\0\0\0\7")
    cancel = frontend.request(frontend.CANCEL_REQUEST, b"\0\0\0\7" + bytes(length))
    session = play(fresh, [Client(startup(version=(3, 2))), CONNECT, Upstream(startup(version=(3, 2))),
        Server(AUTHENTICATED, key, ready()), ToClient(AUTHENTICATED, key, ready())])  # fmt: skip
    assert session.idle
    other = play(fresh, [Client(cancel)])
    assert (other.need, other.cancel_request) == (Need.CANCEL, cancel)


def test_a_client_that_ends_behind_its_startup_is_answered_what_it_has_sent_along() -> None:
    session = play(
        fresh,
        [
            Client(startup(), frontend.query(b"SELECT 1")),
            CONNECT,
            Upstream(startup()),
            Call(lambda session: session.client_closed()),
            Server(AUTHENTICATED, ready()),
            ToClient(AUTHENTICATED, ready()),
            Upstream(frontend.query(b"SELECT 1")),
            Server(rows(), ready()),
            ToClient(rows(), ready()),
        ],
    )
    assert session.need is Need.CLOSE


def test_a_client_that_ends_when_asked_for_its_password_is_gone() -> None:
    asked = backend.message(backend.AUTHENTICATION, (3).to_bytes(4, "big"))
    for before in (True, False):
        session = fresh()
        ask(session, startup())
        connect(session)
        if not before:
            answer(session, asked)
        session.client_closed()
        assert session.need is (Need.NOTHING if before else Need.CLOSE)
        answer(session, asked)
        assert session.need is Need.CLOSE
