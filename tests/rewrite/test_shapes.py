"""Shapes of texts: exact where there is one, and a plan made for one text of a shape holds for the others."""

from collections import Counter
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pglast.parser import ParseError, scan

from pgsoftproxy.model.context import Context, Visibility, VisibilityMode
from pgsoftproxy.model.effects import SetsVariable, Variable
from pgsoftproxy.rewrite.rewriter import rewrite
from pgsoftproxy.rewrite.shapes import literal_spans, read_shape
from pgsoftproxy.rewrite.templates import make_template
from tests.oracle.cases import load_cases
from tests.rewrite.example import context, policy
from tests.rewrite.shaping import Ground, another, token_names, with_literals
from tests.rewrite.test_rewriter import PAIRS

SHAPES = {
    "SELECT 1": ("SELECT \1", ["1"]),
    "SELECT a1, $1, t.c2 FROM t3 WHERE x=-5": ("SELECT a1, $1, t.c2 FROM t3 WHERE x=-\1", ["5"]),
    "SELECT 'a''b','' FROM \"x'1\"": ('SELECT \4,\4 FROM "x\'1"', ["'a''b'", "''"]),
    "SELECT 2099999999, 2200000000, 999999999999999999": (
        "SELECT \1, \2, \2",
        ["2099999999", "2200000000", "999999999999999999"],
    ),
    "SELECT 1.50::numeric(4)": ("SELECT \3::numeric(\1)", ["1.50", "4"]),
    "SELECT '\\', E'\\\\''' ": ("SELECT \4, \5 ", ["'\\'", "E'\\\\'''"]),
    "/* 1 */ SELECT 2 -- '3'": ("\6 SELECT \1 -- '3'", ["/* 1 */", "2"]),
    "SELECT a/*b='c'*/*/* * / **/b": ("SELECT a\6*\6b", ["/*b='c'*/", "/* * / **/"]),
    "/*PgSoftProxy: visibility=all*/SELECT/**/a": ("/*PgSoftProxy: visibility=all*/SELECT\6a", ["/**/"]),
    "/* pgsoftproxy */ SELECT a": None,
    "SELECT /* \1 */ 1": None,
    "SELECT é1 = 2": ("SELECT é1 = \1", ["2"]),
    "SELECT date '2026-01-01'": ("SELECT date \4", ["'2026-01-01'"]),
    "SELECT 'a' 'b'": None,
    "SELECT 'a'\n'b'": None,
    "SELECT 'a' -- c\n'b'": None,
    "SELECT E'a'\n'b\\'c'": None,
    "SELECT 'a": None,
    "SELECT \"a' , 'b'": None,
    "SELECT U&'a'": None,
    'SELECT U&"a", 1': None,
    "SELECT N'a'": None,
    "SELECT b'1', 1": None,
    "SELECT x'1', 1": None,
    "SELECT foo'1'": None,
    "SELECT E'\\n'": None,
    "SELECT E'\\''": None,
    "SELECT $$a$$, 1": None,
    "SELECT $a$'1'$a$, 1": None,
    "SELECT $1a, 1": None,
    "SELECT 1a": None,
    "SELECT 1.": None,
    "SELECT .5": None,
    "SELECT 1..2": None,
    "SELECT 1e5": None,
    "SELECT 0x1F": None,
    "SELECT 1_000": None,
    "SELECT 2147483647": None,
    "SELECT 0123456789": None,
    "SELECT 1234567890123456789": None,
    "SELECT 1$1": None,
    "SELECT 1é": None,
    "SELECT 1\v": None,
    "SELECT /* /* */ */ 1": None,
    "SELECT /* 1": None,
    "SELECT \\d, 1": None,
    'SELECT "\1", 1': None,
    "SELECT a": None,
    "": None,
}


@pytest.mark.parametrize("sql", SHAPES)
def test_a_text_has_this_shape_or_none(sql: str) -> None:
    assert read_shape(sql) == SHAPES[sql]


PIECES = [
    "'", "''", '"', "E'", "e'", "\\", "\\'", "$tag$", "$$", "$1", "--", "/*", "*/", "\n", " ", "\t", "\r", "\f", "\v",
    "U&'", 'u&"', "N'", "B'01'", "X'1F'", " UESCAPE '!'", "1", "22", ".5", "1.", "1.5", "1..2", "e5", "1e5", "0x1F",
    "1_000", "0b1", "0o7", "2147483647", "3000000000", "99999999999999999999", "a", "_", "é", "漢", "\u00a0", "\u0085",
    "date ", "interval ", "::", ":=", "=>", "-", "+", "@-", "!=-", "<", "(", ")", "[", "]", ",", ";", ".", "?", "`",
    "SELECT ", "FROM users ", "WHERE ", "x", "\x00", "\x01", "\x04", "'a'", "'b\\'", "E'\\\\'", "'é'", '"a1"', "{", "~",
    "LIMIT ", "ORDER BY ", "/* 1 */", "-- 1\n", "&", "|/", "^", "%", "#", "'--'", "'/*'",
]  # fmt: skip
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=14).map("".join)


@settings(max_examples=600, deadline=None)
@given(sql=TEXTS, seed=st.integers(0, 1 << 30))
@example(sql="SELECT E'a'\n'b\\'c'", seed=0)
@example(sql="SELECT 1.5.5", seed=0)
@example(sql="SELECT 'a'--\n'b'", seed=1)
@example(sql="x&'1'", seed=1)
def test_the_servers_scanner_sees_the_same_tokens_in_texts_of_one_shape(sql: str, seed: int) -> None:
    read = read_shape(sql)
    if read is None:
        return
    shape, literals = read
    names = token_names(sql)
    spans = list(literal_spans(sql))
    assert [sql[begin:end] for begin, end in spans] == literals
    random = Random(seed)  # noqa: S311 - no secret
    given = [another(literal, random) for literal in literals]
    text = with_literals(sql, given)
    assert read_shape(text) == (shape, given)
    assert token_names(text) == names


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 1 << 30), pieces=st.lists(st.sampled_from(PIECES), max_size=8))
def test_every_literal_of_a_shape_is_one_token(seed: int, pieces: list[str]) -> None:
    sql = "SELECT 1, 'a' " + "".join(pieces)
    if read_shape(sql) is None:
        return
    try:
        tokens = {(token.start, token.end + 1): token.name for token in scan(sql)}
    except ParseError:
        return
    for span in literal_spans(sql):
        assert tokens[span] in {"ICONST", "FCONST", "SCONST", "C_COMMENT"}, sql


def contexts() -> tuple[Context, ...]:
    """Return contexts that lead to different plans."""
    seen = [
        Visibility(VisibilityMode.ALL),
        Visibility(VisibilityMode.DELETED, tables=frozenset({("app", "users")})),
        Visibility(VisibilityMode.AS_OF, "2026-01-01T00:00:00+00:00"),
    ]
    support = context("support")
    return (context(), *(support.after(SetsVariable(Variable.VISIBILITY, one)) for one in seen))


@pytest.mark.parametrize("place", range(len(contexts())))
def test_a_template_gives_what_the_rewriter_gives(place: int) -> None:
    random = Random(place)  # noqa: S311 - no secret
    ground = Ground(policy(180000), contexts()[place], random, Counter())
    texts = [message.sql for case in load_cases() for message in case.messages]
    texts += [sql for sql, _ in PAIRS.values()]
    for sql in texts[:: 1 if place == 0 else 3]:
        ground.try_text(sql)
    counts = ground.counts
    assert counts["free"] > 100 and counts["pinned"] > 10, counts
    assert counts["Rewritten"] > 20 and counts["Forward"] > 50, counts


WHERE_VALUES_MATTER = [
    ("SELECT id FROM users WHERE id = 5 ORDER BY 1", (1,)),
    ("SELECT id, 7 FROM users GROUP BY 1, 2 ORDER BY id + 3", (1, 2)),
    ("SELECT nextval('app.s'), lower('A') FROM users", (0,)),
    ("SELECT app.f(1, 2), other.lower('x'), 3 FROM users", (0, 1, 2)),
    ("SELECT 'users'::regclass, 'x'::text FROM users", (0,)),
    ("SELECT id::numeric(10, 2), varchar(3) 'x' FROM users", (0, 1, 2)),
    ("SELECT id FROM users TABLESAMPLE system (5) WHERE id > 3", (0,)),
    ("SELECT sum(id) OVER (ROWS 1 PRECEDING), 2 FROM users", (0,)),
    ("SELECT id FROM users WHERE id = - 5 AND x = - -3 AND y - 3 > 1", (1,)),
]


@pytest.mark.parametrize(("sql", "pins"), WHERE_VALUES_MATTER)
def test_a_literal_whose_value_may_matter_is_pinned(sql: str, pins: tuple[int, ...]) -> None:
    template = make_template(sql, rewrite(sql, policy(), context()))
    assert template is not None
    assert template.pins == pins


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT set_config('app.user', 'x', false)",
        "SELECT set_config('search_path', 'app', false), id FROM users",
        "SET search_path = 'app'",
        "SET pgsoftproxy.visibility = 'live'",
        "PREPARE p AS SELECT id FROM users WHERE id = 1",
        "EXECUTE p(1)",
        "BEGIN; SELECT id FROM users WHERE id = 1; COMMIT",
        "SELECT 1 AS a INTO made FROM users",
        "COPY users (id) FROM '/tmp/1'",
        "SELECT id FROM app.broken WHERE id = 1",
        "SELECT 1 FROM logs; SELECT id FROM app.broken WHERE id = 1",
        "SELECT 1 FROM",
        "SELECT query_to_xml('SELECT 1', true, true, '')",
        "DO 'BEGIN END'",
        "SELECT f('x') FROM users",
    ],
)
def test_a_text_whose_plan_may_depend_on_all_of_it_makes_no_template(sql: str) -> None:
    assert read_shape(sql) is not None
    assert make_template(sql, rewrite(sql, policy(), context())) is None


def test_a_literal_is_no_name_that_a_guard_must_avoid() -> None:
    sql = "SELECT 1 FROM logs l JOIN users u ON u.email = '{}'"
    plans = [rewrite(sql.format(value), policy(), context()) for value in ("_sd", "x")]
    template = make_template(sql.format("_sd"), plans[0])
    assert template is not None
    assert template.fill(["1", "'x'"]) == plans[1]


def test_reading_a_long_text_takes_time_in_proportion() -> None:
    for hostile in ("'a',", '"a ', "/*", "--\n", "1 ", "a", "''", "E'", "$", "\\", "(", "/* ", "é"):
        read_shape("SELECT 1, " + hostile * (1 << 16))
