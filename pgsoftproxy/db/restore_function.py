"""`pgsoftproxy.restore`, the function by which a restore is asked for in SQL: made of what `lifecycle.restore` runs.

Composes text; runs nothing. It holds the tables and links of one policy, so that its mark changes with them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from psycopg import sql

from pgsoftproxy.db import restore_links, restore_sql, restore_texts
from pgsoftproxy.db.definition import Definition, function
from pgsoftproxy.db.link_sql import joined
from pgsoftproxy.db.restore_keys import note_taken_keys
from pgsoftproxy.db.restore_sql import SINCE, TEMPORARY, UNTIL, home_of
from pgsoftproxy.model.catalog import Relation
from pgsoftproxy.model.links import Link, Links, Reaction, primary_key
from pgsoftproxy.model.policy import Policy, Protection
from pgsoftproxy.model.restorable import Scope
from pgsoftproxy.model.restore import Because

NAME = "restore"
SHOWN_CONFLICTS = 10
CACHED = 4096
FUNCTIONS = 8
"""How many tables and links are remembered with their texts, and how many functions: a policy is compiled anew with
each change of schema, of which most change little."""
DEPTH = sql.SQL("$1")
Row = tuple[sql.Composable, ...]


@dataclass(frozen=True, slots=True)
class _Reach:
    """What the text depends on: each table that may be named with that which stands for it, groups, and links."""

    tables: tuple[tuple[Protection, Relation], ...]
    groups: tuple[tuple[Protection, ...], ...]
    inner: tuple[Link, ...]
    emptying: tuple[Link, ...]


def restore_function(policy: Policy, links: Links) -> Definition | None:
    """Return the function for the tables of a policy; None if there are none."""
    scope = Scope(policy, links)
    if not scope.homes:
        return None
    reach = _Reach(
        tuple((policy.protections[oid], home.relation) for oid, home in scope.homes.items()),
        tuple(map(tuple, scope.groups())),
        tuple(scope.inner),
        tuple(scope.emptying),
    )
    return _made(reach)


@lru_cache(maxsize=FUNCTIONS)
def _made(reach: _Reach) -> Definition:
    homes = {protection.relation.oid: home for protection, home in reach.tables}
    inner = [
        _of_link(link, homes[link.child.relation.oid], homes[link.parent.relation.oid])
        for link in reach.inner
    ]
    emptying = [
        _of_emptied(number, link, homes.get(child.oid, child), homes[parent.oid])
        for number, link in enumerate(reach.emptying)
        for child, parent in [(link.child.relation, link.parent.relation)]
        if parent.oid in homes
    ]
    waiting = {
        child
        for link in reach.inner
        for child, parent in [(homes[link.child.relation.oid].oid, homes[link.parent.relation.oid].oid)]
        if child == parent
    }
    groups = [
        _group(group, len(group) == 1 and homes[group[0].relation.oid].oid not in waiting)
        for group in reach.groups
    ]
    tables = [protection for group in reach.groups for protection in group]
    orphans = _listed("home, query", ((texts.child, texts.orphans) for texts in inner))
    places = _listed("home, label, place", map(_place, enumerate(tables)))
    leave_out = restore_texts.LEAVE_OUT.format(places=places)
    body = restore_texts.RESTORE.format(
        leave_out=leave_out,
        leave_out_orphans=restore_texts.LEAVE_OUT_ORPHANS.format(orphans=orphans, leave_out=leave_out),
        counts=sql.SQL(restore_texts.COUNTS),
        temporary=sql.SQL(TEMPORARY.strip()),
        shown=sql.Literal(SHOWN_CONFLICTS),
        tables=_listed(
            "of_table, label, is_home, notes_id, notes_time, names, query",
            (_asked(protection, home) for protection, home in reach.tables),
        ),
        below=_listed(
            "home, query", ((texts.parent, texts.below) for texts in inner if texts.below is not None)
        ),
        above=_listed("home, query", ((texts.child, texts.above) for texts in inner)),
        locks=_listed("home, query", ((texts.child, texts.locking) for texts in inner)),
        keys=_listed("home, query", ((home_of(own.relation), _keys_text(own)) for own in tables)),
        orphans=orphans,
        emptied=_listed("home, query", (row for rows in emptying for row in rows.noting)),
        groups=_listed("homes, query, is_alone", groups),
        put_back=_listed("number, label, query", (row for rows in emptying for row in rows.putting)),
        forget=restore_links.FORGET_LINKS,
        places=places,
    )
    returns = f"TABLE ({restore_texts.COUNTS})"
    return function(NAME, (restore_texts.ARGUMENTS, restore_texts.TYPES), returns, body)


def _listed(names: str, rows: Iterable[Row]) -> sql.Composable:
    """Return a query of these rows."""
    found = [sql.SQL("({})").format(joined(row)) for row in rows]
    if not found:
        nothing = ", ".join(f"NULL AS {name}" for name in names.split(", "))
        return sql.SQL(f"SELECT {nothing} WHERE false")
    return sql.SQL("SELECT v.* FROM (VALUES\n    {}) AS v ({})").format(
        joined(found, ",\n    "), sql.SQL(names)
    )


@lru_cache(maxsize=CACHED)
def _asked(protection: Protection, home: Relation) -> Row:
    """Return a table that may be named, with the statement that chooses its rows: see the EXECUTE of it."""
    relation = protection.relation
    key = primary_key(relation)
    since = restore_sql.is_deleted_at(protection, SINCE, sql.SQL("$2"))
    until = restore_sql.is_deleted_at(protection, UNTIL, sql.SQL("$3"))
    values = [sql.SQL(f"($4::text[])[{place}]") for place in range(1, len(key) + 1)]
    conditions = [
        _if_given("$1::uuid", restore_sql.is_of_deletion(protection, sql.SQL("$1"))),
        _if_given("$2::timestamptz", since),
        _if_given("$3::timestamptz", until),
        _if_given("$4::text[]", restore_sql.has_key(relation, "r", values) if key else None),
    ]
    query = restore_sql.choose(protection, home, joined(conditions, " AND "), (sql.Literal(0), Because.ASKED))
    return (
        home_of(relation),
        sql.Literal(relation.label),
        sql.Literal(relation.oid == home.oid),
        sql.Literal(protection.deletion_id is not None),
        sql.Literal(since is not None),
        sql.SQL("ARRAY[{}]::text[]").format(joined(sql.Literal(column.name) for column in key)),
        _text(query),
    )


def _if_given(value: str, condition: sql.Composable | None) -> sql.Composable:
    absent = sql.SQL(f"{value} IS NULL")
    return absent if condition is None else sql.SQL("({} OR {})").format(absent, condition)


def _text(query: sql.Composable) -> sql.Composable:
    """Return a statement as a constant, rendered once."""
    return sql.SQL(sql.Literal(query.as_string(None)).as_string(None))


@dataclass(frozen=True, slots=True)
class _LinkTexts:
    """The statements of one link, with the tables whose chosen rows make each of them worth running."""

    child: sql.Composable
    parent: sql.Composable
    below: sql.Composable | None
    above: sql.Composable
    locking: sql.Composable
    orphans: sql.Composable


@lru_cache(maxsize=CACHED)
def _of_link(link: Link, child: Relation, parent: Relation) -> _LinkTexts:
    under, over = link.child.protection, link.parent.protection
    assert under is not None and over is not None  # one of the inner links
    where = restore_sql.below(link, DEPTH) if link.reaction is Reaction.CASCADE else None
    below = None
    if where is not None:
        below = _text(restore_sql.choose(under, child, where, (sql.SQL("$1 + 1"), Because.BELOW)))
    why = (sql.Literal(-1), Because.PARENT)
    return _LinkTexts(
        home_of(child),
        home_of(parent),
        below,
        _text(restore_sql.choose(over, parent, restore_sql.above(link), why)),
        _text(restore_sql.lock_live_parents(link)),
        _text(restore_sql.note_orphans(link)),
    )


@dataclass(frozen=True, slots=True)
class _EmptiedTexts:
    """What notes the entries of the journal of one link, and what puts it back; nothing where there are none."""

    noting: tuple[Row, ...] = ()
    putting: tuple[Row, ...] = ()


@lru_cache(maxsize=CACHED)
def _of_emptied(number: int, link: Link, child: Relation, parent: Relation) -> _EmptiedTexts:
    query = restore_links.note_emptied(number, link)
    if query is None:
        return _EmptiedTexts()
    putting = (sql.Literal(number), sql.Literal(child.label), _text(restore_links.put_back(number, link)))
    return _EmptiedTexts(((home_of(parent), _text(query)),), (putting,))


@lru_cache(maxsize=CACHED)
def _keys_text(protection: Protection) -> sql.Composable:
    return _text(note_taken_keys(protection))


@lru_cache(maxsize=CACHED)
def _group(group: tuple[Protection, ...], is_alone: bool) -> Row:
    """Return what brings a group's rows back: all of them, or the one at a place; alone: no row waits for another."""
    homes = joined(home_of(protection.relation) for protection in group)
    query = restore_sql.bring_back(group, "($1::oid IS NULL OR (x.rel = $1 AND x.tup = $2::tid))")
    return sql.SQL("ARRAY[{}]").format(homes), _text(query), sql.Literal(is_alone)


def _place(numbered: tuple[int, Protection]) -> Row:
    place, protection = numbered
    return home_of(protection.relation), sql.Literal(protection.label), sql.Literal(place)
