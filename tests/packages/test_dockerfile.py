"""The Dockerfile: linted, slim, not root, and with a health check that tells the truth."""

import os
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from pgsoftproxy.ops.http import OpsServer
from pgsoftproxy.ops.metrics import Metrics
from pgsoftproxy.settings import load
from tests.packages.dockerfile import FILE, ROOT, Keyword, stages
from tests.packages.image import context
from tests.processes import free_port
from tests.servers import LocalServer, execute

BUILD, FINAL = stages(FILE.read_text())
TABLES = """
CREATE SCHEMA app;
CREATE TABLE app.users (id int PRIMARY KEY, deleted_at timestamptz);
INSERT INTO app.users VALUES (1), (2);
"""


def test_linter_has_nothing_to_say() -> None:
    linter = Path(sysconfig.get_path("scripts")) / "hadolint"
    done = subprocess.run([linter, "--no-color", FILE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_unknown_instruction_is_noticed() -> None:
    with pytest.raises(ValueError, match="VOLUME"):
        stages("FROM python:3.11-slim\nVOLUME /x\n")


def test_both_stages_have_the_python_that_the_tests_are_for() -> None:
    tested = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["python_version"]
    assert {stage.base for stage in (BUILD, FINAL)} == {f"python:{tested}-slim-bookworm"}


def test_what_runs_brings_neither_compiler_nor_installer() -> None:
    assert not any(word in one.text for one in FINAL.all(Keyword.RUN) for word in ("apt", "pip", "gcc"))
    assert "pip uninstall --yes setuptools pip" in BUILD.last(Keyword.RUN).text
    assert [one.words()[0] for one in FINAL.all(Keyword.COPY)] == ["--from=build"]


def test_every_step_after_the_user_is_set_is_no_longer_root() -> None:
    uid, gid = FINAL.last(Keyword.USER).text.split(":")
    assert int(uid) >= 10_000 and int(gid) >= 10_000
    assert f"useradd --uid {uid} --gid {gid} " in FINAL.all(Keyword.RUN)[0].text
    order = [one.keyword for one in FINAL.instructions]
    assert order.index(Keyword.USER) < order.index(Keyword.ENTRYPOINT)


def test_context_holds_what_is_copied_and_nothing_else() -> None:
    sources = [word for one in BUILD.all(Keyword.COPY) for word in one.words()[:-1]]
    found = {path for path in context() if (ROOT / path).is_file()} - {
        Path("Dockerfile"),
        Path(".dockerignore"),
    }
    assert all(any(path.is_relative_to(source) for source in sources) for path in found)
    assert all(any(path.is_relative_to(source) for path in found) for source in sources)


def test_variables_are_settings_and_ports_are_theirs(tmp_path: Path) -> None:
    file = tmp_path / "pgsoftproxy.toml"
    file.write_text('[control]\ndsn = "host=db"\n')
    settings = load(file, {k: v for one in FINAL.all(Keyword.ENV) for k, v in one.pairs().items()})
    assert (settings.listen.host, settings.metrics.host) == ("0.0.0.0", "0.0.0.0")  # noqa: S104 - a container's
    ports = [int(word) for word in FINAL.last(Keyword.EXPOSE).words()]
    assert ports == [settings.listen.port, settings.metrics.port]


def test_health_check_succeeds_exactly_while_the_process_answers() -> None:
    server = OpsServer("127.0.0.1", 0, Metrics())
    _, *arguments = FINAL.last(Keyword.HEALTHCHECK).command()
    env = {**os.environ, "PGSOFTPROXY_METRICS__PORT": str(server.port)}

    def health() -> int:
        return subprocess.run([sys.executable, *arguments], env=env, stderr=subprocess.DEVNULL).returncode

    assert health() == 0
    server.close()
    assert health() == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_steps_make_a_program_that_runs_as_nobody_on_a_root_it_cannot_write(
    new_server: Callable[..., LocalServer], tmp_path: Path
) -> None:
    server = new_server()
    execute(server.dsn(), TABLES)
    config, secret = tmp_path / "pgsoftproxy.toml", tmp_path / "dsn"
    config.write_text(f'[upstream]\nhost = "{server.host}"\nport = {server.port}\n[tables."app.*"]\n')
    secret.write_text(f"{server.dsn()}\n")
    port, variables = free_port(), {"CONTROL__DSN_FILE": "/run/secrets/pgsoftproxy/dsn"}
    variables |= {"LISTEN__PORT": str(port), "METRICS__PORT": str(free_port())}
    flags = [word for name, value in variables.items() for word in ("--env", f"PGSOFTPROXY_{name}={value}")]
    flags += ["--file", f"{config}:/etc/pgsoftproxy/pgsoftproxy.toml"]
    flags += ["--file", f"{secret}:{variables['CONTROL__DSN_FILE']}"]
    command = [sys.executable, "-m", "tests.packages.image", *flags]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as image:
        assert image.stdin is not None and image.stdout is not None
        said = []
        for line in image.stdout:
            said.append(line)
            if line == "healthy\n":
                break
        assert said[-1] == "healthy\n", "".join(said)
        with psycopg.connect(server.dsn(), port=port) as connection:
            assert connection.execute("DELETE FROM app.users WHERE id = 1").statusmessage == "DELETE 1"
        image.stdin.close()
        assert image.stdout.read().endswith("ended 0\n")
    rows = execute(server.dsn(), "SELECT id, deleted_at IS NULL FROM app.users ORDER BY id")
    assert rows == [(1, False), (2, True)]
