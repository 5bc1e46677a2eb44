"""The switch between what was compiled and its Python twin, for the rooms that have both: PGSOFTPROXY_KERNEL.

Modules of such a room, compiled, lie in a folder of it under their own names, beside a list of what they were made of.
Must not know which modules these are, nor how they are made.
"""

import os
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

SWITCH = "PGSOFTPROXY_KERNEL"
CHOICES = ("compiled", "python")
FOLDER = "_compiled"
SUFFIX = EXTENSION_SUFFIXES[0]
"""How names of extensions of this very Python end."""
SOURCES = f"sources{SUFFIX}.txt"
"""The list of a folder: a line for each module, its name and the digest of its sources."""


def choice() -> str | None:
    """Return what is asked for, None if what there is shall run; raises ImportError if it is neither."""
    found = os.environ.get(SWITCH) or None
    if found is not None and found not in CHOICES:
        raise ImportError(f"{SWITCH} is {found!r}: it must be one of {', '.join(CHOICES)}")
    return found


def lacking() -> ImportError:
    """Return the error of an installation in which what was asked for is not compiled."""
    return ImportError(
        f"{SWITCH} asks for the compiled kernel, which this installation lacks: "
        "install it again where there are a C compiler and Cython"
    )


def folder_of(room: Path) -> str | None:
    """Return the folder of a room's compiled modules, to be searched first; None if its Python sources are to run.

    A module never runs in place of sources that have changed since. Raises ImportError where it was asked for.
    """
    wanted = choice()
    if wanted == "python":
        return None
    folder = room / FOLDER
    made = made_of(folder)
    present = {path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}")}
    if present and made == {name: digest(room, name) for name in present}:
        return str(folder)
    if wanted is not None:
        raise lacking()
    return None


def made_of(folder: Path) -> dict[str, str]:
    """Return what the modules in a folder were made of: the digest of each one's sources."""
    try:
        lines = (folder / SOURCES).read_text().splitlines()
    except OSError:
        return {}
    return dict(line.split(" ", 1) for line in lines)


def digest(room: Path, name: str) -> str:
    """Return the digest of a module's source and of its declarations, if it has some; empty where it has no source."""
    sources = [path for path in (room / f"{name}.py", room / f"{name}.pxd") if path.exists()]
    return sha256(b"".join(path.read_bytes() for path in sources)).hexdigest() if sources else ""
