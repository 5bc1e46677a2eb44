"""The plan cache: what makes an entry, what it costs, which one goes first."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import pytest

from pgsoftproxy.model.catalog import Catalog
from pgsoftproxy.model.context import (
    Context,
    Grant,
    SearchPath,
    Values,
    Variables,
    Visibility,
    VisibilityMode,
)
from pgsoftproxy.model.effects import Prepares, SetsVariable, Transaction, TransactionVerb, Variable
from pgsoftproxy.model.encodings import UNKNOWN_CODEC
from pgsoftproxy.model.policy import Policy
from pgsoftproxy.rewrite.cache import ENTRY_OVERHEAD, LARGE_TEXT, Planner
from pgsoftproxy.rewrite.plan import (
    Edit,
    Forward,
    Kind,
    Outcome,
    Plan,
    Refused,
    Rewritten,
    StatementPlan,
)
from pgsoftproxy.rewrite.rewriter import rewrite
from tests.rewrite import example

POLICY = Policy(Catalog("shop"), version=1)
CONTEXT = Context(Variables.at_start(Values(user="u")), role="u")
STATEMENT = StatementPlan(Kind.SELECT)
SHOP, WEB = example.policy(), example.context()


class Rewriter:
    """Makes plans and remembers for which texts."""

    def __init__(self, make: Callable[[str], Plan] | None = None) -> None:
        self.asked: list[str] = []
        self._make = make or (lambda sql: Forward((STATEMENT,)))

    def __call__(self, sql: str, policy: Policy, context: Context) -> Plan:
        self.asked.append(sql)
        return self._make(sql)


def planner(rewriter: Rewriter, max_bytes: int = 1 << 20) -> Planner:
    """Return a planner whose clock stands still and whose timings no one wants."""
    return Planner(rewriter, max_bytes, lambda: 0.0, lambda seconds: None)


def test_a_text_is_planned_once() -> None:
    rewriter = Rewriter()
    cache = planner(rewriter)
    first = cache.plan(b"SELECT 1", "utf-8", POLICY, CONTEXT)
    assert cache.plan(b"SELECT 1", "utf-8", POLICY, CONTEXT) is first
    assert rewriter.asked == ["SELECT 1"]
    assert (cache.figures.hits, cache.figures.misses) == (1, 1)


ALL = Visibility(VisibilityMode.ALL)
OTHERS: dict[str, tuple[bytes, str, Policy, Context]] = {
    "text": (b"SELECT  1", "utf-8", POLICY, CONTEXT),
    "encoding": (b"SELECT 1", "latin-1", POLICY, CONTEXT),
    "policy": (b"SELECT 1", "utf-8", replace(POLICY, version=2), CONTEXT),
    "role": (b"SELECT 1", "utf-8", POLICY, replace(CONTEXT, role="v")),
    "grant": (b"SELECT 1", "utf-8", POLICY, replace(CONTEXT, grant=Grant(hard_delete=True))),
    "visibility": (b"SELECT 1", "utf-8", POLICY, CONTEXT.after(SetsVariable(Variable.VISIBILITY, ALL))),
    "search_path": (
        b"SELECT 1",
        "utf-8",
        POLICY,
        CONTEXT.after(SetsVariable(Variable.SEARCH_PATH, SearchPath(("app",)))),
    ),
    "user": (b"SELECT 1", "utf-8", POLICY, CONTEXT.after(SetsVariable(Variable.USER, "w"))),
    "transaction": (b"SELECT 1", "utf-8", POLICY, CONTEXT.after(Transaction(TransactionVerb.BEGIN))),
}


@pytest.mark.parametrize("part", OTHERS)
def test_whatever_a_plan_depends_on_is_part_of_its_key(part: str) -> None:
    rewriter = Rewriter()
    cache = planner(rewriter)
    cache.plan(b"SELECT 1", "utf-8", POLICY, CONTEXT)
    cache.plan(*OTHERS[part])
    assert len(rewriter.asked) == 2
    cache.plan(*OTHERS[part])
    assert len(rewriter.asked) == 2


def test_contexts_of_two_sessions_share_entries_if_they_are_equal() -> None:
    rewriter = Rewriter()
    cache = planner(rewriter)
    for _ in range(2):
        context = Context(Variables.at_start(Values(user="u")), role="u", grant=Grant())
        cache.plan(b"SELECT 1", "utf-8", POLICY, context)
    assert len(rewriter.asked) == 1


def test_the_least_recently_used_entry_goes_first() -> None:
    rewriter = Rewriter()
    cache = planner(rewriter, max_bytes=3 * (ENTRY_OVERHEAD + 10))
    for text in (b"one", b"two", b"three", b"one", b"four"):
        cache.plan(text, "utf-8", POLICY, CONTEXT)
    assert cache.figures.evictions == 1
    rewriter.asked.clear()
    for text in (b"one", b"three", b"four"):
        cache.plan(text, "utf-8", POLICY, CONTEXT)
    assert rewriter.asked == []
    cache.plan(b"two", "utf-8", POLICY, CONTEXT)
    assert rewriter.asked == ["two"]


def test_the_size_never_exceeds_its_bound_and_falls_to_it_exactly() -> None:
    bound = 20_000
    cache = planner(Rewriter(lambda sql: Rewritten((STATEMENT,), sql * 2, (Edit(0, 0, sql),))), bound)
    for number in range(200):
        cache.plan(b"x" * number, "utf-8", POLICY, CONTEXT)
        assert 0 < cache.figures.bytes <= bound
    assert cache.figures.evictions > 150


def test_a_plan_larger_than_the_cache_is_not_kept_and_pushes_nothing_out() -> None:
    rewriter = Rewriter()
    cache = planner(rewriter, max_bytes=ENTRY_OVERHEAD + 100)
    cache.plan(b"small", "utf-8", POLICY, CONTEXT)
    cache.plan(b"x" * 1000, "utf-8", POLICY, CONTEXT)
    cache.plan(b"small", "utf-8", POLICY, CONTEXT)
    assert cache.figures.hits == 1
    assert cache.figures.evictions == 0


def test_a_plan_that_must_not_be_kept_is_made_again() -> None:
    rewriter = Rewriter(lambda sql: Forward((STATEMENT,), cacheable=False))
    cache = planner(rewriter)
    for _ in range(2):
        cache.plan(b"SELECT 1", "utf-8", POLICY, CONTEXT)
    assert len(rewriter.asked) == 2
    assert cache.figures.bytes == 0


def test_bytes_that_are_no_text_are_refused_without_asking_the_rewriter() -> None:
    rewriter = Rewriter()
    plan = planner(rewriter).plan(b"SELECT '\xff'", "utf-8", POLICY, CONTEXT)
    assert isinstance(plan, Refused)
    assert plan.refusal.sqlstate == "22021"
    assert plan.statements[0].kind is Kind.INVALID
    assert plan.statements[0].outcome is Outcome.REFUSED
    assert rewriter.asked == []


def test_texts_are_decoded_as_the_client_encodes_them() -> None:
    rewriter = Rewriter()
    cache = planner(rewriter)
    cache.plan(b"\xc3\xa4", "utf-8", POLICY, CONTEXT)
    cache.plan(b"\xc3\xa4", "latin-1", POLICY, CONTEXT)
    assert rewriter.asked == ["ä", "Ã¤"]


def test_misses_are_timed_and_hits_are_not() -> None:
    ticks = iter([1.0, 1.5])
    seconds: list[float] = []
    cache = Planner(Rewriter(), 1 << 20, lambda: next(ticks), seconds.append)
    for _ in range(2):
        cache.plan(b"SELECT 1", "utf-8", POLICY, CONTEXT)
    assert seconds == [0.5]


def forwarded(sql: str) -> Plan:
    return Forward((StatementPlan(Kind.SELECT, guarded=("app.users",)),))


def rewritten(sql: str) -> Plan:
    edits = tuple(Edit(place, place, f"edit {place} of {sql[:10]}") for place in range(4))
    statement = StatementPlan(Kind.SELECT, Outcome.REWRITTEN, guarded=(f"app.{sql[:9]}",))
    return Rewritten((statement,), sql + " and more", edits)


def prepared(sql: str) -> Plan:
    return Forward((StatementPlan(Kind.PREPARE, effects=(Prepares(sql[:12], sql[9:], 0),)),))


@pytest.mark.parametrize("make", [forwarded, rewritten, prepared])
@pytest.mark.parametrize("body", ["", "x" * 3000, "ä漢" * 500, "😀" * 500])
def test_the_bound_is_one_of_real_memory(make: Callable[[str], Plan], body: str) -> None:
    bound = 1 << 20
    cache = Planner(lambda sql, policy, context: make(sql), bound, lambda: 0.0, lambda seconds: None)
    texts = [f"{number:08} {body}".encode() for number in range(2000)]
    tracemalloc.start()
    for text in texts:
        # As in a session: a text and a context of its own for each entry.
        context = Context(Variables.at_start(Values(user="u")), role="u", grant=Grant())
        cache.plan(bytes(bytearray(text)), "utf-8", POLICY, context)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert bound * 0.2 < used < bound * 1.2


def shaping_planner(max_bytes: int = 1 << 20, *, shapes: bool = True) -> tuple[Planner, list[str]]:
    """Return a planner that asks the rewriter, and the texts that it asks for."""
    asked: list[str] = []

    def ask(sql: str, policy: Policy, context: Context) -> Plan:
        asked.append(sql)
        return rewrite(sql, policy, context)

    return Planner(ask, max_bytes, lambda: 0.0, lambda seconds: None, shapes=shapes), asked


def test_texts_that_differ_only_in_literals_share_a_plan_from_the_third_on() -> None:
    cache, asked = shaping_planner()
    texts = [f"SELECT id FROM users WHERE email = '{n}é' AND id > {n}" for n in range(50)]
    for sql in texts:
        plan = cache.plan(sql.encode(), "utf-8", SHOP, WEB)
        assert plan == rewrite(sql, SHOP, WEB)
    assert asked == texts[:2]
    assert (cache.figures.hits, cache.figures.shape_hits, cache.figures.misses) == (48, 48, 2)


def test_texts_share_no_plan_where_that_is_turned_off() -> None:
    cache, asked = shaping_planner(shapes=False)
    for n in range(5):
        cache.plan(f"SELECT {n}".encode(), "utf-8", SHOP, WEB)
    assert len(asked) == 5
    assert cache.figures.shape_hits == 0


def test_a_stream_of_unique_texts_does_not_fill_the_cache() -> None:
    cache, _ = shaping_planner()
    for n in range(10):
        cache.plan(f"SELECT id FROM users WHERE id = {n}".encode(), "utf-8", SHOP, WEB)
    size = cache.figures.bytes
    for n in range(1000, 1500):
        cache.plan(f"SELECT id FROM users WHERE id = {n}".encode(), "utf-8", SHOP, WEB)
    assert cache.figures.bytes == size


def test_a_text_that_comes_again_is_found_by_itself() -> None:
    cache, asked = shaping_planner()
    for n in (1, 2, 3, 3, 3, 3):
        cache.plan(f"SELECT id FROM users WHERE id = {n}".encode(), "utf-8", SHOP, WEB)
    assert (cache.figures.shape_hits, cache.figures.hits) == (2, 4)
    assert len(asked) == 2


def test_where_a_value_may_matter_only_texts_with_the_same_value_share_a_plan() -> None:
    cache, asked = shaping_planner()
    for place in (1, 2):
        for n in range(6):
            sql = f"SELECT id, email FROM users WHERE id = {n} ORDER BY {place}"
            plan = cache.plan(sql.encode(), "utf-8", SHOP, WEB)
            assert plan == rewrite(sql, SHOP, WEB)
    # Three each: to see the shape, to see the pinned value, to make the template; the first of two is both.
    assert [sql[-1] for sql in asked] == ["1", "1", "2", "2"]


def test_unique_values_that_may_matter_do_not_fill_the_cache() -> None:
    cache, asked = shaping_planner()
    for n in range(300):
        cache.plan(f"SELECT app.f({n}), {n}".encode(), "utf-8", SHOP, WEB)
    assert len(asked) == 300
    assert cache.figures.bytes < 10 * ENTRY_OVERHEAD


@pytest.mark.parametrize("part", OTHERS)
def test_whatever_a_plan_depends_on_is_part_of_what_a_shape_is_found_by(part: str) -> None:
    rewriter = Rewriter()
    cache = planner(rewriter)
    for text in (b"SELECT  8", b"SELECT  9", b"SELECT 8", b"SELECT 9", b"SELECT 7"):
        cache.plan(text, "utf-8", POLICY, CONTEXT)
    assert (len(rewriter.asked), cache.figures.shape_hits) == (4, 1)
    text, encoding, other, context = OTHERS[part]
    cache.plan(text.replace(b"1", b"5"), encoding, other, context)
    assert (len(rewriter.asked), cache.figures.shape_hits) == (
        (4, 2) if part in {"text", "encoding"} else (5, 1)
    )


@pytest.mark.parametrize("text", [b"SELECT '\xff'", b"SELECT \xff, 1"])
def test_bytes_that_are_no_text_are_refused_though_their_shape_is_known(text: bytes) -> None:
    cache, _ = shaping_planner()
    for good in (b"SELECT 'a'", b"SELECT 'b'", b"SELECT 'c'"):
        cache.plan(good, "utf-8", POLICY, CONTEXT)
    assert isinstance(cache.plan(text, "utf-8", POLICY, CONTEXT), Refused)


def test_nothing_is_shared_while_the_encoding_is_unknown() -> None:
    cache, asked = shaping_planner()
    for n in range(4):
        cache.plan(f"SELECT '{n}\\'".encode(), "utf-8", POLICY, CONTEXT)
    plans = [cache.plan(text, UNKNOWN_CODEC, POLICY, CONTEXT) for text in (b"SELECT '5\\'", b"SELECT 5")]
    assert isinstance(plans[0], Refused)
    assert asked[-1] == "SELECT 5"


def test_a_large_text_is_not_cut() -> None:
    cache, asked = shaping_planner(1 << 24)
    for n in range(4):
        cache.plan(f"SELECT {n} /* {'x' * LARGE_TEXT} */".encode(), "utf-8", POLICY, CONTEXT)
    assert len(asked) == 4


@pytest.mark.parametrize("body", ["", "x" * 3000, "ä漢" * 500, "😀" * 500])
def test_the_bound_is_one_of_real_memory_for_templates_too(body: str) -> None:
    bound = 1 << 18

    def ask(sql: str, policy: Policy, context: Context) -> Plan:
        return Rewritten(
            (STATEMENT,), f"/**/{sql} AS a", (Edit(0, 0, "/**/"), Edit(len(sql), len(sql), " AS a"))
        )

    cache = Planner(ask, bound, lambda: 0.0, lambda seconds: None)
    tracemalloc.start()
    for number in range(250 if not body else 60):
        for value in range(2):
            context = Context(Variables.at_start(Values(user="u")), role="u", grant=Grant())
            sql = f'SELECT "{body}{number}", f({number % 2}) = {value}'
            cache.plan(sql.encode(), "utf-8", POLICY, context)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert cache.figures.bytes <= bound
    assert bound * 0.2 < used < bound * 1.2
