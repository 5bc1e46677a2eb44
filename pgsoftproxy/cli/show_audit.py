"""How an audit is shown: tables by severity for people; JSON, SARIF 2.1.0 and Prometheus text for programs."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import Enum
from io import StringIO
from typing import Any, assert_never

from pgsoftproxy import __version__
from pgsoftproxy.schema.audit.checks import CHECKS, Check
from pgsoftproxy.schema.audit.finding import By, Finding, Mend, Report, Severity, TableFigures

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
UNKNOWN = "?"
ACCEPTING = (
    "what is to stay as it is, with the reason: [audit.accept] "
    '"check:object" = "why"; it is told as accepted then, and fails nothing'
)


class Form(Enum):
    """How to print."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    METRICS = "metrics"


def show(reports: Sequence[Report], form: Form) -> str:
    """Return what is printed of the reports, with the end of the last line."""
    match form:
        case Form.TEXT:
            return "\n".join(_text(report) for report in reports)
        case Form.JSON:
            return json.dumps(_as_json(reports), indent=2) + "\n"
        case Form.SARIF:
            return json.dumps(_as_sarif(reports), indent=2) + "\n"
        case Form.METRICS:
            return "".join(f"{line}\n" for line in _metrics(reports))
        case _:
            assert_never(form)


def _text(report: Report) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = os.isatty(1)
    out = StringIO()
    width = Console().width if terminal else 160
    console = Console(file=out, width=width, force_terminal=terminal, highlight=False)
    counts = Counter(finding.severity for finding in report.findings)
    told = ", ".join(
        f"{counts[severity]} {severity.value}{_plural(counts[severity])}" for severity in Severity
    )
    console.print(Text(f"database {report.database}: {told}"))
    if report.findings:
        table = Table("", "check", "object", "why", "mend", show_lines=True)
        for finding in report.findings:
            cells = (finding.check, finding.object, finding.found.why, _mend(finding.found.mend))
            severity = Text(finding.severity.value, style=STYLES[finding.severity])
            table.add_row(severity, *(Text(cell) for cell in cells))
        console.print(table)
        console.print(Text(ACCEPTING))
    if report.accepted:
        table = Table("accepted", "object", "why", "reason", show_lines=True)
        for finding, reason in report.accepted:
            cells = (finding.check, finding.object, finding.found.why, reason)
            table.add_row(*(Text(cell) for cell in cells))
        console.print(table)
    if report.figures:
        table = Table("table", "rows", "deleted", "share", "size", "bloat")
        for figures in report.figures:
            table.add_row(*(Text(cell) for cell in _cells(figures)))
        console.print(table)
    for line in report.unseen:
        console.print(Text(f"not seen: {line}"))
    return out.getvalue()


def _mend(mend: Mend) -> str:
    match mend.by:
        case By.MIGRATE:
            return f"{mend.command} does it:\n{mend.text}"
        case By.SQL:
            return f"for you to decide, as SQL:\n{mend.text}"
        case By.CONFIGURATION:
            return f"for you to decide, in the configuration:\n{mend.text}"
        case By.HAND:
            return mend.text
        case _:
            assert_never(mend.by)


def _plural(count: int) -> str:
    return "" if count == 1 else "s"


def _cells(figures: TableFigures) -> tuple[str, ...]:
    sign = "" if figures.counted else "~"
    rows, deleted = (
        UNKNOWN if number is None else f"{sign}{number:,}" for number in (figures.rows, figures.deleted)
    )
    share, bloat = (
        UNKNOWN if number is None else f"{number:.0%}" for number in (figures.deleted_share, figures.bloat)
    )
    return figures.table, rows, deleted, share, f"{figures.bytes / 2**20:,.1f} MB", bloat


def _as_json(reports: Sequence[Report]) -> dict[str, Any]:
    return {
        "databases": [
            {
                "database": report.database,
                "findings": [_finding(finding) for finding in report.findings],
                "accepted": [{**_finding(finding), "reason": reason} for finding, reason in report.accepted],
                "tables": [_figures(figures) for figures in report.figures],
                "unseen": list(report.unseen),
            }
            for report in reports
        ]
    }


def _finding(finding: Finding) -> dict[str, Any]:
    found = finding.found
    return {
        "check": finding.check,
        "severity": finding.severity.value,
        "kind": found.subject.kind.value,
        "object": finding.object,
        "why": found.why,
        "mend": found.mend.text,
        "is_sql": found.mend.is_sql,
        "by": found.mend.by.value,
        "command": found.mend.command,
        "origin": found.origin or None,
    }


def _figures(figures: TableFigures) -> dict[str, Any]:
    return {
        "table": figures.table,
        "rows": figures.rows,
        "deleted": figures.deleted,
        "deleted_share": figures.deleted_share,
        "bytes": figures.bytes,
        "bloat": figures.bloat,
        "counted": figures.counted,
    }


def _as_sarif(reports: Sequence[Report]) -> dict[str, Any]:
    places = {check.id: place for place, check in enumerate(CHECKS)}
    driver = {
        "name": "pgsoftproxy audit",
        "semanticVersion": __version__,
        "rules": [_sarif_rule(check) for check in CHECKS],
    }
    results = [_sarif_result(finding, places) for report in reports for finding in report.findings]
    for report in reports:
        for finding, reason in report.accepted:
            suppression = {"kind": "external", "status": "accepted", "justification": reason}
            results.append({**_sarif_result(finding, places), "suppressions": [suppression]})
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _sarif_rule(check: Check) -> dict[str, Any]:
    return {
        "id": check.id,
        "shortDescription": {"text": check.title},
        "defaultConfiguration": {"level": check.severity.value},
    }


def _sarif_result(finding: Finding, places: dict[str, int]) -> dict[str, Any]:
    subject = finding.found.subject
    name = f"{finding.database}.{subject.name}"
    location: dict[str, Any] = {
        "logicalLocations": [
            {"name": subject.name, "fullyQualifiedName": name, "kind": subject.kind.value.replace(" ", "")}
        ]
    }
    file, colon, line = finding.found.origin.rpartition(":")
    if colon and line.isdecimal():
        artifact = {"uri": file.replace(os.sep, "/")}
        location["physicalLocation"] = {"artifactLocation": artifact, "region": {"startLine": int(line)}}
    return {
        "ruleId": finding.check,
        "ruleIndex": places[finding.check],
        "level": finding.severity.value,
        "message": {
            "text": f"{subject.kind.value} {subject.name}: {finding.found.why}\n{finding.found.mend.text}"
        },
        "locations": [location],
        "partialFingerprints": {"object/v1": f"{finding.check} {name}"},
    }


def _metrics(reports: Sequence[Report]) -> Iterator[str]:
    yield "# HELP pgsoftproxy_audit_findings Findings of `pgsoftproxy audit`."
    yield "# TYPE pgsoftproxy_audit_findings gauge"
    for report in reports:
        counts = Counter(finding.check for finding in report.findings)
        for check in CHECKS:
            labels = _labels(database=report.database, check=check.id, severity=check.severity.value)
            yield f"pgsoftproxy_audit_findings{labels} {counts[check.id]}"
    yield "# HELP pgsoftproxy_audit_accepted_findings Findings of `pgsoftproxy audit` that were accepted."
    yield "# TYPE pgsoftproxy_audit_accepted_findings gauge"
    for report in reports:
        labels = _labels(database=report.database)
        yield f"pgsoftproxy_audit_accepted_findings{labels} {len(report.accepted)}"
    gauges = (
        ("table_rows", "Rows of a protected table, deleted ones included.", "rows"),
        ("table_deleted_rows", "Deleted rows of a protected table.", "deleted"),
        ("table_bytes", "Size of a protected table.", "bytes"),
        ("table_bloat_ratio", "Share of a protected table's pages that no row needs.", "bloat"),
    )
    for name, words, key in gauges:
        yield f"# HELP pgsoftproxy_{name} {words}"
        yield f"# TYPE pgsoftproxy_{name} gauge"
        for report in reports:
            for figures in report.figures:
                value = getattr(figures, key)
                if value is not None:
                    yield f"pgsoftproxy_{name}{_labels(database=report.database, table=figures.table)} {value}"


def _labels(**labels: str) -> str:
    escaped = {
        name: value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
        for name, value in labels.items()
    }
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}"
