"""The queries that a catalog is read by, for PostgreSQL 13 to 18. Text only.

Their columns are numbers, texts, truth values and arrays of these, which come out the same from the driver and
from JSON; each has one parameter at most, `%s`. User relations are those outside of information_schema and `pg_*`
(catalogs, TOAST, temporary; the prefix is reserved).
"""

_USER_RELATIONS = """
    pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        AND NOT pg_catalog.starts_with(n.nspname, 'pg_') AND n.nspname <> 'information_schema'
"""

SERVER = """
SELECT pg_catalog.current_database(), pg_catalog.current_setting('server_version_num')::int,
       s.reset_val, s.source, s.boot_val,
       pg_catalog.has_function_privilege('pg_catalog.pg_show_all_file_settings()', 'EXECUTE')
FROM pg_catalog.pg_settings AS s WHERE s.name = 'search_path'
"""

SESSION = """
SET LOCAL search_path = '';
SET LOCAL lock_timeout = '100ms';
SET LOCAL statement_timeout = '30s';
SET LOCAL quote_all_identifiers = off
"""
"""With an empty search_path, definitions print with every name qualified. Locks are waited for briefly: whoever
waits for one of ours meanwhile could become the victim of a deadlock (deadlock_timeout: 1 s)."""

LOCKED = """
SELECT DISTINCT l.relation FROM pg_catalog.pg_locks AS l
WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.database =
    (SELECT b.oid FROM pg_catalog.pg_database AS b WHERE b.datname = pg_catalog.current_database())
"""
"""Granted or awaited: an ACCESS SHARE lock queues behind both."""

RELATIONS = f"""
SELECT c.oid::int8, n.nspname, c.relname, c.relkind::text, c.relispartition,
       CASE WHEN c.relkind NOT IN ('v', 'm') THEN NULL
            WHEN EXISTS (
                SELECT FROM pg_catalog.pg_rewrite AS r
                JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_rewrite'::regclass
                    AND d.objid = r.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass
                WHERE r.ev_class = c.oid AND d.refobjid = ANY (k.locked)) THEN ''
            WHEN pg_catalog.has_table_privilege(c.oid, 'SELECT') IS NOT NULL THEN pg_catalog.pg_get_viewdef(c.oid)
       END,
       EXISTS (SELECT FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN')
           OR EXISTS (SELECT FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgtype & 64 <> 0)
FROM {_USER_RELATIONS}
CROSS JOIN (SELECT %s::oid[]) AS k(locked)
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY c.oid
"""  # noqa: S608 (constants of this file)
"""A view that was dropped since the snapshot has no privileges (NULL), and pg_get_viewdef would fail on it. The last
column: rules, or INSTEAD OF triggers (64), say what is done when it is written to."""

COLUMNS = f"""
SELECT c.oid::int8, a.attnum, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
       a.attgenerated <> '', a.attidentity <> '', a.attidentity = 'a',
       CASE WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END
FROM {_USER_RELATIONS}
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    AND a.atthasdef AND d.adrelid <> ALL (%s::oid[])
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY a.attrelid, a.attnum
"""  # noqa: S608 (constants of this file)

UNIQUE_INDEXES = f"""
SELECT i.indrelid::int8, x.relname,
       CASE WHEN i.indisunique THEN (i.indkey::int2[])[0:i.indnkeyatts - 1]::int[]
            ELSE pg_catalog.array_fill(0, ARRAY[i.indnkeyatts::int]) END, p.known,
       CASE WHEN p.known THEN pg_catalog.pg_get_expr(i.indpred, i.indrelid) END,
       i.indisprimary, con.conname, i.indisvalid,
       CASE WHEN NOT i.indisunique THEN NULL WHEN i.indexprs IS NULL THEN '{{}}'::text[] WHEN p.unlocked THEN ARRAY(
           SELECT pg_catalog.pg_get_indexdef(i.indexrelid, k, false)
           FROM pg_catalog.generate_series(1, i.indnkeyatts) AS k
           WHERE i.indkey[k - 1] = 0 ORDER BY k) END
FROM {_USER_RELATIONS}
JOIN pg_catalog.pg_index AS i ON i.indrelid = c.oid AND (i.indisunique OR i.indisexclusion)
JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
CROSS JOIN LATERAL (SELECT i.indrelid <> ALL (%s::oid[])) AS l(unlocked)
CROSS JOIN LATERAL (SELECT i.indpred IS NOT NULL AND l.unlocked, l.unlocked) AS p(known, unlocked)
LEFT JOIN pg_catalog.pg_constraint AS con ON con.conindid = i.indexrelid
    AND con.conrelid = i.indrelid AND con.contype IN ('p', 'u', 'x')
ORDER BY i.indrelid, x.relname
"""  # noqa: S608 (constants of this file)
"""An exclusion constraint is one on expressions that are not known: nothing names it, but a row may meet it."""

FOREIGN_KEYS = """
SELECT k.conname, k.conrelid::int8, k.confrelid::int8, k.conkey::int[], k.confkey::int[],
       k.confdeltype::text, k.confupdtype::text, k.condeferrable, k.condeferred,
       ARRAY(SELECT n.nspname::text FROM pg_catalog.unnest(k.conpfeqop) WITH ORDINALITY AS u(oid, place)
             JOIN pg_catalog.pg_operator AS o ON o.oid = u.oid
             JOIN pg_catalog.pg_namespace AS n ON n.oid = o.oprnamespace
             ORDER BY u.place),
       ARRAY(SELECT o.oprname::text FROM pg_catalog.unnest(k.conpfeqop) WITH ORDINALITY AS u(oid, place)
             JOIN pg_catalog.pg_operator AS o ON o.oid = u.oid ORDER BY u.place),
       ARRAY(SELECT e.number::int FROM pg_catalog.jsonb_array_elements_text(CASE
                 WHEN pg_catalog.jsonb_typeof(pg_catalog.to_jsonb(k) -> 'confdelsetcols') = 'array'
                 THEN pg_catalog.to_jsonb(k) -> 'confdelsetcols' ELSE '[]' END) WITH ORDINALITY AS e(number, place)
             ORDER BY e.place)
FROM pg_catalog.pg_constraint AS k
WHERE k.contype = 'f' AND k.conparentid = 0
    AND pg_catalog.to_jsonb(k) ->> 'conenforced' IS DISTINCT FROM 'false'
ORDER BY k.oid
"""
"""A key on or to a partitioned table has a copy for each partition (conparentid): the original counts. In the order
in which the server's own triggers of one table fire, which are named by number. `confdelsetcols` is of 15."""

INHERITANCE = """
SELECT h.inhrelid::int8, h.inhparent::int8 FROM pg_catalog.pg_inherits AS h ORDER BY h.inhrelid, h.inhseqno
"""

VIEW_READS = f"""
SELECT DISTINCT c.oid::int8, d.refobjid::int8
FROM {_USER_RELATIONS}
JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = c.oid AND r.rulename = '_RETURN'
JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
    AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> c.oid
WHERE c.relkind IN ('v', 'm')
ORDER BY 1, 2
"""  # noqa: S608 (constants of this file)

_USER_ROUTINES = """
    pg_catalog.pg_proc AS p
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
        AND NOT pg_catalog.starts_with(n.nspname, 'pg_') AND n.nspname <> 'information_schema'
    JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
        AND (l.lanname NOT IN ('c', 'internal') OR p.prokind = 'a')
        AND p.prorettype NOT IN ('pg_catalog.trigger'::regtype, 'pg_catalog.event_trigger'::regtype)
"""

ROUTINES = f"""
SELECT p.oid::int8, n.nspname, p.proname, l.lanname,
       CASE WHEN l.lanname IN ('sql', 'plpgsql') AND (n.nspname, p.proname) <> ('pgsoftproxy', 'restore')
           THEN p.prosrc END,
       CASE WHEN l.lanname = 'sql' AND p.prosrc = '' THEN (
           SELECT f.proname FROM pg_catalog.pg_proc AS f
           WHERE f.proname = ANY (%s::name[]) AND pg_catalog.strpos(
               pg_catalog.to_jsonb(p) ->> 'prosqlbody', ':funcid ' || f.oid::text || ' ') > 0
           LIMIT 1) END,
       p.pronargs > 0 AND p.pronargs - p.pronargdefaults <= 1 AND EXISTS (
           SELECT FROM pg_catalog.pg_type AS t WHERE t.oid = p.proargtypes[0] AND t.typtype IN ('c', 'd', 'p')),
       CASE WHEN l.lanname = 'sql' AND p.prosrc = '' AND p.prokind <> 'a' AND (
               pg_catalog.current_setting('server_version_num')::int >= 170000
               OR pg_catalog.strpos(pg_catalog.to_jsonb(p) ->> 'prosqlbody', ':commandType 5 ') = 0)
           AND NOT EXISTS (
               SELECT FROM pg_catalog.pg_depend AS d
               JOIN pg_catalog.pg_locks AS k ON k.locktype = 'relation' AND k.relation = d.refobjid
                   AND k.mode = 'AccessExclusiveLock' AND k.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
               WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid
                   AND d.refclassid = 'pg_catalog.pg_class'::regclass)
           THEN pg_catalog.pg_get_functiondef(p.oid) END
FROM {_USER_ROUTINES}
ORDER BY p.oid
"""  # noqa: S608 (constants of this file)
"""A body of BEGIN ATOMIC (14) is a tree of nodes. What it depends on is read (ROUTINE_READS, ROUTINE_CALLS); what the
server cannot drop is not noted there, and is searched for by oid. The last column is the definition as the server
prints it, where that can be had: not while its tables are locked, nor with a MERGE before 17, which some versions
fail to print. What `pgsoftproxy.restore` does is known, and its body is long."""

ROUTINE_READS = f"""
SELECT DISTINCT p.oid::int8, m.nspname, c.relname
FROM {_USER_ROUTINES}
JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid
    AND d.refclassid = 'pg_catalog.pg_class'::regclass
JOIN pg_catalog.pg_class AS c ON c.oid = d.refobjid
JOIN pg_catalog.pg_namespace AS m ON m.oid = c.relnamespace
ORDER BY 1, 2, 3
"""  # noqa: S608 (constants of this file)

ROUTINE_CALLS = f"""
SELECT DISTINCT p.oid::int8, d.refobjid::int8
FROM {_USER_ROUTINES}
JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid
    AND d.refclassid = 'pg_catalog.pg_proc'::regclass
ORDER BY 1, 2
"""  # noqa: S608 (constants of this file)

VIEW_CALLS = f"""
SELECT DISTINCT c.oid::int8, d.refobjid::int8
FROM {_USER_RELATIONS}
JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = c.oid AND r.rulename = '_RETURN'
JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
    AND d.refclassid = 'pg_catalog.pg_proc'::regclass
WHERE c.relkind IN ('v', 'm')
ORDER BY 1, 2
"""  # noqa: S608 (constants of this file)

MARKS = """
SELECT t.tgrelid::int8, t.tgname, pg_catalog.obj_description(t.oid, 'pg_trigger')
FROM pg_catalog.pg_trigger AS t
JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace AND n.nspname = 'pgsoftproxy'
WHERE t.tgenabled IN ('O', 'A') AND pg_catalog.obj_description(t.oid, 'pg_trigger') IS NOT NULL
UNION ALL
SELECT 0, p.proname, pg_catalog.md5(p.prosrc)
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace AND n.nspname = 'pgsoftproxy'
ORDER BY 1, 2
"""
"""The triggers that call functions of schema pgsoftproxy, and these; see `triggers.Definition.mark`."""

SEARCH_PATHS = """
SELECT COALESCE(r.rolname, ''), pg_catalog.substr(v.setting, pg_catalog.length('search_path=') + 1)
FROM pg_catalog.pg_db_role_setting AS s
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS v(setting)
WHERE pg_catalog.starts_with(pg_catalog.lower(v.setting), 'search_path=')
    AND (s.setrole = 0 OR r.oid IS NOT NULL)
    AND s.setdatabase IN (
        0, (SELECT b.oid FROM pg_catalog.pg_database AS b WHERE b.datname = pg_catalog.current_database()))
ORDER BY s.setdatabase <> 0
"""

SERVER_FILE_PATH = """
SELECT '', f.setting FROM pg_catalog.pg_file_settings AS f
WHERE f.name = 'search_path' AND f.applied ORDER BY f.seqno DESC LIMIT 1
"""

SCHEMA_USAGE = """
SELECT n.nspname, CASE WHEN a.grantee = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(a.grantee) END
FROM pg_catalog.pg_namespace AS n
CROSS JOIN LATERAL pg_catalog.aclexplode(
    COALESCE(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) AS a
WHERE a.privilege_type = 'USAGE' AND NOT pg_catalog.starts_with(n.nspname, 'pg_')
ORDER BY 1, 2
"""

HEIRS = """
SELECT m.rolname, g.rolname
FROM pg_catalog.pg_auth_members AS a
JOIN pg_catalog.pg_roles AS m ON m.oid = a.member
JOIN pg_catalog.pg_roles AS g ON g.oid = a.roleid
WHERE COALESCE((pg_catalog.to_jsonb(a) ->> 'inherit_option')::bool, m.rolinherit)
UNION
SELECT pg_catalog.pg_get_userbyid(d.datdba), 'pg_database_owner'
FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()
UNION
SELECT r.rolname, CASE WHEN NOT r.rolsuper THEN r.rolname END FROM pg_catalog.pg_roles AS r
ORDER BY 1, 2
"""
"""Whose privileges a role has, its own among them; NULL stands for those of everybody. Whether a member inherits is
the role's own property before 16, that of each membership since."""

MEMBERSHIPS = """
SELECT m.rolname, g.rolname
FROM pg_catalog.pg_auth_members AS a
JOIN pg_catalog.pg_roles AS m ON m.oid = a.member
JOIN pg_catalog.pg_roles AS g ON g.oid = a.roleid
"""
