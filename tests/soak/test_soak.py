"""A soak of some seconds: it finds the faults that are planted, and nothing where there is none."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.servers import LocalServer
from tests.soak.run import Plan, Plant, soak_server
from tests.soak.watch import slope

SETTINGS = {"max_connections": "200", "synchronous_commit": "on"}


def plan(seconds: float, **others: Any) -> Plan:
    """Return a soak of some seconds with one restart."""
    return Plan(seconds, clients=20, restart_seconds=1.5, pace=0.01, **others)


def test_soak_of_a_sound_proxy_finds_nothing(new_server: Callable[..., LocalServer]) -> None:
    ground = soak_server(new_server(**SETTINGS), plan(3.0))
    assert ground.findings == {}
    assert min(ground.acts[act] for act in ("reload", "restart of the server", "be_cancelled", "copy_in")) > 0


def test_soak_finds_a_deleted_row_that_is_shown_and_a_session_that_is_left(
    new_server: Callable[..., LocalServer],
) -> None:
    ground = soak_server(new_server(**SETTINGS), plan(2.0, rest_seconds=0.5, plants=frozenset(Plant)))
    assert {"a deleted row", "sessions left", "server connections left", "descriptors left"} <= set(
        ground.findings
    )


def test_slope_is_that_of_the_line_whatever_lies_around_it() -> None:
    assert slope([(0.0, 5), (1.0, 7), (2.0, 9)]) == pytest.approx(2)
    assert slope([(60.0, 100), (62.0, 104), (64.0, 100)]) == pytest.approx(0)
