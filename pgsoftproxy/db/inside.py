"""Read a catalog from inside a transaction that has changed it: the texts to send there, and what they return.

The transaction is a client's, so the rows come over that client's session, not over a driver. The texts depend on
no setting of the session once SETTINGS are in force, the rows on no encoding: they are JSON in bytes of UTF-8.

Theory. In one statement, so that all is of one snapshot. It waits for the locks of others as briefly as a control
connection does, and leaves out the expressions of relations that they have locked. Above READ COMMITTED the
snapshot may be older than DDL of others, which the server already names relations by: then there are no rows.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import orjson

from pgsoftproxy.db.assemble import LOCKED_OUT, QUERIES, Rows, assemble
from pgsoftproxy.model.catalog import Catalog
from pgsoftproxy.model.routines import OPAQUE

_IN_FORCE = {
    "search_path": "",
    "lock_timeout": "100ms",
    "statement_timeout": "10s",
    "quote_all_identifiers": "off",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
}
_LOCKED_BY_OTHERS = """(
    SELECT COALESCE(pg_catalog.array_agg(DISTINCT l.relation), '{}') FROM pg_catalog.pg_locks AS l
    WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
        AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid() AND l.database =
            (SELECT b.oid FROM pg_catalog.pg_database AS b WHERE b.datname = pg_catalog.current_database())
)"""
_OPAQUE = "'{" + ",".join(sorted(OPAQUE)) + "}'"


def _part(name: str, query: str) -> str:
    listed = _LOCKED_BY_OTHERS if name in LOCKED_OUT else _OPAQUE
    return f"""
        SELECT '{name}', (
            SELECT pg_catalog.json_agg(ROW(q.*)) FROM ({query.replace("%s", listed)}) AS q)
    """  # noqa: S608 (constants of this room)


SETTINGS: Final = (
    "SELECT "
    + ", ".join(f"pg_catalog.set_config('{name}', '{value}', true)" for name, value in _IN_FORCE.items())
).encode()
QUERY: Final = f"""
SELECT pg_catalog.convert_to(pg_catalog.json_build_array(part.name, part.rows)::text, 'UTF8')
FROM ({" UNION ALL ".join(_part(name, query) for name, query in QUERIES.items())}) AS part(name, rows)
WHERE pg_catalog.current_setting('transaction_isolation') = 'read committed'
""".encode()  # noqa: S608 (constants of this room)
"""Its rows, of one column in binary format, are for `changed`."""


def changed(rows: Sequence[bytes], base: Catalog) -> Catalog | None:
    """Return `base` as the transaction has changed it; None if the rows do not tell."""
    parts: dict[str, Rows] = {}
    for row in rows:
        name, listed = orjson.loads(row)
        parts[name] = [tuple(item.values()) for item in listed or ()]
    if parts.keys() != QUERIES.keys():
        return None
    found = assemble(parts.__getitem__)
    return replace(
        base,
        relations=found.relations,
        foreign_keys=found.foreign_keys,
        routines=found.routines,
        marks=found.marks,
        privileges=found.privileges,
    )
