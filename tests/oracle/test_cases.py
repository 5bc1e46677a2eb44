"""Every case of tests/cases, by every protocol, on every server version: the proxy answers as the twin does."""

from collections import Counter

import pytest

from tests.oracle.cases import Case, load_cases
from tests.oracle.harness import Harness

CASES = load_cases()
RUNS = [
    pytest.param(case, protocol, id=f"{case.id} ({protocol})")
    for case in CASES
    for protocol in case.protocols
]


@pytest.mark.parametrize(("case", "protocol"), RUNS)
def test_the_proxy_answers_as_the_twin_does(
    oracle: Harness, verdicts: Counter[str], case: Case, protocol: str
) -> None:
    report = oracle.run(case, protocol)
    verdicts["disagreed" if report.differences else "refused" if report.refused else "agreed"] += 1
    sent = "\n-- next\n".join(message.sql for message in case.messages)
    listing = "\n".join(f"* {line}" for line in report.differences)
    assert not report.differences, f"cases/{case.file}.sql:{case.line} {case.name}\n{sent}\n{listing}"


def test_there_are_enough_cases_of_every_shape() -> None:
    assert len(CASES) >= 300
    assert sum(case.refused is None for case in CASES) >= 250
