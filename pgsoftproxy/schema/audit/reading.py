"""Relations through which deleted rows can be read: views, materialized views, parents, publications. Pure."""

from collections import defaultdict
from collections.abc import Iterator

from pgsoftproxy.db.ddl import is_live_bare, name_of
from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.catalog import TABLES, Relation, RelationKind, UniqueIndex
from pgsoftproxy.model.context import Context, SearchPath, Values, Variables
from pgsoftproxy.model.evidence import Published
from pgsoftproxy.model.policy import Mode
from pgsoftproxy.rewrite.plan import Rewritten
from pgsoftproxy.rewrite.predicates import quote_identifier, quote_literal
from pgsoftproxy.rewrite.rewriter import rewrite
from pgsoftproxy.rewrite.rules.live_index import is_live_only
from pgsoftproxy.rewrite.verify import is_guarded
from pgsoftproxy.schema.audit.finding import Found, ObjectKind, Subject
from pgsoftproxy.schema.audit.ground import OURS, Ground, about

QUALIFIED = Context(Variables.at_start(Values(search_path=SearchPath(()))))
"""Definitions are printed with every name qualified."""


def view_leaks(ground: Ground) -> Iterator[Found]:
    """Yield views over protected tables that do not keep deleted rows out themselves."""
    for relation in _unguarded(ground, RelationKind.VIEW):
        label = ground.policy.exposing[relation.oid]
        why = f'whoever reads it on a direct connection sees deleted rows of "{label}"'
        create = (
            f"CREATE OR REPLACE VIEW {name_of(relation)}{_options(relation, ground)} AS {relation.definition}"
        )
        guarded = _guarded(create, ground)
        if guarded is None:
            below = f'the views that it reads first, or write it anew over live rows of "{label}"'
            yield about(relation, why, f"mend {below}", is_sql=False)
        else:
            yield about(relation, why, guarded)


def matview_leaks(ground: Ground) -> Iterator[Found]:
    """Yield materialized views whose definition does not keep deleted rows out."""
    for relation in _unguarded(ground, RelationKind.MATVIEW):
        label = ground.policy.exposing[relation.oid]
        why = f'it holds rows of "{label}" that were deleted, and shows them to whoever may read it'
        create = f"CREATE MATERIALIZED VIEW {name_of(relation)}{_options(relation, ground)} AS {relation.definition}"
        guarded = _guarded(create, ground)
        if guarded is None:
            yield about(relation, why, f'write it anew over live rows of "{label}"', is_sql=False)
        else:
            drop = f"DROP MATERIALIZED VIEW {name_of(relation)};"
            yield about(relation, why, f"{drop}\n{guarded}")


def parent_leaks(ground: Ground) -> Iterator[Found]:
    """Yield unprotected tables of which a protected one is a partition or child."""
    for oid, label in ground.policy.exposing.items():
        relation = ground.catalog.relations[oid]
        if relation.kind in TABLES:
            why = f'reading it reads rows of "{label}", deleted ones too; the proxy refuses it'
            yield about(relation, why, f'protect it too: [tables."{relation.label}"]', is_sql=False)


def publication_leaks(ground: Ground) -> Iterator[Found]:
    """Yield publications that send deleted rows of protected tables to their subscribers."""
    sent: dict[str, list[Published]] = defaultdict(list)
    for published in ground.evidence.published:
        protection = ground.policy.protections.get(published.relation)
        if protection is None or protection.mode is not Mode.ENFORCE:
            continue
        filtered = UniqueIndex("", (), published.row_filter)
        if not is_live_only(filtered, protection):
            sent[published.publication].append(published)
    for name, tables in sent.items():
        relations = [ground.catalog.relations[one.relation] for one in tables]
        listed = ", ".join(f'"{relation.label}"' for relation in relations)
        why = f"subscribers get deleted rows of {listed}: a soft delete reaches them as an UPDATE"
        yield Found(Subject(ObjectKind.PUBLICATION, name), why, *_filtering(ground, name, tables))


def _filtering(ground: Ground, name: str, tables: list[Published]) -> tuple[str, bool]:
    every = [one for one in ground.evidence.published if one.publication == name]
    if any(one.whole for one in every) or ground.catalog.server_version < 150000:
        return "publish the tables one by one, with a row filter on live rows (PostgreSQL 15)", False
    leaking = {one.relation for one in tables}
    items, identities = [], []
    for one in every:
        protection = ground.policy.protections.get(one.relation)
        conditions = [f"({one.row_filter})"] if one.row_filter else []
        if protection is not None and one.relation in leaking:
            conditions.insert(0, is_live_bare(protection))
            # Without it an UPDATE of a published table fails: a row filter must know the old row's column.
            identities.append(f"ALTER TABLE {name_of(protection.relation)} REPLICA IDENTITY FULL;\n")
        where = f" WHERE ({' AND '.join(conditions)})" if conditions else ""
        items.append(f"{name_of(ground.catalog.relations[one.relation])}{where}")
    publish = f"ALTER PUBLICATION {quote_identifier(name)} SET TABLE {', '.join(items)};"
    return "".join(identities) + publish, True


def _unguarded(ground: Ground, kind: RelationKind) -> Iterator[Relation]:
    for oid in ground.policy.exposing:
        relation = ground.catalog.relations[oid]
        if relation.kind is kind and relation.schema != OURS and not is_guarded(relation, ground.policy):
            yield relation


def _options(relation: Relation, ground: Ground) -> str:
    """Return the options of a view: a CREATE OR REPLACE without them would take them away."""
    pairs = (option.partition("=") for option in ground.evidence.options.get(relation.oid, ()))
    listed = ", ".join(f"{quote_identifier(name)} = {quote_literal(value)}" for name, _, value in pairs)
    return f" WITH ({listed})" if listed else ""


def _guarded(create: str, ground: Ground) -> str | None:
    """Return the statement as the proxy would send it, None if it would refuse it."""
    try:
        plan = rewrite(create, ground.policy, QUALIFIED)
    except StatementRefused:
        return None
    return f"{plan.sql};" if isinstance(plan, Rewritten) else None
