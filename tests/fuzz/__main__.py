"""Break conversations for as long as wanted: `python -m tests.fuzz --seconds 600 --seed 1`.

Half of the time sessions alone hear them, a quarter each a proxy before a real server with broken clients, and
with a broken server. A failure prints its seed, and the exit code is 1; `--only SEED --where sessions` runs one again.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.fuzz.check import Sessions, seeds
from tests.fuzz.ground import Attack, Ground, broken_clients, bystander, decent_clients, mangled, running
from tests.fuzz.transcript import load
from tests.servers import execute, local_server


def alone(seconds: float, first: int, only: int | None) -> list[str]:
    """Break conversations in sessions without a server; return what went wrong."""
    sessions = Sessions(load())
    deadline = time.monotonic() + seconds
    done = 0
    for seed in seeds(first) if only is None else (only,):
        if time.monotonic() > deadline and only is None:
            break
        broken = sessions.run(seed)
        done += 1
        if broken is not None:
            return [str(broken)]
    print(f"sessions: {done} broken conversations, {sessions.compared} compared at several cuts")
    return []


def against_a_proxy(seconds: float, first: int, only: int | None, *, server_too: bool) -> list[str]:
    """Break conversations with a proxy, or with the server behind it; return what went wrong."""
    server = local_server(18)
    try:
        execute(server.dsn(), "CREATE DATABASE fuzzed")
        ground = Ground.make(server, "fuzzed")
        before = ground.rows()
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            port = stack.enter_context(mangled(server, only or first)) if server_too else server.port
            proxy = stack.enter_context(running(ground, folder, port))
            stack.enter_context(bystander(proxy))
            clients = decent_clients if server_too else broken_clients
            attack = Attack(clients(ground, (proxy.host, proxy.port)), first * 1_000_000)
            if only is None:
                attack.run(seconds=seconds)
            else:
                attack.one(only)
        if ground.rows() != before:
            attack.wrong.append("rows are gone, or deleted ones have changed")
    finally:
        server.destroy()
    print(f"{'servers' if server_too else 'clients'}: {attack.count} broken conversations with a proxy")
    return attack.wrong


WHERE: dict[str, Callable[[float, int, int | None], list[str]]] = {
    "sessions": alone,
    "clients": lambda seconds, first, only: against_a_proxy(seconds, first, only, server_too=False),
    "servers": lambda seconds, first, only: against_a_proxy(seconds, first, only, server_too=True),
}
SHARES = {"sessions": 0.5, "clients": 0.25, "servers": 0.25}


def main() -> int:
    """Run, print what was run, return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1, help="where the seeds start")
    parser.add_argument("--where", choices=WHERE, help="only there")
    parser.add_argument("--only", type=int, help="one seed that a failure printed")
    given = parser.parse_args()
    for where in WHERE if given.where is None else (given.where,):
        seconds = given.seconds * (SHARES[where] if given.where is None else 1)
        wrong = WHERE[where](seconds, given.seed, given.only)
        if wrong:
            print(
                *wrong, f"again: python -m tests.fuzz --where {where} --only SEED", sep="\n", file=sys.stderr
            )
            return 1
    print("nothing wrong")
    return 0


if __name__ == "__main__":
    sys.exit(main())
