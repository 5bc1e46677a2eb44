"""PL/pgSQL of `pgsoftproxy.restore`. Text with places to fill; composes nothing.

Theory. The steps are those of `lifecycle.restore`, their SQL is the same, made by the same builders when `migrate`
runs. All of it runs in the transaction of the caller, whose later statements see what came back. Each statement of a
table or link is run by EXECUTE: so it is planned for the number of rows that were chosen, and no variable of the
function can mean one of its columns. A dry run is the same function in a subtransaction that is rolled back.
"""

from psycopg import sql

ARGUMENTS = (
    "relation regclass DEFAULT NULL, key text DEFAULT NULL, deletion uuid DEFAULT NULL, "
    "since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL, "
    "with_parents boolean DEFAULT false, dry_run boolean DEFAULT false, skip boolean DEFAULT false"
)
TYPES = "regclass, text, uuid, timestamptz, timestamptz, boolean, boolean, boolean"
COUNTS = (
    "table_name text, rows bigint, asked bigint, below bigint, parents bigint, "
    "put_back bigint, left_alone bigint, skipped bigint"
)

LEAVE_OUT = sql.SQL("""WITH gone AS (
    DELETE FROM pg_temp.pgsoftproxy_chosen AS m USING pg_temp.pgsoftproxy_conflicts AS x
    WHERE m.rel = x.rel AND m.tup = x.tup RETURNING m.home
  )
  SELECT report || coalesce(jsonb_agg(jsonb_build_object('label', g.label, 'skipped', g.number)), '[]') INTO report
  FROM (SELECT p.label, count(*) AS number FROM gone JOIN ({places}) AS p USING (home) GROUP BY 1) AS g;""")

LEAVE_OUT_ORPHANS = sql.SQL("""LOOP
    more := 0;
    FOR taken IN {orphans} LOOP
      CONTINUE WHEN NOT EXISTS (SELECT FROM pg_temp.pgsoftproxy_chosen AS x WHERE x.home = taken.home);
      EXECUTE taken.query;
      GET DIAGNOSTICS found_rows = ROW_COUNT;
      more := more + found_rows;
    END LOOP;
    EXIT WHEN more = 0 OR NOT skip;
    {leave_out}
  END LOOP;""")
"""What hangs below a row that is left out finds no live parent, and so on down."""

RESTORE = sql.SQL("""
DECLARE
  one record;
  taken record;
  given text[];
  counts bigint[];
  depth int := 0;
  found_rows bigint;
  noted bigint;
  more bigint;
  known boolean := false;
  report jsonb := '[]';
BEGIN
  IF num_nonnulls(key, deletion, since, until) = 0 THEN
    RAISE EXCEPTION USING ERRCODE = '22023',
      MESSAGE = 'say which rows: by a deletion id, a key or the time of deletion';
  ELSIF key IS NOT NULL AND relation IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'a key needs a table';
  END IF;
  IF dry_run THEN
    BEGIN
      report := (SELECT jsonb_agg(to_jsonb(d))
        FROM pgsoftproxy.restore(relation, key, deletion, since, until, with_parents, false, skip) AS d);
      RAISE EXCEPTION SQLSTATE 'PSDRY';
    EXCEPTION WHEN SQLSTATE 'PSDRY' THEN
      RETURN QUERY SELECT d.* FROM jsonb_to_recordset(coalesce(report, '[]')) AS d ({counts});
      RETURN;
    END;
  END IF;
  {temporary}
  FOR one IN {tables} LOOP
    CONTINUE WHEN relation IS NULL AND NOT one.is_home OR relation <> one.of_table;
    known := true;
    IF deletion IS NOT NULL AND NOT one.notes_id OR num_nonnulls(since, until) > 0 AND NOT one.notes_time THEN
      CONTINUE WHEN relation IS NULL;
      RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('table "%s" does not note %s', one.label,
        CASE WHEN deletion IS NULL OR one.notes_id THEN 'the time of deletion' ELSE 'a deletion id' END);
    END IF;
    IF key IS NOT NULL THEN
      given := CASE WHEN cardinality(one.names) = 1 THEN ARRAY[key]
        WHEN cardinality(one.names) = 0 THEN NULL
        WHEN jsonb_typeof(key::jsonb) = 'array' THEN ARRAY(SELECT jsonb_array_elements_text(key::jsonb))
        ELSE ARRAY(SELECT key::jsonb ->> c.name FROM unnest(one.names) WITH ORDINALITY AS c (name, place)
          ORDER BY c.place) END;
      IF given IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('table "%s" has no primary key', one.label);
      ELSIF cardinality(given) <> cardinality(one.names) OR array_position(given, NULL) IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('the primary key of table "%s" is (%s)',
          one.label, array_to_string(one.names, ', ')),
          HINT = 'Give it as JSON: an object by column, or an array.';
      END IF;
    END IF;
    EXECUTE one.query USING deletion, since, until, given;
  END LOOP;
  IF NOT known THEN
    RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('table "%s" is not protected', relation),
      HINT = 'If the configuration says so, run: pgsoftproxy migrate';
  END IF;

  LOOP
    more := 0;
    ANALYZE pg_temp.pgsoftproxy_chosen;
    FOR one IN {below} LOOP
      CONTINUE WHEN NOT EXISTS (
        SELECT FROM pg_temp.pgsoftproxy_chosen AS x WHERE x.home = one.home AND x.step = depth);
      EXECUTE one.query USING depth;
      GET DIAGNOSTICS found_rows = ROW_COUNT;
      more := more + found_rows;
    END LOOP;
    EXIT WHEN more = 0;
    depth := depth + 1;
  END LOOP;
  LOOP
    EXIT WHEN NOT with_parents;
    more := 0;
    FOR one IN {above} LOOP
      CONTINUE WHEN NOT EXISTS (SELECT FROM pg_temp.pgsoftproxy_chosen AS x WHERE x.home = one.home);
      EXECUTE one.query;
      GET DIAGNOSTICS found_rows = ROW_COUNT;
      more := more + found_rows;
    END LOOP;
    ANALYZE pg_temp.pgsoftproxy_chosen;
    EXIT WHEN more = 0;
  END LOOP;

  FOR one IN {locks} LOOP
    CONTINUE WHEN NOT EXISTS (SELECT FROM pg_temp.pgsoftproxy_chosen AS x WHERE x.home = one.home);
    EXECUTE one.query;
  END LOOP;
  FOR one IN {keys} LOOP
    CONTINUE WHEN NOT EXISTS (SELECT FROM pg_temp.pgsoftproxy_chosen AS x WHERE x.home = one.home);
    FOR taken IN EXECUTE one.query LOOP
      EXECUTE taken.statement;
    END LOOP;
  END LOOP;
  IF skip THEN
    {leave_out}
  END IF;
  {leave_out_orphans}
  FOR one IN
    SELECT count(*) AS number, bool_or(n.kind = 'unique') AS of_key, string_agg(n.line, '; ')
        FILTER (WHERE n.place <= {shown}) AS lines
    FROM (SELECT c.kind, row_number() OVER told AS place, format('%s %s: %s', c.tab, k.told,
        CASE WHEN c.kind = 'parent' THEN format('%s (%s) for key "%s"', c.message, o.told, c.name)
        ELSE format('its key in "%s" is taken by %s %s', c.name,
          CASE WHEN c.restored THEN 'another row to be restored' ELSE 'row' END, o.told) END) AS line
      FROM pg_temp.pgsoftproxy_conflicts AS c
      CROSS JOIN LATERAL (SELECT string_agg(f.field || '=' || coalesce(f.held, 'NULL'), ', ')
        FROM jsonb_each_text(c.key) AS f (field, held)) AS k (told)
      CROSS JOIN LATERAL (SELECT string_agg(f.field || '=' || coalesce(f.held, 'NULL'), ', ')
        FROM jsonb_each_text(c.other) AS f (field, held)) AS o (told)
      WINDOW told AS (ORDER BY c.kind, c.tab, c.name, c.key, c.other)) AS n
    HAVING count(*) > 0 AND NOT skip
  LOOP
    RAISE EXCEPTION USING ERRCODE = CASE WHEN one.of_key THEN '23505' ELSE '23503' END,
      MESSAGE = format('nothing is restored: %s%s', one.lines,
        CASE WHEN one.number > {shown} THEN format('; and %s more', one.number - {shown}) END),
      HINT = CASE WHEN one.of_key THEN 'Change the rows that have the keys now.'
        ELSE 'Restore the parents first, or with them: with_parents => true.' END;
  END LOOP;

  FOR one IN {emptied} LOOP
    CONTINUE WHEN NOT EXISTS (SELECT FROM pg_temp.pgsoftproxy_chosen AS x WHERE x.home = one.home);
    EXECUTE one.query;
  END LOOP;
  FOR one IN {groups} LOOP
    CONTINUE WHEN NOT EXISTS (SELECT FROM pg_temp.pgsoftproxy_chosen AS x WHERE x.home = ANY (one.homes::oid[]));
    BEGIN
      EXECUTE one.query INTO counts USING NULL::oid, NULL::tid;
    EXCEPTION WHEN integrity_constraint_violation THEN
      IF NOT skip OR NOT one.is_alone THEN
        RAISE;
      END IF;
      FOR taken IN
        SELECT x.rel, x.tup FROM pg_temp.pgsoftproxy_chosen AS x
        WHERE x.home = one.homes[1]::oid ORDER BY x.rel, x.tup
      LOOP
        BEGIN
          EXECUTE one.query USING taken.rel, taken.tup;
        EXCEPTION WHEN integrity_constraint_violation THEN
          INSERT INTO pg_temp.pgsoftproxy_conflicts
          VALUES ('server', taken.rel, taken.tup, '', NULL, '', NULL, false, SQLERRM);
        END;
      END LOOP;
      {leave_out}
      {leave_out_orphans}
      CONTINUE;
    END;
    FOR place IN 1 .. cardinality(counts) LOOP
      more := (SELECT count(*) FROM pg_temp.pgsoftproxy_chosen AS x WHERE x.home = one.homes[place]);
      IF more <> counts[place] THEN
        RAISE EXCEPTION USING ERRCODE = '55000', MESSAGE = format(
          'a trigger or policy of "%s" keeps %s rows as they are', one.homes[place], more - counts[place]);
      END IF;
    END LOOP;
  END LOOP;
  FOR one IN {put_back} LOOP
    SELECT count(*) INTO noted FROM pg_temp.pgsoftproxy_links AS l WHERE l.link = one.number;
    CONTINUE WHEN noted = 0;
    EXECUTE one.query;
    GET DIAGNOSTICS found_rows = ROW_COUNT;
    report := report || jsonb_build_object('label', one.label, 'done', found_rows, 'other', noted - found_rows);
  END LOOP;
  {forget};
  FOR one IN {orphans} LOOP
    CONTINUE WHEN NOT EXISTS (SELECT FROM pg_temp.pgsoftproxy_chosen AS x WHERE x.home = one.home);
    EXECUTE one.query;
    GET DIAGNOSTICS found_rows = ROW_COUNT;
    IF found_rows > 0 THEN
      RAISE EXCEPTION USING ERRCODE = '23503',
        MESSAGE = format('a live row of "%s" would refer to a deleted one', one.home);
    END IF;
  END LOOP;
  RETURN QUERY
    SELECT coalesce(t.label, l.label), coalesce(t.every, 0), coalesce(t.asked, 0), coalesce(t.below, 0),
      coalesce(t.parent, 0), coalesce(l.done, 0), coalesce(l.other, 0), coalesce(l.skipped, 0)
    FROM (
      SELECT p.label, p.place, count(*) AS every, count(*) FILTER (WHERE x.because = 'asked') AS asked,
        count(*) FILTER (WHERE x.because = 'below') AS below,
        count(*) FILTER (WHERE x.because = 'parent') AS parent
      FROM pg_temp.pgsoftproxy_chosen AS x JOIN ({places}) AS p ON p.home = x.home GROUP BY 1, 2) AS t
    FULL JOIN (
      SELECT b.label, sum(b.done)::bigint AS done, sum(b.other)::bigint AS other, sum(b.skipped)::bigint AS skipped
      FROM jsonb_to_recordset(report) AS b (label text, done bigint, other bigint, skipped bigint) GROUP BY 1) AS l
    ON l.label = t.label
    ORDER BY t.place, l.label;
  DROP TABLE pg_temp.pgsoftproxy_chosen, pg_temp.pgsoftproxy_conflicts, pg_temp.pgsoftproxy_links;
END
""")
