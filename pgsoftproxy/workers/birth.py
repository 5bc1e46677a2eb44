"""How a worker comes to be: forked from the supervisor, which has one thread, and left with what is its own.

A fork, not a program started anew: after an upgrade of the package on disk a worker that replaces a dead one must
still be of the version of its siblings.
"""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass

from pgsoftproxy.workers.orders import Post

OURS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR2)
BUG = 1


@dataclass(frozen=True, slots=True)
class Birth:
    """A wish for a worker, and where its process id and the way to it will be."""

    slot: int
    made: asyncio.Future[tuple[int, socket.socket]]


def fork(post_of: Callable[[socket.socket], Post], work: Callable[[Post], int]) -> tuple[int, socket.socket]:
    """Make a worker, which does its work and never returns from here; return its process id and the way to it."""
    ours, theirs = socket.socketpair()
    # One that came to the child before it has let go of the parent's wakeup socket would be taken for the parent's.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, OURS)
    pid = os.fork()
    if pid == 0:
        code = BUG
        try:
            post = post_of(theirs)
            _let_go(post)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            code = work(post)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            # No finalizers: what they would close is the parent's.
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            os._exit(code)
    theirs.close()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid, ours


def _let_go(post: Post) -> None:
    signal.set_wakeup_fd(-1)
    for number in OURS:
        # What a terminal sends to all of them is for the supervisor, which passes it on.
        keep = number in (signal.SIGTERM, signal.SIGCHLD)
        signal.signal(number, signal.SIG_DFL if keep else signal.SIG_IGN)
    gc.freeze()  # the parent's objects are never looked at again, so that their pages stay shared
    ours = (sock.fileno() for share in post.shares for sock in share)
    kept = {0, 1, 2, post.channel.fileno(), post.tally.fileno(), *ours}
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            with contextlib.suppress(OSError):
                os.close(int(name))
