"""Run the Dockerfile's own steps without Docker, and the program that they make as its user: for root, on Linux.

    python -m tests.packages.image --file pgsoftproxy.toml:/etc/pgsoftproxy/pgsoftproxy.toml [--env NAME=VALUE ...]

Each stage is a layer over this machine's own root folder, held in memory and without compilers, in a mount namespace of
its own: nothing outside changes. The interpreter that runs this stands for the base image's. The program is process 1
of a namespace, in a root that cannot be written to, without capabilities; a --file is put in for its group alone, as a
Kubernetes Secret is. `healthy` is printed once the HEALTHCHECK
succeeds; at the end of standard input the program gets the STOPSIGNAL, and `ended CODE` is printed.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

from docker.utils.build import exclude_paths

from tests.packages.dockerfile import FILE, ROOT, Instruction, Keyword, Stage, stages
from tests.processes import children

COMPILERS = ("*gcc*", "*g++*", "cc", "c++", "c89*", "c99*", "clang*", "cpp*", "make", "rustc", "cargo")
BASE_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
FROM_OUTSIDE = ("PIP_", "SSL_", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""Variables by which the package index of this machine is reached; `docker build` takes them as arguments."""
HEALTH_SECONDS = 30.0


@dataclass(slots=True)
class Layer:
    """A stage that is being built: its root folder, and what its instructions have set."""

    root: Path
    env: dict[str, str] = field(default_factory=lambda: {"PATH": BASE_PATH})
    workdir: str = "/"
    user: str = "0:0"

    def start(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        *,
        first: bool = False,
        stderr: int | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program in the layer as its user, without any capability if that is not root.

        `first`: as process 1 of a namespace.
        """
        uid, gid = self.user.split(":")
        drop = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
        if uid != "0":
            drop += ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        apart = ["unshare", "--fork", "--pid", "--kill-child", "--mount-proc"] if first else []
        inside = ["chroot", str(self.root), *apart, "setpriv", *drop, "env", f"--chdir={self.workdir}"]
        return subprocess.Popen(
            [*inside, *command], env={**self.env, **env}, stdin=subprocess.DEVNULL, stderr=stderr
        )


def mount(*arguments: str) -> None:
    """Call mount(8)."""
    subprocess.run(["mount", *arguments], check=True)


def new_root(place: Path, name: str, *, compilers: bool) -> Path:
    """Lay a layer over this machine's root folder, in which `python` is the interpreter that runs this."""
    upper, work, root = (place / f"{name}-{part}" for part in ("upper", "work", "root"))
    for folder in (upper, work, root):
        folder.mkdir()
    mount("-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={upper},workdir={work}", str(root))
    mount("--bind", "/dev", str(root / "dev"))
    local = root / "usr" / "local"
    if sys.base_prefix == "/usr":
        (local / "bin" / "python").symlink_to("/usr/bin/python3")
    else:
        mount("--bind", sys.base_prefix, str(local))
        mount("-o", "remount,ro,bind", str(local))
    subprocess.run(["chroot", str(root), "/sbin/ldconfig"], check=True)
    (root / "tmp").chmod(0o1777)
    for pattern in COMPILERS if not compilers else ():
        for program in (root / "usr" / "bin").glob(pattern):
            program.unlink()
    return root


def copy(instruction: Instruction, layer: Layer, built: Mapping[str, Layer]) -> None:
    """Do a COPY, from the context as .dockerignore leaves it, or from another stage."""
    words = instruction.words()
    stage = words.pop(0).removeprefix("--from=") if words[0].startswith("--") else None
    *sources, target = words
    into = layer.root / os.path.join(layer.workdir, target).lstrip("/")
    for source in sources:
        if stage is not None:
            shutil.copytree(built[stage].root / source.lstrip("/"), into, symlinks=True)
            continue
        found = [path for path in context() if path.is_relative_to(source) and (ROOT / path).is_file()]
        assert found, f"COPY {source}: nothing of the context"
        for file in found:
            place = into / (file.relative_to(source) if (ROOT / source).is_dir() else file.name)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, place)


def context() -> list[Path]:
    """Return the files that `docker build` would be given."""
    patterns = (ROOT / ".dockerignore").read_text().split()
    return [Path(name) for name in sorted(exclude_paths(str(ROOT), patterns))]


def build(place: Path, number: int, stage: Stage, built: Mapping[str, Layer]) -> Layer:
    """Carry out the instructions of one stage."""
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert stage.base.startswith(f"python:{minor}-"), f"{stage.base} is not the {minor} that runs this"
    compilers = any("install" in one.text and "gcc" in one.text for one in stage.all(Keyword.RUN))
    layer = Layer(new_root(place, str(number), compilers=compilers))
    for one in stage.instructions:
        match one.keyword:
            case Keyword.ENV:
                for name, value in one.pairs().items():
                    layer.env[name] = value.replace("$PATH", layer.env["PATH"])
            case Keyword.WORKDIR:
                layer.workdir = one.text
                (layer.root / one.text.lstrip("/")).mkdir(parents=True)
            case Keyword.COPY:
                copy(one, layer, built)
            case Keyword.RUN:
                outside = {k: v for k, v in os.environ.items() if k.startswith(FROM_OUTSIDE)}
                code = layer.start(["/bin/sh", "-c", one.text], outside).wait()
                if code != 0:
                    raise SystemExit(f"RUN {one.text}: exit code {code}")
            case Keyword.USER:
                layer.user = one.text
            case Keyword.LABEL | Keyword.EXPOSE | Keyword.STOPSIGNAL | Keyword.HEALTHCHECK:
                pass
            case Keyword.ENTRYPOINT | Keyword.CMD | Keyword.FROM:
                pass
            case _:
                assert_never(one.keyword)
    return layer


def serve(stage: Stage, layer: Layer, env: Mapping[str, str]) -> int:
    """Run the image's program until standard input ends; return its exit code."""
    health = stage.last(Keyword.HEALTHCHECK).command()
    assert layer.start(health, env, stderr=subprocess.DEVNULL).wait() != 0, "healthy before it runs"
    command = [*stage.last(Keyword.ENTRYPOINT).command(), *stage.last(Keyword.CMD).command()]
    program = layer.start(command, env, first=True)
    deadline = time.monotonic() + HEALTH_SECONDS
    while layer.start(health, env, stderr=subprocess.DEVNULL).wait() != 0:
        if program.poll() is not None or time.monotonic() > deadline:
            program.kill()  # and with it what it has started
            raise SystemExit("never healthy")
    print("healthy", flush=True)
    sys.stdin.read()
    (first,) = children(program.pid)
    os.kill(first, signal.Signals[stage.last(Keyword.STOPSIGNAL).text])
    return program.wait()


def main() -> None:
    """Build, run until standard input ends, say how it ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--file", action="append", default=[])
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not given.inside:
        own = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "tests.packages.image"]
        os.execvp(own[0], [*own, *sys.argv[1:], "--inside"])  # noqa: S606 - no shell is meant
    with tempfile.TemporaryDirectory() as folder:
        mount("-t", "tmpfs", "tmpfs", folder)
        built: dict[str, Layer] = {}
        for number, stage in enumerate(parts := stages(FILE.read_text())):
            layer = build(Path(folder), number, stage, built)
            built[stage.name or str(number)] = layer
        for pair in given.file:
            source, target = pair.split(":")
            place = layer.root / target.lstrip("/")
            place.parent.mkdir(parents=True)
            shutil.copy(source, place)
            os.chown(place, 0, int(layer.user.split(":")[1]))
            place.chmod(0o440)
        mount("-o", "remount,ro", str(layer.root))
        code = serve(parts[-1], layer, dict(pair.split("=", 1) for pair in given.env))
        print(f"ended {code}", flush=True)
        subprocess.run(["umount", "--recursive", "--lazy", folder], check=True)


if __name__ == "__main__":
    main()
