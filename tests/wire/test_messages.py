"""Messages of both sides, built and parsed."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsoftproxy.errors import ClientProtocolError, Refusal, UpstreamProtocolError
from pgsoftproxy.wire import backend, frontend
from pgsoftproxy.wire.framing import HEADER

text = st.binary(max_size=20).map(lambda data: data.replace(b"\0", b""))
names = text.filter(bool)


def body(frame: bytes) -> bytes:
    """Return the body of a frame whose length is right."""
    assert int.from_bytes(frame[1:HEADER], "big") == len(frame) - 1
    return frame[HEADER:]


@given(text)
def test_a_query_is_read_as_built(sql: bytes) -> None:
    assert frontend.query_text(body(frontend.query(sql))) == sql


@given(text, text, st.integers(0, 5))
def test_a_parse_is_read_as_built(name: bytes, sql: bytes, count: int) -> None:
    types = count.to_bytes(2, "big") + bytes(4 * count)
    assert frontend.parse_parts(body(frontend.parse(name, sql, types))) == (name, sql, types)


@given(text, text)
def test_the_names_of_a_bind_are_read_from_its_head(portal: bytes, statement: bytes) -> None:
    frame = frontend.bind(portal, statement)
    assert frontend.bind_names(frame, HEADER, len(frame)) == (portal, statement)


@given(st.sampled_from([b"S", b"P"]), text)
def test_describe_close_and_execute_are_read_as_built(what: bytes, name: bytes) -> None:
    assert frontend.target(body(frontend.describe(what, name))) == (what[0], name)
    assert frontend.target(body(frontend.close(what, name))) == (what[0], name)
    assert frontend.execute_portal(body(frontend.execute(name, 7))) == name


@pytest.mark.parametrize(
    ("malformed", "complaint"),
    [
        (b"", "invalid string in message"),
        (b"SELECT 1", "invalid string in message"),
        (b"SELECT 1\0\0", "invalid message format"),
        (b"SELECT 1\0; DELETE FROM users\0", "invalid message format"),
    ],
)
def test_a_malformed_query_is_called_what_the_server_calls_it(malformed: bytes, complaint: str) -> None:
    assert frontend.query_text(malformed) == complaint


@pytest.mark.parametrize(
    ("malformed", "complaint"),
    [
        (b"name", "invalid string in message"),
        (b"name\0SELECT 1", "invalid string in message"),
        (b"name\0SELECT 1\0", "insufficient data left in message"),
        (b"name\0SELECT 1\0\0\1", "insufficient data left in message"),
        (b"name\0SELECT 1\0\0\0more", "invalid message format"),
    ],
)
def test_a_malformed_parse_is_called_what_the_server_calls_it(malformed: bytes, complaint: str) -> None:
    assert frontend.parse_parts(malformed) == complaint


@pytest.mark.parametrize("malformed", [b"", b"S", b"Sname", b"Xname\0", b"Sname\0more", b"Sna\0me\0"])
def test_a_describe_or_close_of_the_wrong_form_is_noticed(malformed: bytes) -> None:
    assert frontend.target(malformed) is None


@pytest.mark.parametrize("malformed", [b"", b"portal", b"portal\0\0\0\0", b"portal\0\0\0\0\0\0"])
def test_an_execute_of_the_wrong_form_is_noticed(malformed: bytes) -> None:
    assert frontend.execute_portal(malformed) is None


@given(st.lists(st.tuples(names, text), max_size=5))
def test_startup_parameters_are_read_as_built(parameters: list[tuple[bytes, bytes]]) -> None:
    packet = frontend.startup(3 << 16 | 2, tuple(parameters))
    assert frontend.startup_length(packet) == len(packet)
    parsed = frontend.parse_startup(packet)
    assert parsed.version == (3, 2)
    assert frontend.startup_parameters(parsed.body) == tuple(parameters)


@pytest.mark.parametrize(
    "malformed", [b"", b"user", b"u\0", b"u\0\0", b"u\0web", b"u\0web\0", b"\0\0web\0\0"]
)
def test_startup_parameters_of_the_wrong_form_are_refused(malformed: bytes) -> None:
    with pytest.raises(ClientProtocolError, match="invalid startup packet layout"):
        frontend.startup_parameters(malformed)


@pytest.mark.parametrize("length", [0, 4, 7, 10_005, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_startup_packet_of_an_impossible_length_is_none(length: int) -> None:
    assert frontend.startup_length(length.to_bytes(4, "big")) == frontend.NO_STARTUP


def test_the_length_of_a_startup_packet_is_unknown_until_it_has_come() -> None:
    assert frontend.startup_length(b"\0\0\0") is None


@given(st.lists(st.tuples(st.integers(1, 255), text), max_size=8))
def test_the_fields_of_an_error_are_read_as_built(fields: list[tuple[int, bytes]]) -> None:
    assert backend.error_fields(body(backend.error(fields))) == fields


def test_a_refusal_has_all_its_fields_in_the_clients_encoding() -> None:
    refusal = Refusal("0A000", "nicht für ☃", "Ü", "Ö", 7)
    assert backend.error_fields(body(backend.refusal(refusal, b"ERROR", "latin-1"))) == [
        (ord("S"), b"ERROR"),
        (ord("V"), b"ERROR"),
        (ord("C"), b"0A000"),
        (ord("M"), "nicht für ?".encode("latin-1")),
        (ord("D"), "Ö".encode("latin-1")),
        (ord("H"), "Ü".encode("latin-1")),
        (ord("P"), b"7"),
    ]


def test_a_nul_in_a_refusal_does_not_break_its_frame() -> None:
    fields = backend.error_fields(body(backend.refusal(Refusal("42601", "a\0b"), b"ERROR", "utf-8")))
    assert (ord("M"), b"a?b") in fields


@pytest.mark.parametrize(
    ("tag", "count"),
    [
        (b"DELETE 3", 3),
        (b"INSERT 0 12", 12),
        (b"SELECT 0", 0),
        (b"BEGIN", None),
        (b"CREATE TABLE", None),
        (b"", None),
    ],
)
def test_the_count_of_a_tag_is_its_last_word(tag: bytes, count: int | None) -> None:
    assert backend.tag_rows(tag) == count


def test_a_negotiation_tells_version_and_unknown_options() -> None:
    message = (3 << 16).to_bytes(4, "big") + (2).to_bytes(4, "big") + b"_pq_.a\0_pq_.b\0"
    assert backend.negotiated(message) == (3 << 16, frozenset({b"_pq_.a", b"_pq_.b"}))


@pytest.mark.parametrize(
    "parse",
    [
        lambda: backend.negotiated(b"\0\0\0\0"),
        lambda: backend.negotiated(bytes(4) + (2).to_bytes(4, "big") + b"one\0"),
        lambda: backend.negotiated(bytes(4) + (1).to_bytes(4, "big") + b"open"),
        lambda: backend.error_fields(b"Mno end"),
        lambda: backend.error_fields(b"Mtext\0"),
        lambda: backend.error_fields(b"\0more"),
        lambda: backend.command_tag(b"SELECT 1"),
        lambda: backend.command_tag(b"SELECT\0 1\0"),
        lambda: backend.transaction_status(b"X"),
        lambda: backend.transaction_status(b""),
        lambda: backend.parameter_status(b"name\0value"),
        lambda: backend.authentication_code(b"\0\0"),
    ],
)
def test_a_malformed_message_of_the_server_is_its_fault(parse: Callable[[], object]) -> None:
    with pytest.raises(UpstreamProtocolError):
        parse()
