"""A session between a test and a real server: no relay, no event loop, only a blocking socket upstream.

`Line` is a connection to the server itself, `Through` one through a session; both answer in parsed messages.
"""

import itertools
import socket
from collections.abc import Callable, Iterator
from typing import NamedTuple, Self

from pgsoftproxy.db import inside
from pgsoftproxy.errors import UpstreamLost
from pgsoftproxy.model.catalog import Catalog
from pgsoftproxy.model.policy import Policy, TableRule, compile_policy
from pgsoftproxy.session.session import CatalogTexts, Need, Session
from pgsoftproxy.wire import backend, frontend
from tests.fix_servers import Database
from tests.playbook import Heard, fresh

TIMEOUT = 20.0
SOURCE = frozenset(b"FLR")
"""Fields of an error that say where in the server's source it was raised."""


class Message(NamedTuple):
    """One message of the server."""

    kind: str
    body: bytes

    @property
    def sqlstate(self) -> str:
        """Return the SQLSTATE of an error."""
        return self.field("C").decode()

    def field(self, letter: str) -> bytes:
        """Return a field of an error."""
        return dict(backend.error_fields(self.body))[ord(letter)]

    @property
    def told(self) -> tuple[str, object]:
        """Return what a client is told: type and body, of an error the fields without its place in the source."""
        if self.kind not in "EN":
            return self.kind, self.body
        return self.kind, [field for field in backend.error_fields(self.body) if field[0] not in SOURCE]


class Line:
    """A connection straight to the server; `pieces` cuts what goes through a session."""

    def __init__(self, database: Database, user: str | None = None) -> None:
        server = database.server
        self.socket = socket.create_connection((server.host, server.port), TIMEOUT)
        self._inbox = b""
        self.pieces: Callable[[bytes], Iterator[bytes]] = lambda data: iter((data,))
        self._log_in(user or server.user, database.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def ask(self, *frames: bytes, until: int = 1) -> list[Message]:
        """Send, then return all messages up to the so manieth ReadyForQuery."""
        self.send(b"".join(frames))
        messages: list[Message] = []
        while until:
            messages.append(self.message())
            until -= messages[-1].kind == "Z"
        return messages

    def all_of(self, data: bytes) -> list[Message]:
        """Send, then return all messages until the server closes."""
        self.send(data)
        messages: list[Message] = []
        while (message := self.next()) is not None:
            messages.append(message)
        return messages

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.socket.sendall(data)

    def receive(self) -> bytes:
        """Return the next bytes, none at the end."""
        return self.socket.recv(65536)

    def message(self) -> Message:
        """Return the next message."""
        message = self.next()
        assert message is not None, "the connection was closed"
        return message

    def next(self) -> Message | None:
        """Return the next message, None if the connection was closed."""
        while len(self._inbox) < 5 or len(self._inbox) < 1 + int.from_bytes(self._inbox[1:5], "big"):
            data = self.receive()
            if not data:
                return None
            self._inbox += data
        end = 1 + int.from_bytes(self._inbox[1:5], "big")
        frame, self._inbox = self._inbox[:end], self._inbox[end:]
        return Message(chr(frame[0]), frame[5:])

    def _log_in(self, user: str, database: str) -> None:
        pairs = ((b"user", user.encode()), (b"database", database.encode()))
        assert self.ask(frontend.startup(3 << 16, pairs))[0] == Message("R", bytes(4)), "the server trusts"


class Through(Line):
    """A connection through a session."""

    def __init__(self, database: Database, policy: Policy, user: str | None = None) -> None:
        self.heard = Heard()
        texts = CatalogTexts(inside.SETTINGS, inside.QUERY)
        self.session: Session = fresh(self.heard, texts=texts)
        self.policy = policy
        self.refreshed = 0
        self.read_inside = 0
        self.versions = itertools.count(1000)
        self.rules: tuple[TableRule, ...] = (TableRule("app.*"),)
        super().__init__(database, user)

    def send(self, data: bytes) -> None:
        """Give bytes to the session as the client's."""
        for piece in self.pieces(data):
            self.session.from_client(piece)
            self._serve()

    def receive(self) -> bytes:
        """Return what the session has for the client, from the server if it must."""
        while not self.session.to_client:
            if self.session.need is Need.CLOSE:
                return b""
            data = self.socket.recv(65536)
            if not data:
                self.session.fail(UpstreamLost("the server is gone"))
            for piece in self.pieces(data):
                self.session.from_upstream(piece)
                self._serve()
        out = b"".join(self.session.to_client)
        self.session.to_client.clear()
        return out

    def refresh(self) -> Policy:
        """Return the policy that follows once DDL is committed."""
        return self.policy

    def _compile(self, catalog: Catalog | None) -> Policy | None:
        if catalog is None:
            return None
        return compile_policy(self.rules, self.policy.grants, catalog, next(self.versions))[0]

    def _serve(self) -> None:
        if self.session.need is Need.CONNECT:
            self.session.connected(self.policy)
        elif self.session.need is Need.CATALOG:
            self.refreshed += 1
            self.session.catalog_refreshed(self.refresh())
        elif self.session.need is Need.COMPILE:
            self.read_inside += 1
            rows, base = self.session.catalog_rows()
            self.session.compiled(self._compile(inside.changed(rows, base.catalog)), base)
        out = b"".join(self.session.to_upstream)
        self.session.to_upstream.clear()
        if out:
            self.socket.sendall(out)
