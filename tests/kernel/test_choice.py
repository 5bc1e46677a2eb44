"""Which kernel runs: what there is, or what PGSOFTPROXY_KERNEL asks for; and that one can be made of the sources."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from pgsoftproxy.kernel import CHOICES, COMPILED, MODULES, Lane
from tests.packages.dockerfile import ROOT

SHOW = "import pgsoftproxy.kernel as k; print(k.COMPILED, k.Lane.__module__, k.Wire.__module__)"
KERNEL = ROOT / "pgsoftproxy" / "kernel"


def show(choice: str, package: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Import the kernel of a tree in a process of its own."""
    env = {**os.environ, "PGSOFTPROXY_KERNEL": choice, "PYTHONPATH": str(package)}
    return subprocess.run([sys.executable, "-c", SHOW], env=env, cwd=package, capture_output=True, text=True)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Return a copy of the sources in which nothing is compiled."""
    shutil.copytree(
        ROOT / "pgsoftproxy", tmp_path / "pgsoftproxy", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    shutil.copy(ROOT / "hatch_build.py", tmp_path)
    return tmp_path


def test_python_can_be_asked_for() -> None:
    assert show("python").stdout == "False pgsoftproxy.kernel.lane pgsoftproxy.kernel.wires\n"


def test_without_a_wish_what_there_is_runs(bare: Path) -> None:
    assert show("", bare).stdout == "False pgsoftproxy.kernel.lane pgsoftproxy.kernel.wires\n"


def test_what_is_asked_for_and_absent_is_an_error(bare: Path) -> None:
    done = show("compiled", bare)
    assert done.returncode == 1
    assert "PGSOFTPROXY_KERNEL asks for the compiled kernel, which this installation lacks" in done.stderr


def test_a_choice_that_is_none_is_an_error() -> None:
    assert f"PGSOFTPROXY_KERNEL is 'fast': it must be one of {', '.join(CHOICES)}" in show("fast").stderr


def test_an_installation_without_a_compiler_succeeds(bare: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", bare)
    for name in ("README.md", "LICENSE"):
        shutil.copy(ROOT / name, bare)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    env = {**os.environ, "CC": "/no/compiler", "PGSOFTPROXY_KERNEL": ""}
    done = subprocess.run(command, cwd=bare, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "the kernel is installed as Python" in done.stdout + done.stderr
    assert [path.name.rpartition("-")[2] for path in (tmp_path / "dist").iterdir()] == ["any.whl"]


def test_what_runs_is_what_was_chosen_and_if_compiled_of_the_present_sources() -> None:
    assert Lane.__module__ == ("pgsoftproxy.kernel._lane" if COMPILED else "pgsoftproxy.kernel.lane")
    for name in MODULES if COMPILED else ():
        made = KERNEL / f"_{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
        assert made.stat().st_mtime >= (KERNEL / f"{name}.py").stat().st_mtime, "make setup compiles it anew"


@pytest.mark.slow
def test_the_sources_compile(bare: Path) -> None:
    subprocess.run([sys.executable, "hatch_build.py"], cwd=bare, check=True)
    assert show("compiled", bare).stdout == "True pgsoftproxy.kernel._lane pgsoftproxy.kernel._wires\n"
