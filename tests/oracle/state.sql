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
    ('app.tasks', 'is_deleted', 'NOT t.is_deleted'), ('app.memos', 'gone', 't.gone IS NOT TRUE');

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

CREATE PROCEDURE oracle.remove_deleted() LANGUAGE plpgsql SET session_replication_role = replica AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT * FROM oracle.protected LOOP
        EXECUTE format('DELETE FROM ONLY %s AS t WHERE NOT (%s)', r.relation, r.live);
    END LOOP;
END $$;
GRANT USAGE ON SCHEMA oracle TO PUBLIC;
GRANT USAGE ON SCHEMA app, other, "Mixed Schema" TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA app, other, public, "Mixed Schema" TO PUBLIC;
GRANT UPDATE, DELETE, INSERT ON app.users, app.logs TO PUBLIC;
REVOKE SELECT ON app.events FROM PUBLIC;
