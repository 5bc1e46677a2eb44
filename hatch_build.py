"""Compile what is worth it into the package where a C compiler and Cython are at hand; without them, install Python.

Hatchling calls this for wheels and editable installs; `python hatch_build.py` compiles in place.
PGSOFTPROXY_KERNEL=python leaves it out, =compiled makes it an error if it cannot be done.
"""

import os
import shlex
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
KERNEL = ROOT / "pgsoftproxy" / "kernel"
REWRITE = ROOT / "pgsoftproxy" / "rewrite"
MODULES = ("mask", "sheet", "lane", "scanner", "wires", "selector")
"""Of the kernel: declared for C in `_NAME.pxd`, and compiled under that name."""
REWRITING = tuple("rewriter query scope resolve tree text tokens edits work predicates verify guards".split())
"""What every SELECT goes through: Python that is compiled under its own name, into a folder beside it."""
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")


@dataclass(frozen=True, slots=True)
class Module:
    """One to compile, with its full name, the options of Cython, and how hard the C compiler shall try."""

    source: Path
    name: str
    extension: Path
    cython: tuple[str, ...] = ()
    effort: str = "-O2"


def compile_all() -> list[Path]:
    """Compile all modules, so many at a time as there are processors, and return what the package needs to have them.

    Of the rewriter's only those whose sources have changed. Raises OSError or CalledProcessError.
    """
    switch = _switch()
    folder = REWRITE / switch.FOLDER
    folder.mkdir(exist_ok=True)
    before, now = switch.made_of(folder), {name: switch.digest(REWRITE, name) for name in REWRITING}
    kernel, rewriting = _kernel(), _rewriting(folder)
    changed = [
        module
        for name, module in rewriting.items()
        if before.get(name) != now[name] or not module.extension.exists()
    ]
    listed = folder / switch.SOURCES
    listed.unlink(missing_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_module, (*changed, *kernel)))
    made = [module.extension for module in (*kernel, *rewriting.values())]
    for left in set(folder.glob(f"*{SUFFIX}")) - set(made):
        left.unlink()
    listed.write_text("".join(f"{name} {now[name]}\n" for name in REWRITING))
    return [*made, listed]


def _switch() -> Any:
    """Return the module that will choose between what is made here and its Python twin."""
    spec = spec_from_file_location("switch", ROOT / "pgsoftproxy" / "compiled.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _kernel() -> list[Module]:
    return [
        Module(KERNEL / f"{name}.py", f"pgsoftproxy.kernel._{name}", KERNEL / f"_{name}{SUFFIX}")
        for name in MODULES
    ]


def _rewriting(folder: Path) -> dict[str, Module]:
    # Annotations are mypy's: read as C types they would have values of subtypes refused.
    cython = ("-X", "annotation_typing=False")
    return {
        name: Module(
            REWRITE / f"{name}.py", f"pgsoftproxy.rewrite.{name}", folder / f"{name}{SUFFIX}", cython, "-O1"
        )
        for name in REWRITING
    }


def compile_module(module: Module) -> None:
    """Compile one module."""
    build = ROOT / "build" / "compiled"
    build.mkdir(parents=True, exist_ok=True)
    made, source = build / f"{module.name}.c", str(module.source.relative_to(ROOT))
    named = ["--module-name", module.name, "-o", str(made)]
    run([sys.executable, "-m", "cython", "-3", *module.cython, *named, source])
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    flags = [module.effort, "-g0", "-fPIC", "-shared", "-I", sysconfig.get_path("include")]
    run([*compiler, *flags, str(made), "-o", str(module.extension)])


def run(command: list[str]) -> None:
    """Run one step; what it has to say is shown only if it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        done.check_returncode()


class KernelHook(BuildHookInterface[Any]):
    """Put what is compiled into what is installed."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; say why not if that cannot be done."""
        choice = os.environ.get("PGSOFTPROXY_KERNEL")
        if self.target_name != "wheel" or choice == "python":
            return
        try:
            built = compile_all()
        except (OSError, subprocess.CalledProcessError) as error:
            if choice == "compiled":
                raise
            self.app.display_warning(f"the kernel is installed as Python, which is slower: {error}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"] += [str(path.relative_to(ROOT)) for path in built]


if __name__ == "__main__":
    try:
        sys.stdout.writelines(f"{path}\n" for path in compile_all())
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"nothing is compiled, so all runs as Python, which is slower: {error}")
