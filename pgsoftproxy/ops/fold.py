"""One set of metrics from those of several processes, also of processes that have ended.

Counters and histograms add up, and what a process had counted stays when it is gone; gauges add up, too, but for those
named here. Must not know where the figures come from.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

Families = list[list[Any]]
"""Metrics as JSON has them: name, words, type, and for each sample its name, labels and value."""

SUMMED_FOR_EVER = {"counter", "histogram"}
LEAST = {"pgsoftproxy_ready", "process_max_fds", "process_start_time_seconds"}
GREATEST = {
    "pgsoftproxy_audit_accepted_findings",
    "pgsoftproxy_audit_findings",
    "pgsoftproxy_build_info",
    "pgsoftproxy_connections_limit",
    "pgsoftproxy_databases",
    "pgsoftproxy_draining",
    "pgsoftproxy_policy_problems",
    "pgsoftproxy_table_bloat_ratio",
    "pgsoftproxy_table_bytes",
    "pgsoftproxy_table_deleted_rows",
    "pgsoftproxy_table_rows",
}

Key = tuple[str, tuple[tuple[str, str], ...]]


def families(registry: CollectorRegistry) -> Families:
    """Return what a registry has now."""
    return [
        [
            metric.name,
            metric.documentation,
            metric.type,
            [[s.name, s.labels, s.value] for s in metric.samples],
        ]
        for metric in registry.collect()
    ]


class Fold:
    """The metrics of all processes, to be scraped as one registry."""

    def __init__(self) -> None:
        self._departed: Families = []
        self._living: list[Families] = []

    def see(self, living: Iterable[Families]) -> None:
        """Take the figures of the processes that live now."""
        self._living = list(living)

    def depart(self, last: Families) -> None:
        """Keep what a process has counted; `last` is what it said last."""
        counted = [family for family in last if family[2] in SUMMED_FOR_EVER]
        self._departed = [
            [
                metric.name,
                metric.documentation,
                metric.type,
                [[s.name, s.labels, s.value] for s in metric.samples],
            ]
            for metric in _folded([self._departed, counted])
        ]

    def collect(self) -> Iterator[Metric]:
        """Yield the sums."""
        return _folded([self._departed, *self._living])


def _folded(parts: Iterable[Families]) -> Iterator[Metric]:
    heads: dict[str, tuple[str, str]] = {}
    samples: dict[str, dict[Key, float]] = {}
    for name, words, kind, found in (family for part in parts for family in part):
        heads.setdefault(name, (words, kind))
        into = samples.setdefault(name, {})
        for sample, labels, value in found:
            key = (sample, tuple(labels.items()))
            into[key] = _both(name, sample, into[key], value) if key in into else value
    for name, (words, kind) in heads.items():
        metric = Metric(name, words, kind)
        for (sample, labels), value in samples[name].items():
            metric.add_sample(sample, dict(labels), value)
        yield metric


def _both(name: str, sample: str, one: float, other: float) -> float:
    if name in LEAST or sample.endswith("_created"):
        return min(one, other)
    if name in GREATEST:
        return max(one, other)
    return one + other
