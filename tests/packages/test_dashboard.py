"""config/grafana: each panel reads series that the proxy really has, and each of its metrics is shown somewhere."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.packages import promql
from tests.packages.series import known

FILE = Path(__file__).parents[2] / "config" / "grafana" / "pgsoftproxy.json"
BOARD: dict[str, Any] = json.loads(FILE.read_text())
PANELS: list[dict[str, Any]] = BOARD["panels"]
GRAPHS = {panel["title"]: panel for panel in PANELS if panel["type"] != "row"}
STANDING_FOR = {"$__rate_interval": "5m", "$job": ".+", "$instance": ".+"}
SAID_BY_OTHERS = frozenset({"up", "process_virtual_memory_bytes", "process_start_time_seconds"})
COLUMNS = 24


def expressions(panel: dict[str, Any]) -> list[str]:
    """Return the queries of a panel as Grafana sends them."""
    texts = []
    for target in panel["targets"]:
        text: str = target["expr"]
        for variable, value in STANDING_FOR.items():
            text = text.replace(variable, value)
        assert "$" not in text
        texts.append(text)
    return texts


@pytest.mark.parametrize("title", GRAPHS)
def test_panel_reads_series_and_labels_that_a_scrape_shows(title: str) -> None:
    for text in expressions(GRAPHS[title]):
        assert promql.faults(text) == [], text


@pytest.mark.parametrize("title", GRAPHS)
def test_legend_uses_labels_that_the_query_keeps(title: str) -> None:
    panel = GRAPHS[title]
    for target, text in zip(panel["targets"], expressions(panel), strict=True):
        named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        assert named <= promql.result_labels(text)


@pytest.mark.parametrize("title", GRAPHS)
def test_panel_reads_only_the_chosen_proxies_from_the_chosen_source(title: str) -> None:
    panel = GRAPHS[title]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"]
        selectors = len(re.findall(r"\w+{", target["expr"]))
        assert target["expr"].count('{job=~"$job", instance=~"$instance"') == selectors > 0


def test_every_metric_is_shown_somewhere() -> None:
    shown = {name for panel in GRAPHS.values() for text in expressions(panel) for name in promql.names(text)}
    parts = re.compile(r"_(count|sum|created)$")
    wanted = {name for name in known() if not parts.search(name)} - SAID_BY_OTHERS
    assert wanted - shown == set(), "config/grafana/pgsoftproxy.json needs a panel or a target for it"


def test_variables_ask_for_a_series_that_is_always_there() -> None:
    variables = {entry["name"]: entry for entry in BOARD["templating"]["list"]}
    assert set(variables) == {"datasource", "job", "instance"}
    for name in ("job", "instance"):
        asked = re.fullmatch(r"label_values\((\w+)(?:{.*})?, (\w+)\)", variables[name]["definition"])
        assert asked is not None and asked.groups() == ("pgsoftproxy_build_info", name)


def test_panels_have_numbers_and_places_of_their_own() -> None:
    numbers = [panel["id"] for panel in PANELS]
    assert len(set(numbers)) == len(numbers)
    assert len(GRAPHS) == sum(panel["type"] != "row" for panel in PANELS)
    places = [panel["gridPos"] for panel in PANELS]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= COLUMNS for place in places)
    assert [pair for pair in combinations(places, 2) if overlap(*pair)] == []


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    """Tell whether two panels would cover each other."""
    apart_in_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    apart_in_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    return not (apart_in_x or apart_in_y)
