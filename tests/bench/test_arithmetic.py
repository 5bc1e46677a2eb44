"""The arithmetic of the benchmarks: medians, ratios, order of rounds, growth of a curve, what a process uses."""

import os
import random
import subprocess
import sys
import time
from collections import Counter

import pytest

from tests.bench.cpu import fine_seconds, living_seconds, own_memory, own_seconds
from tests.bench.figures import Ledger, Summary, paired_differences, paired_ratios, percentile, summary
from tests.bench.growth import Growth, growth
from tests.bench.rounds import Effort, interleaved

PLACES = (1, 10, 100, 1000, 10_000)


def test_a_summary_has_the_median_and_both_ends() -> None:
    assert summary([3.0, 1.0, 2.0, 9.0]) == Summary(2.5, 1.0, 9.0)


def test_ratios_and_differences_pair_what_the_same_round_gave() -> None:
    assert paired_ratios([2.0, 6.0], [1.0, 2.0]) == [2.0, 3.0]
    assert paired_differences([2.0, 6.0], [1.0, 2.0]) == [1.0, 4.0]


def test_rounds_that_do_not_pair_are_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired_ratios([1.0, 2.0], [1.0])


@pytest.mark.parametrize(("share", "value"), [(0.5, 51.0), (0.99, 100.0), (0.0, 1.0), (1.0, 100.0)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], share) == value


def test_everyone_has_a_turn_in_each_round_and_is_first_once() -> None:
    turns = list(interleaved(3, "abc"))
    assert turns == list("abcbcacab")
    assert Counter(turns[::3]) == Counter("abc")


def test_a_share_of_an_effort_is_never_nothing() -> None:
    assert [Effort(1, 1, 0.001).size(size) for size in (1, 10, 5000)] == [1, 1, 5]


def test_a_ledger_gives_what_was_noted_and_nothing_else() -> None:
    ledger = Ledger()
    ledger.add("cpu.simple", "ours", 1.0)
    ledger.add("cpu.simple", "ours", 2.0)
    assert ledger.taken("cpu.simple", "ours") == [1.0, 2.0]
    assert ledger.taken("cpu.simple", "theirs") == ledger.taken("cpu.other", "ours") == []


@pytest.mark.parametrize(
    ("power", "factor", "grown"),
    [
        (1.0, 0.0, Growth.FLAT),
        (1.0, 0.001, Growth.LINEAR),
        (1.0, 5.0, Growth.LINEAR),
        (0.5, 2.0, Growth.SLOWER),
        (1.5, 0.001, Growth.WORSE),
        (2.0, 0.00001, Growth.WORSE),
    ],
)
def test_growth_is_told_through_the_noise_of_measurements(power: float, factor: float, grown: Growth) -> None:
    draw = random.Random(7)  # noqa: S311
    for _ in range(50):
        points = {place: (20 + factor * place**power) * draw.uniform(0.97, 1.03) for place in PLACES}
        assert growth(points)[0] is grown, points


def test_a_cost_that_falls_is_flat() -> None:
    assert growth({1: 90.0, 8: 20.0, 64: 12.0, 1000: 11.0})[0] is Growth.FLAT


def test_one_point_is_no_curve() -> None:
    with pytest.raises(ValueError, match="two points"):
        growth({1: 1.0})


def test_both_clocks_of_a_process_agree_and_count_its_children() -> None:
    before, fine, family = own_seconds(os.getpid()), fine_seconds(os.getpid()), living_seconds(os.getpid())
    spin = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", spin], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        until = time.process_time() + 0.3
        while time.process_time() < until:
            pass
        assert child.stdout is not None
        child.stdout.readline()
        own, thread = own_seconds(os.getpid()) - before, fine_seconds(os.getpid()) - fine
        together = living_seconds(os.getpid()) - family
        assert own_memory(child.pid) > 1_000_000
        child.communicate(b"\n")
    assert own == pytest.approx(thread, abs=0.03)
    assert thread >= 0.29
    assert together >= 0.58
