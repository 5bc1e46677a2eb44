"""What one side may send: which frames, how long, and how much of each somebody must look at.

Knows the layout of frames and the limits of their lengths, not what they mean. `kernel/scanner` cuts by these rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pgsoftproxy.errors import ClientProtocolError, UpstreamProtocolError

PASS = -1
"""Wanted from a frame that nobody looks at."""

HEADER = 5
"""Bytes of a frame ahead of its body: its type, and a length that counts itself."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What one side may send in one phase, by type byte: the longest length, and how much of the body is wanted."""

    error: type[ClientProtocolError] | type[UpstreamProtocolError]
    side: str
    limits: tuple[int, ...]
    wanted: tuple[int, ...]

    @classmethod
    def of(
        cls,
        error: type[ClientProtocolError] | type[UpstreamProtocolError],
        side: str,
        frames: Mapping[int, tuple[int, int]],
    ) -> "Rules":
        """Build rules from a map of type byte to (longest length, bytes of the body wanted)."""
        limits = [0] * 256
        wanted = [PASS] * 256
        for kind, (limit, want) in frames.items():
            limits[kind] = limit
            wanted[kind] = want
        return cls(error, side, tuple(limits), tuple(wanted))

    def bad(self, kind: int) -> ClientProtocolError | UpstreamProtocolError:
        """Return the error of a frame that these rules do not allow."""
        if self.limits[kind] == 0:
            return self.error(f"invalid {self.side} message type {kind}")
        return self.error("invalid message length")
