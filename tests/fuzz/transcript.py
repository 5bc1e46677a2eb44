"""Recorded conversations of both directions, as values and as files.

A file holds one turn a line: who speaks (`client`, `server`), a blank, and the bytes with escapes. Knows where
frames begin, nothing of what they mean. `record` writes the files.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "transcripts"
CLIENT, SERVER = "client", "server"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side says before the other does, in frames; a mutated frame may be any bytes."""

    side: str
    frames: tuple[bytes, ...]

    @property
    def data(self) -> bytes:
        """Return its bytes."""
        return b"".join(self.frames)


@dataclass(frozen=True, slots=True)
class Transcript:
    """A conversation from its startup packet to its end."""

    name: str
    turns: tuple[Turn, ...]


def split(data: bytes) -> tuple[bytes, ...]:
    """Return the frames of a turn; what is no whole frame comes as one piece at the end."""
    return tuple(_frames(data))


def _frames(data: bytes) -> Iterator[bytes]:
    while data:
        # The packets before authentication have no type, and are so short that their first byte is 0.
        head = 0 if data[0] == 0 else 1
        length = int.from_bytes(data[head : head + 4], "big")
        end = head + length
        if len(data) < head + 4 or length < 4 or end > len(data):
            end = len(data)
        yield data[:end]
        data = data[end:]


def dump(turns: Iterable[Turn]) -> str:
    """Return the text of a file."""
    return "".join(f"{turn.side} {escaped(turn.data)}\n" for turn in turns)


def load() -> tuple[Transcript, ...]:
    """Return all recorded conversations, in the order of their names."""
    return tuple(_read(path) for path in sorted(FOLDER.glob("*.txt")))


def escaped(data: bytes) -> str:
    """Return bytes as ASCII."""
    return data.decode("latin-1").encode("unicode_escape").decode()


def _read(path: Path) -> Transcript:
    turns = []
    for line in path.read_text().splitlines():
        side, _, text = line.partition(" ")
        data = text.encode().decode("unicode_escape").encode("latin-1")
        # The answer to an SSLRequest is a bare letter, alone in its turn.
        turns.append(Turn(side, split(data)))
    return Transcript(path.stem, tuple(turns))
