"""The queries that the evidence of an audit is read by, for PostgreSQL 13 to 18. Text only."""

from pgsoftproxy.db.queries import _USER_RELATIONS

SESSION = """
SET search_path = pg_catalog, pg_temp;
SET lock_timeout = '2s';
SET statement_timeout = '60s';
SET default_transaction_read_only = on
"""
"""With this path every name of a user prints qualified. Statements that print definitions lock relations."""

_NOT_OURS = "NOT starts_with(n.nspname, 'pg_') AND n.nspname NOT IN ('information_schema', 'pgsoftproxy')"

TRIGGERS = f"""
SELECT t.tgrelid::int8, t.tgname, t.tgfoid::int8, t.tgtype::int, pg_get_triggerdef(t.oid)
FROM {_USER_RELATIONS}
JOIN pg_trigger AS t ON t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgparentid = 0
JOIN pg_proc AS p ON p.oid = t.tgfoid
JOIN pg_namespace AS m ON m.oid = p.pronamespace AND m.nspname <> 'pgsoftproxy'
ORDER BY t.tgrelid, t.tgname
"""  # noqa: S608 (constants of this file and its neighbour)
"""A trigger of a partitioned table has a copy on each partition (tgparentid): the original counts."""

TRIGGER_FUNCTIONS = f"""
SELECT p.oid::int8, n.nspname, p.proname, l.lanname, CASE WHEN l.lanname = 'plpgsql' THEN p.prosrc END
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace AND {_NOT_OURS}
JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname NOT IN ('c', 'internal')
WHERE p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype)
ORDER BY p.oid
"""  # noqa: S608 (likewise)

SIGNATURES = f"""
SELECT p.oid::int8, oidvectortypes(p.proargtypes),
       coalesce(p.proargnames, '{{}}')::text[], coalesce(p.proargmodes, '{{}}')::text[],
       ARRAY(SELECT t.typtype IN ('c', 'p') AND t.typname NOT LIKE 'any%'
             FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) WITH ORDINALITY AS a(type, place)
             JOIN pg_type AS t ON t.oid = a.type ORDER BY a.place),
       r.typname, p.proretset, p.prokind = 'p'
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace AND {_NOT_OURS}
JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname NOT IN ('c', 'internal')
JOIN pg_type AS r ON r.oid = p.prorettype
ORDER BY p.oid
"""  # noqa: S608 (likewise)

RULES = f"""
SELECT r.ev_class::int8, r.rulename, r.ev_type::text, pg_get_ruledef(r.oid)
FROM {_USER_RELATIONS}
JOIN pg_rewrite AS r ON r.ev_class = c.oid AND r.rulename <> '_RETURN' AND r.ev_enabled <> 'D'
ORDER BY r.ev_class, r.rulename
"""  # noqa: S608 (likewise)

PUBLISHED = """
SELECT v.pubname, c.oid::int8, to_jsonb(v) ->> 'rowfilter'
FROM pg_publication_tables AS v
JOIN pg_namespace AS n ON n.nspname = v.schemaname
JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = v.tablename
ORDER BY 1, 2
"""

PUBLICATIONS = """
SELECT b.pubname, b.puballtables, EXISTS (SELECT FROM pg_publication_namespace AS s WHERE s.pnpubid = b.oid),
       b.pubviaroot, concat_ws(', ', CASE WHEN b.pubinsert THEN 'insert' END, CASE WHEN b.pubupdate THEN 'update' END,
                               CASE WHEN b.pubdelete THEN 'delete' END, CASE WHEN b.pubtruncate THEN 'truncate' END)
FROM pg_publication AS b ORDER BY 1
"""

MEMBERS = """
SELECT b.pubname, r.prrelid::int8,
       ARRAY(SELECT a.attname::text FROM pg_attribute AS a
             WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[]) ORDER BY a.attnum),
       pg_get_expr(r.prqual, r.prrelid)
FROM pg_publication_rel AS r JOIN pg_publication AS b ON b.oid = r.prpubid ORDER BY 1, 2
"""
"""Both from 15 on."""

DEFINITIONS = f"""
SELECT p.oid::int8, pg_get_functiondef(p.oid)
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace AND {_NOT_OURS}
JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname IN ('sql', 'plpgsql')
WHERE p.prokind IN ('f', 'p') ORDER BY 1
"""  # noqa: S608 (likewise)

LOGINS = "SELECT r.rolname FROM pg_roles AS r WHERE r.rolcanlogin ORDER BY 1"

STORAGE = f"""
SELECT c.oid::int8, c.reltuples::float8, c.relpages, coalesce(pg_stat_get_dead_tuples(c.oid), 0),
       coalesce((SELECT o.option_value::int FROM pg_options_to_table(c.reloptions) AS o
                 WHERE o.option_name = 'fillfactor'), 100)
FROM {_USER_RELATIONS} WHERE c.relkind IN ('r', 'p') ORDER BY 1
"""  # noqa: S608 (likewise)

STATISTICS = f"""
SELECT c.oid::int8, s.attname, s.null_frac::float8, s.avg_width,
       CASE WHEN s.most_common_vals::text ~ '^.[tf](,[tf])?.$' THEN coalesce(
           s.most_common_freqs[array_position(s.most_common_vals::text::text[], 't')], 0)::float8 END
FROM {_USER_RELATIONS}
JOIN pg_stats AS s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.inherited = (c.relkind = 'p')
WHERE c.relkind IN ('r', 'p') ORDER BY 1, 2
"""  # noqa: S608 (likewise)
"""A view that shows a column's statistics to those only who may read the column."""
