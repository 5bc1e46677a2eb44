"""The SQL of predicates and values on deletion columns. Text only; knows no statement."""

import re
from functools import lru_cache
from typing import assert_never

from pglast.keywords import COL_NAME_KEYWORDS, RESERVED_KEYWORDS, TYPE_FUNC_NAME_KEYWORDS

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.context import Visibility, VisibilityMode
from pgsoftproxy.model.policy import ColumnKind, Protection

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_KEYWORDS = RESERVED_KEYWORDS | COL_NAME_KEYWORDS | TYPE_FUNC_NAME_KEYWORDS

KEY_HELD = "pgsoftproxy_key_held"
"""Marks the error that an upsert raises when a full unique index holds a deleted row's key."""


@lru_cache(maxsize=4096)
def quote_identifier(name: str) -> str:
    """Return a name as SQL text, quoted only where it must be."""
    if _PLAIN.fullmatch(name) and name not in _KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Return a string constant; standard_conforming_strings is on by the session's rule."""
    return "'" + text.replace("'", "''") + "'"


def is_live(column: str, protection: Protection) -> str:
    """Return the predicate "this row is live", in the form that a partial index on live rows has."""
    if protection.kind is ColumnKind.BOOLEAN:
        return f"{column} IS NOT TRUE" if protection.nullable else f"NOT {column}"
    return f"{column} IS NULL"


def is_seen(column: str, qualifier: str, protection: Protection, visibility: Visibility) -> str | None:
    """Return the predicate of a visibility for one row source; None where every row is seen.

    `column` is the deletion column as the statement can name it, `qualifier` its row source with a dot.
    """
    mode = visibility.of(protection.relation.schema, protection.relation.name)
    match mode:
        case VisibilityMode.LIVE:
            return is_live(column, protection)
        case VisibilityMode.ALL:
            return None
        case VisibilityMode.DELETED:
            if protection.kind is ColumnKind.BOOLEAN:
                return f"{column} IS TRUE"
            return f"{column} IS NOT NULL"
        case VisibilityMode.AS_OF:
            return _was_live(column, qualifier, protection, visibility.as_of)
        case _:
            assert_never(mode)


def _was_live(column: str, qualifier: str, protection: Protection, as_of: str | None) -> str:
    if protection.kind is ColumnKind.BOOLEAN or as_of is None:
        raise StatementRefused(
            f'visibility as_of needs a time of deletion, and table "{protection.label}" has only a flag',
            hint="Use visibility live, all or deleted, or make the deletion column a timestamptz.",
        )
    moment = f"{quote_literal(as_of)}::pg_catalog.timestamptz"
    if protection.kind is ColumnKind.TIMESTAMP:
        moment = f"pg_catalog.timezone('UTC', {moment})"
    predicate = f"({column} IS NULL OR {column} OPERATOR(pg_catalog.>) {moment})"
    if protection.created_at is not None:
        created = f"{qualifier}{quote_identifier(protection.created_at)}"
        moment = f"{quote_literal(as_of)}::pg_catalog.timestamptz"
        predicate = f"({predicate} AND {created} OPERATOR(pg_catalog.<=) {moment})"
    return predicate


def deletion_values(protection: Protection, kept: str | None = None) -> str:
    """Return the SET list that a soft delete assigns; `kept` names a row that may have been deleted before.

    The id is an uncorrelated sub-select, which the server evaluates once a statement, not once a row.
    """
    match protection.kind:
        case ColumnKind.TIMESTAMPTZ:
            value = "pg_catalog.now()"
        case ColumnKind.TIMESTAMP:
            value = "pg_catalog.timezone('UTC', pg_catalog.now())"
        case ColumnKind.BOOLEAN:
            value = "true"
        case _:
            assert_never(protection.kind)
    values = {protection.column: value}
    if protection.deleted_by is not None:
        values[protection.deleted_by] = "SESSION_USER"
    if protection.deletion_id is not None:
        values[protection.deletion_id] = "(SELECT pg_catalog.gen_random_uuid())"
    if kept is not None:
        live = is_live(f"{kept}.{quote_identifier(protection.column)}", protection)
        for name, stamp in values.items():
            values[name] = f"CASE WHEN {live} THEN {stamp} ELSE {kept}.{quote_identifier(name)} END"
    return ", ".join(f"{quote_identifier(name)} = {stamp}" for name, stamp in values.items())
