"""What `audit` prints and exits with: text, JSON, SARIF, Prometheus; what it passes over, counts, cannot see."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from psycopg.conninfo import make_conninfo

from pgsoftproxy.schema.audit.checks import CHECKS
from tests.fix_servers import Database
from tests.schema.auditing import command, findings
from tests.schema.migrating import Migration

ROOT = Path(__file__).parents[2]
LEAKY = """
CREATE TABLE users (id int PRIMARY KEY, flag boolean, deleted_at timestamptz);
CREATE TABLE invoices (id int, is_deleted boolean);
CREATE VIEW everybody AS SELECT id FROM users;
INSERT INTO users SELECT n, true, CASE WHEN n % 10 < 6 THEN now() END FROM generate_series(1, 5000) AS n;
"""
CONFIG = '[tables."public.users"]\n'
REST = ("--ignore", "guard-missing", "--ignore", "index-missing", "--ignore", "table-unconfigured")


@pytest.fixture
def leaky(database: Database, tmp_path: Path) -> Migration:
    """Give a database with a view that leaks, 3,000 deleted rows, and one table that nobody protects."""
    database.execute(LEAKY)
    made = Migration(database, tmp_path / "p.toml")
    made.configure(CONFIG)
    return made


def test_the_exit_code_says_whether_something_was_found(leaky: Migration) -> None:
    assert command(leaky)[0] == 1
    assert command(leaky, "--fail-on", "never")[0] == 0
    assert command(leaky, *REST)[0] == 1
    assert command(leaky, *REST, "--ignore", "view-leaks:public.everybody")[0] == 0
    assert command(leaky, *REST, "--ignore", "view-leaks:public.nobody")[0] == 1
    assert command(leaky, *REST[:4], "--ignore", "view-leaks", "--fail-on", "error")[0] == 0
    assert command(leaky, *REST[:4], "--ignore", "view-leaks", "--fail-on", "warning")[0] == 1


def test_a_check_that_does_not_exist_is_wrong_usage(leaky: Migration) -> None:
    code, out = command(leaky, "--ignore", "view-leak")
    assert code == 2
    assert 'there is no check "view-leak"' in out
    assert command(leaky, "--fail-on", "fatal")[0] == 2
    assert command(leaky, "--json", "--sarif")[0] == 2


def test_the_configuration_may_pass_over_findings(leaky: Migration) -> None:
    leaky.configure(
        '[audit]\nignore = ["guard-missing", "index-missing", "view-leaks:public.everybody"]\n' + CONFIG
    )
    assert [one["check"] for one in findings(leaky)] == ["table-unconfigured"]


def test_what_is_accepted_is_told_with_its_reason_and_fails_nothing(leaky: Migration) -> None:
    reasons = {
        "view-leaks:public.everybody": "support reads it",
        "guard-missing": "next week",
        "table-unconfigured": "a copy",
        "index-missing": "small",
    }
    section = "".join(f'"{finding}" = "{reason}"\n' for finding, reason in reasons.items())
    leaky.configure(f"{CONFIG}[audit.accept]\n{section}")
    code, out = command(leaky, "--json", "--fail-on", "note")
    (report,) = json.loads(out)["databases"]
    assert (code, report["findings"]) == (0, [])
    told = {one["check"]: one["reason"] for one in report["accepted"]}
    assert told == {finding.partition(":")[0]: reason for finding, reason in reasons.items()}
    squeezed = " ".join(command(leaky)[1].split())
    assert "0 errors" in squeezed and "support reads it" in squeezed
    (run,) = json.loads(command(leaky, "--sarif")[1])["runs"]
    justified = [result["suppressions"][0]["justification"] for result in run["results"]]
    assert set(justified) == set(reasons.values())
    samples = command(leaky, "--metrics")[1].splitlines()
    (count,) = [line for line in samples if line.startswith("pgsoftproxy_audit_accepted_findings{")]
    assert count.rpartition(" ")[2] == str(len(report["accepted"]))


@pytest.mark.parametrize(
    ("acceptance", "reason"),
    [
        ('"view-leak" = "x"', 'accept: there is no check "view-leak"'),
        ('"view-leaks" = " "', "audit.accept"),
        ('"view leaks" = "x"', "needs the id of a check"),
    ],
)
def test_an_acceptance_needs_a_check_and_a_reason(leaky: Migration, acceptance: str, reason: str) -> None:
    leaky.configure(f"{CONFIG}[audit.accept]\n{acceptance}\n")
    code, out = command(leaky)
    assert (code, reason in out) == (2, True), out


def test_a_server_that_is_away_is_told(leaky: Migration) -> None:
    leaky.config.write_text('[control]\ndsn = "host=127.0.0.1 port=1"\n' + CONFIG)
    assert command(leaky)[0] == 3


def test_text_has_every_finding_and_what_was_not_seen(leaky: Migration) -> None:
    _, out = command(leaky)
    squeezed = " ".join(out.split())
    assert "2 errors, 1 warning" in squeezed
    for word in (
        "view-leaks",
        "public.everybody",
        "guard-missing",
        "table-unconfigured",
        "CREATE OR REPLACE VIEW",
    ):
        assert word in squeezed
    assert 'not seen: how many rows of "public.users" are deleted: it was never analyzed' in squeezed


def test_sarif_has_a_rule_and_a_logical_location_for_each_result(leaky: Migration) -> None:
    leaky.configure(CONFIG + '[tables."public.nowhere"]\n')
    _, out = command(leaky, "--sarif")
    log = json.loads(out)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [check.id for check in CHECKS]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"error", "warning", "note"}
        assert result["message"]["text"]
        ((place,),) = [location["logicalLocations"] for location in result["locations"]]
        assert place["fullyQualifiedName"].startswith(leaky.database.name)
    by_rule = {result["ruleId"]: result for result in run["results"]}
    (unmet,) = by_rule["rule-unmet"]["locations"]
    region = unmet["physicalLocation"]
    assert region["artifactLocation"]["uri"] == str(leaky.config)
    assert region["region"]["startLine"] == 4
    fingerprints = [result["partialFingerprints"]["object/v1"] for result in run["results"]]
    assert len(fingerprints) == len(set(fingerprints))


def test_metrics_count_findings_and_rows(leaky: Migration) -> None:
    leaky.database.execute("ANALYZE users")
    _, out = command(leaky, "--metrics", "--exact")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(out)
        for sample in family.samples
    }
    name = leaky.database.name
    assert samples["pgsoftproxy_audit_findings", name, "view-leaks", "error"] == 1
    assert samples["pgsoftproxy_audit_findings", name, "rule-leaks", "error"] == 0
    assert samples["pgsoftproxy_table_rows", name, "public.users"] == 5000
    assert samples["pgsoftproxy_table_deleted_rows", name, "public.users"] == 3000
    assert samples["pgsoftproxy_table_bytes", name, "public.users"] > 8192
    assert 0 <= samples["pgsoftproxy_table_bloat_ratio", name, "public.users"] < 0.3


@pytest.mark.parametrize(
    ("column", "deleted"), [("timestamptz", "now()"), ("timestamp", "now()"), ("boolean", "true")]
)
def test_deleted_rows_are_estimated_and_most_of_them_are_told(
    column: str, deleted: str, database: Database, tmp_path: Path
) -> None:
    database.execute(
        f"CREATE TABLE users (id int, deleted_at {column}); INSERT INTO users SELECT n, "
        f"CASE WHEN n % 10 < 6 THEN {deleted} END FROM generate_series(1, 5000) AS n; ANALYZE users"
    )
    migration = Migration(database, tmp_path / "p.toml")
    migration.configure(CONFIG)
    _, out = command(migration, "--json", "--fail-on", "never")
    (report,) = json.loads(out)["databases"]
    (figures,) = report["tables"]
    assert (figures["rows"], figures["deleted"], figures["counted"]) == (5000, 3000, False)
    assert "mostly-deleted" in {one["check"] for one in report["findings"]}
    assert report["unseen"] == []


def test_a_table_that_was_emptied_is_bloated(database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE TABLE users (id int, note text, deleted_at timestamptz) WITH (autovacuum_enabled = off); "
        "INSERT INTO users SELECT n, repeat('x', 1000) FROM generate_series(1, 20000) AS n; "
        "DELETE FROM users WHERE id % 10 > 0; ANALYZE users"
    )
    migration = Migration(database, tmp_path / "p.toml")
    migration.configure(CONFIG)
    assert ("bloated", "public.users") in {(one["check"], one["object"]) for one in findings(migration)}


def test_a_role_that_may_only_connect_finds_the_same(leaky: Migration, role: str) -> None:
    leaky.database.execute("ANALYZE users")
    expected = {(one["check"], one["object"]) for one in findings(leaky)} - {
        ("mostly-deleted", "public.users")
    }
    leaky.database.execute(f"ALTER ROLE {role} LOGIN")
    dsn = make_conninfo(leaky.database.dsn, user=role)
    leaky.config.write_text(f"[control]\ndsn = {json.dumps(dsn)}\n{CONFIG}")
    assert {(one["check"], one["object"]) for one in findings(leaky)} == expected
    _, out = command(leaky, "--json", "--exact")
    (report,) = json.loads(out)["databases"]
    assert report["unseen"] == [
        'rows of "public.users" were not counted: the role may not read it',
        'how many rows of "public.users" are deleted: no statistics of its deletion column can be read',
    ]


def test_the_document_explains_every_check_and_no_other() -> None:
    text = (ROOT / "docs" / "audit.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \| (\w+) \|", text, re.MULTILINE)
    assert rows == [(check.id, check.severity.value) for check in CHECKS]
