"""SQL of row-level security and views on live rows. Composed with the driver's own identifiers.

Theory. The server checks a SELECT policy against the row that an UPDATE makes, too, so that one on live rows alone
lets nobody delete softly ("new row violates row-level security policy"). A row that is not stored yet has no place: its
ctid is the invalid one, which no stored row has. So the policy lets in live rows and rows without a place.
"""

import hashlib
from collections.abc import Iterable

from psycopg import sql

from pgsoftproxy.db.ddl import is_live_bare
from pgsoftproxy.db.link_sql import joined, table
from pgsoftproxy.model.catalog import Relation
from pgsoftproxy.model.policy import Protection
from pgsoftproxy.model.steps import Lock, Statement

EVERY, LIVE, CHANGE = "pgsoftproxy_every", "pgsoftproxy_live", "pgsoftproxy_change"
NO_PLACE = "ctid = '(4294967295,0)'::pg_catalog.tid"
ASKED = (
    "(coalesce(pg_catalog.current_setting('pgsoftproxy.visibility', true), '') NOT IN ('', 'live')\n"
    "    OR pg_catalog.current_query() ~* 'pgsoftproxy:[^*]*visibility *=')"
)
MARK = "pgsoftproxy 1 "
INVOKER = 150000
"""From this version on a view can read with the rights of who asks."""


def live_policies(protection: Protection, seers: Iterable[str]) -> tuple[Statement, ...]:
    """Hide deleted rows from direct connections; roles among `seers` see them when they ask, as through the proxy."""
    relation = protection.relation
    parts = [is_live_bare(protection), NO_PLACE]
    roles = sorted(seers)
    if roles:
        among = joined(
            (sql.SQL("pg_catalog.pg_has_role({}, 'MEMBER')").format(sql.Literal(role)) for role in roles),
            " OR ",
        )
        parts.append(f"{ASKED} AND ({among.as_string(None)})")
    seen = sql.SQL("\n  OR ".join(parts))
    read = "CREATE POLICY {} ON {} AS RESTRICTIVE FOR SELECT USING ({})"
    change = "CREATE POLICY {} ON {} AS RESTRICTIVE FOR UPDATE USING ({}) WITH CHECK (true)"
    made = [
        _exclusive(sql.SQL(read).format(sql.Identifier(LIVE), table(relation), seen)),
        _exclusive(sql.SQL(change).format(sql.Identifier(CHANGE), table(relation), seen)),
    ]
    mark = sql.SQL("COMMENT ON POLICY {} ON {} IS {}").format(
        sql.Identifier(LIVE), table(relation), sql.Literal(mark_of(made))
    )
    return (*made, _exclusive(mark))


def mark_of(statements: Iterable[Statement]) -> str:
    """Return the comment by which what these statements make is known."""
    text = "\n".join(statement.sql for statement in statements)
    return MARK + hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def let_everything(relation: Relation) -> Statement:
    """Let every row through: without any policy that does, row security hides all."""
    return _exclusive(
        sql.SQL("CREATE POLICY {} ON {} USING (true) WITH CHECK (true)").format(
            sql.Identifier(EVERY), table(relation)
        )
    )


def drop_policy(relation: Relation, name: str) -> Statement:
    """Drop a policy if it is there."""
    return _exclusive(sql.SQL("DROP POLICY IF EXISTS {} ON {}").format(sql.Identifier(name), table(relation)))


def row_security(relation: Relation, *, on: bool) -> Statement:
    """Turn row security of a table on or off."""
    verb = sql.SQL("ENABLE" if on else "DISABLE")
    return _exclusive(sql.SQL("ALTER TABLE {} {} ROW LEVEL SECURITY").format(table(relation), verb))


def live_view(protection: Protection, name: str, server_version: int) -> tuple[Statement, ...]:
    """Make a view of a table's live rows.

    It reads with the rights of who asks; before 15 with its owner's, and then no function sees a row that is hidden.
    """
    relation = protection.relation
    option = "security_invoker" if server_version >= INVOKER else "security_barrier"
    view = sql.Identifier(relation.schema, name)
    made = Statement(
        sql.SQL("CREATE VIEW {} WITH ({} = true) AS\n  SELECT {} FROM {} WHERE {}")
        .format(
            view,
            sql.SQL(option),
            joined(sql.Identifier(column.name) for column in relation.columns),
            table(relation),
            sql.SQL(is_live_bare(protection)),
        )
        .as_string(None),
        Lock.ACCESS_SHARE,
    )
    comment = sql.SQL("COMMENT ON VIEW {} IS {}").format(view, sql.Literal(mark_of([made])))
    return made, Statement(comment.as_string(None))


def drop_view(schema: str, name: str) -> Statement:
    """Drop a view if it is there; the table that it reads is not locked."""
    return Statement(sql.SQL("DROP VIEW IF EXISTS {}").format(sql.Identifier(schema, name)).as_string(None))


def _exclusive(text: sql.Composable) -> Statement:
    return Statement(text.as_string(None), Lock.ACCESS_EXCLUSIVE)
