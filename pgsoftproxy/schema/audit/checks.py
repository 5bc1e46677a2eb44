"""The registry of checks: id, severity, one line about it. Ids are for good; docs/audit.md explains each. Pure."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from pgsoftproxy.rewrite.conduct import Deed
from pgsoftproxy.schema.audit import keys, publishing, reading, removing, stored, tables
from pgsoftproxy.schema.audit.figures import estimate
from pgsoftproxy.schema.audit.finding import Accepted, Finding, Found, Ignored, Report, Severity
from pgsoftproxy.schema.audit.ground import Ground

ERROR, WARNING, NOTE = Severity


@dataclass(frozen=True, slots=True)
class Check:
    """One check; `title` says in a few words what its findings are."""

    id: str
    severity: Severity
    title: str
    find: Callable[[Ground], Iterator[Found]]


CHECKS = (
    Check("view-leaks", ERROR, "a view shows deleted rows", reading.view_leaks),
    Check("matview-leaks", ERROR, "a materialized view holds deleted rows", reading.matview_leaks),
    Check("parent-leaks", ERROR, "an unprotected parent shows deleted rows", reading.parent_leaks),
    Check("publication-leaks", ERROR, "a publication sends deleted rows", publishing.publication_leaks),
    Check("routine-leaks", ERROR, "a function meets deleted rows", partial(stored.routines, Deed.MEETS)),
    Check("routine-destroys", ERROR, "a function removes protected rows", partial(stored.routines, Deed.REMOVES)),
    Check("routine-unreadable", NOTE, "what a function does cannot be told", stored.routine_unreadable),
    Check("trigger-leaks", ERROR, "a trigger meets deleted rows", partial(stored.triggers, Deed.MEETS)),
    Check("trigger-destroys", ERROR, "a trigger removes protected rows", partial(stored.triggers, Deed.REMOVES)),
    Check("trigger-never-fires", WARNING, "a trigger is passed by", stored.trigger_never_fires),
    Check("rule-leaks", ERROR, "a rule meets deleted rows", partial(stored.rules, Deed.MEETS)),
    Check("rule-destroys", ERROR, "a rule removes protected rows", partial(stored.rules, Deed.REMOVES)),
    Check("rule-interferes", WARNING, "a rule changes what a soft delete does", stored.rule_interferes),
    Check("cascade-destroys", ERROR, "a cascade removes protected rows", removing.cascade_destroys),
    Check("guard-missing", ERROR, "nothing stops a physical DELETE", removing.guard_missing),
    Check("role-may-delete", WARNING, "a role may delete for good", removing.role_may_delete),
    Check("role-owns", WARNING, "a role that logs in owns the table", removing.role_owns),
    Check("links-missing", WARNING, "foreign keys are not acted on", removing.links_missing),
    Check("child-outlives", NOTE, "unprotected rows outlive their parent", removing.child_outlives),
    Check("unique-counts-deleted", WARNING, "a unique key counts deleted rows", keys.unique_counts_deleted),
    Check("unique-misses-live", WARNING, "a unique key does not hold for live rows", keys.unique_misses_live),
    Check(
        "exclusion-counts-deleted", WARNING, "an exclusion constraint counts deleted rows",
        keys.exclusion_counts_deleted,
    ),
    Check("column-missing", ERROR, "a configured column is not there", tables.column_missing),
    Check("rule-unmet", ERROR, "the configuration does not fit", tables.rule_unmet),
    Check("index-missing", NOTE, "an index for deleted rows is not there", tables.index_missing),
    Check("name-ambiguous", NOTE, "an unprotected namesake", tables.name_ambiguous),
    Check("table-unconfigured", WARNING, "a soft-deletable table is not protected", tables.table_unconfigured),
    Check("mostly-deleted", NOTE, "most rows are deleted ones", tables.mostly_deleted),
    Check("bloated", NOTE, "most pages are not needed", tables.bloated),
)  # fmt: skip
BY_ID = {check.id: check for check in CHECKS}


def audit(ground: Ground, ignored: Iterable[Ignored] = (), accepted: Iterable[Accepted] = ()) -> Report:
    """Run every check; the worst findings first, and by name among those of one check."""
    passed_over, reasons = tuple(ignored), tuple(accepted)
    database = ground.catalog.database
    every = (
        Finding(check.id, check.severity, found, database)
        for check in CHECKS
        for found in sorted(check.find(ground), key=lambda found: found.subject.name)
    )
    findings = [finding for finding in every if not any(one.covers(finding) for one in passed_over)]
    findings.sort(key=lambda finding: finding.severity.rank)
    told = [(finding, _reason(finding, reasons)) for finding in findings]
    figures = tuple(estimate(one, ground.state, ground.evidence) for one in ground.protections())
    return Report(
        database,
        tuple(finding for finding, reason in told if reason is None),
        tuple((finding, reason) for finding, reason in told if reason is not None),
        figures,
        _unseen(ground),
    )


def _reason(finding: Finding, accepted: Iterable[Accepted]) -> str | None:
    return next((one.reason for one in accepted if one.which.covers(finding)), None)


def _unseen(ground: Ground) -> tuple[str, ...]:
    told = list(ground.evidence.unseen)
    for protection in ground.protections():
        oid = protection.relation.oid
        never = ground.evidence.storage.get(oid) is None or ground.evidence.storage[oid].rows < 0
        if oid in ground.evidence.counts or protection.column in ground.evidence.statistics.get(oid, {}):
            continue
        why = "it was never analyzed" if never else "no statistics of its deletion column can be read"
        told.append(f'how many rows of "{protection.label}" are deleted: {why}')
    return tuple(told)
