-- What the twin of the machines has besides the tables: a memory of the rows that were deleted, kept by triggers, and
-- what the settings mean for it. So it can answer under every visibility, inside any transaction, by its own SQL.
CREATE SCHEMA graveyard;
CREATE TABLE graveyard.rows (tab oid, id int, val text, deleted_at timestamptz);

CREATE FUNCTION graveyard.setting(name text, fallback text) RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT coalesce(nullif(pg_catalog.current_setting(name, true), ''), fallback) $$;

-- The configuration: tables of schema app that have the deletion column, and app.notes by another one.
CREATE FUNCTION graveyard.protected(tab oid) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT EXISTS (
        SELECT FROM pg_class c
        WHERE c.oid = tab AND c.relkind = 'r' AND c.relnamespace = to_regnamespace('app')
          AND (c.relname = 'notes' OR EXISTS (
              SELECT FROM pg_attribute a WHERE a.attrelid = tab AND a.attname = 'deleted_at' AND NOT a.attisdropped)))
$$;

-- live, all, deleted or as_of ... for one table; `visibility` may name tables.
CREATE FUNCTION graveyard.mode(tab oid, visibility text) RETURNS text LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog AS $$
DECLARE
    parts text[] := regexp_match(replace(visibility, '"', ''), '^(.*?)( for (.*))?$');
BEGIN
    IF parts[3] IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_class c, regexp_split_to_table(parts[3], ' *, *') AS named
        WHERE c.oid = tab AND named IN (c.relname, c.relnamespace::regnamespace || '.' || c.relname))
    THEN
        RETURN 'live';
    END IF;
    RETURN parts[1];
END $$;

-- Whether a session sees a row of a table that was deleted at that time, or never (NULL).
CREATE FUNCTION graveyard.shows(
    tab oid, at timestamptz, visibility text DEFAULT graveyard.setting('pgsoftproxy.visibility', 'live')
) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
    mode text := graveyard.mode(tab, visibility);
BEGIN
    RETURN CASE
        WHEN NOT graveyard.protected(tab) OR mode = 'live' THEN at IS NULL
        WHEN mode = 'all' THEN true
        WHEN mode = 'deleted' THEN at IS NOT NULL
        ELSE at IS NULL OR at > substr(mode, length('as_of ') + 1)::timestamptz
    END;
END $$;

-- Whether an UPDATE touches it: a role that may restore changes what it sees, any other what lives.
CREATE FUNCTION graveyard.changes(tab oid, at timestamptz) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF graveyard.setting('machines.restorer', 'off') = 'on'
        AND graveyard.mode(tab, graveyard.setting('pgsoftproxy.visibility', 'live')) IN ('all', 'deleted')
    THEN
        RETURN graveyard.shows(tab, at);
    END IF;
    RETURN at IS NULL;
END $$;

-- Whether a DELETE takes it: a hard one what the session sees, any other what lives.
CREATE FUNCTION graveyard.takes(tab oid, at timestamptz) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF graveyard.setting('pgsoftproxy.delete', 'soft') = 'hard'
        AND graveyard.mode(tab, graveyard.setting('pgsoftproxy.visibility', 'live')) NOT LIKE 'as\_of%'
    THEN
        RETURN graveyard.shows(tab, at);
    END IF;
    RETURN at IS NULL;
END $$;

CREATE FUNCTION graveyard.bury() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF graveyard.protected(TG_RELID) AND graveyard.setting('pgsoftproxy.delete', 'soft') <> 'hard' THEN
        INSERT INTO graveyard.rows VALUES (TG_RELID, OLD.id, OLD.val, pg_catalog.now());
    END IF;
    RETURN NULL;
END $$;

-- Only a hard one gets through, and takes the deleted rows too.
CREATE FUNCTION graveyard.empty() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM graveyard.rows WHERE tab = TG_RELID;
    RETURN NULL;
END $$;

-- Every table that is made gets the triggers.
CREATE FUNCTION graveyard.watch() RETURNS event_trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    made record;
BEGIN
    FOR made IN SELECT objid FROM pg_event_trigger_ddl_commands() WHERE object_type = 'table' LOOP
        IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = made.objid AND tgname = 'bury') THEN
            EXECUTE format(
                'CREATE TRIGGER bury AFTER DELETE ON %s FOR EACH ROW EXECUTE FUNCTION graveyard.bury()',
                made.objid::regclass);
            EXECUTE format(
                'CREATE TRIGGER empty AFTER TRUNCATE ON %s EXECUTE FUNCTION graveyard.empty()', made.objid::regclass);
        END IF;
    END LOOP;
END $$;
CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO')
    EXECUTE FUNCTION graveyard.watch();
