"""Random statements: the proxy answers them as the twin does, or refuses them; it is never something else."""

import time
from collections import Counter

import pytest

from tests.fix_servers import VERSIONS
from tests.oracle.compare import CANARY
from tests.oracle.databases import FULL, OWNER, TWIN
from tests.oracle.duel import Duel, Outcome, Side, judge
from tests.oracle.fuzz import BATCH, Tally, described, duel
from tests.oracle.grammar.constructs import CONSTRUCTS, known_to
from tests.oracle.grammar.units import unit
from tests.oracle.harness import Harness
from tests.servers import Server

SEED = 20260131
SECONDS = 8.0
FEWEST = 300


def test_the_proxy_answers_random_statements_as_the_twin_does(
    server: Server, oracle: Harness, verdicts: Counter[str]
) -> None:
    tally = Tally()
    ends = time.monotonic() + SECONDS
    number = 0
    with duel(server, oracle.databases, 0) as (fight, _):
        while number < FEWEST or time.monotonic() < ends:
            for verdict in fight.fight([unit(SEED, number + n, server.version) for n in range(BATCH)]):
                tally.add(verdict)
            number += BATCH
    for outcome, count in tally.outcomes.items():
        verdicts[f"generated and {outcome.value}"] += count
    assert not tally.findings, "\n\n".join(described(found, server.version) for found in tally.findings[:5])
    assert tally.outcomes[Outcome.REFUSED] <= tally.total // 20
    assert tally.outcomes[Outcome.ERRED] <= tally.total // 10


@pytest.mark.parametrize("version", VERSIONS)
def test_a_few_thousand_statements_have_every_construct(version: int) -> None:
    counts: Counter[str] = Counter()
    for number in range(4000):
        counts.update(unit(SEED, number, version).constructs)
    assert [name for name in known_to(version) if not counts[name]] == []
    assert set(counts) <= {name for name, since in CONSTRUCTS.items() if since <= version}


def test_a_generated_statement_can_be_made_again() -> None:
    first, again = ([unit(7, number, 18) for number in range(50)] for _ in range(2))
    assert first == again
    assert len({made.statement for made in first}) > 45


def message(kind: bytes, body: bytes) -> bytes:
    """Return a message as the server frames it."""
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def row(value: bytes) -> bytes:
    """Return a DataRow of one value."""
    return message(b"D", b"\0\1" + len(value).to_bytes(4, "big") + value)


def error(state: str, text: str, *more: str) -> bytes:
    """Return an ErrorResponse."""
    fields = ["SERROR", "VERROR", f"C{state}", f"M{text}", *more]
    return message(b"E", b"".join(field.encode() + b"\0" for field in fields) + b"\0")


DONE = message(b"C", b"SELECT 1\0") + message(b"Z", b"I")
ALIAS_LIST = error("0A000", 'column alias list of table "app.users" makes', "HLeave the name")


@pytest.mark.parametrize(
    ("proxied", "direct", "outcome"),
    [
        (row(b"1") + DONE, row(b"1") + DONE, Outcome.AGREED),
        (row(b"1") + row(b"2") + DONE, row(b"2") + row(b"1") + DONE, Outcome.AGREED),
        (row(b"1") + row(b"1") + DONE, row(b"1") + DONE, Outcome.DISAGREED),
        (row(b"1") + DONE, error("42703", "no column") + DONE, Outcome.DISAGREED),
        (error("42703", "no column") + DONE, error("42703", "no column") + DONE, Outcome.ERRED),
        (error("42703", "no column") + DONE, error("42703", "another") + DONE, Outcome.DISAGREED),
        (ALIAS_LIST + DONE, row(b"1") + DONE, Outcome.REFUSED),
        (error("0A000", "of a kind that is not documented", "HNo") + DONE, row(b"1") + DONE, Outcome.DISAGREED),
        (error("57014", "canceling") + DONE, row(b"1") + DONE, Outcome.CANCELLED),
        (row(b"x " + CANARY.upper()) + DONE, row(b"x " + CANARY.upper()) + DONE, Outcome.LEAKED),
        (row(CANARY.hex().encode()) + DONE, DONE, Outcome.LEAKED),
    ],
)  # fmt: skip
def test_two_answers_are_judged(proxied: bytes, direct: bytes, outcome: Outcome) -> None:
    made = next(made for made in (unit(1, n, 18) for n in range(100)) if not made.ordered)
    assert judge(made, proxied, direct).outcome is outcome


def test_a_connection_without_a_proxy_is_found_out(oracle: Harness) -> None:
    """Send the statements to the full database itself: what is not hidden must show."""
    sides = [
        Side(lambda name=name: oracle.client("direct", name, OWNER), name)  # type: ignore[misc]
        for name in (FULL, TWIN)
    ]
    naked = Duel(sides[0], sides[1])
    try:
        found = Counter(
            verdict.outcome for verdict in naked.fight([unit(SEED, n, 15) for n in range(10 * BATCH)])
        )
    finally:
        oracle.close()
        oracle.forget()
    assert found[Outcome.LEAKED] > 5
    assert found[Outcome.DISAGREED] > 20
