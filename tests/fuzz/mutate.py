"""Break a conversation: each mutation is a function of a random generator and turns; a seed tells it all.

Pure. Knows frames (a type, a length, a body), the types that either side has, and what is hard on a reader.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from tests.fuzz.transcript import CLIENT, Transcript, Turn

CLIENT_TYPES = b"QPBDECSHFXdcfp"
SERVER_TYPES = b"RKSZTDCEN123Itnsz" + b"GHWdcAvV"
LENGTHS = (0, 1, 3, 4, 5, 8, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0x3FFFFFFF, 10_000, 10_001, 65_536)
NUMBERS = (0, 1, 0x7FFF, 0x8000, 0xFFFF)
BAD_TEXTS = (
    b"\xff\xfe",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\x00",
    b"\x80" * 9,
    b"9" * 5000,
    b"\n",
)
TINY = {
    CLIENT: (b"S\0\0\0\4", b"H\0\0\0\4", b"Q\0\0\0\5\0", b"c\0\0\0\4", b"d\0\0\0\4", b"P\0\0\0\x08\0\0\0\0"),
    "server": (b"1\0\0\0\4", b"2\0\0\0\4", b"Z\0\0\0\5I", b"N\0\0\0\5\0", b"D\0\0\0\6\0\0", b"d\0\0\0\4"),
}

Turns = tuple[Turn, ...]
Mutation = Callable[[Random, Turns, Sequence[Transcript]], Turns]


def mutated(rng: Random, transcripts: Sequence[Transcript], side: str | None = None) -> tuple[Turns, str]:
    """Return some conversation with one to three mutations, and their names.

    With `side`, only what that side says is changed.
    """
    transcript = rng.choice(transcripts)
    turns, names = transcript.turns, [transcript.name]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        mutation = rng.choice(MUTATIONS)
        names.append(mutation.__name__)
        before = turns
        turns = mutation(rng, turns, transcripts)
        if side is not None:
            turns = _only(before, turns, side)
    return turns, " ".join(names)


def _only(before: Turns, after: Turns, side: str) -> Turns:
    """Return the turns with the changes of one side; the other says what it said before."""
    if len(before) != len(after):
        return tuple(turn for turn in after if turn.side == side) or before
    return tuple(new if new.side == side else old for old, new in zip(before, after, strict=True))


def cut(rng: Random, turns: Turns, _: Sequence[Transcript]) -> Turns:
    """End what one side says at any byte."""
    at = rng.randrange(len(turns))
    kept = turns[at].data[: rng.randrange(len(turns[at].data) + 1)]
    after = tuple(turn for turn in turns[at + 1 :] if turn.side != turns[at].side)
    return (*turns[:at], replace(turns[at], frames=(kept,)), *after)


def flip(rng: Random, turns: Turns, _: Sequence[Transcript]) -> Turns:
    """Change some bits of a frame."""

    def change(frame: bytes) -> bytes:
        changed = bytearray(frame)
        for _ in range(rng.choice((1, 1, 2, 8))):
            if changed:
                changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        return bytes(changed)

    return _on_frame(rng, turns, change)


def lie_about_length(rng: Random, turns: Turns, _: Sequence[Transcript]) -> Turns:
    """Give a frame a length that it has not."""

    def change(frame: bytes) -> bytes:
        head = _head(frame)
        real = int.from_bytes(frame[head : head + 4], "big")
        length = rng.choice((*LENGTHS, real - 1, real + 1, real + 5)) & 0xFFFFFFFF
        return frame[:head] + length.to_bytes(4, "big") + frame[head + 4 :]

    return _on_frame(rng, turns, change)


def retype(rng: Random, turns: Turns, _: Sequence[Transcript]) -> Turns:
    """Give a frame another type."""
    types = CLIENT_TYPES + SERVER_TYPES + bytes((0, 255, rng.randrange(256)))
    return _on_frame(rng, turns, lambda frame: bytes((rng.choice(types),)) + frame[1:])


def extreme_number(rng: Random, turns: Turns, _: Sequence[Transcript]) -> Turns:
    """Overwrite two or four bytes of a body by an extreme number."""

    def change(frame: bytes) -> bytes:
        head = _head(frame) + 4
        if len(frame) < head + 2:
            return frame
        at = rng.randrange(head, len(frame) - 1)
        number = rng.choice(NUMBERS).to_bytes(2, "big") * rng.choice((1, 2))
        return (frame[:at] + number + frame[at + len(number) :])[: len(frame)]

    return _on_frame(rng, turns, change)


def bad_text(rng: Random, turns: Turns, _: Sequence[Transcript]) -> Turns:
    """Put a NUL, broken UTF-8 or an endless number into a body, with a length that is right."""
    return _on_frame(rng, turns, lambda frame: _inserted(rng, frame, rng.choice(BAD_TEXTS)))


def foreign_body(rng: Random, turns: Turns, transcripts: Sequence[Transcript]) -> Turns:
    """Give a frame the body of another one."""

    def change(frame: bytes) -> bytes:
        other = rng.choice(rng.choice(rng.choice(transcripts).turns).frames or (b"",))
        return frame[:1] + other[1:]

    return _on_frame(rng, turns, change)


def shuffle(rng: Random, turns: Turns, _: Sequence[Transcript]) -> Turns:
    """Drop, repeat or reorder frames of a turn."""
    at = rng.randrange(len(turns))
    frames = list(turns[at].frames)
    if frames:
        match rng.randrange(3):
            case 0:
                del frames[rng.randrange(len(frames))]
            case 1:
                frames[rng.randrange(len(frames)) : 0] = [rng.choice(frames)] * rng.choice((1, 1, 2, 50))
            case _:
                rng.shuffle(frames)
    return _with(turns, at, frames)


def insert(rng: Random, turns: Turns, transcripts: Sequence[Transcript]) -> Turns:
    """Put a frame of another conversation somewhere, most often one of the same side."""
    at = rng.randrange(len(turns))
    side = turns[at].side
    donors = [turn for turn in rng.choice(transcripts).turns if turn.side == side or rng.random() < 0.1]
    donated = rng.choice(donors).frames if donors else ()
    frames = list(turns[at].frames)
    where = rng.randrange(len(frames) + 1)
    frames[where:where] = [rng.choice(donated)] if donated else []
    return _with(turns, at, frames)


def flood(rng: Random, turns: Turns, _: Sequence[Transcript]) -> Turns:
    """Put many tiny messages somewhere."""
    at = rng.randrange(len(turns))
    frames = list(turns[at].frames)
    kind = rng.choice(TINY[turns[at].side])
    frames.insert(rng.randrange(len(frames) + 1), kind * rng.choice((10, 300, 3000)))
    return _with(turns, at, frames)


def terminate(rng: Random, turns: Turns, _: Sequence[Transcript]) -> Turns:
    """Put a Terminate anywhere."""
    at = rng.choice([at for at, turn in enumerate(turns) if turn.side == CLIENT] or [0])
    frames = list(turns[at].frames)
    frames.insert(rng.randrange(len(frames) + 1), b"X\0\0\0\4")
    return _with(turns, at, frames)


def splice(rng: Random, turns: Turns, transcripts: Sequence[Transcript]) -> Turns:
    """Go on as another conversation does."""
    other = rng.choice(transcripts).turns
    return turns[: rng.randrange(len(turns) + 1)] + other[rng.randrange(len(other)) :] or turns


def move(rng: Random, turns: Turns, _: Sequence[Transcript]) -> Turns:
    """Let one turn come earlier or later than it should."""
    order = list(turns)
    turn = order.pop(rng.randrange(len(order)))
    order.insert(rng.randrange(len(order) + 1), turn)
    return tuple(order)


MUTATIONS: tuple[Mutation, ...] = (
    cut, flip, flip, lie_about_length, retype, extreme_number, bad_text, bad_text, foreign_body, shuffle, shuffle,
    insert, insert, flood, terminate, splice, move,
)  # fmt: skip


def _head(frame: bytes) -> int:
    return 0 if frame[:1] == b"\0" else 1


def _inserted(rng: Random, frame: bytes, text: bytes) -> bytes:
    head = _head(frame)
    at = rng.randrange(head + 4, len(frame) + 1) if len(frame) >= head + 4 else len(frame)
    body = frame[head + 4 : at] + text + frame[at:]
    return frame[:head] + (len(body) + 4).to_bytes(4, "big") + body


def _on_frame(rng: Random, turns: Turns, change: Callable[[bytes], bytes]) -> Turns:
    at = rng.randrange(len(turns))
    frames = list(turns[at].frames)
    if not frames:
        return turns
    number = rng.randrange(len(frames))
    frames[number] = change(frames[number])
    return _with(turns, at, frames)


def _with(turns: Turns, at: int, frames: Sequence[bytes]) -> Turns:
    return (*turns[:at], replace(turns[at], frames=tuple(frames)), *turns[at + 1 :])
