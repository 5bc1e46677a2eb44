"""Random statements: the proxy answers them as the twin does, or refuses them; it is never something else."""

from collections import Counter
from itertools import islice

from tests.oracle.generate import generated_cases
from tests.oracle.harness import Harness

SEED = 20260131
STATEMENTS = 400


def test_the_proxy_answers_random_statements_as_the_twin_does(
    oracle: Harness, verdicts: Counter[str]
) -> None:
    failures = []
    refused = 0
    for number, case in enumerate(islice(generated_cases(SEED), STATEMENTS)):
        report = oracle.run(case, ("simple", "extended")[number % 2])
        if any("'C': '0A000'" in line and "not success" in line for line in report.differences):
            refused += 1
        elif report.differences:
            failures.append(f"{case.name}: {case.messages[0].sql}\n  " + "\n  ".join(report.differences))
    verdicts["generated and agreed"] += STATEMENTS - refused - len(failures)
    verdicts["generated and refused"] += refused
    assert not failures, "\n\n".join(failures)
    assert refused <= STATEMENTS // 20


def test_a_generated_statement_can_be_made_again() -> None:
    first, again = (
        [case.messages[0].sql for case in islice(generated_cases(7), 50)],
        [case.messages[0].sql for case in islice(generated_cases(7), 50)],
    )
    assert first == again
    assert len(set(first)) > 45
