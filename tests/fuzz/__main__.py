"""Break conversations for as long as wanted: `python -m tests.fuzz --seconds 600 --seed 1`.

A failure prints its seed and the conversation, and the exit code is 1; `--only SEED` runs that one again.
"""

import argparse
import sys
import time

from tests.fuzz.check import Sessions, seeds
from tests.fuzz.transcript import load


def main() -> int:
    """Run, print what was run, return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1, help="where the seeds start")
    parser.add_argument("--only", type=int, help="one seed that a failure printed")
    given = parser.parse_args()
    sessions = Sessions(load())
    if given.only is not None:
        broken = sessions.run(given.only)
        print(broken or f"SEED={given.only}: nothing wrong")
        return int(broken is not None)
    deadline = time.monotonic() + given.seconds
    done = 0
    for seed in seeds(given.seed):
        if time.monotonic() > deadline:
            break
        broken = sessions.run(seed)
        done += 1
        if broken is not None:
            print(broken, file=sys.stderr)
            print(f"again: python -m tests.fuzz --only {seed}", file=sys.stderr)
            return 1
    print(f"{done} broken conversations, {sessions.compared} compared at several cuts: nothing wrong")
    return 0


if __name__ == "__main__":
    sys.exit(main())
