"""The frame scanner: the same pieces at every cut, as few slices as can be, nothing big held back."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsoftproxy.errors import ClientProtocolError, UpstreamProtocolError
from pgsoftproxy.wire.framing import PASS, Rules, Scanner

LIMIT = 1000
RULES = Rules.of(
    ClientProtocolError,
    "frontend",
    {ord("p"): (LIMIT, PASS), ord("w"): (LIMIT, LIMIT), ord("h"): (LIMIT, 6), ord("t"): (LIMIT, 0)},
)
OTHER = Rules.of(UpstreamProtocolError, "backend", {ord("x"): (LIMIT, LIMIT)})


def frame(kind: str, body: bytes) -> bytes:
    """Build a frame."""
    return kind.encode() + (len(body) + 4).to_bytes(4, "big") + body


def scan(
    pieces: list[bytes], dropped: str = "", replaced: str = ""
) -> tuple[list[tuple[str, bytes, bool]], bytes]:
    """Return the wanted frames (type, wanted part, whether that is all) and the bytes that pass."""
    scanner, seen, passed = Scanner(RULES), [], bytearray()
    for piece in pieces:
        scanner.feed(piece)
        while kind := scanner.next():
            seen.append((chr(kind), scanner.body(), scanner.whole))
            if chr(kind) in replaced:
                passed += scanner.drop() + b"<" + chr(kind).encode() + b">"
            elif chr(kind) in dropped:
                passed += scanner.drop()
        passed += scanner.flush()
    return seen, bytes(passed)


def cut_at(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut bytes at some places."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[begin:end] for begin, end in pairwise(places)]


frames = st.lists(st.tuples(st.sampled_from("pwht"), st.binary(max_size=20)), max_size=12)
cuts = st.lists(st.integers(0, 500), max_size=30)


@given(frames, cuts, st.sampled_from(["", "w", "h", "t", "wht"]), st.sampled_from(["", "w", "h"]))
def test_every_cut_gives_the_same_frames_and_the_same_bytes(
    frames: list[tuple[str, bytes]], cuts: list[int], dropped: str, replaced: str
) -> None:
    data = b"".join(frame(*one) for one in frames)
    seen, passed = scan(cut_at(data, cuts), dropped, replaced)
    wanted = {"w": LIMIT, "h": 6, "t": 0}
    assert seen == [
        (kind, body[: wanted[kind]], len(body) <= wanted[kind]) for kind, body in frames if kind in wanted
    ]
    expected = []
    for kind, body in frames:
        if kind in replaced:
            expected.append(b"<" + kind.encode() + b">")
        elif kind not in dropped:
            expected.append(frame(kind, body))
    assert passed == b"".join(expected)


@given(frames, st.integers(1, 7))
def test_a_held_frame_comes_again_and_what_is_fed_meanwhile_waits(
    frames: list[tuple[str, bytes]], size: int
) -> None:
    data = b"".join(frame(*one) for one in frames)
    scanner, seen, passed = Scanner(RULES), [], bytearray()
    for at in range(0, len(data), size):
        scanner.feed(data[at : at + size])
        if scanner.next():
            scanner.hold()
        passed += scanner.flush()
    while kind := scanner.next():
        seen.append((chr(kind), scanner.body()))
    passed += scanner.flush()
    wanted = {"w": LIMIT, "h": 6, "t": 0}
    assert bytes(passed) == data
    assert seen == [(kind, body[: wanted[kind]]) for kind, body in frames if kind in wanted]


def test_a_chunk_that_needs_no_change_leaves_as_the_same_object() -> None:
    scanner = Scanner(RULES)
    chunk = frame("p", b"row") * 3 + frame("w", b"seen") + frame("p", b"row")
    scanner.feed(chunk)
    while scanner.next():
        pass
    assert scanner.flush() is chunk


def test_a_big_frame_that_passes_is_never_held_back() -> None:
    rules = Rules.of(ClientProtocolError, "frontend", {ord("p"): (1 << 30, PASS), ord("h"): (1 << 30, 16)})
    for kind in "ph":
        scanner = Scanner(rules)
        scanner.feed(kind.encode() + (300 << 20).to_bytes(4, "big") + bytes(100))
        scanner.next()
        assert len(scanner.flush()) == 105
        for _ in range(10):
            scanner.feed(bytes(1 << 16))
            assert scanner.next() == 0
            assert len(scanner.flush()) == 1 << 16
        assert scanner.inside


def test_the_rest_of_a_dropped_frame_is_dropped_as_it_comes() -> None:
    scanner = Scanner(RULES)
    scanner.feed(frame("p", b"1") + frame("h", bytes(100))[:20])
    assert scanner.next() == ord("h")
    assert not scanner.whole
    assert scanner.drop() == frame("p", b"1")
    assert scanner.flush() == b""
    scanner.feed(bytes(50))
    assert (scanner.next(), scanner.flush(), scanner.inside) == (0, b"", False)
    scanner.feed(bytes(35) + frame("p", b"2"))
    assert (scanner.next(), scanner.flush(), scanner.empty) == (0, frame("p", b"2"), True)


def test_other_rules_hold_from_the_next_frame_on() -> None:
    scanner = Scanner(RULES)
    scanner.feed(frame("w", b"") + frame("x", b"now known"))
    assert scanner.next() == ord("w")
    scanner.rules = OTHER
    assert scanner.next() == ord("x")
    assert scanner.body() == b"now known"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"q\0\0\0\4", "invalid frontend message type 113"),
        (b"\0\0\0\0\4", "invalid frontend message type 0"),
        (b"p\0\0\0\3", "invalid message length"),
        (b"w\0\0\0\0", "invalid message length"),
        (b"p\xff\xff\xff\xff", "invalid message length"),
        (b"p" + (LIMIT + 1).to_bytes(4, "big"), "invalid message length"),
    ],
)
def test_a_bad_header_is_an_error_after_all_before_it_has_passed(bad: bytes, message: str) -> None:
    scanner = Scanner(RULES)
    scanner.feed(frame("p", b"good") + frame("w", b"good") + bad)
    assert scanner.next() == ord("w")
    with pytest.raises(ClientProtocolError, match=f"^{message}$") as caught:
        scanner.next()
    assert caught.value.sqlstate == "08P01"
    assert scanner.flush() == frame("p", b"good") + frame("w", b"good")


def test_a_bad_frame_of_the_server_is_the_servers_fault() -> None:
    scanner = Scanner(OTHER)
    scanner.feed(b"y\0\0\0\4")
    with pytest.raises(UpstreamProtocolError, match="invalid backend message type 121"):
        scanner.next()


def test_the_largest_length_allowed_is_allowed() -> None:
    scanner = Scanner(RULES)
    scanner.feed(b"w" + LIMIT.to_bytes(4, "big") + bytes(LIMIT - 4))
    assert scanner.next() == ord("w")
