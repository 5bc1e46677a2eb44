"""Metrics: what is counted, under which names, and that docs/operations.md describes each and no other."""

import re
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pgsoftproxy.cli.show_audit import Form, show
from pgsoftproxy.model.context import VisibilityMode
from pgsoftproxy.ops.metrics import MOST_ROLES, CatalogRead, Metrics, RefusedBecause
from pgsoftproxy.rewrite.plan import Kind, Outcome, StatementPlan, Warned
from pgsoftproxy.schema.audit.finding import Report, TableFigures

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
DOCUMENTED = re.compile(r"^\| `(pgsoftproxy_\w+)(?:\{([\w, ]*)\})?` \|", re.MULTILINE)


def samples(metrics: Metrics) -> dict[str, float]:
    """Return a scrape as a map of sample, with its labels, to value."""
    lines = generate_latest(metrics.registry).decode().splitlines()
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in lines) if name[:1] != "#"
    }


def test_statement_is_counted_by_kind_outcome_and_table() -> None:
    metrics = Metrics()
    delete = StatementPlan(
        Kind.DELETE, Outcome.REWRITTEN, guarded=("app.users",), deletes="app.users", names_column=True
    )
    metrics.statement(delete, "alice", 3)
    metrics.statement(delete, "bob", 0)
    metrics.statement(StatementPlan(Kind.SELECT, Outcome.OBSERVED, observed=("app.logs",)), "bob", None)
    found = samples(metrics)
    assert found['pgsoftproxy_statements_total{kind="delete",outcome="rewritten"}'] == 2
    assert found['pgsoftproxy_statements_total{kind="select",outcome="observed"}'] == 1
    assert found['pgsoftproxy_soft_deleted_rows_total{table="app.users"}'] == 3
    assert found['pgsoftproxy_guarded_reads_total{table="app.users"}'] == 2
    assert found['pgsoftproxy_observed_total{table="app.logs"}'] == 1
    assert found["pgsoftproxy_names_deletion_column_total"] == 2


def test_deletion_by_hand_is_counted_when_it_runs_not_when_it_is_prepared() -> None:
    metrics = Metrics()
    for kind in (Kind.UPDATE, Kind.MERGE, Kind.PREPARE, Kind.EXECUTE):
        metrics.statement(StatementPlan(kind, by_hand=("app.users",)), "alice", None)
    assert samples(metrics)['pgsoftproxy_manual_deletes_total{table="app.users"}'] == 3


def test_warnings_are_counted_by_class() -> None:
    metrics = Metrics()
    warned = StatementPlan(Kind.SELECT, warnings=(Warned("existing", "a"), Warned("opaque", "b")))
    metrics.statement(warned, "alice", None)
    metrics.statement(warned, "alice", None)
    found = samples(metrics)
    assert found['pgsoftproxy_warned_total{class="existing"}'] == 2
    assert found['pgsoftproxy_warned_total{class="opaque"}'] == 2
    assert found['pgsoftproxy_warned_total{class="bodies"}'] == 0


def test_errors_are_counted_by_class_and_bypasses_by_visibility_and_role() -> None:
    metrics = Metrics()
    for sqlstate in ("42501", "42601", "57P01"):
        metrics.error(sqlstate)
    metrics.bypass(VisibilityMode.ALL, "support")
    metrics.hard_delete(Kind.DELETE, "dpo")
    found = samples(metrics)
    assert found['pgsoftproxy_errors_total{class="42"}'] == 2
    assert found['pgsoftproxy_errors_total{class="57"}'] == 1
    assert found['pgsoftproxy_visibility_uses_total{role="support",visibility="all"}'] == 1
    assert found['pgsoftproxy_hard_deletes_total{kind="delete",role="dpo"}'] == 1


def test_number_of_role_labels_is_bounded() -> None:
    metrics = Metrics()
    for number in range(MOST_ROLES + 10):
        metrics.bypass(VisibilityMode.ALL, f"role{number}")
    assert len(metrics.visibility_uses) == MOST_ROLES + 1
    assert metrics.visibility_uses["all", "other"] == 10


def test_series_of_known_reasons_are_there_before_the_first_event() -> None:
    found = samples(Metrics())
    for reason in RefusedBecause:
        assert found[f'pgsoftproxy_connections_refused_total{{reason="{reason.value}"}}'] == 0
    for result in CatalogRead:
        assert found[f'pgsoftproxy_catalog_reads_total{{result="{result.value}"}}'] == 0
    assert found['pgsoftproxy_reloads_total{result="failed"}'] == 0


def test_plan_cache_and_gauges_show_the_figures_of_their_owners() -> None:
    metrics = Metrics()
    metrics.figures.plan_cache.hits = 7
    metrics.figures.plan_cache.bytes = 4096
    metrics.figures.bytes_from_upstream.n = 99
    metrics.figures.ready = True
    found = samples(metrics)
    assert found["pgsoftproxy_plan_cache_hits_total"] == 7
    assert found["pgsoftproxy_plan_cache_bytes"] == 4096
    assert found['pgsoftproxy_bytes_total{direction="from_upstream"}'] == 99
    assert found["pgsoftproxy_ready"] == 1
    metrics.figures.draining = True
    assert samples(metrics)["pgsoftproxy_ready"] == 0


def test_rewrite_buckets_begin_at_five_microseconds() -> None:
    metrics = Metrics()
    metrics.rewrite_seconds.observe(4e-6)
    assert samples(metrics)['pgsoftproxy_rewrite_seconds_bucket{le="5e-06"}'] == 1


def test_every_metric_is_documented_with_its_labels_and_no_other_is() -> None:
    metrics = Metrics()
    metrics.statement(StatementPlan(Kind.DELETE, Outcome.REWRITTEN, deletes="t"), "r", 1)
    figures = TableFigures("app.users", rows=2, deleted=1, bytes=8192, bloat=0.0)
    audited = text_string_to_metric_families(show([Report("app", figures=(figures,))], Form.METRICS))
    every = (*metrics.registry.collect(), *audited)
    shown = {family.name: family for family in every if family.name[:11] == "pgsoftproxy"}
    registered = {f"{name}_total" if family.type == "counter" else name for name, family in shown.items()}
    documented = dict(DOCUMENTED.findall(OPERATIONS.read_text()))
    assert set(documented) == registered
    for name, family in shown.items():
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        if labels:
            entry = documented[f"{name}_total" if family.type == "counter" else name]
            assert {label.strip() for label in entry.split(",")} == labels, name
