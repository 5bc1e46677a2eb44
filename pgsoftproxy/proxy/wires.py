"""What a session asks of its connections, and what they tell it; `kernel/wires` has the plain sockets.

Contracts only: a connection may be a wire of the kernel, or a transport of the event loop.
"""

from collections.abc import Iterable
from typing import Protocol


class Owner(Protocol):
    """What a connection tells about itself."""

    def data_received(self, data: bytes) -> None:
        """Take bytes."""

    def eof_received(self) -> bool:
        """Take the end of file; return whether the connection stays open for writing."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is closed."""

    def pause_writing(self) -> None:
        """Note that more waits than should."""

    def resume_writing(self) -> None:
        """Note that little waits again."""


class Connection(Protocol):
    """What a session asks of either of its connections."""

    def writelines(self, list_of_data: Iterable[bytes]) -> None:
        """Write, in this order."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set from which number of waiting bytes on the owner is told to pause, and to go on."""

    def pause_reading(self) -> None:
        """Read no more for now."""

    def resume_reading(self) -> None:
        """Read again."""

    def write_eof(self) -> None:
        """Say, once all is written, that no more comes."""

    def is_closing(self) -> bool:
        """Tell whether it is closed or being closed."""

    def close(self) -> None:
        """Close it once all is written."""

    def abort(self) -> None:
        """Close it now."""
