"""SQL that finds the rows whose key in a unique index is taken by another row. Composes text; runs nothing.

Which unique indexes a table has is read when it matters: a query over the catalog returns the statements. They
evaluate predicate and expressions of an index over the chosen rows as they will be. What they cannot tell (generated
columns, NULLS NOT DISTINCT, exclusion constraints) the server says when the rows come back.
"""

import json

from psycopg import sql

from pgsoftproxy.db.restore_sql import CONFLICTS, cleared_columns, home_of, is_chosen, key_object, source
from pgsoftproxy.model.policy import Protection

_STATEMENTS = """
SELECT concat({begin}, k.keys, ' FROM (SELECT ', l.columns, {coming}, p.predicate,
  {stand}, k.keys, {standing}, p.predicate,
  {insert}, quote_literal(c.relname), {with_standing}, k.equal,
  ' UNION ALL ', {select}, quote_literal(c.relname), {with_coming}, k.equal,
  ' AND (a.rel, a.tup::text) IS DISTINCT FROM (b.rel, b.tup::text)') AS statement
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
CROSS JOIN LATERAL (SELECT coalesce(pg_get_expr(i.indpred, i.indrelid), 'true')) AS p (predicate)
CROSS JOIN LATERAL (
  SELECT string_agg(format('%s AS k%s', pg_get_indexdef(i.indexrelid, n, false), n), ', '),
    string_agg(format('a.k%s OPERATOR(%I.%s) b.k%s', n, s.nspname, o.oprname, n), ' AND ')
  FROM generate_series(1, i.indnkeyatts) AS n
  JOIN pg_opclass AS f ON f.oid = i.indclass[n - 1]
  JOIN pg_amop AS m ON m.amopfamily = f.opcfamily AND m.amopstrategy = 3
    AND m.amoplefttype = f.opcintype AND m.amoprighttype = f.opcintype
  JOIN pg_operator AS o ON o.oid = m.amopopr
  JOIN pg_namespace AS s ON s.oid = o.oprnamespace) AS k (keys, equal)
CROSS JOIN LATERAL (
  SELECT string_agg(coalesce(
    'CAST(' || ({cleared}::jsonb ->> a.attname) || ' AS ' || format_type(a.atttypid, a.atttypmod) || ')',
    format('r.%I', a.attname)) || format(' AS %I', a.attname), ', ')
  FROM pg_attribute AS a WHERE a.attrelid = i.indrelid AND a.attnum > 0 AND NOT a.attisdropped) AS l (columns)
WHERE i.indrelid = {relation} AND i.indisunique AND i.indisvalid
  AND NOT EXISTS (SELECT FROM pg_attribute AS a
    WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) AND a.attgenerated <> '')
  AND (i.indpred IS NOT NULL OR i.indexprs IS NOT NULL OR EXISTS (SELECT FROM pg_attribute AS a
    WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) AND a.attname = ANY ({changed})))
  AND NOT EXISTS (SELECT FROM pg_index AS y
    WHERE y.indrelid = i.indrelid AND y.indisprimary AND y.indkey::int2[] <@ i.indkey::int2[])
ORDER BY c.relname
"""
"""Whole rows have stood beside each other all the time, so a key of columns that do not change cannot be taken, nor
one that the primary key is a part of. Strategy 3 of btree is equality."""


def note_taken_keys(protection: Protection) -> sql.Composable:
    """Return the query of the statements that note each chosen row whose key another row has or will have."""
    relation = protection.relation
    cleared = cleared_columns(protection)
    place = "pgsoftproxy_rel AS rel, pgsoftproxy_tup AS tup, pgsoftproxy_key AS key, "
    row = sql.SQL(
        "r.tableoid AS pgsoftproxy_rel, r.ctid AS pgsoftproxy_tup, {} AS pgsoftproxy_key\n"
        "FROM {} WHERE {}{}) AS {} WHERE "
    )
    given = (key_object(relation, "r"), source(relation, "r"))
    name = sql.Identifier(relation.name)
    coming = row.format(*given, sql.SQL(""), is_chosen("r"), name)
    standing = row.format(*given, sql.SQL("NOT "), is_chosen("r"), name)
    select = sql.SQL("SELECT 'unique', a.rel, a.tup, {}, a.key, ").format(sql.Literal(relation.label))
    texts = {
        "begin": sql.SQL(f"WITH comes AS (SELECT {place}"),
        "coming": sql.SQL(", {}").format(coming),
        "stand": sql.SQL(f"), stands AS (SELECT {place}"),
        "standing": sql.SQL(" FROM (SELECT r.*, {}").format(standing),
        "insert": sql.SQL(") INSERT INTO {} {}").format(CONFLICTS, select),
        "with_standing": sql.SQL(", b.key, false, '' FROM comes AS a JOIN stands AS b ON "),
        "select": select,
        "with_coming": sql.SQL(", b.key, true, '' FROM comes AS a JOIN comes AS b ON "),
    }
    return sql.SQL(_STATEMENTS).format(
        relation=home_of(relation),
        cleared=sql.Literal(json.dumps({name: value for name, value in cleared if value != "DEFAULT"})),
        changed=sql.SQL("{}::text[]").format(sql.Literal([name for name, _ in cleared])),
        **{name: sql.Literal(text.as_string(None)) for name, text in texts.items()},
    )
