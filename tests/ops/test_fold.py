"""The metrics of several processes as one."""

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from pgsoftproxy.ops.fold import Families, Fold, families
from pgsoftproxy.ops.metrics import Metrics


def part(**values: float) -> Families:
    """Return the figures of a process: `..._total` counts, others are gauges."""
    found: Families = []
    for name, value in values.items():
        counts = name.endswith("_total")
        family = CounterMetricFamily if counts else GaugeMetricFamily
        metric = family(f"pgsoftproxy_{name}", "", value=value)
        samples = [[sample.name, sample.labels, sample.value] for sample in metric.samples]
        found.append([metric.name, "", metric.type, samples])
    return found


def shown(fold: Fold) -> dict[str, float]:
    """Return the folded values by the names of their samples."""
    return {sample.name: sample.value for metric in fold.collect() for sample in metric.samples}


def test_counters_and_gauges_add_up_but_for_those_that_describe_all() -> None:
    fold = Fold()
    fold.see(
        [part(bytes_total=1, connections_open=2, ready=1), part(bytes_total=3, connections_open=4, ready=0)]
    )
    assert shown(fold) == {
        "pgsoftproxy_bytes_total": 4,
        "pgsoftproxy_connections_open": 6,
        "pgsoftproxy_ready": 0,
    }
    fold.see([part(build_info=1, draining=0), part(build_info=1, draining=1)])
    assert shown(fold) == {"pgsoftproxy_build_info": 1, "pgsoftproxy_draining": 1}


def test_what_a_process_has_counted_stays_when_it_is_gone_and_its_gauges_do_not() -> None:
    fold = Fold()
    fold.depart(part(bytes_total=5, connections_open=7))
    fold.depart(part(bytes_total=6, connections_open=8))
    fold.see([part(bytes_total=1, connections_open=2)])
    assert shown(fold) == {"pgsoftproxy_bytes_total": 12, "pgsoftproxy_connections_open": 2}


def test_histograms_add_up_by_bucket() -> None:
    parts = []
    for value in (0.5, 5.0):
        registry = CollectorRegistry()
        Histogram("seconds", "", buckets=(1.0, 10.0), registry=registry).observe(value)
        parts.append(families(registry))
    fold = Fold()
    fold.see(parts)
    samples = [sample for metric in fold.collect() for sample in metric.samples]
    buckets = {sample.labels["le"]: sample.value for sample in samples if sample.name == "seconds_bucket"}
    assert buckets == {"1.0": 1, "10.0": 2, "+Inf": 2}
    assert {sample.name: sample.value for sample in samples}["seconds_sum"] == 5.5


def test_the_figures_of_one_process_stay_as_they_are() -> None:
    metrics = Metrics()
    metrics.error("42601")
    fold = Fold()
    fold.see([families(metrics.registry)])
    mine = {
        (metric.name, metric.type, sample.name, *sample.labels.items())
        for metric in metrics.registry.collect()
        for sample in metric.samples
    }
    assert mine == {
        (metric.name, metric.type, sample.name, *sample.labels.items())
        for metric in fold.collect()
        for sample in metric.samples
    }
