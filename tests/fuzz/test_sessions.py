"""Broken conversations in a session without a server: it raises nothing, keeps its books, and ends."""

import time
from random import Random

import pytest

from tests.fuzz.check import Sessions, seeds
from tests.fuzz.offline import LIMITS, Offline, Planned, pieces_of
from tests.fuzz.transcript import CLIENT, Transcript, load

LIBRARY = load()
SECONDS = 4.0
SLOW_SECONDS = 90.0


@pytest.mark.parametrize("transcript", LIBRARY, ids=lambda one: one.name)
@pytest.mark.parametrize("way", ["whole", "bytes"])
def test_a_conversation_as_it_was_recorded_goes_to_its_end(transcript: Transcript, way: str) -> None:
    run = Offline(Planned(), LIMITS[0], lazy=False)
    outcome = run.run(transcript.turns, pieces_of(Random(0), way), CLIENT)  # noqa: S311 - no secret
    assert b"VFATAL" not in outcome.to_client


@pytest.mark.parametrize("seconds", [SECONDS, pytest.param(SLOW_SECONDS, marks=pytest.mark.slow)])
def test_a_broken_conversation_breaks_no_session(seconds: float) -> None:
    sessions = Sessions(LIBRARY)
    deadline = time.monotonic() + seconds
    for seed in seeds(int(seconds)):
        broken = sessions.run(seed)
        assert broken is None, broken
        if time.monotonic() > deadline:
            break
    assert sessions.compared > 20 * seconds
    assert sessions.phases >= {"ready", "closed", "authenticating"}
