"""config/prometheus: each rule is one that Prometheus takes, over series that the proxy really has."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.packages import promql

ROOT = Path(__file__).parents[2]
RULES = ROOT / "config" / "prometheus" / "alerts.yml"
CASES = Path(__file__).parent / "alerts.promtool.yml"
SEVERITIES = {"critical", "warning", "info"}
VALUES = {"$value", "$value | humanizeDuration", 'printf "%.1f" $value'}
DURATION = re.compile(r"\d+[smh]")


def rules() -> list[dict[str, Any]]:
    """Return every alert rule of the file."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


NAMED = {rule["alert"]: rule for rule in rules()}


def test_no_two_alerts_have_one_name() -> None:
    assert len(NAMED) == len(rules())


@pytest.mark.parametrize("name", NAMED)
def test_alert_reads_series_and_labels_that_a_scrape_shows(name: str) -> None:
    assert promql.faults(NAMED[name]["expr"]) == []


@pytest.mark.parametrize("name", NAMED)
def test_alert_has_what_prometheus_and_its_readers_need(name: str) -> None:
    rule = NAMED[name]
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert set(rule["labels"]) == {"severity"} and rule["labels"]["severity"] in SEVERITIES
    assert set(rule["annotations"]) == {"summary"}
    assert DURATION.fullmatch(rule.get("for", "0s"))


@pytest.mark.parametrize("name", NAMED)
def test_summary_uses_labels_that_the_alert_has(name: str) -> None:
    rule = NAMED[name]
    braces = re.findall(r"{{ *(.*?) *}}", rule["annotations"]["summary"])
    labels = {match[1] for word in braces if (match := re.fullmatch(r"\$labels\.(\w+)", word))}
    assert {word for word in braces if word.removeprefix("$labels.") not in labels} <= VALUES
    assert labels <= promql.result_labels(rule["expr"])


WRONG = {
    "pgsoftproxy_nothing": "there is no series",
    'pgsoftproxy_reloads_total{result="bad"}': "result is never bad",
    'pgsoftproxy_ready{reason="limit"}': "has no label reason",
    "rate(pgsoftproxy_ready[5m])": "rate of a gauge",
    "sum by (role) (pgsoftproxy_ready)": "no label role",
    "histogram_quantile(0.9, pgsoftproxy_ready)": "no label le",
    "pgsoftproxy_errors_total / pgsoftproxy_ready": "different labels",
    "up ==": "invalid",
}


@pytest.mark.parametrize("expression", WRONG)
def test_wrong_expression_is_noticed(expression: str) -> None:
    (fault,) = promql.faults(expression)
    assert WRONG[expression] in fault


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    told: dict[str, set[bool]] = {}
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        for check in case["alert_rule_test"]:
            told.setdefault(check["alertname"], set()).add(bool(check.get("exp_alerts")))
    assert told == {name: {True, False} for name in NAMED}


@pytest.mark.slow
def test_prometheus_own_tool_finds_each_alert_firing_when_it_should() -> None:
    for arguments in (["check", "rules", str(RULES)], ["test", "rules", str(CASES)]):
        done = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
