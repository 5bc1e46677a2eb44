"""The queries that the state of a schema is read by, for PostgreSQL 13 to 18. Text only."""

from pgsoftproxy.db.queries import _USER_RELATIONS

SESSION = "SET search_path = pg_catalog, pg_temp"
"""With it every name prints qualified."""

INDEXES = f"""
SELECT i.indexrelid::int8, i.indrelid::int8, n.nspname, x.relname,
       ARRAY(SELECT a.attname::text
             FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k(num, place)
             LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.num AND k.num <> 0
             ORDER BY k.place),
       CASE WHEN starts_with(d.text, d.head) AND (d.tail = '' OR right(d.text, length(d.tail)) = d.tail)
            THEN substr(d.text, length(d.head) + 1, length(d.text) - length(d.head) - length(d.tail)) END,
       pg_get_expr(i.indpred, i.indrelid), i.indisunique, i.indisprimary, i.indisvalid,
       con.conname, pg_get_constraintdef(con.oid), coalesce(con.condeferrable, false),
       coalesce(con.contype = 'x', false),
       ARRAY(SELECT k.conname::text FROM pg_constraint AS k
             WHERE k.contype = 'f' AND k.conindid = i.indexrelid AND k.conparentid = 0 ORDER BY 1),
       h.inhparent::int8, i.indisclustered OR i.indisreplident, t.spcname,
       coalesce(obj_description(con.oid, 'pg_constraint'), obj_description(i.indexrelid, 'pg_class'))
FROM {_USER_RELATIONS}
JOIN pg_index AS i ON i.indrelid = c.oid
JOIN pg_class AS x ON x.oid = i.indexrelid
LEFT JOIN pg_tablespace AS t ON t.oid = x.reltablespace
LEFT JOIN pg_inherits AS h ON h.inhrelid = i.indexrelid
LEFT JOIN pg_constraint AS con ON con.conindid = i.indexrelid
    AND con.conrelid = i.indrelid AND con.contype IN ('p', 'u', 'x')
CROSS JOIN LATERAL (
    SELECT pg_get_indexdef(i.indexrelid) AS text,
           format('CREATE %sINDEX %s ON %s%s.%s USING ', CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END,
               quote_ident(x.relname), CASE WHEN x.relkind = 'I' THEN 'ONLY ' ELSE '' END,
               quote_ident(n.nspname), quote_ident(c.relname)) AS head,
           coalesce(' WHERE ' || pg_get_expr(i.indpred, i.indrelid), '') AS tail) AS d
ORDER BY i.indrelid, x.relname
"""  # noqa: S608 (constants of this file and its neighbour)

TRIGGERS = """
SELECT t.tgrelid::int8, t.tgname, d.description, t.tgenabled IN ('O', 'A'), pg_get_triggerdef(t.oid)
FROM pg_trigger AS t
JOIN pg_description AS d ON d.classoid = 'pg_trigger'::regclass AND d.objoid = t.oid
WHERE NOT t.tgisinternal AND starts_with(d.description, 'pgsoftproxy ')
ORDER BY 1, 2
"""

FUNCTIONS = """
SELECT p.proname, pg_get_function_identity_arguments(p.oid), md5(p.prosrc),
       pg_get_functiondef(p.oid) || CASE WHEN EXISTS (
           SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a WHERE a.grantee = 0) THEN ''
       ELSE format(E';\\nREVOKE ALL ON FUNCTION pgsoftproxy.%I(%s) FROM PUBLIC', p.proname,
           pg_get_function_identity_arguments(p.oid)) END
FROM pg_proc AS p WHERE p.pronamespace = to_regnamespace('pgsoftproxy') AND p.prokind = 'f' ORDER BY 1
"""

TABLES = f"""
SELECT c.oid::int8, greatest(c.reltuples, 0)::int8, pg_table_size(c.oid), pg_get_userbyid(c.relowner),
       c.relrowsecurity,
       ARRAY(SELECT p.polname::text FROM pg_policy AS p WHERE p.polrelid = c.oid ORDER BY 1),
       ARRAY(SELECT obj_description(p.oid, 'pg_policy') FROM pg_policy AS p
             WHERE p.polrelid = c.oid ORDER BY p.polname)
FROM {_USER_RELATIONS} WHERE c.relkind IN ('r', 'p', 'm') ORDER BY 1
"""  # noqa: S608 (likewise)

GRANTS = f"""
SELECT DISTINCT c.oid::int8, coalesce(r.rolname, ''), a.privilege_type, a.is_grantable
FROM {_USER_RELATIONS}
CROSS JOIN aclexplode(c.relacl) AS a
LEFT JOIN pg_roles AS r ON r.oid = a.grantee
WHERE c.relkind IN ('r', 'p') AND a.grantee <> c.relowner AND a.privilege_type IN ('DELETE', 'TRUNCATE')
ORDER BY 1, 2, 3
"""  # noqa: S608 (likewise)

OWN = """
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = to_regnamespace('pgsoftproxy') AND c.relkind = 'r' ORDER BY 1
"""

VIEWS = """
SELECT n.nspname, c.relname, d.description FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_description AS d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid AND d.objsubid = 0
WHERE c.relkind = 'v' AND starts_with(c.relname, 'live_') ORDER BY 1, 2
"""

VIEW_OPTIONS = f"""
SELECT c.oid::int8, c.reloptions::text[] FROM {_USER_RELATIONS}
WHERE c.relkind IN ('v', 'm') AND c.reloptions IS NOT NULL ORDER BY 1
"""  # noqa: S608 (constants of this file and its neighbour)

UPSERTING = """
SELECT concat(n.nspname, '.', p.proname), p.prosrc FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname IN ('sql', 'plpgsql')
WHERE p.prosrc ~* 'on\\s+conflict' AND NOT starts_with(n.nspname, 'pg_') AND n.nspname <> 'pgsoftproxy'
ORDER BY 1, p.oid
"""

ROLES = "SELECT rolname FROM pg_roles ORDER BY 1"

NOTED = "SELECT EXISTS (SELECT FROM pgsoftproxy.journal) OR EXISTS (SELECT FROM pgsoftproxy.ledger)"

APPLIED = "SELECT id, kind, title, table_name, down FROM pgsoftproxy.steps ORDER BY number"

STEPS_TABLE = """
CREATE TABLE IF NOT EXISTS pgsoftproxy.steps (
    number bigint GENERATED ALWAYS AS IDENTITY, id text PRIMARY KEY, kind text NOT NULL, title text NOT NULL,
    table_name text NOT NULL, down jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT pg_catalog.now(), by_role text NOT NULL DEFAULT SESSION_USER
);
"""
"""What `migrate` did, with what takes it back. A step that is no transaction is noted before it begins."""

RECORD = """
INSERT INTO pgsoftproxy.steps (id, kind, title, table_name, down) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (id) DO NOTHING
"""
RECORD_LATEST = RECORD.replace("NOTHING", "UPDATE SET down = excluded.down, at = excluded.at")
FORGET = "DELETE FROM pgsoftproxy.steps WHERE id = %s"

LOCK = "SELECT pg_try_advisory_lock(hashtextextended('pgsoftproxy migrate', 0))"
NOTICE_LOSS = """
SELECT set_config(name, '1s', false) FROM pg_settings WHERE name = 'client_connection_check_interval'
"""
"""From 14 on a server notices within a second that this process is gone, and does not build an index for nobody."""
BUILDING = """
SELECT concat(p.phase,
    CASE WHEN p.blocks_total > 0 THEN format(', %%s of %%s blocks', p.blocks_done, p.blocks_total) END,
    CASE WHEN p.current_locker_pid > 0 THEN format(': pid %%s (%%s), whose transaction began at %%s',
        p.current_locker_pid, coalesce(nullif(a.application_name, ''), a.usename, '?'), a.xact_start) END)
FROM pg_catalog.pg_stat_progress_create_index AS p
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = p.current_locker_pid
WHERE p.pid = %s
"""
