"""Functions and triggers of schema pgsoftproxy: their names, the SQL that makes them, and how to know them again."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from pgsoftproxy.db.link_sql import SCHEMA, joined, table
from pgsoftproxy.model.catalog import Column, Relation

VERSION = 1


@dataclass(frozen=True, slots=True)
class Definition:
    """One function or trigger: its name, what makes it, what takes it away, and what its text must be.

    `relation` is the table of a trigger; a function has none. `mark` is the md5 of a function's body as the catalog
    has it, for a trigger the comment on it. `of` are the parents whose deletion needs it; none: all do.
    """

    name: str
    create: str
    drop: str
    mark: str
    relation: Relation | None = None
    of: tuple[int, ...] = ()


def function(
    name: str, arguments: str | tuple[str, str], returns: str, body: sql.Composable, settings: str = ""
) -> Definition:
    """Make a function that nobody else may call; `settings` are SET clauses beside that of the search_path.

    `arguments` are types; or as they are declared, and their types.
    """
    text = f"\n{body.as_string(None).strip()}\n"
    declared, types = (arguments, arguments) if isinstance(arguments, str) else arguments
    create = (
        f"CREATE OR REPLACE FUNCTION {SCHEMA}.{name}({declared}) RETURNS {returns}\n"
        f"LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp{settings} "
        f"AS $pgsoftproxy${text}$pgsoftproxy$;\n"
        f"REVOKE ALL ON FUNCTION {SCHEMA}.{name}({types}) FROM PUBLIC;"
    )
    drop = f"DROP FUNCTION IF EXISTS {SCHEMA}.{name}({types});"
    return Definition(name, create, drop, hashlib.md5(text.encode(), usedforsecurity=False).hexdigest())


def trigger(name: str, relation: Relation, text: str, **parts: Any) -> Definition:
    """Make a trigger; `text` is what follows its name, `parts` what its places take besides `on`, the table's name."""
    named = sql.Identifier(name)
    body = sql.SQL(text).format(on=table(relation), **parts)
    kind = "CONSTRAINT TRIGGER" if "DEFERRABLE" in text or "deferral" in parts else "TRIGGER"
    create = sql.SQL("CREATE {} {} {};").format(sql.SQL(kind), named, body).as_string(None)
    mark = f"pgsoftproxy {VERSION} {hashlib.md5(create.encode(), usedforsecurity=False).hexdigest()}"
    comment = sql.SQL("COMMENT ON TRIGGER {} ON {} IS {};").format(named, table(relation), sql.Literal(mark))
    drop = sql.SQL("DROP TRIGGER IF EXISTS {} ON {};").format(named, table(relation)).as_string(None)
    return Definition(name, f"{create}\n{comment.as_string(None)}", drop, mark, relation)


def called(name: str) -> sql.Composable:
    return sql.SQL("{}()").format(sql.Identifier(SCHEMA, name))


def pairs(alias: str, columns: Iterable[Column]) -> sql.Composable:
    return joined(
        sql.SQL("{}, {}").format(sql.Literal(column.name), sql.Identifier(alias, column.name))
        for column in columns
    )
