"""What one parent's links need in the database: functions and triggers on it and on the tables that refer to it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache

from psycopg import sql

from pgsoftproxy.db import trigger_texts as texts
from pgsoftproxy.db.definition import Definition, called, function, pairs, trigger
from pgsoftproxy.db.link_sql import (
    absence,
    declared,
    is_deleted,
    is_held,
    is_live,
    joined,
    later,
    operator,
    reaction,
    refers,
    refusal,
    rows,
    sent_columns,
    setting_default,
)
from pgsoftproxy.model.catalog import Column, Relation, RelationKind
from pgsoftproxy.model.links import Link, Reaction, short_name
from pgsoftproxy.model.policy import Protection

IN_SCAN_ORDER = " SET enable_hashjoin = off SET enable_mergejoin = off"
DEEPEST = 9
"""As deep as names of triggers tell, by one digit."""
CACHED = 20_000
"""Texts are composed anew with every reading of a catalog otherwise."""


class Order(Enum):
    """How the deleted rows of a parent are taken: as sets, one by one below a tangled root, or always one by one."""

    SETS = 1
    BELOW = 2
    TANGLED = 3


@dataclass(frozen=True, slots=True)
class Parent:
    """A table that keys refer to: the links towards it, and its partitions.

    Where its rows can be deleted under the name of a table above, or a statement that names it deletes rows that are
    not its own, its triggers are a row's: `above` are the tables above, `inherited` the links towards those of them
    that it is a partition of, with its own, in their order.
    """

    links: tuple[Link, ...]
    order: Order
    partitions: tuple[Relation, ...] = ()
    by_rows: bool = False
    above: tuple[int, ...] = ()
    inherited: tuple[Link, ...] = ()

    @property
    def relation(self) -> Relation:
        """Return the table."""
        return self.links[0].parent.relation


@lru_cache(maxsize=CACHED)
def of_parent(parent: Parent, server_version: int) -> tuple[Definition, ...]:
    """Return all that deleting from one parent needs."""
    links = parent.links
    if parent.by_rows:
        made = [*_by_rows(parent, server_version)]
    else:
        made = [*_acts(links, parent.order, server_version), *_on_parent(links, parent)]
    made += [one for link in links if link.reaction is not Reaction.PARENT_ONLY for one in _of_child(link)]
    return tuple(replace(one, of=(parent.relation.oid, *parent.above)) for one in made)


def _by_rows(parent: Parent, server_version: int) -> Iterator[Definition]:
    """Yield what acts on each row when it is deleted.

    A NO ACTION key towards such a table does not wait. Those towards tables above that may are left to these.
    """
    end, relation = parent.links[0].parent, parent.relation
    protection = _protection(parent.links[0])
    links = tuple(
        replace(link, parent=end, deferrable=False)
        for link in parent.inherited
        if link.parent == end or not link.waits
    )
    yield from _acts(links, parent.order, server_version)
    work = short_name(relation.name, relation.label)
    columns = sent_columns(links, protection)
    given = "gen_random_uuid()"
    if protection.deletion_id is not None:
        given = "coalesce({id}, gen_random_uuid())"
    id_ = sql.SQL(given).format(id=sql.Identifier("new", protection.deletion_id or ""))
    go_down = _go_down(work, parent.order, id_, texts.NO_MORE_DUE_UNLESS_WITHIN)
    body = texts.GONE.format(parent=_object("new", columns), go_down=go_down)
    yield function(f"gone_{work}", "", "trigger", body)
    # Of two tables above a row, the nearest acts first: it knows the keys towards both.
    name = f"pgsoftproxy_{DEEPEST - min(len(parent.above), DEEPEST)}_{work}"
    text = "AFTER UPDATE ON {on}\nFOR EACH ROW WHEN ({when}) EXECUTE FUNCTION {call}"
    when = joined([is_live("old", protection), is_deleted("new", protection)], " AND ")
    yield trigger(name, relation, text, when=when, call=called(f"gone_{work}"))


def _acts(links: tuple[Link, ...], order: Order, server_version: int) -> Iterator[Definition]:
    parent = links[0].parent.relation
    protection = _protection(links[0])
    name = short_name(parent.name, parent.label)
    columns = sent_columns(links, protection)
    steps = [(link, reaction(link, columns, server_version)) for link in links]
    checks = [(link, step) for link, step in steps if step and link.only_checks]
    acts = [step for link, step in steps if step and not link.only_checks]
    if order is not Order.SETS:
        yield function(f"act1_{name}", "jsonb, uuid", "void", _body(s for _, s in steps if s), IN_SCAN_ORDER)
    for link in links:
        if link.reaction is Reaction.SET_DEFAULT:
            body = _body([setting_default(link, columns)])
            yield function(f"act1_{later(link)}", "jsonb, uuid", "void", body, IN_SCAN_ORDER)
    if len(checks) < 2:
        acts = [step for _, step in steps if step]
    else:
        # The server names the first row that is held by any key: only where one is, they are taken one by one.
        held = joined([is_held(link, columns) for link, _ in checks], " OR ")
        yield function(f"check_{name}", "jsonb", "void", _body(step for _, step in checks))
        acts.insert(0, texts.CHECK_SINGLY.format(held=held, check=sql.Identifier(f"check_{name}")))
    yield function(f"act_{name}", "jsonb, uuid", "void", _body(acts))


def _on_parent(links: tuple[Link, ...], parent: Parent) -> Iterator[Definition]:
    protection = _protection(links[0])
    family = (parent.relation, *parent.partitions)
    name = short_name(parent.relation.name, parent.relation.label)
    body = _deleted(links, sent_columns(links, protection), parent.order)
    yield function(f"deleted_{name}", "", "trigger", body)
    # A statement that names a partition fires the triggers of that partition, not of the table it is part of.
    for relation in (one for one in family if one.kind is not RelationKind.FOREIGN):
        text = (
            "AFTER UPDATE ON {on} REFERENCING OLD TABLE AS o NEW TABLE AS n\n{each} EXECUTE FUNCTION {call}"
        )
        each = sql.SQL("FOR EACH STATEMENT")
        yield trigger("pgsoftproxy_deleted", relation, text, each=each, call=called(f"deleted_{name}"))
        if any(link.waits for link in links):
            text = "BEFORE UPDATE OF {column} ON {on}\nFOR EACH STATEMENT EXECUTE FUNCTION {call}"
            column = sql.Identifier(protection.column)
            yield trigger("pgsoftproxy_begin", relation, text, column=column, call=called("begin_statement"))
    for link in links:
        if link.waits:
            yield from _of_waiting(link)


def _body(steps: Iterable[sql.Composable]) -> sql.Composable:
    parts = [sql.SQL("  {}\n").format(step) for step in steps]
    return sql.SQL("DECLARE\n  held text;\nBEGIN\n{}END").format(joined(parts, ""))


def _deleted(links: tuple[Link, ...], columns: tuple[Column, ...], order: Order) -> sql.Composable:
    protection = _protection(links[0])
    relation = protection.relation
    work = short_name(relation.name, relation.label)
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
    id_ = sql.SQL(given).format(
        id=sql.Identifier("n", protection.deletion_id or ""), deleted=is_deleted("n", protection)
    )
    return texts.DELETED.format(
        end_statement=sql.SQL(texts.END_STATEMENT if any(link.waits for link in links) else ""),
        is_deleted=is_deleted("n", protection),
        was_deleted=is_deleted("o", protection),
        exactly=sql.Literal(exactly.as_string(None)),
        parent=_object("n", columns),
        go_down=_go_down(work, order, id_, texts.NO_MORE_DUE),
    )


def _go_down(work: str, order: Order, id_: sql.Composable, no_more_due: str) -> sql.Composable:
    tangled = order is Order.TANGLED
    return texts.GO_DOWN.format(
        work=sql.Literal(work),
        id=id_,
        act=sql.SQL(texts.ACT_SINGLY if tangled else texts.ACT).format(
            act=sql.Identifier(f"act1_{work}" if tangled else f"act_{work}")
        ),
        tangled=sql.Literal(tangled),
        no_more_due=sql.SQL(no_more_due),
    )


def _of_waiting(link: Link) -> Iterator[Definition]:
    """Yield what checks a NO ACTION key that may wait until the end of the transaction."""
    protection = _protection(link)
    columns = sent_columns([link], protection)
    check = f"check_{link.key}"
    yield function(check, "jsonb", "void", _body([refusal(link, columns)]))
    body = texts.KEPT.format(
        mark=sql.Literal(f",{link.key},"),
        table=rows(protection.relation),
        same=_same("g", "new", [pair.referenced for pair in link.pairs]),
        is_live=is_live("g", protection),
        check=sql.Identifier(check),
        parent=_object("new", columns),
    )
    yield function(f"kept_{link.key}", "", "trigger", body)
    # SET CONSTRAINTS reaches every constraint of a name, so that the key's own does for both; a table has it only once.
    name = f"pgsoftproxy_kept_{link.key}" if link.is_self_reference else link.name
    yield trigger(
        name,
        protection.relation,
        "AFTER UPDATE OF {column} ON {on} {deferral}\nFOR EACH ROW WHEN ({when}) EXECUTE FUNCTION {call}",
        column=sql.Identifier(protection.column),
        deferral=_deferral(link),
        when=joined([is_live("old", protection), is_deleted("new", protection)], " AND "),
        call=called(f"kept_{link.key}"),
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
        "parent": rows(link.parent.relation),
        "refers": refers(link, "g", "new"),
        "is_live": is_live("g", link.parent.protection),
        "child": rows(child.relation),
        "same": joined([*_equal(link), is_live("c", child.protection)], " AND "),
        "keys": joined(sql.Identifier("new", column) for column in columns),
        "refuse": absence(link),
    }
    row = tuple(column for name in named if (column := child.relation.column(name)) is not None)
    yield function(
        f"act1_again_{link.key}", "jsonb, uuid", "void", texts.AGAIN.format(columns=declared(row), **parts)
    )
    body = texts.LIVE.format(again=sql.Literal(f"again_{link.key}"), row=_object("new", row), **parts)
    yield function(name, "", "trigger", body)
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
        yield trigger(
            f"pgsoftproxy_{event}_{link.key}",
            child.relation,
            f"AFTER {event.upper()} ON {{on}} {{deferral}}\nFOR EACH ROW WHEN ({{when}}) EXECUTE FUNCTION {{call}}",
            deferral=_deferral(link),
            when=joined(when, " AND "),
            call=called(name),
        )


def _protection(link: Link) -> Protection:
    assert link.parent.protection is not None  # or it would be no link
    return link.parent.protection


def _object(alias: str, columns: Iterable[Column]) -> sql.Composable:
    return sql.SQL("jsonb_build_object({})").format(pairs(alias, columns))


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
