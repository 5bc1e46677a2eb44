"""The scanner on bytes of any kind, beside a reader that cuts frames one by one in the plainest way."""

from hypothesis import given
from hypothesis import strategies as st

from pgsoftproxy.errors import ClientProtocolError, UpstreamProtocolError
from pgsoftproxy.kernel import Scanner
from pgsoftproxy.wire import backend, frontend
from pgsoftproxy.wire.framing import HEADER, Rules
from tests.fuzz.transcript import load

RULES = (
    frontend.AUTHENTICATION_RULES,
    frontend.ready_rules(50),
    backend.AUTHENTICATION_RULES,
    backend.READY_RULES,
)
FRAMES = sorted({frame for one in load() for turn in one.turns for frame in turn.frames if len(frame) < 300})

frames = st.sampled_from(FRAMES)
headers = st.builds(
    lambda kind, length, body: bytes((kind,)) + length.to_bytes(4, "big") + body,
    st.integers(0, 255),
    st.sampled_from((0, 3, 4, 5, 9, 64, 10_001, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)),
    st.binary(max_size=70),
)
streams = st.lists(frames | headers | st.binary(max_size=9), max_size=8).map(b"".join)
cuts = st.lists(st.integers(1, 40), max_size=30)
DROPS = st.integers(0, 0xFFFF)
"""One bit for each wanted frame: whether its reader leaves it out."""

Seen = list[tuple[int, bytes, bool]]


def plainly(data: bytes, rules: Rules, drops: int) -> tuple[Seen, bytes, str]:
    """Return the wanted frames, the bytes that pass, and the complaint, reading frame by frame."""
    seen: Seen = []
    passed = b""
    while len(data) >= HEADER:
        kind, length = data[0], int.from_bytes(data[1:5], "big")
        if not 4 <= length <= rules.limits[kind]:
            known = "invalid message length" if rules.limits[kind] else f"message type {kind}"
            return seen, passed, known
        frame, data = data[: 1 + length], data[1 + length :]
        want = rules.wanted[kind]
        if want < 0:
            passed += frame
            continue
        if len(frame) < HEADER + min(length - 4, want):
            return seen, passed, ""
        seen.append((kind, frame[HEADER : HEADER + want], length - 4 <= want))
        if not drops >> (len(seen) - 1) % 16 & 1:
            passed += frame
    return seen, passed, ""


def scanned(data: bytes, rules: Rules, drops: int, sizes: list[int]) -> tuple[Seen, bytes, str, bytes]:
    """Return the same from the scanner, which gets the bytes in pieces; and what it still has."""
    scanner = Scanner(rules)
    seen: Seen = []
    passed = b""
    try:
        while data:
            size = sizes[len(data) % len(sizes)] if sizes else len(data)
            scanner.feed(data[:size])
            data = data[size:]
            while kind := scanner.next():
                seen.append((kind, scanner.body(), scanner.whole))
                if drops >> (len(seen) - 1) % 16 & 1:
                    passed += scanner.drop()
            passed += scanner.flush()
    except (ClientProtocolError, UpstreamProtocolError) as error:
        assert type(error) is rules.error
        return seen, passed + scanner.flush(), error.message, b""
    return seen, passed, "", scanner.rest()


@given(streams, st.sampled_from(RULES), DROPS, cuts)
def test_any_bytes_are_cut_as_by_the_plainest_reader(
    data: bytes, rules: Rules, drops: int, sizes: list[int]
) -> None:
    seen, passed, wrong = plainly(data, rules, drops)
    found, went, complaint, kept = scanned(data, rules, drops, sizes)
    assert (found, went) == (seen, passed)
    assert wrong in complaint and bool(wrong) == bool(complaint)
    assert data.endswith(kept)


@given(streams, st.sampled_from(RULES), cuts)
def test_all_bytes_go_on_or_are_kept(data: bytes, rules: Rules, sizes: list[int]) -> None:
    _, went, complaint, kept = scanned(data, rules, 0, sizes)
    assert data.startswith(went)
    assert complaint or went + kept == data
