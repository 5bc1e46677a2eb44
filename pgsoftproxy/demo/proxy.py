"""The proxy of the demo, as users run it: a configuration file and `python -m pgsoftproxy run`.

Must not know what the demo shows.
"""

import json
import signal
import sys
from http.client import HTTPConnection
from typing import NoReturn

from prometheus_client.parser import text_string_to_metric_families

from pgsoftproxy.demo.child import Program
from pgsoftproxy.demo.failure import DemoFailed
from pgsoftproxy.demo.stage import Stage

START_SECONDS = 20.0
SCRAPE_SECONDS = 5.0
RELOAD_SECONDS = 10.0

CONFIG = """\
[listen]
host = "127.0.0.1"
port = 0

[upstream]
host = "{upstream_host}"
port = {upstream_port}

[control]
dsn = "{control_dsn}"

[metrics]
host = "127.0.0.1"
port = 0

[logs]
format = "json"

[limits]
drain_timeout = 2.0

[defaults]
column = "deleted_at"
deleted_by = "deleted_by"
deletion_id = "deletion_id"
relations = "parent_only"

[tables."public.*"]

[tables."public.invoices"]
relations = "require"

[roles.support]
visibility = ["live", "all", "deleted"]
restore = true
"""


class Proxy:
    """A running proxy."""

    def __init__(self, stage: Stage, config: str) -> None:
        self.host = "127.0.0.1"
        self.config = stage.work / "pgsoftproxy.toml"
        self.config.touch(mode=0o600)
        self.config.write_text(config)
        argv = [sys.executable, "-m", "pgsoftproxy", "run", "--config", str(self.config)]
        self._child = stage.start(Program("the proxy", argv, _listening, (signal.SIGTERM,)))
        event = json.loads(self._child.wait_ready(START_SECONDS))
        self.port = int(event["port"])
        self.metrics_port = int(event["metrics_port"])

    def dsn(self, database: str, user: str, password: str) -> str:
        """Return the connection string of a connection through the proxy."""
        return f"postgresql://{user}:{password}@{self.host}:{self.port}/{database}"

    @property
    def metrics_url(self) -> str:
        """Return where the metrics are scraped."""
        return f"http://{self.host}:{self.metrics_port}/metrics"

    def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Scrape the metrics: name and labels to value."""
        connection = HTTPConnection(self.host, self.metrics_port, timeout=SCRAPE_SECONDS)
        try:
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            body = answer.read().decode()
        finally:
            connection.close()
        if answer.status != 200:
            raise DemoFailed(f"{self.metrics_url} answered {answer.status}", body)
        families = text_string_to_metric_families(body)
        return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}

    def reload(self) -> None:
        """Have it read configuration and catalog anew."""
        self._child.notify(signal.SIGHUP, '"event": "reloaded"', RELOAD_SECONDS)

    def wait(self) -> NoReturn:
        """Wait until the proxy ends, which it should not do by itself."""
        code = self._child.wait()
        raise DemoFailed(f"the proxy ended with exit code {code}", self._child.words)


def _listening(line: str) -> str | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return line if isinstance(event, dict) and event.get("event") == "listening" else None
