"""Render a chart by Helm's own library, in a process of its own: a Go runtime does not belong beside pytest's threads.

As a program it reads a list of values from standard input and prints, for each, what came of it.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import helm_python as helm
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "config" / "kubernetes" / "pgsoftproxy"
WARNING = 2
RELEASE, NAMESPACE = "shop", "databases"

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rendered:
    """The objects that values make, the notes, and what Helm's linter says; or the error, where they are refused."""

    objects: tuple[Object, ...] = ()
    notes: str = ""
    complaints: tuple[str, ...] = ()
    error: str = ""

    def one(self, kind: str, suffix: str = "") -> Object:
        """Return the object of a kind whose name ends so."""
        name = f"{RELEASE}-pgsoftproxy{suffix}"
        (found,) = (
            item for item in self.objects if item["kind"] == kind and item["metadata"]["name"] == name
        )
        return found

    def kinds(self) -> set[str]:
        """Return the kinds of all objects."""
        return {item["kind"] for item in self.objects}


def render(*values: Object) -> list[Rendered]:
    """Return what comes of each set of values."""
    command = [sys.executable, "-m", "tests.packages.charts"]
    done = subprocess.run(
        command, input=json.dumps(values), capture_output=True, text=True, check=True, cwd=ROOT
    )
    return [_rendered(answer) for answer in json.loads(done.stdout)]


@cache
def defaults() -> Object:
    """Return values.yaml."""
    values: Object = yaml.safe_load((CHART / "values.yaml").read_text())
    return values


def _rendered(answer: Object) -> Rendered:
    texts: dict[str, str] = answer.get("texts", {})
    notes = next((text for path, text in texts.items() if path.endswith("NOTES.txt")), "")
    manifests = (text for path, text in texts.items() if path.endswith(".yaml"))
    objects = tuple(item for text in manifests for item in yaml.safe_load_all(text) if item is not None)
    return Rendered(objects, notes, tuple(answer.get("complaints", ())), answer.get("error", ""))


def _answer(values: Object, archive: str) -> Object:
    try:
        # What is installed is the archive, in which files stand for the links of the repository.
        with helm.Chart.load(archive) as chart:
            chart.validate_schema(values)
            texts = chart.render(values, name=RELEASE, namespace=NAMESPACE)
    except helm.HelmError as error:
        return {"error": str(error)}
    report = helm.lint(CHART, values, strict=True)
    serious = [message["error"] for message in report["messages"] if message["severity"] >= WARNING]
    return {"texts": texts, "complaints": serious}


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        packed = helm.package(CHART, destination=folder)
        json.dump([_answer(values, packed) for values in json.load(sys.stdin)], sys.stdout)
