"""PostgreSQL in containers, where a Docker engine answers. Used by the fixtures only."""

import subprocess
import time
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from tests.clusters import ServerUnavailable
from tests.processes import free_port
from tests.servers import SETTINGS, START_SECONDS, StopMode, embedded_programs

STOP_SIGNALS = {"smart": "SIGTERM", "fast": "SIGINT", "immediate": "SIGQUIT"}


@cache
def docker_answers() -> bool:
    """Tell whether a Docker engine answers within two seconds."""
    try:
        asked = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            timeout=2,
            check=False,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


class ContainerServer:
    """A server in a container of its own, on a fixed port of 127.0.0.1."""

    def __init__(self, version: int) -> None:
        from testcontainers.core.container import DockerContainer

        self.version = version
        self.host = "127.0.0.1"
        self.port = free_port()
        self.user = "postgres"
        self.bin: Path | None = embedded_programs()
        command = ["postgres", *(f"-c{name}={value}" for name, value in SETTINGS.items())]
        self._container = (
            DockerContainer(f"postgres:{version}")
            .with_env("POSTGRES_HOST_AUTH_METHOD", "trust")
            .with_env("POSTGRES_INITDB_ARGS", "--locale=C --encoding=UTF8")
            .with_command(command)
        )
        ports: dict[str, Any] = self._container.ports
        ports["5432/tcp"] = (self.host, self.port)  # as the engine's API takes it: this address only
        self._container.start()
        self._wait()

    def dsn(self, dbname: str = "postgres", user: str | None = None) -> str:
        """Return a connection string for one of its databases."""
        return f"postgresql://{user or self.user}@{self.host}:{self.port}/{dbname}"

    def log(self) -> str:
        """Return what the server has logged so far."""
        return "".join(part.decode(errors="replace") for part in self._container.get_logs())

    def start(self) -> None:
        """Start it and return once it takes connections."""
        self._wrapped.start()
        self._wait()

    def stop(self, mode: StopMode = "fast") -> None:
        """Shut it down and return once it is gone."""
        self._wrapped.kill(signal=STOP_SIGNALS[mode])
        self._wrapped.wait(timeout=START_SECONDS)

    def kill(self) -> None:
        """Kill every process of it with SIGKILL and return once they are gone."""
        self._wrapped.kill()
        self._wrapped.wait(timeout=START_SECONDS)

    def destroy(self) -> None:
        """Remove the container."""
        self._container.stop(force=True)

    @property
    def _wrapped(self) -> Any:
        return self._container.get_wrapped_container()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.dsn(), connect_timeout=5).close()
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    log = self.log()
                    self.destroy()
                    message = f"PostgreSQL {self.version} did not start: {error}\n{log}"
                    raise ServerUnavailable(message) from error
                time.sleep(0.05)


def container_server(version: int) -> ContainerServer:
    """Start a server of that major version in a container."""
    return ContainerServer(version)
