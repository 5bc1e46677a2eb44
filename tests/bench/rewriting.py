"""The rewriter by itself, in this process, with the policy of a real database."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from itertools import count

from pgsoftproxy.db.introspect import load_catalog
from pgsoftproxy.model.context import Context, SearchPath, Values, Variables
from pgsoftproxy.model.policy import Policy, compile_policy
from pgsoftproxy.rewrite.plan import Rewritten
from pgsoftproxy.rewrite.rewriter import rewrite
from pgsoftproxy.settings import load
from tests.bench.figures import Ledger
from tests.bench.names import OURS, PROTECTED
from tests.bench.pgbench import Failed
from tests.bench.rounds import Effort
from tests.bench.stage import RULES, Stage
from tests.fix_proxy import config_text

COUNT = 500
SELECT = "SELECT abalance FROM pgbench_accounts WHERE aid = {number} AND filler <> 'n{number}'"
JOIN = (
    "SELECT b.bid, b.bbalance, count(*) AS accounts_of_branch, sum(a.abalance) AS balance_of_branch "
    "FROM pgbench_accounts AS a JOIN pgbench_branches AS b ON b.bid = a.bid "
    "WHERE a.aid BETWEEN {number} AND {number} + 100 AND b.bbalance > -{number} GROUP BY b.bid ORDER BY 1"
)
TEXTS = {"select": SELECT, "join": JOIN}


class Rewriter:
    """What the proxy does with a text before it is sent, under a policy."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        path = SearchPath(self.policy.catalog.path_of("postgres"))
        self._context = Context(
            Variables.at_start(Values("postgres", path)), "postgres", self.policy.grant("postgres")
        )

    def sent(self, text: str) -> str:
        """Return what is sent in place of a text that names protected tables; Failed if nothing else is."""
        plan = rewrite(text, self.policy, self._context)
        if not isinstance(plan, Rewritten):
            raise Failed(f"this was not rewritten: {text}")
        return plan.sql

    def microseconds(self, texts: Sequence[str]) -> float:
        """Return the CPU time that planning one of these texts takes, proof included."""
        policy, context = self.policy, self._context
        started = time.thread_time_ns()
        for text in texts:
            rewrite(text, policy, context)
        return (time.thread_time_ns() - started) / len(texts) / 1000


def measure_sight(stage: Stage, effort: Effort, ledger: Ledger) -> None:
    """Note what the first sight of a text takes."""
    rewriter = Rewriter(policy_of(stage, PROTECTED, RULES))
    numbers = count(1_000_000)
    for text in TEXTS.values():
        rewriter.sent(text.format(number=1))
        rewriter.microseconds(_fresh(text, numbers))
    for _ in range(effort.rounds):
        for kind, text in TEXTS.items():
            ledger.add(f"sight.{kind}", OURS, rewriter.microseconds(_fresh(text, numbers)))


def _fresh(text: str, numbers: Iterator[int]) -> list[str]:
    return [text.format(number=next(numbers)) for _ in range(COUNT)]


def policy_of(stage: Stage, database: str, rules: str) -> Policy:
    """Return the policy that rules make of a database as it is now; Failed if they do not fit it."""
    config = stage.directory / "rewriting.toml"
    config.write_text(config_text(stage.server, database, rules))
    settings = load(config, {})
    catalog = asyncio.run(load_catalog(settings.control.dsn))
    policy, problems = compile_policy(settings.rules(), settings.grants(), catalog)
    if problems:
        raise Failed(f"the rules do not fit the database: {problems}")
    return policy
