"""Which kernel runs: what there is, or what PGSOFTPROXY_KERNEL asks for; and that one can be made of the sources."""

import os
import shutil
import subprocess
import sys
import sysconfig
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from pgsoftproxy import rewrite
from pgsoftproxy.compiled import FOLDER, SOURCES, SUFFIX, SWITCH, digest, folder_of, made_of
from pgsoftproxy.kernel import CHOICES, COMPILED, MODULES, Lane
from pgsoftproxy.rewrite import scope
from tests.packages.dockerfile import ROOT

SHOW = """
import pgsoftproxy.kernel as k, pgsoftproxy.rewrite as r, pgsoftproxy.rewrite.scope as s
print(k.COMPILED, k.Lane.__module__, k.Wire.__module__, r.COMPILED, s.__file__.endswith(".py"))
"""
PYTHON = "False pgsoftproxy.kernel.lane pgsoftproxy.kernel.wires False True\n"
C = "True pgsoftproxy.kernel._lane pgsoftproxy.kernel._wires True False\n"
KERNEL = ROOT / "pgsoftproxy" / "kernel"
REWRITE = ROOT / "pgsoftproxy" / "rewrite"


def show(choice: str, package: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Import the kernel of a tree in a process of its own."""
    env = {**os.environ, "PGSOFTPROXY_KERNEL": choice, "PYTHONPATH": str(package)}
    return subprocess.run([sys.executable, "-c", SHOW], env=env, cwd=package, capture_output=True, text=True)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Return a copy of the sources in which nothing is compiled."""
    shutil.copytree(
        ROOT / "pgsoftproxy",
        tmp_path / "pgsoftproxy",
        ignore=shutil.ignore_patterns("*.so", "_compiled", "__pycache__"),
    )
    shutil.copy(ROOT / "hatch_build.py", tmp_path)
    return tmp_path


def test_python_can_be_asked_for() -> None:
    assert show("python").stdout == PYTHON


def test_without_a_wish_what_there_is_runs(bare: Path) -> None:
    assert show("", bare).stdout == PYTHON


def test_what_is_asked_for_and_absent_is_an_error(bare: Path) -> None:
    done = show("compiled", bare)
    assert done.returncode == 1
    assert "PGSOFTPROXY_KERNEL asks for the compiled kernel, which this installation lacks" in done.stderr


def test_a_choice_that_is_none_is_an_error() -> None:
    assert f"PGSOFTPROXY_KERNEL is 'fast': it must be one of {', '.join(CHOICES)}" in show("fast").stderr


def build(sources: Path, target: Path, env: dict[str, str]) -> Path:
    """Return the wheel that these sources become."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target / "dist")]
    done = subprocess.run(command, cwd=sources, env={**os.environ, **env}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (target / "said").write_text(done.stdout + done.stderr)
    (wheel,) = (target / "dist").iterdir()
    return wheel


def test_an_installation_without_a_compiler_succeeds(bare: Path, tmp_path: Path) -> None:
    wheel = build(bare, tmp_path, {"CC": "/no/compiler", "PGSOFTPROXY_KERNEL": ""})
    assert "the kernel is installed as Python" in (tmp_path / "said").read_text()
    assert wheel.name.rpartition("-")[2] == "any.whl"


def test_what_runs_is_what_was_chosen_and_if_compiled_of_the_present_sources() -> None:
    assert Lane.__module__ == ("pgsoftproxy.kernel._lane" if COMPILED else "pgsoftproxy.kernel.lane")
    for name in MODULES if COMPILED else ():
        made = KERNEL / f"_{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
        assert made.stat().st_mtime >= (KERNEL / f"{name}.py").stat().st_mtime, "make setup compiles it anew"
    assert rewrite.COMPILED == COMPILED, "make setup compiles it anew"
    folder = Path(scope.__file__).parent
    assert folder.name == ("_compiled" if COMPILED else "rewrite")
    if COMPILED:
        assert {name: digest(REWRITE, name) for name in made_of(folder)} == made_of(folder)


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """Return a room with one module, compiled in form only: nothing of it is imported."""
    folder = tmp_path / FOLDER
    folder.mkdir()
    (tmp_path / "one.py").write_text("ONE = 1\n")
    (folder / f"one{SUFFIX}").touch()
    (folder / SOURCES).write_text(f"one {digest(tmp_path, 'one')}\n")
    return tmp_path


@pytest.mark.parametrize("choice", ["compiled", ""])
def test_compiled_modules_of_the_present_sources_run(
    room: Path, choice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SWITCH, choice)
    assert folder_of(room) == str(room / FOLDER)


def change_source(room: Path) -> None:
    """Change what the module was made of."""
    (room / "one.py").write_text("ONE = 2\n")


def declare(room: Path) -> None:
    """Give it declarations that it was made without."""
    (room / "one.pxd").write_text("cdef int ONE\n")


def leave_another(room: Path) -> None:
    """Leave a module there of which nobody says what it was made of."""
    (room / FOLDER / f"two{SUFFIX}").touch()


def lose_the_module(room: Path) -> None:
    """Take the only module away."""
    (room / FOLDER / f"one{SUFFIX}").unlink()


def lose_the_list(room: Path) -> None:
    """Take away what says what it was made of."""
    (room / FOLDER / SOURCES).unlink()


@pytest.mark.parametrize("change", [change_source, declare, leave_another, lose_the_module, lose_the_list])
def test_compiled_modules_of_other_sources_never_run(
    room: Path, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    change(room)
    monkeypatch.setenv(SWITCH, "")
    assert folder_of(room) is None
    monkeypatch.setenv(SWITCH, "compiled")
    with pytest.raises(ImportError, match="asks for the compiled kernel, which this installation lacks"):
        folder_of(room)


def test_a_traceback_shows_the_source_of_what_is_compiled() -> None:
    with pytest.raises(TypeError) as caught:
        scope.find(cast(Any, 1), ())
    shown = "".join(traceback.format_exception(caught.value))
    assert 'pgsoftproxy/rewrite/scope.py", line' in shown
    assert 'if "withClause" in node:' in shown


@pytest.mark.slow
def test_a_wheel_has_what_is_compiled(bare: Path, tmp_path: Path) -> None:
    wheel = build(bare, tmp_path, {"PGSOFTPROXY_KERNEL": "compiled"})
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "installed")
    shutil.rmtree(bare / "pgsoftproxy")
    assert show("compiled", tmp_path / "installed").stdout == C
