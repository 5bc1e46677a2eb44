"""`pgsoftproxy.restore`, the function by which a restore is asked for in SQL: made of what `lifecycle.restore` runs.

Composes text; runs nothing. It holds the tables and links of one policy, so that its mark changes with them.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from psycopg import sql

from pgsoftproxy.db import restore_links, restore_sql, restore_texts
from pgsoftproxy.db.definition import Definition, function
from pgsoftproxy.db.link_sql import joined
from pgsoftproxy.db.restore_keys import note_taken_keys
from pgsoftproxy.db.restore_sql import SINCE, TEMPORARY, UNTIL, home_of
from pgsoftproxy.model.catalog import Relation
from pgsoftproxy.model.links import Link, Links, primary_key
from pgsoftproxy.model.policy import Policy, Protection
from pgsoftproxy.model.restorable import Scope
from pgsoftproxy.model.restore import Because

NAME = "restore"
SHOWN_CONFLICTS = 10
CACHED = 4096
"""How many tables and links are remembered with their texts: a policy is compiled anew with each change of schema."""
DEPTH = sql.SQL("$1")
Row = tuple[sql.Composable, ...]


def restore_function(policy: Policy, links: Links) -> Definition | None:
    """Return the function for the tables of a policy; None if there are none."""
    scope = Scope(policy, links)
    if not scope.tables:
        return None
    body = restore_texts.RESTORE.format(
        counts=sql.SQL(restore_texts.COUNTS),
        temporary=sql.SQL(TEMPORARY.strip()),
        shown=sql.Literal(SHOWN_CONFLICTS),
        tables=_listed(
            "of_table, label, is_home, notes_id, notes_time, names, query",
            (_asked(home, scope.home(home.relation)) for home in _every(scope)),
        ),
        below=_listed("home, query", _below(scope)),
        above=_listed("home, query", _above(scope)),
        locks=_listed("home, query", _locks(scope)),
        keys=_listed("home, query", ((home_of(own.relation), _keys_text(own)) for own in scope.tables)),
        emptied=_listed("home, query", _emptied(scope)),
        groups=_listed("homes, query", (_group(group) for group in scope.groups())),
        put_back=_listed("number, label, query", _put_back(scope)),
        forget=restore_links.FORGET_LINKS,
        orphans=_listed("home, query", _orphans(scope)),
        places=_listed("home, label, place", _places(scope)),
    )
    returns = f"TABLE ({restore_texts.COUNTS})"
    return function(NAME, (restore_texts.ARGUMENTS, restore_texts.TYPES), returns, body)


def _every(scope: Scope) -> Iterator[Protection]:
    """Yield the tables that may be named, partitions among them."""
    for oid in scope.homes:
        yield scope.policy.protections[oid]


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
    return sql.Literal(query.as_string(None))


def _below(scope: Scope) -> Iterator[Row]:
    for link in scope.cascades:
        query = _below_text(link, scope.home(link.child.relation))
        if query is not None:
            yield home_of(scope.home(link.parent.relation)), query


@lru_cache(maxsize=CACHED)
def _below_text(link: Link, home: Relation) -> sql.Composable | None:
    where = restore_sql.below(link, DEPTH)
    assert link.child.protection is not None  # one of the inner links
    if where is None:
        return None
    return _text(restore_sql.choose(link.child.protection, home, where, (sql.SQL("$1 + 1"), Because.BELOW)))


def _above(scope: Scope) -> Iterator[Row]:
    for link in scope.inner:
        yield home_of(scope.home(link.child.relation)), _above_text(link, scope.home(link.parent.relation))


@lru_cache(maxsize=CACHED)
def _above_text(link: Link, home: Relation) -> sql.Composable:
    assert link.parent.protection is not None  # or it would be no link
    why = (sql.Literal(-1), Because.PARENT)
    return _text(restore_sql.choose(link.parent.protection, home, restore_sql.above(link), why))


def _locks(scope: Scope) -> Iterator[Row]:
    for link in scope.inner:
        yield home_of(scope.home(link.child.relation)), _locking_text(link)


@lru_cache(maxsize=CACHED)
def _locking_text(link: Link) -> sql.Composable:
    return _text(restore_sql.lock_live_parents(link))


@lru_cache(maxsize=CACHED)
def _keys_text(protection: Protection) -> sql.Composable:
    return _text(note_taken_keys(protection))


def _orphans(scope: Scope) -> Iterator[Row]:
    for link in scope.inner:
        yield home_of(scope.home(link.child.relation)), _orphans_text(link)


@lru_cache(maxsize=CACHED)
def _orphans_text(link: Link) -> sql.Composable:
    return _text(restore_sql.note_orphans(link))


def _emptied(scope: Scope) -> Iterator[Row]:
    for number, link in enumerate(scope.emptying):
        query = restore_links.note_emptied(number, link)
        if query is not None and link.parent.relation.oid in scope.homes:
            yield home_of(scope.home(link.parent.relation)), _text(query)


def _group(group: Sequence[Protection]) -> Row:
    homes = joined(home_of(protection.relation) for protection in group)
    return sql.SQL("ARRAY[{}]").format(homes), _text(restore_sql.bring_back(group))


def _put_back(scope: Scope) -> Iterator[Row]:
    for number, link in enumerate(scope.emptying):
        child = link.child.relation
        if primary_key(child):  # or the journal has nothing of it
            label = scope.home(child).label if child.oid in scope.homes else child.label
            yield sql.Literal(number), sql.Literal(label), _text(restore_links.put_back(number, link))


def _places(scope: Scope) -> Iterator[Row]:
    every = (protection for group in scope.groups() for protection in group)
    for place, protection in enumerate(every):
        yield home_of(protection.relation), sql.Literal(protection.label), sql.Literal(place)
