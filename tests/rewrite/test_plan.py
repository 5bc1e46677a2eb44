"""Positions of the server's errors, mapped back into the client's own text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsoftproxy.rewrite.plan import Edit, original_position

ALPHABET = "abcdef äß漢😀\n"


@st.composite
def edited(draw: st.DrawFn) -> tuple[str, tuple[Edit, ...]]:
    """Draw a text and edits of it, ascending and apart from each other, as the rewriter makes them."""
    text = draw(st.text(ALPHABET, max_size=30))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8, unique=True)))
    edits = []
    for start, end in zip(cuts[::2], cuts[1::2], strict=False):
        stop = draw(st.sampled_from([start, end]))
        edits.append(Edit(start, stop, draw(st.text("XYZ", max_size=5))))
    return text, tuple(edits)


def spliced(text: str, edits: tuple[Edit, ...]) -> list[tuple[str, int]]:
    """Return the characters of the rewritten text, each with the 1-based position it should map to."""
    result: list[tuple[str, int]] = []
    at = 0
    for edit in edits:
        result += [(text[index], index + 1) for index in range(at, edit.start)]
        result += [(character, edit.start + 1) for character in edit.text]
        at = edit.end
    return result + [(text[index], index + 1) for index in range(at, len(text))]


@given(edited())
def test_every_character_maps_to_where_it_was_or_was_inserted(made: tuple[str, tuple[Edit, ...]]) -> None:
    text, edits = made
    expected = spliced(text, edits)
    mapped = [original_position(edits, position) for position in range(1, len(expected) + 1)]
    assert mapped == [position for _, position in expected]


@given(edited())
def test_the_end_of_the_text_maps_into_the_text_or_to_its_end(made: tuple[str, tuple[Edit, ...]]) -> None:
    text, edits = made
    assert original_position(edits, len(spliced(text, edits)) + 1) == len(text) + 1


@pytest.mark.parametrize(
    ("position", "expected"),
    [(1, 1), (14, 14), (15, 15), (20, 15), (21, 15), (22, 15), (28, 21)],
)
def test_an_insertion_shifts_what_follows_it(position: int, expected: int) -> None:
    # as where something of seven characters is put before the table of "SELECT * FROM t"
    assert original_position((Edit(14, 14, "(gone, "),), position) == expected


def test_without_edits_nothing_moves() -> None:
    assert original_position((), 7) == 7
