"""SQL that makes stored queries anew: views, materialized views. Composed with the driver's own identifiers.

Must not know what needs doing. Runs under whatever search_path: every name is qualified.
"""

from collections.abc import Iterable

from psycopg import sql

from pgsoftproxy.db.link_sql import table
from pgsoftproxy.model.catalog import Relation, RelationKind
from pgsoftproxy.model.steps import Lock, Statement

AGAIN = """DO $pgsoftproxy$
DECLARE
  old oid := {name}::pg_catalog.regclass;
  filled bool := (SELECT c.relispopulated FROM pg_catalog.pg_class AS c WHERE c.oid = old);
  again text[] := ARRAY(
    SELECT pg_catalog.format('ALTER MATERIALIZED VIEW %s OWNER TO %I', {shown}, pg_catalog.pg_get_userbyid(c.relowner))
    FROM pg_catalog.pg_class AS c WHERE c.oid = old
    UNION ALL
    SELECT pg_catalog.pg_get_indexdef(i.indexrelid) FROM pg_catalog.pg_index AS i WHERE i.indrelid = old
    UNION ALL
    SELECT pg_catalog.format('ALTER MATERIALIZED VIEW %s CLUSTER ON %I', {shown}, x.relname)
    FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
    WHERE i.indrelid = old AND i.indisclustered
    UNION ALL
    SELECT pg_catalog.format('GRANT %s%s ON TABLE %s TO %s%s', a.privilege_type,
      CASE WHEN a.attname IS NOT NULL THEN pg_catalog.format('(%I)', a.attname) END, {shown},
      CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END,
      CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' END)
    FROM (SELECT NULL AS attname, c.relowner, (pg_catalog.aclexplode(c.relacl)).*
          FROM pg_catalog.pg_class AS c WHERE c.oid = old
          UNION ALL
          SELECT t.attname, c.relowner, (pg_catalog.aclexplode(t.attacl)).*
          FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_attribute AS t ON t.attrelid = c.oid
          WHERE c.oid = old) AS a
    WHERE a.grantee <> a.relowner
    UNION ALL
    SELECT pg_catalog.format('COMMENT ON %s IS %L', CASE WHEN d.objsubid = 0 THEN 'MATERIALIZED VIEW ' || {shown}
      ELSE pg_catalog.format('COLUMN %s.%I', {shown}, t.attname) END, d.description)
    FROM pg_catalog.pg_description AS d
    LEFT JOIN pg_catalog.pg_attribute AS t ON t.attrelid = d.objoid AND t.attnum = d.objsubid AND d.objsubid > 0
    WHERE d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objoid = old);
  one text;
BEGIN
  DROP MATERIALIZED VIEW {view};
  EXECUTE {create} || CASE WHEN filled THEN '' ELSE ' WITH NO DATA' END;
  FOREACH one IN ARRAY again LOOP
    EXECUTE one;
  END LOOP;
END $pgsoftproxy$"""


def create(relation: Relation, options: Iterable[str]) -> str:
    """Return the CREATE of a view, given its definition and its options as the catalog has them: name=value."""
    kind = "MATERIALIZED VIEW" if relation.kind is RelationKind.MATVIEW else "OR REPLACE VIEW"
    pairs = [option.partition("=") for option in options]
    listed = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value)) for name, _, value in pairs
    )
    with_ = sql.SQL(" WITH ({})").format(listed) if pairs else sql.SQL("")
    head = sql.SQL("CREATE {} {}{} AS ").format(sql.SQL(kind), table(relation), with_)
    return head.as_string(None) + (relation.definition or "").rstrip().removesuffix(";")


def replaced(text: str) -> Statement:
    """Replace a view; those who read it wait a moment."""
    return Statement(text, Lock.ACCESS_EXCLUSIVE)


def made_again(relation: Relation, text: str) -> Statement:
    """Drop a materialized view and make it by that CREATE, with all that belonged to it; who reads it waits."""
    name = table(relation).as_string(None)
    composed = sql.SQL(AGAIN).format(
        name=sql.Literal(name), shown=sql.Literal(name), view=table(relation), create=sql.Literal(text)
    )
    return Statement(composed.as_string(None), Lock.ACCESS_EXCLUSIVE)
