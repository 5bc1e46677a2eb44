"""`make soak MINUTES=10`: clients of every kind, broken connections, restarts and reloads; then, is anything left?

The exit status is 1 if a client got a wrong answer or a deleted row, lost its connection without reason or had no
answer; if the proxy kept a connection, descriptor or task, lost a worker, crashed a session or grew in memory.
"""

import argparse
import sys

from tests.soak.run import Plan, Plant, soak


def main() -> int:
    """Run, print what it came to, return the exit code."""
    usual = Plan()
    parser = argparse.ArgumentParser(prog="make soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--clients", type=int, default=usual.clients)
    parser.add_argument("--workers", type=int, default=usual.workers, help="of the proxy (%(default)s)")
    parser.add_argument("--version", type=int, default=usual.version, help="of PostgreSQL (%(default)s)")
    parser.add_argument(
        "--restarts", type=float, default=usual.restart_seconds, help="seconds between two of the server's"
    )
    parser.add_argument(
        "--pace", type=float, default=usual.pace, help="seconds between two statements of a client"
    )
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument(
        "--plant", action="append", choices=[plant.value for plant in Plant], default=[],
        help="a fault that must be found",
    )  # fmt: skip
    given = parser.parse_args()
    plan = Plan(
        given.minutes * 60, given.clients, given.workers, given.version, given.restarts, given.pace, given.seed,
        plants=frozenset(Plant(name) for name in given.plant),
    )  # fmt: skip
    ground = soak(plan)
    for act, count in sorted(ground.acts.items()):
        print(f"{count:>9} {act}")
    if ground.findings:
        print("FOUND:", *(f"{count} x {kind}" for kind, count in ground.findings.most_common()), sep="\n  ")
        return 1
    print("nothing wrong, nothing left")
    return 0


if __name__ == "__main__":
    sys.exit(main())
