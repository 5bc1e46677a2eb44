"""Break conversations by the number and check the session that hears them; a seed tells which.

`python -m tests.fuzz` runs it for any length, `test_sessions` for some seconds.
"""

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tests.fuzz.mutate import Turns, mutated
from tests.fuzz.offline import LIMITS, Offline, Outcome, Planned, pieces_of
from tests.fuzz.transcript import CLIENT, SERVER, Transcript, escaped

BYTE_BY_BYTE = 3000
"""The longest conversation, in bytes, that is also given byte by byte."""
PLANNED = 2000
"""How many texts a planner remembers before a new one takes its place."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A broken conversation that broke a session too."""

    seed: int
    mutations: str
    turns: Turns
    why: str

    def __str__(self) -> str:
        lines = [f"  {turn.side} {escaped(turn.data)[:2000]}" for turn in self.turns]
        return "\n".join([f"SEED={self.seed}: {self.mutations}", *lines, self.why])


def seeds(first: int) -> Iterator[int]:
    """Yield seeds that no other first seed below a million gives."""
    return iter(range(first * 1_000_000, (first + 1) * 1_000_000))


class Sessions:
    """Run seeds; `compared` counts conversations whose outcome was compared at several cuts."""

    def __init__(self, transcripts: tuple[Transcript, ...]) -> None:
        self._transcripts = transcripts
        self._planner = Planned()
        self.compared = 0
        self.phases: set[str] = set()

    def run(self, seed: int) -> Broken | None:
        """Break one conversation and hold it at several cuts; return it if the session did wrong."""
        rng = Random(seed)  # noqa: S311 - no secret
        turns, names = mutated(rng, self._transcripts, rng.choice((None, None, CLIENT, SERVER)))
        try:
            self._check(rng, turns)
        except Exception as error:
            return Broken(seed, names, turns, "".join(traceback.format_exception(error)))
        return None

    def _check(self, rng: Random, turns: Turns) -> None:
        limits, end = rng.choice(LIMITS), rng.choice((CLIENT, SERVER))
        if len(self._planner.allowed) > PLANNED:
            self._planner = Planned()
        # The first has no lane: with one, and what the runs before put on its shelves, nothing may come out otherwise.
        ways = ["whole", "random", "random"]
        if sum(len(turn.data) for turn in turns) < BYTE_BY_BYTE:
            ways.append("bytes")
        outcomes = []
        for number, way in enumerate(ways):
            lazy = rng.random() < 0.3
            run = Offline(self._planner, limits, lazy=lazy, alone=number == 0)
            outcomes.append(run.run(turns, pieces_of(rng, way), end))
        self.phases.add(outcomes[0].phase.value)
        if not any(_depends_on_time(outcome) for outcome in outcomes):
            self.compared += 1
            for way, outcome in zip(ways, outcomes, strict=True):
                assert outcome == outcomes[0], f"cut by {way}:\n{outcome}\n{outcomes[0]}"


def _depends_on_time(outcome: Outcome) -> bool:
    # Bytes that come along with a request for encryption may be an attacker's; those that come later are not.
    return b"received unencrypted data" in outcome.to_client
