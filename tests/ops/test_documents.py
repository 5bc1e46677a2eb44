"""docs/operations.md agrees with the code and config/prometheus: events and alerts."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
ALERTS = (ROOT / "config" / "prometheus" / "alerts.yml").read_text()
LEVELS = {"debug", "info", "warning", "error", "exception"}
SPEAKERS = ("app.py", "launch.py", "proxy/*.py", "ops/*.py", "workers/*.py")


def logged_events() -> set[str]:
    """Return the names of the events that the code logs."""
    found: set[str] = set()
    for pattern in SPEAKERS:
        for path in (ROOT / "pgsoftproxy").glob(pattern):
            found.update(name for call in ast.walk(ast.parse(path.read_text())) if (name := event_of(call)))
    return found


def event_of(node: ast.AST) -> str | None:
    """Return the event that a call of a logger's method names."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    speaker = ast.unparse(node.func.value)
    if not speaker.endswith("logger") or node.func.attr not in {*LEVELS, "log"} or not node.args:
        return None
    said = node.args[-1]  # `log` has the level before it
    return said.value if isinstance(said, ast.Constant) and isinstance(said.value, str) else None


def documented(section: str) -> str:
    """Return the text of one `## ` section."""
    return OPERATIONS.partition(f"\n## {section}\n")[2].partition("\n## ")[0]


def test_every_event_is_documented_and_no_other_is() -> None:
    rows = [line.split("|")[1] for line in documented("Log").splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == logged_events()


def test_every_alert_is_documented_and_no_other_is() -> None:
    in_file = set(re.findall(r"- alert: (\w+)", ALERTS))
    assert set(re.findall(r"\bPgsoftproxy\w+", documented("Metrics"))) == in_file
