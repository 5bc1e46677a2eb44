"""TLS over a wire: a connection like any other to its owner, to the wire an owner like any other.

Must not know sessions, nor why a connection is encrypted. The wire keeps what a slow peer does not take; nothing waits
here, so back-pressure is the wire's own.
"""

import contextlib
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pgsoftproxy.proxy.wires import Connection, Owner

READ_BYTES = 64 * 1024
ALPN = "postgresql"


@dataclass(frozen=True, slots=True)
class Handshake:
    """How a handshake is made: by which context, on which side, and, as a client, with which server."""

    context: ssl.SSLContext
    server_side: bool
    host: str | None = None


class Tls:
    """A TLS connection; `done` is told of the end of its handshake: None, or why it failed.

    A failed one sends its alert and closes; its owner is told so as of any lost connection.
    """

    def __init__(
        self, wire: Connection, owner: Owner, how: Handshake, done: Callable[[ssl.SSLError | None], None]
    ) -> None:
        self._wire = wire
        self._owner = owner
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = how.context.wrap_bio(
            self._incoming, self._outgoing, server_side=how.server_side, server_hostname=how.host
        )
        self._done = done
        self._secured = False
        self._over = False  # nothing more is read or written here
        self._peer_ended = False

    def own(self, owner: Owner) -> None:
        """Tell another owner from now on."""
        self._owner = owner

    @property
    def alpn(self) -> str | None:
        """Return the protocol that both sides have agreed upon."""
        return self._object.selected_alpn_protocol()

    @property
    def peer(self) -> dict[str, Any]:
        """Return the peer's certificate as `ssl` decodes it: empty if there is none, or nobody has verified it."""
        return self._object.getpeercert() or {}

    def start(self, data: bytes = b"") -> None:
        """Begin the handshake with what has come already; the wire must have this as its owner."""
        self.data_received(data)

    # What the wire tells.

    def data_received(self, data: bytes) -> None:
        """Take ciphertext."""
        if self._over:
            return
        if data:
            self._incoming.write(data)
        if not self._secured and not self._shake():
            return
        chunks: list[bytes] = []
        ended = False
        broken: ssl.SSLError | None = None
        try:
            while chunk := self._object.read(READ_BYTES):
                chunks.append(chunk)
            ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            ended = True
        except ssl.SSLError as error:
            broken = error
        self._flush()
        if chunks:
            self._owner.data_received(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        if broken is not None:
            self._over = True
            self._wire.close()
        elif ended and not self.eof_received():
            self.close()

    def eof_received(self) -> bool:
        """Take the end of file, said in the protocol or by the socket; return whether it stays open for writing."""
        if self._peer_ended:
            return not self._wire.is_closing()
        self._peer_ended = True
        return self._owner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the wire is closed."""
        self._over = True
        self._owner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Tell the owner that more waits than should."""
        self._owner.pause_writing()

    def resume_writing(self) -> None:
        """Tell the owner that little waits again."""
        self._owner.resume_writing()

    # What the owner asks.

    def writelines(self, list_of_data: Iterable[bytes]) -> None:
        """Write, in this order; what is written before the end of the handshake is for nobody, and lost."""
        data = b"".join(list_of_data)
        if not data or not self._secured or self._over or self._wire.is_closing():
            return
        try:
            self._object.write(data)
        except ssl.SSLError:
            self._over = True
            self._wire.abort()
        else:
            self._flush()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set from which number of waiting bytes on the owner is told to pause, and to go on."""
        self._wire.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        """Read no more for now."""
        self._wire.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._wire.resume_reading()

    def write_eof(self) -> None:
        """Say, once all is written, that no more comes; raises OSError if the peer is gone."""
        self._say_goodbye()
        self._wire.write_eof()

    def end_writing(self) -> None:
        """Say by the socket alone that no more comes, and go on reading; raises OSError if the peer is gone."""
        self._wire.write_eof()

    def is_closing(self) -> bool:
        """Tell whether it is closed or being closed."""
        return self._wire.is_closing()

    def close(self) -> None:
        """Close it once all is written."""
        self._say_goodbye()
        self._wire.close()

    def abort(self) -> None:
        """Close it now."""
        self._over = True
        self._wire.abort()

    def _shake(self) -> bool:
        failed: ssl.SSLError | None = None
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            failed = error
        self._flush()  # its last words, or the alert
        self._secured = failed is None
        if failed is not None:
            self._over = True
        self._done(failed)
        if failed is not None:
            self._wire.close()
        return self._secured and not self._over

    def _say_goodbye(self) -> None:
        """Send the close_notify; what still comes is thrown away unread."""
        if self._over:
            return
        self._over = True
        if self._secured:
            # It would wait for the peer's, which nobody here does.
            with contextlib.suppress(ssl.SSLError):
                self._object.unwrap()
            self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._wire.writelines((self._outgoing.read(),))
