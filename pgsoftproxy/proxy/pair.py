"""The two connections of a session: what is written to them, when they are read, how they end.

Knows connections and nothing of what flows. Must not decide why a session waits or ends; the relay says so.

Theory. Three things stop the reading of the client: the session waits for something, the upstream connection
takes no more, or (for good) its end of file. What stops the reading of upstream is a full client connection, or
answers that are held back. A client's end of file goes on to the server as soon as all that came ahead of it has.
When the session is over, both sides get an end of file after what was written to them, and what they still send is
read and thrown away: a socket that is closed with unread bytes makes the kernel answer with a reset, which
overtakes our last words.
"""

import asyncio
import contextlib
from collections.abc import Callable

from pgsoftproxy.kernel import Wire
from pgsoftproxy.proxy.tls import Tls
from pgsoftproxy.proxy.wires import Connection
from pgsoftproxy.session.session import Session

HIGH_WATER = 256 * 1024
LOW_WATER = 64 * 1024
LINGER_SECONDS = 3.0
"""How long each side may take to read the last words."""


class Pair:
    """A client's connection and, once it is made, its upstream connection."""

    __slots__ = (
        "_client",
        "_client_ended",
        "_client_full",
        "_finished",
        "_holding",
        "_reading_client",
        "_timer",
        "_upstream",
        "_upstream_full",
        "_waiting",
    )

    def __init__(self) -> None:
        self._client: Connection | None = None
        self._upstream: Connection | None = None
        self._waiting = False
        self._upstream_full = False
        self._client_full = False
        self._holding = False
        self._reading_client = True
        self._client_ended = False
        self._finished = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def gone(self) -> bool:
        """Tell whether both connections are closed."""
        return self._client is None and self._upstream is None

    def take_client(self, connection: Connection) -> None:
        """Take an accepted connection."""
        self._client = connection
        connection.set_write_buffer_limits(HIGH_WATER, LOW_WATER)

    def secure(self, over: Callable[[Wire], Tls], data: bytes) -> None:
        """Encrypt the client's connection, whose handshake begins with `data`, if any of it has come already."""
        if isinstance(self._client, Wire):
            self._client = tls = over(self._client)
            tls.start(data)

    def take_upstream(self, connection: Connection) -> None:
        """Take the connection that was asked for, unless it comes too late."""
        if self._finished or self._upstream is not None:  # given up, or timed out, in the moment it was made
            connection.abort()
            return
        self._upstream = connection
        connection.set_write_buffer_limits(HIGH_WATER, LOW_WATER)

    def forget_upstream(self) -> None:
        """Drop the upstream connection, for another one to be taken."""
        connection, self._upstream = self._upstream, None
        if connection is not None:
            connection.abort()

    def join(self, session: Session) -> None:
        """Let lane and scanners of the session carry bytes from one socket to the other, where both are plain."""
        client, upstream = self._client, self._upstream
        if isinstance(client, Wire) and isinstance(upstream, Wire):
            from_client, from_upstream = session.streams()
            client.join(upstream, session.lane, session.leave_lane)
            client.stream(*from_client)
            upstream.join(client, session.lane, session.leave_lane)
            upstream.stream(*from_upstream)

    def client_ended(self) -> None:
        """Note the client's end of file: it may still read, but nothing more comes from it."""
        self._client_ended = True

    def client_lost(self) -> None:
        """Note that the client's connection is closed."""
        self._client = None
        self._settle()

    def upstream_lost(self, connection: Connection) -> bool:
        """Note that an upstream connection is closed; return whether it was this session's."""
        if connection is not self._upstream:
            return False
        self._upstream = None
        self._settle()
        return True

    def send(self, to_client: list[bytes], to_upstream: list[bytes]) -> None:
        """Write what there is and empty the lists; what goes to the client stays there while it is held back."""
        if to_upstream:
            if self._upstream is not None and not self._finished:
                self._upstream.writelines(to_upstream)
            to_upstream.clear()
        if to_client and not self._holding:
            if self._client is not None and not self._finished:
                self._client.writelines(to_client)
            to_client.clear()

    def wait(self, waiting: bool) -> None:
        """Stop reading the client while the session waits; where that has ended, tell the server once it does not."""
        self._waiting = waiting
        if self._client_ended and not waiting:
            self._mirror_end()
        self._steer_client()

    def upstream_full(self, full: bool) -> None:
        """Stop reading the client while the server does not keep up."""
        self._upstream_full = full
        self._steer_client()

    def client_full(self, full: bool) -> None:
        """Stop reading the server while the client does not keep up."""
        self._client_full = full
        self._steer_upstream()

    def hold(self, holding: bool) -> None:
        """Keep back what is for the client, and read no more of it, or do not any longer."""
        if holding is not self._holding:
            self._holding = holding
            self._steer_upstream()

    def finish(self, later: Callable[[float, Callable[[], None]], asyncio.TimerHandle]) -> None:
        """Let both sides take what was written; `later(seconds, call)` sets the timer that drops who lingers."""
        self._finished = True
        for connection in (self._client, self._upstream):
            if connection is None or connection.is_closing():
                continue
            if connection is self._client and self._client_ended:
                connection.close()  # once all is written: there is nothing left to read
            else:
                _end(connection)
        if not self.gone:
            self._timer = later(LINGER_SECONDS, self.abort)

    def abort(self) -> None:
        """Drop both connections now."""
        self._finished = True
        for connection in (self._client, self._upstream):
            if connection is not None:
                connection.abort()

    def _steer_client(self) -> None:
        client = self._client
        reading = not (self._waiting or self._upstream_full)
        if self._finished or self._client_ended or client is None or client.is_closing():
            return
        if reading is self._reading_client:
            return
        self._reading_client = reading
        if reading:
            client.resume_reading()
        else:
            client.pause_reading()

    def _steer_upstream(self) -> None:
        upstream = self._upstream
        if upstream is None or upstream.is_closing():
            return
        if (self._client_full or self._holding) and not self._finished:
            upstream.pause_reading()
        else:
            upstream.resume_reading()

    def _mirror_end(self) -> None:
        # The server may look, while it works, whether its client is still there.
        upstream = self._upstream
        if self._finished or upstream is None or upstream.is_closing():
            return
        with contextlib.suppress(OSError):  # it was reset a moment ago, and the loop has not told us yet
            if isinstance(upstream, Tls):
                upstream.end_writing()
            else:
                upstream.write_eof()

    def _settle(self) -> None:
        if self.gone and self._timer is not None:
            self._timer.cancel()


def _end(connection: Connection) -> None:
    try:
        connection.write_eof()
    except OSError:
        connection.abort()  # it was reset a moment ago, and the loop has not told us yet
    else:
        connection.resume_reading()
