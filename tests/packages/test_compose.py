"""config/compose.yml: a valid composition whose files, names and ports fit together, and whose scripts work."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from compose_spec import PyCompose

from pgsoftproxy.settings import Settings, load
from tests.fix_proxy import RunningProxy
from tests.fix_servers import Database
from tests.packages.dockerfile import FILE, Keyword, stages
from tests.packages.test_alerts import RULES

CONFIG = Path(__file__).parents[2] / "config"
COMPOSED: dict[str, Any] = yaml.safe_load((CONFIG / "compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSED["services"]
PINNED = re.compile(r"[\w./-]+:v?\d+(\.\d+)*")
SECRET_WORDS = re.compile(r"password|passwd|secret|token|dsn", re.IGNORECASE)


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """Give what secrets.sh makes."""
    folder = tmp_path / "secrets"
    subprocess.run(["sh", str(CONFIG / "compose" / "secrets.sh"), str(folder)], check=True)
    return folder


def settings(secrets: Path) -> Settings:
    """Return the proxy's settings as in its container."""
    variables = {
        k: v for one in stages(FILE.read_text())[-1].all(Keyword.ENV) for k, v in one.pairs().items()
    }
    variables.update(SERVICES["proxy"]["environment"])
    variables["PGSOFTPROXY_CONTROL__DSN_FILE"] = str(secrets / "control_dsn")
    return load(CONFIG / "compose" / "pgsoftproxy.toml", variables)


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is mounted from where to where."""
    for line in service.get("volumes", ()):
        source, target = line.removesuffix(":ro").split(":")
        yield source, target


def seconds(text: str) -> int:
    """Return a duration that is written in seconds."""
    assert text.endswith("s")
    return int(text[:-1])


def test_composition_is_one_that_the_specification_knows() -> None:
    assert set(PyCompose.from_json(json.dumps(COMPOSED)).service_names()) == set(SERVICES)
    with pytest.raises(ValueError, match="bogus"):
        PyCompose.from_json(json.dumps({"services": {"proxy": {"image": "x", "bogus": 1}}}))


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_pinned_checked_and_seen_from_this_machine_alone(name: str) -> None:
    service = SERVICES[name]
    assert PINNED.fullmatch(service["image"]) or "build" in service
    assert {"test", "interval", "timeout"} <= set(service["healthcheck"])
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_as_files_and_never_as_values(name: str) -> None:
    handed = set(SERVICES[name].get("secrets", ()))
    assert handed <= set(COMPOSED["secrets"])
    for variable, value in SERVICES[name].get("environment", {}).items():
        if SECRET_WORDS.search(variable):
            assert variable.endswith("_FILE")
            assert value.removeprefix("/run/secrets/") in handed


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_is_in_the_repository_or_a_volume(name: str) -> None:
    for source, _ in mounts(SERVICES[name]):
        assert (CONFIG / source).exists() if source.startswith(".") else source in COMPOSED["volumes"]


def test_only_the_server_keeps_its_capabilities_and_only_the_proxy_reaches_it() -> None:
    for name, service in SERVICES.items():
        assert (service.get("cap_drop") == ["ALL"]) == (name != "postgres")
        assert ("database" in service["networks"]) == (name in {"postgres", "proxy"})
    assert COMPOSED["networks"]["database"] == {"internal": True}
    assert SERVICES["proxy"]["read_only"] is True
    assert "ports" not in SERVICES["postgres"]


def test_secrets_are_made_once_and_are_what_the_services_are_handed(secrets: Path) -> None:
    made = {path.name: path.read_text() for path in secrets.iterdir()}
    assert {f"compose/secrets/{name}" for name in made} == {
        secret["file"] for secret in COMPOSED["secrets"].values()
    }
    assert len({made[name] for name in made if name.endswith("_password")}) == 3
    assert made["control_password"] in made["control_dsn"]
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in secrets.iterdir())
    subprocess.run(["sh", str(CONFIG / "compose" / "secrets.sh"), str(secrets)], check=True)
    assert {path.name: path.read_text() for path in secrets.iterdir()} == made


def test_secrets_stay_out_of_the_repository() -> None:
    ignored = (CONFIG.parent / ".gitignore").read_text().splitlines()
    assert "config/compose/secrets/" in ignored


def test_ports_hosts_and_times_fit_together(secrets: Path) -> None:
    proxy, found = SERVICES["proxy"], settings(secrets)
    assert found.upstream.hosts == ("postgres",) and "@postgres:5432/app" in found.control.dsn
    assert found.listen.host == "0.0.0.0"  # noqa: S104 - a container's
    assert proxy["ports"] == [f"127.0.0.1:{found.listen.port}:{found.listen.port}"]
    assert f":{found.metrics.port}/readyz" in proxy["healthcheck"]["test"][-1]
    assert seconds(proxy["stop_grace_period"]) >= found.limits.drain_timeout + 5
    assert proxy["ulimits"]["nofile"] > 2 * found.limits.connections + 100


def test_prometheus_scrapes_the_proxy_as_the_alerts_expect_and_grafana_asks_prometheus(secrets: Path) -> None:
    scraping = yaml.safe_load((CONFIG / "compose" / "prometheus.yml").read_text())
    (job,) = scraping["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"proxy:{settings(secrets).metrics.port}"]}]
    assert set(re.findall(r'job="(\w+)"', RULES.read_text())) == {job["job_name"]}
    assert set(scraping["rule_files"]) <= {target for _, target in mounts(SERVICES["prometheus"])}
    provisioning = CONFIG / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090" and source["isDefault"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "pgsoftproxy.yml").read_text())["providers"]
    boards = {Path(target).parent for _, target in mounts(SERVICES["grafana"]) if target.endswith(".json")}
    assert boards == {Path(provider["options"]["path"])}


def test_database_is_set_up_as_the_proxy_needs_it(
    database: Database, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = database.server
    given = {"POSTGRES_USER": server.user, "POSTGRES_DB": database.name, "PGPORT": str(server.port)}
    given |= {"PGHOST": server.host, "CONTROL_PASSWORD_FILE": str(secrets / "control_password")}
    role = "DROP ROLE IF EXISTS pgsoftproxy"
    database.execute(role)
    script = CONFIG / "compose" / "init.sh"
    subprocess.run(["bash", str(script)], env={**os.environ, **given}, check=True, capture_output=True)
    dsn = secrets / "control_dsn"
    dsn.write_text(
        dsn.read_text().replace("postgres:5432/app", f"{server.host}:{server.port}/{database.name}")
    )
    variables = {"UPSTREAM__HOST": server.host, "UPSTREAM__PORT": str(server.port), "AUDIT__INTERVAL": "0"}
    variables |= {"CONTROL__DSN_FILE": str(dsn), "LISTEN__PORT": "0", "METRICS__PORT": "0"}
    for name, value in {**variables, "LOGS__FORMAT": "json"}.items():
        monkeypatch.setenv(f"PGSOFTPROXY_{name}", value)
    proxy = RunningProxy(CONFIG / "compose" / "pgsoftproxy.toml", server, database.name)
    try:
        with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
            assert connection.execute("DELETE FROM app.notes WHERE id = 1").statusmessage == "DELETE 1"
            assert connection.execute("SELECT words FROM app.notes").fetchall() == [("keep me",)]
        assert proxy.get("/readyz")
    finally:
        proxy.stop()
        database.execute(f"DROP SCHEMA app CASCADE; {role}")
    assert json.loads(proxy.output().splitlines()[0])["event"]


@pytest.mark.slow
def test_prometheus_own_tool_reads_the_configuration() -> None:
    for file in (CONFIG / "compose" / "prometheus.yml", CONFIG / "prometheus" / "scrape.yml"):
        arguments = ["promtool", "check", "config", "--syntax-only", str(file)]
        done = subprocess.run(arguments, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
