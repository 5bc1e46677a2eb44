"""Replication connections: refused unless the configuration lets them pass, and then not looked into."""

from dataclasses import replace

from pgsoftproxy.model.routines import Action
from pgsoftproxy.model.statements import StatementRules
from pgsoftproxy.session.phase import Phase
from pgsoftproxy.session.session import Session
from pgsoftproxy.wire import backend, frontend
from tests.playbook import (
    AUTHENTICATED,
    TERMINATE,
    Client,
    Heard,
    Server,
    ToClient,
    Upstream,
    drain,
    fresh,
    play,
    ready,
    startup,
)
from tests.rewrite import example

ASKED = {"replication": "database", "database": "shop"}
SQL = frontend.query(b"SELECT * FROM app.users")
STREAM = backend.message(ord("W"), b"\0\0\0") + backend.message(ord("d"), b"w" + bytes(300))


def opened(action: Action, heard: Heard | None = None) -> Session:
    """Return a session that asked for replication and was connected."""
    session = fresh(heard)
    session.from_client(startup(ASKED))
    session.connected(replace(example.policy(), statements=StatementRules(replication=action)))
    return session


def streaming() -> Session:
    """Return a session that replicates."""
    session = opened(Action.ALLOW)
    session.from_upstream(AUTHENTICATED + ready())
    drain(session)
    assert session.phase is Phase.PASSING
    return session


def test_replication_is_refused_before_the_server_hears_of_it() -> None:
    session = opened(Action.REFUSE)
    to_client, to_upstream = drain(session)
    assert b"C0A000\0" in to_client
    assert b"[statements] replication" in to_client
    assert to_upstream == b""
    assert session.phase is Phase.CLOSED


def test_replication_is_warned_of_once_a_connection() -> None:
    heard = Heard()
    session = opened(Action.WARN, heard)
    assert drain(session)[1] == startup(ASKED)
    assert len(heard.hints) == 1
    quiet = Heard()
    opened(Action.ALLOW, quiet)
    assert quiet.hints == []


def test_everything_passes_both_ways_wherever_it_is_cut() -> None:
    play(
        streaming,
        [
            Client(SQL + frontend.message(ord("d"), b"r" + bytes(33)) + TERMINATE),
            Upstream(SQL + frontend.message(ord("d"), b"r" + bytes(33)) + TERMINATE),
            Server(STREAM + ready() + backend.message(ord("~"), b"unheard of")),
            ToClient(STREAM + ready() + backend.message(ord("~"), b"unheard of")),
        ],
    )


def test_what_a_client_sends_too_early_waits_for_the_end_of_authentication() -> None:
    session = opened(Action.ALLOW)
    drain(session)
    session.from_client(SQL)
    assert drain(session) == (b"", b"")
    session.from_upstream(AUTHENTICATED + ready())
    assert drain(session) == (AUTHENTICATED + ready(), SQL)


def test_a_session_that_replicates_is_never_idle() -> None:
    session = streaming()
    assert not session.idle
    session.client_closed()
    assert session.phase is Phase.CLOSED
