"""Plans by shape over the oracle's own catalog: templates give what the rewriter gives, and answers stay the twin's."""

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from pgsoftproxy.db.introspect import load_catalog
from pgsoftproxy.db.readiness import with_links
from pgsoftproxy.model.context import Context, SearchPath, Values, Variables
from pgsoftproxy.model.policy import Policy, compile_policy
from pgsoftproxy.rewrite.rewriter import rewrite
from pgsoftproxy.rewrite.shapes import read_shape
from pgsoftproxy.rewrite.templates import make_template
from pgsoftproxy.settings.load import load
from tests.fix_proxy import config_text
from tests.oracle.cases import load_cases
from tests.oracle.client import Step
from tests.oracle.databases import CONFIG, FULL, OWNER
from tests.oracle.duel import Outcome
from tests.oracle.fuzz import BATCH, Tally, described, duel
from tests.oracle.grammar.units import Unit, unit
from tests.oracle.harness import Harness
from tests.rewrite.shaping import Ground, with_literals
from tests.servers import Server

SEED = 20261123
CONTEXT = Context(Variables.at_start(Values(OWNER, SearchPath(("app", "public")))), OWNER)


@pytest.fixture(scope="module")
def policy(server: Server, oracle: Harness, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """Return the policy of the oracle's configuration, compiled as the proxy does."""
    path: Path = tmp_path_factory.mktemp("shapes") / "proxy.toml"
    path.write_text(config_text(server, FULL, CONFIG))
    settings = load(path, {})
    catalog = asyncio.run(load_catalog(server.dsn(FULL), None))
    policy, _ = compile_policy(settings.rules(), settings.grants(), catalog, 1)
    policy, _ = with_links(policy, settings.key_rules())
    return replace(policy, routines=settings.routine_rules(), statements=settings.statement_rules())


def texts_of(units: list[Unit]) -> list[str]:
    """Return every text that the units send."""
    return [step[-1] for made in units for step in made.steps if step[0] in ("query", "parse")]


def test_templates_give_what_the_rewriter_gives(server: Server, policy: Policy) -> None:
    ground = Ground(policy, CONTEXT, Random(SEED), Counter())  # noqa: S311 - no secret
    for case in load_cases():
        for message in case.messages:
            ground.try_text(message.sql)
    for sql in texts_of([unit(SEED, number, server.version) for number in range(400)]):
        ground.try_text(sql)
    counts = ground.counts
    assert counts["free"] > 400 and counts["pinned"] > 80, counts
    assert counts["Rewritten"] > 400 and counts["Forward"] > 50, counts


def neighbours(sql: str, policy: Policy) -> list[str]:
    """Return two texts of the same shape with other numbers in it, none if it cannot share a plan."""
    read = read_shape(sql)
    template = make_template(sql, rewrite(sql, policy, CONTEXT)) if read is not None else None
    if read is None or template is None:
        return []
    found = []
    for more in (1, 2):
        literals = list(read[1])
        for place in template.free:
            whole, dot, part = literals[place].partition(".")
            if whole.isdigit():
                literals[place] = f"{int(whole) + more}{dot}{part}"
        found.append(with_literals(sql, literals))
    return [text for text in found if (other := read_shape(text)) is not None and other[0] == read[0]]


def after_its_neighbours(made: Unit, policy: Policy) -> Unit:
    """Return a unit each of whose simple queries comes when its shape is known, from texts that were only parsed."""
    steps: list[Step] = []
    for step in made.steps:
        if step[0] == "query":
            for text in neighbours(step[1], policy):
                steps += [("parse", "", text), ("sync",)]
        steps.append(step)
    return replace(made, steps=tuple(steps))


def test_answers_are_the_twins_when_plans_are_those_of_other_texts(
    server: Server, oracle: Harness, policy: Policy
) -> None:
    tally = Tally()
    with duel(server, oracle.databases, 1) as (fight, proxy):
        for first in range(0, 20 * BATCH, BATCH):
            units = [unit(SEED, first + n, server.version) for n in range(BATCH)]
            for verdict in fight.fight([after_its_neighbours(made, policy) for made in units]):
                tally.add(verdict)
        hits = proxy.metric("pgsoftproxy_plan_cache_shape_hits_total")
    assert not tally.findings, "\n\n".join(described(found, server.version) for found in tally.findings[:5])
    assert tally.outcomes[Outcome.AGREED] > 200
    assert hits > 40
