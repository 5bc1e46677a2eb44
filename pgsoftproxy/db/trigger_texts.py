"""PL/pgSQL of the functions that `triggers` puts into a database. Text with places to fill; composes nothing.

Theory. PostgreSQL carries out referential actions by AFTER triggers: what a statement of theirs causes goes to the end
of one queue. The same here, with sets of rows in place of rows. The trigger of a parent takes the rows that its
statement deleted. At the root it acts on them; inside such an action (its own functions stand above it in the call
stack) it only queues them, and the root takes batch after batch from the queue. So a chain of any length needs no
recursion. Where a row that one key checks for may be gone by another key (`Links.is_tangled`), the order of single rows
decides between an error and none: there the rows of a batch are taken one by one, as the server does, and those that
refer to each in the order in which a scan finds them (the functions named act1, which may not join by hashing).
"""

from psycopg import sql

TABLES = """
CREATE SCHEMA IF NOT EXISTS pgsoftproxy;
GRANT USAGE ON SCHEMA pgsoftproxy TO PUBLIC;
CREATE UNLOGGED TABLE IF NOT EXISTS pgsoftproxy.queue (
    transaction xid8 NOT NULL, place bigint GENERATED ALWAYS AS IDENTITY, work text NOT NULL, parents jsonb NOT NULL
);
CREATE TABLE IF NOT EXISTS pgsoftproxy.journal (
    deletion_id uuid NOT NULL, at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    link text NOT NULL, schema_name text NOT NULL, table_name text NOT NULL,
    key jsonb NOT NULL, was jsonb NOT NULL, became jsonb NOT NULL
);
CREATE INDEX IF NOT EXISTS journal_deletion_id ON pgsoftproxy.journal (deletion_id);
CREATE TABLE IF NOT EXISTS pgsoftproxy.ledger (
    at timestamptz NOT NULL DEFAULT pg_catalog.now(), by_role text NOT NULL DEFAULT SESSION_USER,
    schema_name text NOT NULL, table_name text NOT NULL, key jsonb NOT NULL,
    deleted_at timestamptz, deleted_by text, deletion_id uuid
);
CREATE INDEX IF NOT EXISTS ledger_key ON pgsoftproxy.ledger USING hash (key);
"""
"""`queue`: what a deletion still has to do, empty between statements. `journal`: links that were emptied. `ledger`:
rows that were brought back, with the deletion that this ended; one still deleted says of itself when and by whom."""

DRAIN = sql.SQL("""
DECLARE
  batch pgsoftproxy.queue;
BEGIN
  LOOP
    DELETE FROM pgsoftproxy.queue AS q
    WHERE q.transaction = pg_current_xact_id() AND q.place = (
      SELECT min(p.place) FROM pgsoftproxy.queue AS p WHERE p.transaction = pg_current_xact_id())
    RETURNING q.* INTO batch;
    EXIT WHEN NOT FOUND;
    IF $2 THEN
      EXECUTE format('SELECT pgsoftproxy.%I(jsonb_build_array(e), $2) FROM jsonb_array_elements($1) AS e',
        'act1_' || batch.work) USING batch.parents, $1;
    ELSE
      EXECUTE format('SELECT pgsoftproxy.%I($1, $2)', 'act_' || batch.work) USING batch.parents, $1;
    END IF;
  END LOOP;
END
""")

BEGIN_STATEMENT = sql.SQL("""
BEGIN
  PERFORM set_config('pgsoftproxy.statements',
    concat(current_setting('pgsoftproxy.statements', true), ',', pg_trigger_depth()), true);
  RETURN NULL;
END
""")

END_STATEMENT = """
  IF current_setting('pgsoftproxy.statements', true) LIKE '%,' || pg_trigger_depth() THEN
    PERFORM set_config('pgsoftproxy.statements',
      regexp_replace(current_setting('pgsoftproxy.statements'), ',[0-9]+$', ''), true);
  END IF;"""
"""A row's trigger whose check may wait cannot tell whether its statement is still acting: this list says which are."""

DELETED = sql.SQL("""
DECLARE
  gone jsonb;
  context text;
  id uuid;
BEGIN{end_statement}
  PERFORM FROM n WHERE {is_deleted};
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  PERFORM FROM o WHERE {was_deleted};
  IF FOUND THEN  -- some were deleted before; planned each time, for the number of rows decides how
    EXECUTE {exactly} INTO gone;
  ELSE
    SELECT jsonb_agg({parent}) INTO gone FROM n WHERE {is_deleted};
  END IF;
  IF gone IS NULL THEN
    RETURN NULL;
  END IF;
{go_down}
  RETURN NULL;
END
""")

GONE = sql.SQL("""
DECLARE
  gone jsonb := jsonb_build_array({parent});
  context text;
  id uuid;
BEGIN
{go_down}
  RETURN NULL;
END
""")
"""Of one row, in a tree of which other tables are parents by themselves or can be named: a row's trigger fires on the
table that has the row, whatever table the statement names. It acts at once, as the server does; the trigger of the
statement, if the tree's top has one, then finds nothing left to do for the row."""

GO_DOWN = sql.SQL(
    """
  IF strpos(current_setting('pgsoftproxy.refused_levels', true), current_setting('transaction_isolation')) > 0 THEN
    RAISE EXCEPTION USING ERRCODE = '0A000', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
      MESSAGE = format('rows of table "%s.%s" are not deleted softly under %s',
        TG_TABLE_SCHEMA, TG_TABLE_NAME, upper(current_setting('transaction_isolation'))),
      DETAIL = 'A row that refers to them may have been committed after the snapshot of the transaction.',
      HINT = 'Delete under READ COMMITTED. The setting pgsoftproxy.refused_levels asks for this.';
  END IF;
  GET DIAGNOSTICS context = PG_CONTEXT;
  IF strpos(context, 'pgsoftproxy.act') > 0 THEN
    INSERT INTO pgsoftproxy.queue (transaction, work, parents) VALUES (pg_current_xact_id(), {work}, gone);
    RETURN NULL;
  END IF;
  id := {id};
  {act}
  PERFORM pgsoftproxy.drain(id, {tangled});{no_more_due}""".removeprefix("\n")
)

ACT = "PERFORM pgsoftproxy.{act}(gone, id);"
ACT_SINGLY = "PERFORM pgsoftproxy.{act}(jsonb_build_array(e), id) FROM jsonb_array_elements(gone) AS e;"
CHECK_SINGLY = sql.SQL("""IF {held} THEN
    PERFORM pgsoftproxy.{check}(jsonb_build_array(e)) FROM jsonb_array_elements($1) AS e;
  END IF;""")
NO_MORE_DUE = """
  PERFORM set_config('pgsoftproxy.due', '', true);"""
NO_MORE_DUE_UNLESS_WITHIN = """
  IF coalesce(current_setting('pgsoftproxy.statements', true), '') = '' THEN
    PERFORM set_config('pgsoftproxy.due', '', true);
  END IF;"""
"""After one row: where the statement's own trigger is still to come, it needs to know what is due."""

KEPT = sql.SQL("""
DECLARE
  due text := current_setting('pgsoftproxy.due', true);
BEGIN
  IF coalesce(current_setting('pgsoftproxy.statements', true), '') <> '' THEN
    IF due IS NULL OR strpos(due, {mark}) = 0 THEN
      PERFORM set_config('pgsoftproxy.due', concat(due, {mark}), true);
    END IF;
    RETURN NULL;
  END IF;
  PERFORM FROM {table} AS g WHERE {same} AND {is_live};
  IF NOT FOUND THEN
    PERFORM pgsoftproxy.{check}(jsonb_build_array({parent}));
  END IF;
  RETURN NULL;
END
""")
"""While its statement is still acting, only notes that the check does not wait: the statement makes it in its turn."""

LIVE = sql.SQL("""
DECLARE
  held text := concat_ws(', ', {keys});
  context text;
BEGIN
  PERFORM FROM {parent} AS g WHERE {refers} AND {is_live} FOR KEY SHARE OF g;
  IF FOUND OR NOT EXISTS (SELECT FROM {child} AS c WHERE {same}) THEN
    RETURN NULL;
  END IF;
  GET DIAGNOSTICS context = PG_CONTEXT;
  IF strpos(context, 'pgsoftproxy.act') > 0 THEN  -- a default that was set: checked in its turn
    INSERT INTO pgsoftproxy.queue (transaction, work, parents)
    VALUES (pg_current_xact_id(), {again}, jsonb_build_array({row}));
    RETURN NULL;
  END IF;
  {refuse}
END
""")

AGAIN = sql.SQL("""
DECLARE
  held text;
BEGIN
  SELECT concat_ws(', ', {keys}) INTO held FROM jsonb_to_recordset($1) AS new({columns})
  WHERE EXISTS (SELECT FROM {child} AS c WHERE {same})
    AND NOT EXISTS (SELECT FROM {parent} AS g WHERE {refers} AND {is_live});
  IF FOUND THEN
    {refuse}
  END IF;
END
""")

IS_HARD = (
    "current_setting('pgsoftproxy.delete', true) = 'hard' "
    "OR current_query() ~* 'pgsoftproxy:[^*]*delete *= *hard'"
)
REMOVES = """RAISE EXCEPTION USING ERRCODE = '0A000', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
    MESSAGE = format('%s would physically remove rows of protected table "%s.%s"',
      TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME),
    HINT = 'Set the deletion column, or SET pgsoftproxy.delete = ''hard'' first.';"""

KEEP = sql.SQL(f"""
BEGIN
  IF {IS_HARD} THEN
    RETURN coalesce(OLD, NULL);
  END IF;
  {REMOVES}
END
""")

KEEP_ROWS = sql.SQL(f"""
BEGIN
  IF {IS_HARD} OR NOT EXISTS (SELECT FROM o) THEN
    RETURN NULL;
  END IF;
  {REMOVES}
END
""")
"""Of partitions: the server removes a row that moves to another partition, and fires no statement's trigger there."""

RESTORED = sql.SQL("""
BEGIN
  INSERT INTO pgsoftproxy.ledger (schema_name, table_name, key, deleted_at, deleted_by, deletion_id)
  VALUES (TG_TABLE_SCHEMA, TG_TABLE_NAME, jsonb_build_object({key}), {at}, {by}, {id});
  RETURN NULL;
END
""")
