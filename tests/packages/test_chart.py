"""The Helm chart: rendered by Helm itself, held against Kubernetes' own schemas, and true to the proxy's settings."""

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

import pgsoftproxy
from pgsoftproxy.ops.http import OpsServer
from pgsoftproxy.ops.metrics import Metrics
from pgsoftproxy.settings import load
from tests.packages.charts import CHART, NAMESPACE, ROOT, Object, Rendered, defaults, render
from tests.packages.dockerfile import FILE, Keyword, stages

SERVERS = ("1.25", "1.37")
"""The oldest Kubernetes that Chart.yaml allows, and the newest whose schemas are at hand."""
CONFIG = '[upstream]\nhost = "db"\n[tables."app.*"]\n'
NEEDED: Object = {"config": CONFIG, "controlSecret": {"name": "control"}}
PEERS = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "apps"}}}]
FULL: Object = {
    **NEEDED,
    "image": {"repository": "registry.example/pgsoftproxy", "tag": "1.2.3"},
    "imagePullSecrets": [{"name": "registry"}],
    "env": [
        {"name": "PGSOFTPROXY_LOGS__FORMAT", "value": "json"},
        {"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": {"name": "control", "key": "password"}}},
    ],
    "autoscaling": {"enabled": True},
    "drain": {"delaySeconds": 10, "timeoutSeconds": 120},
    "podDisruptionBudget": {"maxUnavailable": "25%"},
    "service": {"type": "LoadBalancer", "port": 5432, "annotations": {"example/internal": "true"}},
    "metrics": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "monitoring"}},
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True},
    },
    "networkPolicy": {"enabled": True, "clients": PEERS, "monitoring": PEERS, "upstream": PEERS},
    "serviceAccount": {"annotations": {"example/role": "x"}},
    "topologySpread": {"whenUnsatisfiable": "DoNotSchedule"},
    "podAnnotations": {"example/a": "b"},
    "podLabels": {"example/c": "d"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "x", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "priorityClassName": "high",
}
OPEN = {"networkPolicy": {"enabled": True}, "podDisruptionBudget": {"enabled": False}, "replicas": 1}
TRICKY = '\n\n  # indented first\n[upstream]\nhost = "db"  \n# {{ .Values.x }} \'é\' "q" \\d\n\t\n'


@pytest.fixture(scope="module")
def charts() -> dict[str, Rendered]:
    """Give what comes of some sets of values."""
    values = {
        "needed": NEEDED,
        "full": FULL,
        "open": {**NEEDED, **OPEN},
        "tricky": {**NEEDED, "config": TRICKY},
    }
    return dict(zip(values, render(*values.values()), strict=True))


def pod(chart: Rendered) -> Object:
    """Return the spec of the pods."""
    spec: Object = chart.one("Deployment")["spec"]["template"]["spec"]
    return spec


def container(chart: Rendered) -> Object:
    """Return the proxy's container."""
    (found,) = pod(chart)["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", ["needed", "full", "open", "tricky"])
def test_every_object_is_one_that_kubernetes_takes(charts: dict[str, Rendered], name: str) -> None:
    chart = charts[name]
    assert chart.error == "" and chart.complaints == ()
    for item in chart.objects:
        if not item["apiVersion"].startswith("monitoring.coreos.com/"):
            for server in SERVERS:
                kubernetes_validate.validate(item, server, strict=True)


def test_wrong_object_is_noticed(charts: dict[str, Rendered]) -> None:
    wrong = json.loads(json.dumps(charts["needed"].one("Deployment")))
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 5
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, SERVERS[0], strict=True)


def test_values_that_the_documentation_shows_are_all_that_is_needed() -> None:
    documented = (ROOT / "docs" / "operations.md").read_text().partition("\n## Kubernetes\n")[2]
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", documented, re.DOTALL | re.MULTILINE)
    (chart,) = render(yaml.safe_load(text))
    assert chart.error == "" and {"ServiceMonitor", "PrometheusRule"} <= chart.kinds()


def test_switches_make_and_leave_out_what_they_name(charts: dict[str, Rendered]) -> None:
    always = {"ConfigMap", "ServiceAccount", "Deployment", "Service"}
    assert charts["needed"].kinds() == always | {"PodDisruptionBudget"}
    assert charts["open"].kinds() == always | {"NetworkPolicy"}
    monitored = {"ServiceMonitor", "PrometheusRule"}
    scaled = {"PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy"}
    assert charts["full"].kinds() == always | scaled | monitored
    assert "replicas" not in charts["full"].one("Deployment")["spec"]


REFUSED: dict[str, tuple[Object, str]] = {
    "nothing": ({}, "/config"),
    "no secret": ({"config": CONFIG}, "/controlSecret/name"),
    "a secret by value": ({**NEEDED, "controlSecret": {"name": "c", "dsn": "postgresql://u:p@h/d"}}, "dsn"),
    "a dsn in the configuration": ({**NEEDED, "config": '[control]\ndsn = "host=db"\n'}, "/config"),
    "a dotted dsn in it": ({**NEEDED, "config": 'control.dsn = "host=db"\n'}, "/config"),
    "a password in a variable": ({**NEEDED, "env": [{"name": "PGPASSWORD", "value": "x"}]}, "/env/0"),
    "a variable with two sources": (
        {**NEEDED, "env": [{"name": "A", "value": "", "valueFrom": {}}]},
        "/env/0",
    ),
    "a misspelt key": ({**NEEDED, "replica": 3}, "replica"),
    "a misspelt key further down": ({**NEEDED, "drain": {"timeout": 3}}, "/drain"),
    "no pods to speak of": ({**NEEDED, "replicas": -1}, "/replicas"),
    "a kind of service": ({**NEEDED, "service": {"type": "ExternalName"}}, "/service/type"),
    "a number as text": ({**NEEDED, "service": {"port": "5432"}}, "/service/port"),
}


def test_values_that_cannot_be_meant_are_refused() -> None:
    answers = render(*(values for values, _ in REFUSED.values()))
    for (name, (_, place)), answer in zip(REFUSED.items(), answers, strict=True):
        assert place in answer.error, name
        assert answer.objects == ()


def test_schema_describes_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    assert set(leaves(defaults())) <= set(described(schema))
    assert {path for path in described(schema) if path != ("global",)} <= set(leaves(defaults()))


def leaves(values: Object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every value, down to where a schema says no more."""
    for key, value in values.items():
        here = (*path, key)
        free = key in {"resources", "podSecurityContext", "labels", "annotations"}
        if isinstance(value, dict) and value and not free:
            yield from leaves(value, here)
        else:
            yield here


def described(schema: Object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every value that a schema describes."""
    if "properties" not in schema:
        yield path
        return
    assert schema["additionalProperties"] is False, path
    for key, inner in schema["properties"].items():
        yield from described(inner, (*path, key))


def test_versions_are_the_projects() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == pgsoftproxy.__version__


def test_image_is_the_charts_version_unless_another_is_named(charts: dict[str, Rendered]) -> None:
    assert container(charts["needed"])["image"] == f"pgsoftproxy:{pgsoftproxy.__version__}"
    assert container(charts["full"])["image"] == "registry.example/pgsoftproxy:1.2.3"


@pytest.mark.parametrize("name", ["needed", "full"])
def test_selectors_find_the_pods_and_ports_have_the_names_they_are_called_by(
    charts: dict[str, Rendered], name: str
) -> None:
    chart = charts[name]
    labels = chart.one("Deployment")["spec"]["template"]["metadata"]["labels"].items()
    ports = {port["name"]: port["containerPort"] for port in container(chart)["ports"]}
    selectors = [chart.one("Deployment")["spec"]["selector"]["matchLabels"]]
    selectors += [chart.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]]
    for service in (chart.one("Service"), chart.one("Service", "-metrics")):
        selectors.append(service["spec"]["selector"])
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(ports)
    for spread in pod(chart)["topologySpreadConstraints"]:
        selectors.append(spread["labelSelector"]["matchLabels"])
    if name == "full":
        policy = chart.one("NetworkPolicy")["spec"]
        selectors.append(policy["podSelector"]["matchLabels"])
        assert [rule["ports"] for rule in policy["ingress"]] == [[{"port": port}] for port in ports]
        target = chart.one("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) == ("Deployment", chart.one("Deployment")["metadata"]["name"])
    assert all(selector.items() <= labels for selector in selectors)


def test_probes_ask_what_the_process_answers(charts: dict[str, Rendered]) -> None:
    metrics = Metrics()
    server = OpsServer("127.0.0.1", 0, metrics)
    metrics.figures.ready = True
    try:
        for probe, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
            asked = container(charts["needed"])[f"{probe}Probe"]["httpGet"]
            assert asked == {"path": path, "port": "metrics"}
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
                assert answer.status == 200
    finally:
        server.close()


@pytest.mark.parametrize("name", ["needed", "full", "open"])
def test_pod_is_given_the_time_that_its_way_out_takes(charts: dict[str, Rendered], name: str) -> None:
    chart = charts[name]
    env = {one["name"]: one.get("value") for one in container(chart)["env"]}
    sleep, delay = container(chart)["lifecycle"]["preStop"]["exec"]["command"]
    assert sleep == "sleep"
    drain = int(env["PGSOFTPROXY_LIMITS__DRAIN_TIMEOUT"])
    assert pod(chart)["terminationGracePeriodSeconds"] == int(delay) + drain + 5


@pytest.mark.parametrize("name", ["needed", "full"])
def test_variables_and_configuration_are_settings(
    charts: dict[str, Rendered], name: str, tmp_path: Path
) -> None:
    chart = charts[name]
    file, secret = tmp_path / "pgsoftproxy.toml", tmp_path / "dsn"
    file.write_text(chart.one("ConfigMap")["data"]["pgsoftproxy.toml"])
    secret.write_text("postgresql://pgsoftproxy:hunter2@db/app\n")
    variables = {one["name"]: one["value"] for one in container(chart)["env"] if "value" in one}
    mounted = {one["name"]: one["mountPath"] for one in container(chart)["volumeMounts"]}
    assert variables["PGSOFTPROXY_CONTROL__DSN_FILE"] == f"{mounted['control']}/dsn"
    assert f"{mounted['config']}/pgsoftproxy.toml" in stages(FILE.read_text())[-1].last(Keyword.CMD).text
    settings = load(file, {**variables, "PGSOFTPROXY_CONTROL__DSN_FILE": str(secret)})
    ports = {port["name"]: port["containerPort"] for port in container(chart)["ports"]}
    assert ports == {"postgres": settings.listen.port, "metrics": settings.metrics.port}


def test_configuration_arrives_as_it_was_written_and_a_change_rolls_the_pods(
    charts: dict[str, Rendered],
) -> None:
    for name, text in (("needed", CONFIG), ("tricky", TRICKY)):
        assert charts[name].one("ConfigMap")["data"] == {"pgsoftproxy.toml": text}
    sums = {
        name: chart.one("Deployment")["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        for name, chart in charts.items()
    }
    assert sums["needed"] == sums["full"] == sums["open"] != sums["tricky"]


@pytest.mark.parametrize("name", ["needed", "full"])
def test_pod_is_nobody_who_can_write_nothing_and_asks_kubernetes_nothing(
    charts: dict[str, Rendered], name: str
) -> None:
    chart = charts[name]
    user = stages(FILE.read_text())[-1].last(Keyword.USER).text.split(":")
    context = pod(chart)["securityContext"]
    assert [str(context["runAsUser"]), str(context["runAsGroup"])] == user
    assert context["runAsNonRoot"] is True and context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(chart)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod(chart)["automountServiceAccountToken"] is False
    assert chart.one("ServiceAccount")["automountServiceAccountToken"] is False
    # By reference alone, readable for the pod's own group.
    (control,) = (volume["secret"] for volume in pod(chart)["volumes"] if "secret" in volume)
    assert (control["secretName"], control["defaultMode"]) == ("control", 0o440)
    assert "Secret" not in chart.kinds()


def test_metrics_are_not_open_where_clients_are(charts: dict[str, Rendered]) -> None:
    clients, metrics = (charts["full"].one("Service", suffix)["spec"] for suffix in ("", "-metrics"))
    assert clients["type"] == "LoadBalancer" and [port["port"] for port in clients["ports"]] == [5432]
    assert metrics["type"] == "ClusterIP" and [port["port"] for port in metrics["ports"]] == [9187]


def test_network_policy_lets_in_and_out_whom_it_names(charts: dict[str, Rendered]) -> None:
    named = charts["full"].one("NetworkPolicy")["spec"]
    assert [rule["from"] for rule in named["ingress"]] == [PEERS, PEERS]
    assert named["egress"][0] == {"ports": [{"port": 5432}], "to": PEERS}
    everybody = charts["open"].one("NetworkPolicy")["spec"]
    assert all("from" not in rule for rule in everybody["ingress"])
    assert "to" not in everybody["egress"][0]


def test_prometheus_operator_finds_the_metrics_under_the_job_of_the_alerts(
    charts: dict[str, Rendered],
) -> None:
    chart = charts["full"]
    service, monitor = chart.one("Service", "-metrics"), chart.one("ServiceMonitor")
    assert monitor["spec"] == {
        "jobLabel": "app.kubernetes.io/name",
        "selector": {"matchLabels": monitor["spec"]["selector"]["matchLabels"]},
        "endpoints": [{"port": "metrics", "path": "/metrics", "interval": "15s"}],
    }
    labels = service["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert labels["app.kubernetes.io/name"] == "pgsoftproxy"
    assert monitor["metadata"]["labels"]["release"] == "monitoring"


def test_rules_and_dashboard_are_those_of_the_repository(charts: dict[str, Rendered]) -> None:
    chart = charts["full"]
    rules = yaml.safe_load((ROOT / "config" / "prometheus" / "alerts.yml").read_text())
    assert chart.one("PrometheusRule")["spec"] == rules
    board = chart.one("ConfigMap", "-dashboard")
    shown: dict[str, Any] = json.loads(board["data"]["pgsoftproxy.json"])
    assert shown == json.loads((ROOT / "config" / "grafana" / "pgsoftproxy.json").read_text())
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_notes_tell_where_to_connect_and_what_to_beware_of(charts: dict[str, Rendered]) -> None:
    assert f"shop-pgsoftproxy.{NAMESPACE}.svc:6543" in charts["needed"].notes
    assert "One replica" not in charts["needed"].notes and "No NetworkPolicy" in charts["needed"].notes
    assert "One replica" in charts["open"].notes and "No NetworkPolicy" not in charts["open"].notes
