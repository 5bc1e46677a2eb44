"""Every series that a scrape of the proxy can show, with its labels, as alerts and dashboards may name them.

Made by the real registry, to which each kind of event has happened once. Must not know PromQL.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from itertools import product

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from pgsoftproxy.cli.show_audit import Form, show
from pgsoftproxy.model.context import VisibilityMode
from pgsoftproxy.ops.metrics import CatalogRead, Metrics, RefusedBecause
from pgsoftproxy.rewrite.plan import Kind, Outcome, StatementPlan
from pgsoftproxy.schema.audit.finding import Report, TableFigures

OPEN = frozenset({"role", "table", "database", "version", "class"})
"""Labels whose values are known only where the proxy runs."""

Labels = dict[str, set[str]]


def busy() -> Metrics:
    """Return metrics of a proxy to which everything has happened."""
    metrics = Metrics()
    for kind, outcome in product(Kind, Outcome):
        one = StatementPlan(
            kind, outcome, guarded=("t",), observed=("t",), deletes="t", by_hand=("t",), names_column=True
        )
        metrics.statement(one, "r", 1)
        metrics.hard_delete(kind, "r")
    for mode in VisibilityMode:
        metrics.bypass(mode, "r")
    for reason in RefusedBecause:
        metrics.connection_refused(reason)
    for result in CatalogRead:
        metrics.catalog_read(result)
    metrics.error("42501")
    metrics.policy_problems["app"] = 1
    return metrics


@cache
def known() -> Mapping[str, Labels]:
    """Return the labels of each series and their values, by the name that a query uses."""
    figures = TableFigures("app.users", rows=2, deleted=1, bytes=8192, bloat=0.0)
    audited = text_string_to_metric_families(show([Report("app", figures=(figures,))], Form.METRICS))
    found: dict[str, Labels] = {"up": {}}
    for name, labels in _samples([*busy().registry.collect(), *audited]):
        values = found.setdefault(name, {})
        for label, value in labels.items():
            values.setdefault(label, set()).add(value)
    return found


def _samples(families: Iterable[Metric]) -> Iterable[tuple[str, Mapping[str, str]]]:
    for family in families:
        for sample in family.samples:
            yield sample.name, sample.labels
