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
from pgsoftproxy.model.policy import Policy
from pgsoftproxy.rewrite.cache import ENTRY_OVERHEAD, Planner
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

POLICY = Policy(Catalog("shop"), version=1)
CONTEXT = Context(Variables.at_start(Values(user="u")), role="u")
STATEMENT = StatementPlan(Kind.SELECT)


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
