-- What the oracle looks at after each case: all rows of all tables, whatever the proxy would hide.
CREATE SCHEMA oracle;
CREATE TABLE oracle.protected (relation text PRIMARY KEY, col text NOT NULL, live text NOT NULL);
INSERT INTO oracle.protected
    SELECT c.oid::regclass::text, a.attname, format('t.%I IS NULL', a.attname)
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relkind = 'r' AND NOT a.attisdropped
      AND ((c.relnamespace = 'app'::regnamespace AND a.attname IN ('deleted_at', 'Deleted At'))
           OR c.oid = '"Mixed Schema".users'::regclass AND a.attname = 'deleted_at');
INSERT INTO oracle.protected VALUES
    ('app.badges', 'is_gone', 'NOT t.is_gone'), ('app.tasks', 'is_deleted', 'NOT t.is_deleted'), ('app.memos', 'gone', 't.gone IS NOT TRUE');

CREATE FUNCTION oracle.state() RETURNS TABLE (relation text, live boolean, line text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    r record;
BEGIN
    FOR r IN
        SELECT c.oid::regclass::text AS name, p.live
        FROM pg_class c LEFT JOIN oracle.protected p ON p.relation = c.oid::regclass::text
        WHERE c.relkind = 'r' AND c.relpersistence <> 't'
          AND c.relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'oracle')
        ORDER BY 1
    LOOP
        RETURN QUERY EXECUTE format(
            'SELECT %L, %s, to_jsonb(t)::text FROM ONLY %s AS t ORDER BY 3', r.name, coalesce(r.live, 'true'), r.name);
    END LOOP;
END $$;

-- What a statement must leave as it is: the deleted rows there were, and at least as many rows as there were.
CREATE TABLE oracle.sizes (relation text PRIMARY KEY, n bigint NOT NULL);
CREATE TABLE oracle.dead (relation text NOT NULL, line text NOT NULL);
DO $$
DECLARE
    r record;
BEGIN
    FOR r IN
        SELECT DISTINCT ON (relation) relation, live FROM (
            SELECT relation, live FROM oracle.protected
            UNION ALL SELECT i.inhparent::regclass::text, p.live
            FROM oracle.protected p JOIN pg_inherits i ON i.inhrelid = p.relation::regclass
            WHERE i.inhparent <> 'things'::regclass
        ) AS every ORDER BY relation
    LOOP
        EXECUTE format('INSERT INTO oracle.sizes SELECT %L, count(*) FROM %s', r.relation, r.relation);
        EXECUTE format('INSERT INTO oracle.dead SELECT %L, to_jsonb(t)::text FROM %s AS t WHERE NOT (%s)',
            r.relation, r.relation, r.live);
    END LOOP;
END $$;
CREATE FUNCTION oracle.kept(relation text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    answer boolean;
BEGIN
    EXECUTE format(
        'SELECT (SELECT count(*) FROM %1$s) >= coalesce((SELECT s.n FROM oracle.sizes s WHERE s.relation = %1$L), 0)
            AND NOT EXISTS (SELECT d.line FROM oracle.dead d WHERE d.relation = %1$L
                            EXCEPT ALL SELECT to_jsonb(t)::text FROM %1$s AS t)', relation) INTO answer;
    RETURN answer;
END $$;

CREATE PROCEDURE oracle.remove_deleted() LANGUAGE plpgsql SET session_replication_role = replica AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT * FROM oracle.protected LOOP
        EXECUTE format('DELETE FROM ONLY %s AS t WHERE NOT (%s)', r.relation, r.live);
    END LOOP;
    UPDATE oracle.sizes SET n = 0;  -- the twin has nothing to keep
    DELETE FROM oracle.dead;
END $$;
GRANT USAGE ON SCHEMA oracle TO PUBLIC;
GRANT USAGE ON SCHEMA app, other, "Mixed Schema" TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA app, other, public, "Mixed Schema" TO PUBLIC;
GRANT UPDATE, DELETE, INSERT ON app.users, app.logs TO PUBLIC;
REVOKE SELECT ON app.events FROM PUBLIC;
