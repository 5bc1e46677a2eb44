"""The walls of the house: who may import whom, what the pure rooms must not know, how large a module may be.

Imports are read with `ast`, those inside functions and under TYPE_CHECKING too. `FLOORS` is the picture of
docs/architecture.md: a room imports itself and the rooms on floors below it, never a neighbour.
"""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pgsoftproxy"
MAX_LINES = 350

FLOORS = (
    {""},  # the package itself: its version
    {"errors", "compiled"},
    {"model"},
    {"wire", "rewrite", "kernel"},
    {"session", "db", "ops"},
    {"settings", "proxy", "schema", "lifecycle", "ops.http", "workers"},
    {"source", "ways"},
    {"app", "demo"},
    {"launch"},
    {"cli"},
    {"__main__"},
)

PURE = ("errors", "model", "wire", "rewrite", "session")
IMPURE = {
    "asyncio", "concurrent", "http", "logging", "multiprocessing", "os", "prometheus_client", "psycopg", "pydantic",
    "queue", "random", "secrets", "select", "selectors", "signal", "socket", "ssl", "structlog", "subprocess",
    "sys", "threading", "time", "urllib", "uvloop",
}  # fmt: skip

ONLY_IN = {
    "pglast": ("rewrite",),
    "psycopg": ("db",),
    "pydantic": ("settings",),
    "prometheus_client": ("ops", "demo"),
    "structlog": ("ops",),
    "typer": ("cli",),
    "asyncio": ("proxy", "db", "lifecycle", "ops", "workers", "app", "launch", "cli"),
    "pgsoftproxy.settings": ("settings", "source", "ways", "app", "launch", "cli", "demo"),
}
"""Who may import what, by prefix; everyone else must not."""

NEVER = {
    "parse_sql": "its recursion kills the process on a deep tree",
    "RawStream": "deparsing drops comments and hints, and emits syntax that older servers reject",
    "prettify": "it deparses",
}
"""Names of pglast that no module may import."""

ALLOWED = {
    ("rewrite.cache", "sys"): "getsizeof weighs the cached plans",
    ("rewrite.tree", "sys"): "the recursion limit, raised while a deep tree is decoded",
    ("rewrite.tree", "threading"): "a thread is the only way to a deeper stack; it is joined at once",
}
"""Exceptions to IMPURE, with their reason."""


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, and the name taken from it if it is `from ... import`."""

    module: str
    name: str
    line: int


@cache
def modules() -> dict[str, Path]:
    """Return every module by its name below the package; the package itself is ''."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(module: str) -> tuple[Import, ...]:
    """Return what a module imports, anywhere in it."""
    found: list[Import] = []
    for node in ast.walk(ast.parse(modules()[module].read_text())):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, "", node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno} imports relatively"
            found += [Import(node.module or "", alias.name, node.lineno) for alias in node.names]
    return tuple(found)


def own(imported: Import) -> str | None:
    """Return the module of ours that an import means, None for others'; `from package import module` is one."""
    if imported.module != "pgsoftproxy" and not imported.module.startswith("pgsoftproxy."):
        return None
    base = imported.module.removeprefix("pgsoftproxy").removeprefix(".")
    longer = f"{base}.{imported.name}".removeprefix(".")
    return longer if longer in modules() else base


def within(module: str, room: str) -> bool:
    """Tell whether a module is that room or lies in it."""
    return module == room or module.startswith(f"{room}.")


def room_and_floor(module: str) -> tuple[str, int]:
    """Return the room a module lies in and that room's floor; the longest name that fits."""
    fitting = [
        (room, floor) for floor, rooms in enumerate(FLOORS) for room in rooms if room and within(module, room)
    ]
    if module == "":
        return "", 0
    assert fitting, f"{module} lies in no room: give it a place in FLOORS and in docs/architecture.md"
    return max(fitting, key=lambda found: len(found[0]))


@pytest.mark.parametrize("module", modules())
def test_imports_point_down_only(module: str) -> None:
    room, floor = room_and_floor(module)
    wrong = []
    for imported in imports(module):
        target = own(imported)
        if target is None:
            continue
        other, below = room_and_floor(target)
        if other != room and below >= floor:
            wrong.append(f"line {imported.line}: {room} must not import {other}")
    assert wrong == []


@pytest.mark.parametrize("module", [name for name in modules() if any(within(name, room) for room in PURE)])
def test_pure_rooms_know_no_io_clock_or_framework(module: str) -> None:
    known = {imported.module.partition(".")[0] for imported in imports(module)} & IMPURE
    assert {name for name in known if (module, name) not in ALLOWED} == set()


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_stays_in_its_room(library: str) -> None:
    rooms = ONLY_IN[library]
    users = {
        module
        for module in modules()
        for imported in imports(module)
        if within(imported.module, library) and not any(within(module, room) for room in rooms)
    }
    assert users == set()


def test_no_one_uses_what_kills_the_process_or_deparses() -> None:
    used = {
        f"{module} uses {imported.name}: {NEVER[imported.name]}"
        for module in modules()
        for imported in imports(module)
        if within(imported.module, "pglast") and imported.name in NEVER
    }
    assert used == set()


def test_pglast_is_imported_by_name_so_that_its_use_can_be_seen() -> None:
    whole = {
        module
        for module in modules()
        for imported in imports(module)
        if within(imported.module, "pglast") and not imported.name
    }
    assert whole == set()


LONGER = {"kernel.lane": 500}
"""What is compiled must stay in one module: calls across would go through Python. The theory is in a decision."""


@pytest.mark.parametrize("module", modules())
def test_a_module_says_what_it_owns_and_stays_small(module: str) -> None:
    source = modules()[module].read_text()
    docstring = ast.get_docstring(ast.parse(source))
    assert docstring, "the first lines say what a module owns and what it must not know"
    assert len(source.splitlines()) < LONGER.get(module, MAX_LINES)


def test_every_room_of_the_picture_has_a_place_in_the_package() -> None:
    names = {module.partition(".")[0] for module in modules()}
    rooms = {room.partition(".")[0] for floor in FLOORS for room in floor}
    assert rooms <= names
