"""Broken conversations in a session without a server: it raises nothing, keeps its books, and ends."""

from itertools import islice
from random import Random

import pytest

from tests.fuzz.check import Sessions, seeds
from tests.fuzz.offline import LIMITS, Offline, Planned, pieces_of
from tests.fuzz.transcript import CLIENT, Transcript, load

LIBRARY = load()
COUNT = 250
SLOW_COUNT = 6000


@pytest.mark.parametrize("transcript", LIBRARY, ids=lambda one: one.name)
@pytest.mark.parametrize("way", ["whole", "bytes"])
def test_a_conversation_as_it_was_recorded_goes_to_its_end(transcript: Transcript, way: str) -> None:
    run = Offline(Planned(), LIMITS[0], lazy=False)
    outcome = run.run(transcript.turns, pieces_of(Random(0), way), CLIENT)  # noqa: S311 - no secret
    assert b"VFATAL" not in outcome.to_client


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [COUNT, pytest.param(SLOW_COUNT, marks=pytest.mark.slow)])
def test_a_broken_conversation_breaks_no_session(count: int) -> None:
    sessions = Sessions(LIBRARY)
    for seed in islice(seeds(count), count):
        broken = sessions.run(seed)
        assert broken is None, broken
    assert sessions.compared > 0.95 * count
    assert sessions.phases >= {"ready", "closed", "authenticating"}
