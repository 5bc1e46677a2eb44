"""What the operator's port answers, and a server of it for who has an event loop with nothing else to do.

Must not know sockets of clients, nor where figures come from.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from prometheus_client import exposition

from pgsoftproxy.errors import ConfigError

SLOW_CLIENT_SECONDS = 10.0
HEALTHY = "ok\n"
NOT_FOUND = "try /metrics, /healthz or /readyz\n"
DRAINING = "draining\n"
UNREAD = "the catalog could not be read yet\n"
READY = "ready\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body and its type."""

    status: HTTPStatus
    body: bytes
    kind: str = "text/plain; charset=utf-8"


def words(text: str, *, good: bool = True) -> Answer:
    """Return a short answer for a probe."""
    return Answer(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE, text.encode())


def readiness(*, ready: bool, draining: bool) -> Answer:
    """Return the answer of /readyz."""
    if draining:
        return words(DRAINING, good=False)
    return words(READY) if ready else words(UNREAD, good=False)


def exposed(registry: Any, accept: str) -> Answer:
    """Return the answer of /metrics, in the form that is asked for; all it needs is `collect`."""
    encode, kind = exposition.choose_encoder(accept)
    return Answer(HTTPStatus.OK, encode(registry), kind)


Page = Callable[[str, str], Awaitable[Answer]]
"""(path, Accept header) to an answer."""


class PagesServer:
    """Serves pages on the running loop; `port` is the real one. Without a thread: its process forks."""

    def __init__(self, host: str, port: int) -> None:
        try:
            family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._socket = socket.create_server(place, family=family)
        except OSError as error:
            reason = error.strerror or error
            raise ConfigError((f"metrics: cannot listen on {host}:{port}: {reason}",)) from error
        self.port = int(self._socket.getsockname()[1])
        self._server: asyncio.Server | None = None

    async def open(self, page: Page) -> None:
        """Begin to answer."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _serve(page, reader, writer)

        self._server = await asyncio.start_server(serve, sock=self._socket)

    def close(self) -> None:
        """Release the port."""
        if self._server is not None:
            self._server.close()
        self._socket.close()


async def _serve(page: Page, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        async with asyncio.timeout(SLOW_CLIENT_SECONDS):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ", 2)
            fields = dict(line.split(":", 1) for line in head[1:] if ":" in line)
            accept = next((value for name, value in fields.items() if name.lower() == "accept"), "")
            if method == "GET":
                answer = await page(path.partition("?")[0], accept.strip())
            else:
                answer = Answer(HTTPStatus.NOT_IMPLEMENTED, b"")
            writer.write(_response(answer))
            await writer.drain()
    writer.close()


def _response(answer: Answer) -> bytes:
    status = answer.status
    lines = (
        f"HTTP/1.0 {status.value} {status.phrase}",
        "Server: pgsoftproxy",
        f"Content-Type: {answer.kind}",
        f"Content-Length: {len(answer.body)}",
    )
    return "\r\n".join((*lines, "", "")).encode() + answer.body
