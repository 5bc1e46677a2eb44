"""Compile the kernel into the package where a C compiler and Cython are at hand; without them, install it as Python.

Hatchling calls this for wheels and editable installs; `python hatch_build.py` compiles in place.
PGSOFTPROXY_KERNEL=python leaves it out, =compiled makes it an error if it cannot be done.
"""

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
KERNEL = ROOT / "pgsoftproxy" / "kernel"
MODULES = ("mask", "lane", "wires", "selector")


def compile_kernel() -> list[Path]:
    """Compile each module beside its source, under a name of its own; raises OSError or CalledProcessError."""
    return [compile_module(name) for name in MODULES]


def compile_module(name: str) -> Path:
    """Compile one module and return the extension."""
    build = ROOT / "build" / "kernel"
    build.mkdir(parents=True, exist_ok=True)
    made, extension = build / f"_{name}.c", KERNEL / f"_{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    module = ["--module-name", f"pgsoftproxy.kernel._{name}", f"pgsoftproxy/kernel/{name}.py"]
    run([sys.executable, "-m", "cython", "-3", "-o", str(made), *module])
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    flags = ["-O2", "-g0", "-fPIC", "-shared", "-I", sysconfig.get_path("include")]
    run([*compiler, *flags, str(made), "-o", str(extension)])
    return extension


def run(command: list[str]) -> None:
    """Run one step; what it has to say is shown only if it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        done.check_returncode()


class KernelHook(BuildHookInterface[Any]):
    """Put the compiled kernel into what is installed."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; say why not if that cannot be done."""
        choice = os.environ.get("PGSOFTPROXY_KERNEL")
        if self.target_name != "wheel" or choice == "python":
            return
        try:
            built = compile_kernel()
        except (OSError, subprocess.CalledProcessError) as error:
            if choice == "compiled":
                raise
            self.app.display_warning(f"the kernel is installed as Python, which is slower: {error}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"] += [str(path.relative_to(ROOT)) for path in built]


if __name__ == "__main__":
    for path in compile_kernel():
        sys.stdout.write(f"{path}\n")
