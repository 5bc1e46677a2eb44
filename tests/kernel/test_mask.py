"""The shapes that the kernel reads are those that the planner reads, or none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsoftproxy.kernel import Masks
from pgsoftproxy.kernel.mask import Masks as PythonMasks
from pgsoftproxy.rewrite.shapes import read_shape

PIECES = (
    *" \t\n\v.,;:()[]+-*/<>=~!@#%^&|`?$'\"\\\0\1é_",
    *(
        "--",
        "/*",
        "*/",
        "E'",
        "U&",
        "select",
        "x1",
        "e5",
        "0x1F",
        "1_000",
        "1e5",
        "1.5",
        "$1",
        "007",
        "12345678901",
    ),
)
texts = st.lists(st.sampled_from(PIECES) | st.integers(0, 2**33).map(str), max_size=12).map("".join)


def read(masks: Masks | PythonMasks, text: str) -> tuple[str, list[str]] | None:
    """Return what the kernel reads."""
    data, literals = bytearray(text.encode()), list[bytes]()
    shape = masks.mask(data, 0, len(data), literals)
    return (shape.decode(), [literal.decode() for literal in literals]) if shape else None


@given(texts)
def test_a_shape_is_the_planners_or_none(text: str) -> None:
    found = read(Masks(), text)
    assert found == read(PythonMasks(), text)
    if found is not None and found[1]:
        assert found == read_shape(text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "select a FROM b1 WHERE id=7 and x>-123456789\n;",
        "SELECT * FROM t LIMIT 5 OFFSET 10",
        "SELECT 1999999999, 2099999999",
    ],
)
def test_plain_texts_have_one(text: str) -> None:
    found = read(Masks(), text)
    assert found is not None and found == read_shape(text)


@pytest.mark.parametrize(
    "text", ["SELECT '1'", "SELECT 1 -- 2", "SELECT 1 /* 2 */", "SELECT 1.5", "SELECT .5", "SELECT 1e5", "SELECT $1",
             "SELECT 0x1F", "SELECT 1_000", "SELECT 2147483647", "SELECT é1", "SELECT 1\v", "x" * 9000]
)  # fmt: skip
def test_others_have_none(text: str) -> None:
    assert read(Masks(), text) is None
