"""The shapes that the kernel reads are those that the planner reads, or none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsoftproxy.kernel import Masks
from pgsoftproxy.kernel.mask import Masks as PythonMasks
from pgsoftproxy.rewrite.shapes import read_shape

PIECES = (
    *" \t\n\v.,;:()[]+-*/<>=~!@#%^&|`?$'\"\\\0\1\x08é_",
    *("--", "/*", "*/", "E'", "U&", "select", "x1", "e5", "0x1F", "1_000", "1e5", "1.5", "$1", "007", "12345678901"),
    *("'a'", "''", "'o''k'", "'\n'", "' '", '"t"', '""', '"a""b"', "'é'", "'\\'", "' -", "'--", "E'a'", "'\t"),
    *("/* x */", "/**/", "/* PGS */", "/*pgsoftproxy: x*/", "/*é*/", "/*\1*/", "*/*"),
    *("2099999999", "2100000000", "2200000000", "0123456789", "123456789012345678", "1234567890123456789", "1.", ".5"),
)  # fmt: skip
texts = st.lists(st.sampled_from(PIECES) | st.integers(0, 2**65).map(str), max_size=12).map("".join)


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
        "SELECT 1999999999, 2099999999, 2200000000, 3000000000, 123456789012345678",
        "SELECT 1.5, 007.250 , -0.0",
        "SELECT 'a', '', 'it''s', '''', '-- /* $1 \t\v', 'x'\n- 1, ('y')-2",
        "INSERT INTO t VALUES ('a','b',NULL,1.5);",
        "/*traceparent='00-ab-cd-01'*/ SELECT 1/**//* ' \" -- */+/***/2/*/ */",
        "SELECT a /* no literal */",
        'SELECT "app"."t"."id" FROM "app"."t" WHERE "t"."na""me"=\'x\' AND "b"=2',
    ],
)
def test_plain_texts_have_one(text: str) -> None:
    found = read(Masks(), text)
    assert found is not None and found == read_shape(text)


@pytest.mark.parametrize("masks", [Masks(), PythonMasks()])
@pytest.mark.parametrize(
    "text", ["SELECT 1 -- 2", "SELECT 1 /* /* 2 */ */", "SELECT 1 /* 2 ", "SELECT 1 /*", "SELECT 1 /*/",
             "SELECT 1 /* pgsoftproxy: x */", "SELECT 1 /* é */", "SELECT 1 /*\5*/",
             "SELECT 1.", "SELECT .5", "SELECT 1e5", "SELECT $1",
             "SELECT 0x1F", "SELECT 1_000", "SELECT 2147483647", "SELECT 0123456789", "SELECT 1234567890123456789",
             "SELECT 1.5.", "SELECT 1'a'", "SELECT é1", "SELECT 1\v", "x" * 9000, "SELECT 'a", "SELECT 'a'\n'b'",
             "SELECT 'a' --", "SELECT 'a'--", "SELECT 'a' ' b'", "SELECT E'a'", "SELECT U&'a'", 'SELECT U&"a"',
             "SELECT x'1F'", "SELECT n'a'", "SELECT 'a\\'", "SELECT 'é'", "SELECT '\0'", 'SELECT "é"',
             'SELECT "a\1"', 'SELECT "a', "SELECT $$a$$", "SELECT $a$1$a$", "SELECT " + "1," * 256 + "1"]
)  # fmt: skip
def test_others_have_none(text: str, masks: Masks | PythonMasks) -> None:
    assert read(masks, text) is None


def test_what_stands_in_quotes_is_cut_out_whole() -> None:
    assert read(Masks(), "UPDATE t SET a='it''s -- 1', \"b c\" = -5 WHERE id IN ('7',3000000000)") == (
        'UPDATE t SET a=\4, "b c" = -\1 WHERE id IN (\4,\2)',
        ["'it''s -- 1'", "5", "'7'", "3000000000"],
    )
