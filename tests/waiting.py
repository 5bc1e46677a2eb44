"""Wait for a thing instead of for a time."""

import time
from collections.abc import Callable

SECONDS = 60.0


def wait_until(true: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Ask again and again until something is true; AssertionError if it never is."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def wait_until_still(value: Callable[[], float], still_seconds: float = 1.0) -> float:
    """Return a value that only grows once it has not changed for a while."""
    last, since = value(), time.monotonic()
    while time.monotonic() - since < still_seconds:
        time.sleep(0.05)
        if (now := value()) != last:
            last, since = now, time.monotonic()
    return last
