"""SQL that gives a table to a role that cannot log in, and leaves to its owner what an application needs.

Must not know who should own what. What it prints needs a superuser, or a member of both roles who may create roles.
"""

from collections.abc import Iterator

from psycopg import sql

from pgsoftproxy.db.link_sql import table
from pgsoftproxy.model.catalog import Relation

KEEPER = "pgsoftproxy_owner"
CREATE = """DO $pgsoftproxy$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {keeper_text}) THEN
    CREATE ROLE {keeper} NOLOGIN;
  END IF;
END $pgsoftproxy$;"""
SEQUENCES = """DO $pgsoftproxy$ DECLARE sequence regclass; BEGIN
  FOR sequence IN SELECT d.objid FROM pg_catalog.pg_depend AS d
      JOIN pg_catalog.pg_class AS c ON c.oid = d.objid AND c.relkind = 'S'
      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refobjid = {name}::regclass
          AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i') LOOP
    EXECUTE pg_catalog.format('GRANT ALL ON SEQUENCE %s TO {role}', sequence);
  END LOOP;
END $pgsoftproxy$;"""


def give_away(relation: Relation, role: str) -> Iterator[str]:
    """Yield statements after which KEEPER owns a table, and `role` may read and write it but not remove rows.

    Keys are checked with the rights of the table's owner, who so needs its schema. Sequences go with the table.
    """
    keeper, keeper_text, to = sql.Identifier(KEEPER), sql.Literal(KEEPER), sql.Identifier(role)
    on = table(relation)
    yield sql.SQL(CREATE).format(keeper=keeper, keeper_text=keeper_text).as_string(None)
    schema = sql.Identifier(relation.schema)
    yield sql.SQL("GRANT USAGE ON SCHEMA {} TO {};").format(schema, keeper).as_string(None)
    yield sql.SQL("ALTER TABLE {} OWNER TO {};").format(on, keeper).as_string(None)
    kept = "GRANT SELECT, INSERT, UPDATE, REFERENCES, TRIGGER ON TABLE {} TO {};"
    yield sql.SQL(kept).format(on, to).as_string(None)
    name = sql.Literal(on.as_string(None))
    yield sql.SQL(SEQUENCES).format(name=name, role=to).as_string(None)
