"""The functions, triggers and indexes by which a database acts on links and keeps its rows: names and SQL."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from pgsoftproxy.db import trigger_texts as texts
from pgsoftproxy.db.link_sql import (
    SCHEMA,
    absence,
    declared,
    is_deleted,
    is_held,
    is_live,
    joined,
    operator,
    reaction,
    refers,
    refusal,
    sent_columns,
    table,
)
from pgsoftproxy.model.catalog import Catalog, Column, Relation, RelationKind
from pgsoftproxy.model.links import Link, Links, Reaction, primary_key, short_name
from pgsoftproxy.model.policy import ColumnKind, Mode, Policy, Protection

VERSION = 1
BIGGEST_NAME = 63


@dataclass(frozen=True, slots=True)
class Definition:
    """One function or trigger: its name, what makes it, what takes it away, and what its text must be.

    `relation` is the table of a trigger; a function has none. `mark` is the md5 of a function's body as the catalog
    has it, for a trigger the comment on it.
    """

    name: str
    create: str
    drop: str
    mark: str
    relation: Relation | None = None


def definitions(policy: Policy, links: Links) -> tuple[Definition, ...]:
    """Return all that a database needs, in an order in which it can be created."""
    return tuple(_definitions(policy, links))


def _definitions(policy: Policy, links: Links) -> Iterator[Definition]:
    catalog = policy.catalog
    yield _function("drain", "uuid, boolean", "void", texts.DRAIN)
    yield _function("begin_statement", "", "trigger", texts.BEGIN_STATEMENT)
    yield _function("keep", "", "trigger", texts.KEEP)
    for own in links.by_parent.values():
        yield from _of_parent(own, links.is_tangled(own[0].parent.relation.oid), catalog)
    for link in links:
        if link.reaction is not Reaction.PARENT_ONLY:
            yield from _of_child(link)
    for protection in policy.protections.values():
        if protection.mode is Mode.ENFORCE and protection.relation.kind is not RelationKind.FOREIGN:
            yield from _of_protected(protection)


def key_index(link: Link) -> str | None:
    """Return the SQL of the unique index by which deleting a parent waits for its new children; None if there is one.

    An UPDATE of a column of such an index takes the row lock that a DELETE takes, FOR UPDATE, for which the FOR KEY
    SHARE of the referring side waits, and the other way round. UPDATEs of other columns go on without waiting.
    """
    protection = link.parent.protection
    assert protection is not None
    relation = protection.relation
    for index in relation.unique_indexes:
        plain = index.valid and index.predicate is None and None not in index.columns
        if plain and protection.column in index.columns:
            return None
    columns = [column.name for column in primary_key(relation)] or [pair.referenced for pair in link.pairs]
    name = f"{relation.name[: BIGGEST_NAME - 20]}_pgsoftproxy_key"
    return (
        sql.SQL("CREATE UNIQUE INDEX CONCURRENTLY {} ON {} ({})")
        .format(
            sql.Identifier(name),
            table(relation),
            joined(sql.Identifier(column) for column in dict.fromkeys([*columns, protection.column])),
        )
        .as_string(None)
    )


def _function(name: str, arguments: str, returns: str, body: sql.Composable) -> Definition:
    text = f"\n{body.as_string(None).strip()}\n"
    create = (
        f"CREATE OR REPLACE FUNCTION {SCHEMA}.{name}({arguments}) RETURNS {returns}\n"
        f"LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $pgsoftproxy${text}$pgsoftproxy$;"
    )
    drop = f"DROP FUNCTION IF EXISTS {SCHEMA}.{name}({arguments});"
    return Definition(name, create, drop, hashlib.md5(text.encode(), usedforsecurity=False).hexdigest())


def _trigger(name: str, relation: Relation, text: str, **parts: Any) -> Definition:
    """Make a trigger; `text` is what follows its name, `parts` what its places take besides `on`, the table's name."""
    named = sql.Identifier(name)
    body = sql.SQL(text).format(on=table(relation), **parts)
    kind = "CONSTRAINT TRIGGER" if "DEFERRABLE" in text or "deferral" in parts else "TRIGGER"
    create = sql.SQL("CREATE {} {} {};").format(sql.SQL(kind), named, body).as_string(None)
    mark = f"pgsoftproxy {VERSION} {hashlib.md5(create.encode(), usedforsecurity=False).hexdigest()}"
    comment = sql.SQL("COMMENT ON TRIGGER {} ON {} IS {};").format(named, table(relation), sql.Literal(mark))
    drop = sql.SQL("DROP TRIGGER IF EXISTS {} ON {};").format(named, table(relation)).as_string(None)
    return Definition(name, f"{create}\n{comment.as_string(None)}", drop, mark, relation)


def _called(name: str) -> sql.Composable:
    return sql.SQL("{}()").format(sql.Identifier(SCHEMA, name))


def _of_parent(links: tuple[Link, ...], tangled: bool, catalog: Catalog) -> Iterator[Definition]:
    parent = links[0].parent.relation
    protection = _protection(links[0])
    name = short_name(parent.name, parent.label)
    columns = sent_columns(links, protection)
    steps = [(link, reaction(link, columns, catalog.server_version)) for link in links]
    checks = [(link, step) for link, step in steps if step and link.only_checks]
    acts = [step for link, step in steps if step and not link.only_checks]
    if tangled or len(checks) < 2:
        acts = [step for _, step in steps if step]
    else:
        # The server names the first row that is held by any key: only where one is, they are taken one by one.
        held = joined([is_held(link, columns) for link, _ in checks], " OR ")
        yield _function(f"check_{name}", "jsonb", "void", _body(step for _, step in checks))
        acts.insert(0, texts.CHECK_SINGLY.format(held=held, check=sql.Identifier(f"check_{name}")))
    yield _function(f"act_{name}", "jsonb, uuid", "void", _body(acts))
    yield _function(f"deleted_{name}", "", "trigger", _deleted(links, columns, tangled))
    family = [parent, *(child for child in catalog.descendants(parent.oid) if child.is_partition)]
    # A statement that names a partition fires the triggers of that partition, not of the table it is part of.
    for relation in (one for one in family if one.kind is not RelationKind.FOREIGN):
        text = (
            "AFTER UPDATE ON {on} REFERENCING OLD TABLE AS o NEW TABLE AS n\n{each} EXECUTE FUNCTION {call}"
        )
        each = sql.SQL("FOR EACH STATEMENT")
        yield _trigger("pgsoftproxy_deleted", relation, text, each=each, call=_called(f"deleted_{name}"))
        if any(link.waits for link in links):
            text = "BEFORE UPDATE OF {column} ON {on}\nFOR EACH STATEMENT EXECUTE FUNCTION {call}"
            column = sql.Identifier(protection.column)
            yield _trigger(
                "pgsoftproxy_begin", relation, text, column=column, call=_called("begin_statement")
            )
    for link in links:
        if link.waits:
            yield from _of_waiting(link)


def _body(steps: Iterable[sql.Composable]) -> sql.Composable:
    parts = [sql.SQL("  {}\n").format(step) for step in steps]
    return sql.SQL("DECLARE\n  held text;\nBEGIN\n{}END").format(joined(parts, ""))


def _deleted(links: tuple[Link, ...], columns: tuple[Column, ...], tangled: bool) -> sql.Composable:
    protection = _protection(links[0])
    relation = protection.relation
    act = f"act_{short_name(relation.name, relation.label)}"
    keys = list(dict.fromkeys(pair.referenced for link in links for pair in link.pairs))
    exactly = sql.SQL(
        "SELECT jsonb_agg({}) FROM n WHERE {} AND NOT EXISTS (SELECT FROM o WHERE {} AND {})"
    ).format(
        _object("n", columns), is_deleted("n", protection), is_deleted("o", protection), _same("o", "n", keys)
    )
    given = "gen_random_uuid()"
    if protection.deletion_id is not None:
        given = (
            "coalesce((SELECT {id} FROM n WHERE {deleted} AND {id} IS NOT NULL LIMIT 1), gen_random_uuid())"
        )
    form = texts.ACT_SINGLY if tangled else texts.ACT
    return texts.DELETED.format(
        end_statement=sql.SQL(texts.END_STATEMENT if any(link.waits for link in links) else ""),
        is_deleted=is_deleted("n", protection),
        was_deleted=is_deleted("o", protection),
        exactly=sql.Literal(exactly.as_string(None)),
        parent=_object("n", columns),
        act_name=sql.Literal(act),
        id=sql.SQL(given).format(
            id=sql.Identifier("n", protection.deletion_id or ""), deleted=is_deleted("n", protection)
        ),
        act=sql.SQL(form).format(act=sql.Identifier(act)),
        tangled=sql.Literal(tangled),
        no_more_due=sql.SQL(texts.NO_MORE_DUE),
    )


def _of_waiting(link: Link) -> Iterator[Definition]:
    """Yield what checks a NO ACTION key that may wait until the end of the transaction."""
    protection = _protection(link)
    columns = sent_columns([link], protection)
    check = f"check_{link.key}"
    yield _function(check, "jsonb", "void", _body([refusal(link, columns)]))
    body = texts.KEPT.format(
        mark=sql.Literal(f",{link.key},"),
        table=table(protection.relation),
        same=_same("g", "new", [pair.referenced for pair in link.pairs]),
        is_live=is_live("g", protection),
        check=sql.Identifier(check),
        parent=_object("new", columns),
    )
    yield _function(f"kept_{link.key}", "", "trigger", body)
    # SET CONSTRAINTS reaches every constraint of a name, so that the key's own does for both; a table has it only once.
    name = f"pgsoftproxy_kept_{link.key}" if link.is_self_reference else link.name
    yield _trigger(
        name,
        protection.relation,
        "AFTER UPDATE OF {column} ON {on} {deferral}\nFOR EACH ROW WHEN ({when}) EXECUTE FUNCTION {call}",
        column=sql.Identifier(protection.column),
        deferral=_deferral(link),
        when=joined([is_live("old", protection), is_deleted("new", protection)], " AND "),
        call=_called(f"kept_{link.key}"),
    )


def _deferral(link: Link) -> sql.Composable:
    if not link.deferrable:
        return sql.SQL("NOT DEFERRABLE")
    return sql.SQL("DEFERRABLE INITIALLY DEFERRED" if link.deferred else "DEFERRABLE INITIALLY IMMEDIATE")


def _of_child(link: Link) -> Iterator[Definition]:
    """Yield what refuses a live row that refers to a deleted one."""
    child = link.child
    columns = [pair.column for pair in link.pairs]
    named = [*columns, *([link.type_column] if link.type_column else [])]
    name = f"live_{link.key}"
    parts = {
        "parent": table(link.parent.relation),
        "refers": refers(link, "g", "new"),
        "is_live": is_live("g", link.parent.protection),
        "child": table(child.relation),
        "same": joined([*_equal(link), is_live("c", child.protection)], " AND "),
        "keys": joined(sql.Identifier("new", column) for column in columns),
        "refuse": absence(link),
    }
    row = tuple(column for name in named if (column := child.relation.column(name)) is not None)
    yield _function(
        f"again_{link.key}", "jsonb, uuid", "void", texts.AGAIN.format(columns=declared(row), **parts)
    )
    body = texts.LIVE.format(again=sql.Literal(f"again_{link.key}"), row=_object("new", row), **parts)
    yield _function(name, "", "trigger", body)
    given: list[sql.Composable] = [
        sql.SQL("{} IS NOT NULL").format(sql.Identifier("new", column)) for column in columns
    ]
    given.append(is_live("new", child.protection))
    moved: list[sql.Composable] = [
        sql.SQL("{0} IS DISTINCT FROM {1}").format(sql.Identifier("new", c), sql.Identifier("old", c))
        for c in named
    ]
    if child.protection is not None:
        moved.append(is_deleted("old", child.protection))
    if link.type_column is not None:
        given.append(
            sql.SQL("{}::text = {}").format(
                sql.Identifier("new", link.type_column), sql.Literal(link.type_value)
            )
        )
    updated = [*given, sql.SQL("({})").format(joined(moved, " OR "))]
    for event, when in (("insert", given), ("update", updated)):
        yield _trigger(
            f"pgsoftproxy_{event}_{link.key}",
            child.relation,
            f"AFTER {event.upper()} ON {{on}} {{deferral}}\nFOR EACH ROW WHEN ({{when}}) EXECUTE FUNCTION {{call}}",
            deferral=_deferral(link),
            when=joined(when, " AND "),
            call=_called(name),
        )


def _of_protected(protection: Protection) -> Iterator[Definition]:
    """Yield what keeps the rows of a protected table, and notes which are brought back."""
    relation = protection.relation
    for name, event, each in (("keep", "DELETE", "ROW"), ("keep_all", "TRUNCATE", "STATEMENT")):
        if relation.is_partition and each == "ROW":
            continue  # a row trigger of the partitioned table is one of each partition
        text = f"BEFORE {event} ON {{on}}\nFOR EACH {each} EXECUTE FUNCTION {{call}}"
        yield _trigger(f"pgsoftproxy_{name}", relation, text, call=_called("keep"))
    key = primary_key(relation)
    if not key or relation.is_partition:
        return
    stamped = protection.kind is not ColumnKind.BOOLEAN
    form = "{}" if protection.kind is ColumnKind.TIMESTAMPTZ else "{} AT TIME ZONE 'UTC'"
    null = sql.SQL("NULL")
    body = texts.RESTORED.format(
        key=_pairs("old", key),
        at=sql.SQL(form).format(sql.Identifier("old", protection.column)) if stamped else null,
        by=sql.Identifier("old", protection.deleted_by) if protection.deleted_by else null,
        id=sql.Identifier("old", protection.deletion_id) if protection.deletion_id else null,
    )
    name = f"restored_{short_name(relation.name, relation.label)}"
    yield _function(name, "", "trigger", body)
    yield _trigger(
        "pgsoftproxy_restored",
        relation,
        "AFTER UPDATE OF {column} ON {on}\nFOR EACH ROW WHEN ({when}) EXECUTE FUNCTION {call}",
        column=sql.Identifier(protection.column),
        when=joined([is_deleted("old", protection), is_live("new", protection)], " AND "),
        call=_called(name),
    )


def _protection(link: Link) -> Protection:
    assert link.parent.protection is not None  # or it would be no link
    return link.parent.protection


def _pairs(alias: str, columns: Iterable[Column]) -> sql.Composable:
    return joined(
        sql.SQL("{}, {}").format(sql.Literal(column.name), sql.Identifier(alias, column.name))
        for column in columns
    )


def _object(alias: str, columns: Iterable[Column]) -> sql.Composable:
    return sql.SQL("jsonb_build_object({})").format(_pairs(alias, columns))


def _same(left: str, right: str, columns: Iterable[str]) -> sql.Composable:
    # As JSON: every type has an equality then, whatever the search_path.
    pairs = (
        sql.SQL("to_jsonb({}) = to_jsonb({})").format(
            sql.Identifier(left, column), sql.Identifier(right, column)
        )
        for column in columns
    )
    return joined(pairs, " AND ")


def _equal(link: Link) -> Iterator[sql.Composable]:
    for pair in link.pairs:
        form = sql.SQL("{} {} {}")
        yield form.format(
            sql.Identifier("c", pair.column), operator(pair), sql.Identifier("new", pair.column)
        )
