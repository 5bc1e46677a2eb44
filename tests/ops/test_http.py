"""The operator's port."""

import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from pgsoftproxy.errors import ConfigError
from pgsoftproxy.ops.http import OpsServer
from pgsoftproxy.ops.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def ops(metrics: Metrics) -> Iterator[OpsServer]:
    server = OpsServer("127.0.0.1", 0, metrics)
    yield server
    server.close()


def get(ops: OpsServer, path: str, **headers: str) -> tuple[int, str, str]:
    """Return status, content type and body."""
    connection = HTTPConnection("127.0.0.1", ops.port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type") or "", answer.read().decode()
    finally:
        connection.close()


def test_metrics_page_is_what_prometheus_reads(ops: OpsServer, metrics: Metrics) -> None:
    metrics.figures.connections_open = 4
    status, kind, body = get(ops, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain; version=")
    assert "\npgsoftproxy_connections_open 4.0\n" in body


def test_metrics_page_speaks_openmetrics_when_asked(ops: OpsServer) -> None:
    status, kind, body = get(ops, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert (status, kind.partition(";")[0]) == (200, "application/openmetrics-text")
    assert body.endswith("# EOF\n")


def test_health_is_told_before_the_proxy_is_ready(ops: OpsServer) -> None:
    assert get(ops, "/healthz")[0] == 200
    assert get(ops, "/readyz")[::2] == (503, "the catalog could not be read yet\n")


def test_readiness_ends_when_the_drain_begins(ops: OpsServer, metrics: Metrics) -> None:
    metrics.figures.ready = True
    assert get(ops, "/readyz")[::2] == (200, "ready\n")
    metrics.figures.draining = True
    assert get(ops, "/readyz")[::2] == (503, "draining\n")
    assert get(ops, "/healthz")[0] == 200


def test_unknown_page_names_the_known_ones(ops: OpsServer) -> None:
    status, _, body = get(ops, "/")
    assert (status, body) == (404, "try /metrics, /healthz or /readyz\n")


def test_taken_port_is_a_configuration_error(ops: OpsServer) -> None:
    with pytest.raises(
        ConfigError, match=f"metrics: cannot listen on 127.0.0.1:{ops.port}: Address already in use"
    ):
        OpsServer("127.0.0.1", ops.port, Metrics())


def test_the_end_waits_for_nobody_and_leaves_nothing() -> None:
    ops = OpsServer("127.0.0.1", 0, Metrics())
    with socket.create_connection(("127.0.0.1", ops.port)):  # one who never asks
        assert get(ops, "/healthz")[0] == 200
        ops.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", ops.port))
    assert "ops-http" not in {thread.name for thread in threading.enumerate()}


def test_serves_on_ipv6() -> None:
    server = OpsServer("::1", 0, Metrics())
    try:
        connection = HTTPConnection("::1", server.port, timeout=10)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()
    finally:
        server.close()
