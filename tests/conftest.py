"""Load the fixture files and let a SIGTERM unwind the fixtures, so that no server outlives its test run."""

import signal

import pytest

pytest_plugins = ["tests.fix_servers", "tests.fix_proxy", "tests.fix_shop"]


def pytest_configure(config: pytest.Config) -> None:
    """Treat SIGTERM like Ctrl-C: fixtures are torn down, and with them the servers they started.

    SIGINT is set too: a run in the background of a script starts with it ignored, and so would every process
    that a test starts and interrupts.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
