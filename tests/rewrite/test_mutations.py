"""Break each part of the rewriter in turn: the checker refuses what comes of it, or the twin tells it apart.

What a mutant would send is executed on a database with deleted rows, and compared with what the client's own
text does on a twin without them. `pytest -rP` prints what caught which mutant.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations

import pytest

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.rewrite.edits import apply_edits
from pgsoftproxy.rewrite.plan import Edit, Forward, Plan, Refused, Rewritten
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.rewriter import rewrite
from pgsoftproxy.rewrite.verify import verify
from tests.rewrite.ground import CONTEXT, Field, Statement, differs, harm, opened, run
from tests.rewrite.mutants import MUTANTS, Mutant
from tests.servers import Server

NETS = {"XX000": "the checker", "42601": "the parser"}
SHARED = frozenset({"resolve knows no protected table"})
"""The checker shares name resolution with the rules, so what breaks there is for the twin alone to catch."""


@dataclass(slots=True)
class Catch:
    """What became of the corpus under one mutant: how often each net caught it, and what would do harm.

    `proven`: harmful texts that the checker let through. `unasked`: client texts that were forwarded as they
    are, which the checker would have refused had it been asked. `unseen`: those that it would not.
    """

    nets: Counter[str] = field(default_factory=Counter)
    proven: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def ground(server: Server) -> Iterator[Field]:
    """Give the two databases of one server."""
    with opened(server) as field_:
        yield field_


def text_of(plan: Plan, statement: Statement) -> str:
    """Return what goes upstream for a statement that is not refused."""
    return plan.sql if isinstance(plan, Rewritten) else statement.sql


def hunt(ground: Field, mutant: Mutant, patch: pytest.MonkeyPatch) -> Catch:
    """Run the corpus under a mutant."""
    catch = Catch()
    for statement in ground.corpus:
        healthy = rewrite(statement.sql, ground.policy, CONTEXT)
        with patch.context() as broken:
            mutant.apply(broken)
            plan = rewrite(statement.sql, ground.policy, CONTEXT)
            asked = is_denied(ground, statement.sql)
        if isinstance(plan, Refused):
            catch.nets[NETS.get(plan.refusal.sqlstate, "a rule")] += 1
        elif text_of(plan, statement) != text_of(healthy, statement):
            judge(ground, statement, plan, catch, asked)
    return catch


def is_denied(ground: Field, sql: str) -> bool:
    """Tell whether the checker refuses a text, or it does not parse."""
    try:
        verify(sql, Surroundings(ground.policy, CONTEXT))
    except StatementRefused:
        return True
    return False


def judge(ground: Field, statement: Statement, plan: Plan, catch: Catch, asked: bool) -> None:
    """Execute what a mutant sends; note whether the twin tells it apart, and whether it does harm."""
    text = text_of(plan, statement)
    effect = run(ground.full, statement, text)
    if differs(ground, statement, plan, effect):
        catch.nets["the twin"] += 1
    done = harm(ground.expected["before"].state, effect)
    if done is not None:
        place = catch.proven if not isinstance(plan, Forward) else catch.unasked if asked else catch.unseen
        place.append(f"{done}: {text}")


def test_the_corpus_agrees_with_the_twin_while_nothing_is_broken(ground: Field) -> None:
    for statement in ground.corpus:
        plan = rewrite(statement.sql, ground.policy, CONTEXT)
        assert not isinstance(plan, Refused), (statement.sql, plan)
        text = text_of(plan, statement)
        effect = run(ground.full, statement, text)
        assert harm(ground.expected["before"].state, effect) is None, text
        assert not differs(ground, statement, plan, effect), (text, effect, ground.expected[statement.sql])


def test_every_mutant_has_a_name_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 50


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_broken_rewriter_is_caught(ground: Field, mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    catch = hunt(ground, mutant, monkeypatch)
    if ground.policy.catalog.server_version < mutant.since:
        assert catch == Catch(), "it matters on this version too"
        return
    print(
        f"{mutant.name}: caught by", ", ".join(f"{net} ({count})" for net, count in catch.nets.most_common())
    )
    assert catch.nets, "nothing noticed it"
    assert catch.proven == [], "the checker let harm through"
    assert catch.unseen == [] or mutant.name in SHARED
    assert catch.unasked == []


def subsets(edits: tuple[Edit, ...]) -> Iterator[tuple[Edit, ...]]:
    """Yield every choice of some of the edits, none of them included."""
    for count in range(len(edits)):
        yield from combinations(edits, count)


def moved(edits: tuple[Edit, ...], end: int) -> Iterator[tuple[Edit, ...]]:
    """Yield the edits with one of them elsewhere, wherever it does not run into its neighbours."""
    for place, edit in enumerate(edits):
        low = edits[place - 1].end if place else 0
        high = edits[place + 1].start if place + 1 < len(edits) else end
        width = edit.end - edit.start
        for start in range(low, high - width + 1):
            if start != edit.start:
                there = edit._replace(start=start, end=start + width)
                yield (*edits[:place], there, *edits[place + 1 :])


def test_no_text_with_edits_lost_or_misplaced_is_accepted_and_does_harm(ground: Field) -> None:
    accepted = denied = 0
    for statement in ground.corpus:
        plan = rewrite(statement.sql, ground.policy, CONTEXT)
        if not isinstance(plan, Rewritten):
            continue
        texts = {apply_edits(statement.sql, some) for some in subsets(plan.edits)}
        texts |= {apply_edits(statement.sql, some) for some in moved(plan.edits, len(statement.sql))}
        for text in sorted(texts - {plan.sql}):
            if is_denied(ground, text):
                denied += 1
                continue
            accepted += 1
            assert harm(ground.expected["before"].state, run(ground.full, statement, text)) is None, text
    print(f"{denied} texts denied, {accepted} accepted and harmless")
    assert denied > 1000
