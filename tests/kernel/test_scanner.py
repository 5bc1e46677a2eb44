"""The frame scanner, compiled and not: every cut gives the same, few slices, nothing big held back, fed or carried."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsoftproxy.errors import ClientProtocolError, UpstreamProtocolError
from pgsoftproxy.kernel import Scanner
from pgsoftproxy.kernel.scanner import Scanner as PythonScanner
from pgsoftproxy.wire import backend, frontend
from pgsoftproxy.wire.framing import PASS, Rules

LIMIT = 1000
RULES = Rules.of(
    ClientProtocolError,
    "frontend",
    {ord("p"): (LIMIT, PASS), ord("w"): (LIMIT, LIMIT), ord("h"): (LIMIT, 6), ord("t"): (LIMIT, 0)},
)
OTHER = Rules.of(UpstreamProtocolError, "backend", {ord("x"): (LIMIT, LIMIT)})


Maker = Callable[[Rules], Scanner]
SCANNERS: tuple[Maker, ...] = (Scanner, PythonScanner)
twins = pytest.mark.parametrize("make", SCANNERS, ids=["chosen", "python"])


def frame(kind: str, body: bytes) -> bytes:
    """Build a frame."""
    return kind.encode() + (len(body) + 4).to_bytes(4, "big") + body


def scan(
    scanner: Scanner, pieces: list[bytes], dropped: str = "", replaced: str = ""
) -> tuple[list[tuple[str, bytes, bool]], bytes]:
    """Return the wanted frames (type, wanted part, whether that is all) and the bytes that pass."""
    seen, passed = [], bytearray()
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


@twins
@given(frames, cuts, st.sampled_from(["", "w", "h", "t", "wht"]), st.sampled_from(["", "w", "h"]))
def test_every_cut_gives_the_same_frames_and_the_same_bytes(
    make: Maker, frames: list[tuple[str, bytes]], cuts: list[int], dropped: str, replaced: str
) -> None:
    data = b"".join(frame(*one) for one in frames)
    seen, passed = scan(make(RULES), cut_at(data, cuts), dropped, replaced)
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


@twins
@given(frames, st.integers(1, 7))
def test_a_held_frame_comes_again_and_what_is_fed_meanwhile_waits(
    make: Maker, frames: list[tuple[str, bytes]], size: int
) -> None:
    data = b"".join(frame(*one) for one in frames)
    scanner, seen, passed = make(RULES), [], bytearray()
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


@twins
def test_a_chunk_that_needs_no_change_leaves_as_the_same_object(make: Maker) -> None:
    scanner = make(RULES)
    chunk = frame("p", b"row") * 3 + frame("w", b"seen") + frame("p", b"row")
    scanner.feed(chunk)
    while scanner.next():
        pass
    assert scanner.flush() is chunk


@twins
def test_a_big_frame_that_passes_is_never_held_back(make: Maker) -> None:
    rules = Rules.of(ClientProtocolError, "frontend", {ord("p"): (1 << 30, PASS), ord("h"): (1 << 30, 16)})
    for kind in "ph":
        scanner = make(rules)
        scanner.feed(kind.encode() + (300 << 20).to_bytes(4, "big") + bytes(100))
        scanner.next()
        assert len(scanner.flush()) == 105
        for _ in range(10):
            scanner.feed(bytes(1 << 16))
            assert scanner.next() == 0
            assert len(scanner.flush()) == 1 << 16
        assert scanner.inside


@twins
def test_the_rest_of_a_dropped_frame_is_dropped_as_it_comes(make: Maker) -> None:
    scanner = make(RULES)
    scanner.feed(frame("p", b"1") + frame("h", bytes(100))[:20])
    assert scanner.next() == ord("h")
    assert not scanner.whole
    assert scanner.drop() == frame("p", b"1")
    assert scanner.flush() == b""
    scanner.feed(bytes(50))
    assert (scanner.next(), scanner.flush(), scanner.inside) == (0, b"", False)
    scanner.feed(bytes(35) + frame("p", b"2"))
    assert (scanner.next(), scanner.flush(), scanner.empty) == (0, frame("p", b"2"), True)


@twins
def test_other_rules_hold_from_the_next_frame_on(make: Maker) -> None:
    scanner = make(RULES)
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
@twins
def test_a_bad_header_is_an_error_after_all_before_it_has_passed(
    make: Maker, bad: bytes, message: str
) -> None:
    scanner = make(RULES)
    scanner.feed(frame("p", b"good") + frame("w", b"good") + bad)
    assert scanner.next() == ord("w")
    with pytest.raises(ClientProtocolError, match=f"^{message}$") as caught:
        scanner.next()
    assert caught.value.sqlstate == "08P01"
    assert scanner.flush() == frame("p", b"good") + frame("w", b"good")


@twins
def test_a_bad_frame_of_the_server_is_the_servers_fault(make: Maker) -> None:
    scanner = make(OTHER)
    scanner.feed(b"y\0\0\0\4")
    with pytest.raises(UpstreamProtocolError, match="invalid backend message type 121"):
        scanner.next()


@twins
def test_the_largest_length_allowed_is_allowed(make: Maker) -> None:
    scanner = make(RULES)
    scanner.feed(b"w" + LIMIT.to_bytes(4, "big") + bytes(LIMIT - 4))
    assert scanner.next() == ord("w")


class Reader:
    """A reader of one direction, of what is wanted and what goes on; one that carries what flows, or feeds all."""

    def __init__(self, scanner: Scanner, *, carries: bool) -> None:
        self.scanner = scanner
        self.carries = carries
        self.told: list[tuple[int, bytes, bool]] = []
        self.went = b""
        self.carried = 0
        self.wrong = ""

    def take(self, piece: bytes) -> None:
        """Take a piece as a wire does."""
        scanner = self.scanner
        if self.carries and scanner.flows():
            data = bytearray(scanner.data + piece + b"what was read before")
            size = len(scanner.data) + len(piece)
            upto = scanner.carry(data, size)
            self.went += data[:upto]
            self.carried += upto
            if scanner.flows():
                return
            piece = bytes(data[upto:size])
        scanner.feed(piece)
        try:
            while kind := scanner.next():
                self.told.append((kind, scanner.body(), scanner.whole))
        except (ClientProtocolError, UpstreamProtocolError) as error:
            scanner.hold()
            self.wrong = error.message
        self.went += scanner.flush()

    @property
    def state(self) -> tuple[object, ...]:
        """Return all that a reader can see of it."""
        scanner = self.scanner
        where = scanner.empty, scanner.inside, b"".join((scanner.data, *scanner._more))
        return self.told, self.went, self.wrong, where


ROWS = st.binary(max_size=30).map(lambda body: frame("D", body))
DATA = st.binary(max_size=30).map(lambda body: frame("d", body))
OTHERS = st.sampled_from(
    [
        frame("C", b"SELECT 1\0"),
        frame("E", b"SERROR\0\0"),
        frame("N", b"SNOTICE\0\0"),
        frame("T", b"\0\0"),
        frame("G", b"\0\0\0"),
        frame("c", b""),
        frame("f", b"no more\0"),
        frame("Q", b"SELECT 1\0"),
        frame("Q", b"SELECT 1" * 20),
        frame("B", b"\0\0" + bytes(300)),
        frame("Z", b"I"),
        b"D\0\0\0\3",
        b"d\xff\xff\xff\xff",
        b"\0\0\0\0\0",
    ]
)


def streams(rows: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Make streams, mostly of one sort of frame."""
    runs = st.lists(rows, max_size=20).map(b"".join)
    return st.lists(runs | OTHERS, max_size=6).map(b"".join)


@twins
@pytest.mark.parametrize(
    ("rules", "data"),
    [
        (backend.READY_RULES, streams(ROWS)),
        (backend.READY_RULES, streams(DATA)),
        (backend.READING_RULES, streams(ROWS)),
        (backend.PASSING_RULES, streams(DATA)),
        (frontend.ready_rules(50), streams(DATA)),
    ],
    ids=["rows", "copy out", "rows that are read", "replication", "copy in"],
)
@given(st.data(), st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_what_is_carried_goes_on_as_if_it_had_been_fed_at_every_cut(
    make: Maker, rules: Rules, data: st.SearchStrategy[bytes], draw: st.DataObject, sizes: list[int]
) -> None:
    stream = draw.draw(data)
    readers = [Reader(make(rules), carries=True), Reader(PythonScanner(rules), carries=False)]
    at = step = 0
    while at < len(stream) and not readers[0].wrong:
        size = sizes[step % len(sizes)]
        for reader in readers:
            reader.take(stream[at : at + size])
        assert readers[0].state == readers[1].state
        at, step = at + size, step + 1


@twins
@pytest.mark.parametrize("size", range(1, 40))
def test_a_stream_flows_whatever_its_cuts_and_is_read_again_where_it_ends(make: Maker, size: int) -> None:
    rows = b"".join(frame("D", bytes(number % 17)) for number in range(50))
    stream = frame("T", b"\0\0") + rows + frame("C", b"SELECT 50\0")
    reader = Reader(make(backend.READY_RULES), carries=True)
    for at in range(0, len(stream), size):
        reader.take(stream[at : at + size])
    assert reader.went == stream
    assert [kind for kind, _, _ in reader.told] == [ord("T"), ord("C")]
    assert reader.carried > len(rows) - 3 * size - 100
    assert reader.scanner.empty and not reader.scanner.flows()


@twins
def test_what_is_dropped_or_awaited_does_not_flow(make: Maker) -> None:
    scanner = make(RULES)
    scanner.feed(frame("p", b"1") + frame("h", bytes(100))[:20])
    assert scanner.next() == ord("h")
    scanner.drop()
    assert (scanner.next(), scanner.flush(), scanner.flows()) == (0, b"", False)
    scanner.feed(bytes(85) + frame("p", b"2"))
    assert (scanner.next(), scanner.flush(), scanner.flows()) == (0, frame("p", b"2"), True)
    scanner.feed(frame("w", b"is awaited")[:8])
    assert (scanner.next(), scanner.flush(), scanner.flows()) == (0, b"", False)
