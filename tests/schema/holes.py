"""Ways in which deleted rows leak or are destroyed past the proxy: DDL over a sound schema, and what `audit` finds."""

from dataclasses import dataclass

STAMPS = "deleted_at timestamptz, deleted_by text, deletion_id uuid"
RULES = """
[tables."app.*"]
deleted_by = "deleted_by"
deletion_id = "deletion_id"
"""
SOUND = f"""
CREATE SCHEMA app;
CREATE SCHEMA other;
CREATE TYPE app.state AS ENUM ('new', 'old');
CREATE TABLE app.users (id int PRIMARY KEY, email text, {STAMPS});
CREATE UNIQUE INDEX users_email ON app.users (email) WHERE deleted_at IS NULL;
CREATE TABLE app.orders (
    id int PRIMARY KEY, user_id int REFERENCES app.users ON DELETE CASCADE, total numeric, during int4range,
    {STAMPS},
    CONSTRAINT apart EXCLUDE USING gist (during WITH &&) WHERE (deleted_at IS NULL));
CREATE TABLE app.events (id int, day date, {STAMPS}, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE app.events_all PARTITION OF app.events DEFAULT;
CREATE TABLE other.settings (name text PRIMARY KEY, value text);
CREATE TABLE other.audit_log (at timestamptz, what text);
CREATE VIEW app.live_users AS SELECT id, email FROM app.users WHERE deleted_at IS NULL;
CREATE VIEW app.spenders AS SELECT u.id, o.total FROM app.live_users u
    JOIN (app.orders o JOIN (SELECT) AS s ON o.deleted_at IS NULL) ON o.user_id = u.id;
CREATE SCHEMA api;
CREATE VIEW api.orders WITH (security_barrier) AS SELECT id, total FROM app.orders WHERE deleted_at IS NULL;
CREATE MATERIALIZED VIEW app.totals AS SELECT sum(total) AS total FROM app.orders o WHERE o.deleted_at IS NULL;
CREATE FUNCTION app.email_of(wanted int) RETURNS text LANGUAGE sql
    AS 'SELECT email FROM app.users WHERE deleted_at IS NULL AND id = wanted';
CREATE FUNCTION app.find_user(wanted int, OUT found app.users) LANGUAGE plpgsql AS $$
DECLARE
    one app.users%ROWTYPE;
    state app.state := 'new';
    many int := (SELECT count(*) FROM app.orders AS o WHERE o.deleted_at IS NULL AND o.user_id = wanted);
    every CURSOR FOR SELECT * FROM users u WHERE u.deleted_at IS NULL;
BEGIN
    SELECT * INTO one FROM app.users AS u WHERE u.id = wanted AND u.deleted_at IS NULL;
    IF EXISTS (SELECT FROM app.orders o WHERE o.user_id = one.id AND o.deleted_at IS NULL) OR many > 0 THEN
        UPDATE app.users SET deleted_at = now() WHERE users.id = wanted AND users.deleted_at IS NULL;
        INSERT INTO app.orders (id, user_id) VALUES (wanted, one.id);
        RAISE NOTICE 'DELETE FROM app.users';
    END IF;
    EXECUTE 'SELECT count(*) FROM other.settings' INTO many;
    found := one;
END $$;
CREATE PROCEDURE app.note(what text) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO other.audit_log VALUES (now(), what);
    DELETE FROM other.audit_log AS l WHERE l.at < now() - interval '1 year';
    COMMIT;
END $$;
CREATE FUNCTION app.stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.total := coalesce(NEW.total, 0);
    PERFORM 1 FROM app.users u WHERE u.id = NEW.user_id AND u.deleted_at IS NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON app.orders FOR EACH ROW EXECUTE FUNCTION app.stamp();
CREATE RULE quiet AS ON INSERT TO other.settings WHERE NEW.name = 'x' DO INSTEAD NOTHING;
"""
"""With all that is right: `migrate` has nothing to do with it but to add its own, and `audit` then finds nothing."""


@dataclass(frozen=True, slots=True)
class Hole:
    """One hole: the check that finds it, the object that it names, the DDL; `rules` are added to the configuration.

    `before` is there already when `migrate` equips the schema. `also`: what it cannot but bring with it.
    `by`: who mends it, if not who mends others of that check.
    """

    check: str
    object: str
    ddl: str
    rules: str = ""
    before: str = ""
    also: tuple[str, str] | None = None
    by: str = ""

    @property
    def mended_by(self) -> str:
        """Return who mends it, as the JSON of its finding says."""
        return self.by or MENDED_BY[self.check]


MENDED_BY = {
    "view-leaks": "migrate",
    "matview-leaks": "migrate",
    "parent-leaks": "configuration",
    "publication-leaks": "sql",
    "routine-leaks": "sql",
    "routine-destroys": "sql",
    "routine-unreadable": "hand",
    "trigger-leaks": "sql",
    "trigger-destroys": "sql",
    "trigger-never-fires": "sql",
    "rule-leaks": "sql",
    "rule-destroys": "sql",
    "rule-interferes": "sql",
    "cascade-destroys": "migrate",
    "guard-missing": "migrate",
    "role-may-delete": "migrate",
    "role-owns": "sql",
    "links-missing": "migrate",
    "child-outlives": "configuration",
    "unique-counts-deleted": "migrate",
    "unique-misses-live": "sql",
    "exclusion-counts-deleted": "migrate",
    "column-missing": "migrate",
    "rule-unmet": "hand",
    "index-missing": "migrate",
    "name-ambiguous": "sql",
    "table-unconfigured": "configuration",
    "mostly-deleted": "hand",
    "bloated": "sql",
}


def body(text: str) -> str:
    """Return a body in dollar quotes."""
    return f"$body$ {text} $body$"


HOLES = (
    Hole("view-leaks", "other.everybody", "CREATE VIEW other.everybody AS SELECT * FROM app.users"),
    Hole(
        "view-leaks",
        "other.joined",
        "CREATE VIEW other.joined AS SELECT o.id FROM app.orders o LEFT JOIN app.users u ON u.id = o.user_id "
        "WHERE o.deleted_at IS NULL AND u.deleted_at IS NULL",
    ),
    Hole(
        "matview-leaks",
        "other.kept",
        "CREATE MATERIALIZED VIEW other.kept AS SELECT id, email FROM app.users",
    ),
    Hole(
        "parent-leaks",
        "other.above",
        "",
        '[tables."other.below"]\n',
        before="CREATE TABLE other.above (id int, note text); "
        "CREATE TABLE other.below (deleted_at timestamptz, PRIMARY KEY (id)) INHERITS (other.above)",
    ),
    Hole("publication-leaks", "sent", "CREATE PUBLICATION sent FOR TABLE app.users, other.settings"),
    Hole(
        "view-leaks",
        "other.above_it",
        "CREATE VIEW other.below_it AS SELECT email FROM app.users; "
        "CREATE VIEW other.above_it WITH (security_barrier) AS SELECT email FROM other.below_it",
        also=("view-leaks", "other.below_it"),
    ),
    Hole(
        "view-leaks",
        "other.above_that",
        "CREATE VIEW other.below_that AS SELECT email FROM app.users; "
        "CREATE VIEW other.above_that AS SELECT b.email, o.id FROM other.below_that b, app.orders o",
        also=("view-leaks", "other.below_that"),
    ),
    Hole("publication-leaks", "everything", "CREATE PUBLICATION everything FOR ALL TABLES"),
    Hole("publication-leaks", "in_schema", "CREATE PUBLICATION in_schema FOR TABLES IN SCHEMA app"),
    Hole(
        "routine-leaks",
        "other.count_users()",
        "CREATE FUNCTION other.count_users() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM app.users'",
    ),
    Hole(
        "routine-leaks",
        "other.first_user()",
        "CREATE FUNCTION other.first_user() RETURNS app.users LANGUAGE plpgsql AS "
        + body("DECLARE r app.users%ROWTYPE; BEGIN SELECT * INTO r FROM app.users; RETURN r; END"),
    ),
    Hole(
        "routine-leaks",
        "other.by_name()",
        "CREATE FUNCTION other.by_name() RETURNS SETOF text LANGUAGE plpgsql AS "
        + body("BEGIN RETURN QUERY EXECUTE 'SELECT email FROM app.users'; END"),
    ),
    Hole(
        "routine-leaks",
        "other.atomic()",
        "CREATE FUNCTION other.atomic() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM app.orders; END",
    ),
    Hole(
        "routine-leaks",
        "other.touch(integer)",
        "CREATE PROCEDURE other.touch(who int) LANGUAGE plpgsql AS "
        + body("BEGIN UPDATE app.users SET email = lower(email) WHERE id = who; END"),
    ),
    Hole(
        "routine-destroys",
        "other.cleanup(integer)",
        "CREATE FUNCTION other.cleanup(days int) RETURNS void LANGUAGE plpgsql AS "
        + body("BEGIN IF days > 0 THEN DELETE FROM app.users WHERE deleted_at IS NULL; END IF; END"),
    ),
    Hole(
        "routine-destroys",
        "other.empty()",
        "CREATE PROCEDURE other.empty() LANGUAGE sql AS 'TRUNCATE app.orders'",
    ),
    Hole(
        "routine-unreadable",
        "other.run(text)",
        "CREATE FUNCTION other.run(what text) RETURNS void LANGUAGE plpgsql AS "
        + body("BEGIN EXECUTE what; END"),
    ),
    Hole(
        "routine-destroys",
        "other.forget(integer)",
        "CREATE PROCEDURE other.forget(who int) BEGIN ATOMIC DELETE FROM app.users WHERE id = who; END",
    ),
    Hole(
        "routine-leaks",
        "other.everywhere(integer)",
        "CREATE FUNCTION other.everywhere(who int) RETURNS text LANGUAGE plpgsql AS "
        + body(
            "DECLARE found text; many int := (SELECT count(*) FROM app.orders o WHERE o.user_id = who); one record; "
            "BEGIN SELECT email INTO found FROM app.users WHERE id = who; -- FROM app.users\n"
            "FOR one IN SELECT * FROM app.users LOOP many := many + (SELECT count(*) FROM app.orders); END LOOP; "
            "IF EXISTS (SELECT FROM app.orders) THEN UPDATE app.users SET email = found WHERE id = who "
            "RETURNING email INTO STRICT found; END IF; "
            "RAISE NOTICE '%', found; RETURN (SELECT email FROM app.users u WHERE u.id = who); END"
        ),
    ),
    Hole(
        "trigger-leaks",
        "other.settings:counts",
        "CREATE FUNCTION other.counts() RETURNS trigger LANGUAGE plpgsql AS "
        + body("BEGIN NEW.value := (SELECT count(*) FROM app.users); RETURN NEW; END")
        + "; CREATE TRIGGER counts BEFORE INSERT ON other.settings FOR EACH ROW EXECUTE FUNCTION other.counts()",
    ),
    Hole(
        "trigger-destroys",
        "other.settings:removes",
        "CREATE FUNCTION other.removes() RETURNS trigger LANGUAGE plpgsql AS "
        + body("BEGIN DELETE FROM app.orders o WHERE o.id::text = OLD.name; RETURN OLD; END")
        + "; CREATE TRIGGER removes AFTER DELETE ON other.settings FOR EACH ROW EXECUTE FUNCTION other.removes()",
    ),
    Hole(
        "trigger-never-fires",
        "app.orders:goodbye",
        "CREATE FUNCTION other.goodbye() RETURNS trigger LANGUAGE plpgsql AS "
        + body("BEGIN INSERT INTO other.audit_log VALUES (now(), OLD.id::text); RETURN OLD; END")
        + "; CREATE TRIGGER goodbye AFTER DELETE ON app.orders FOR EACH ROW EXECUTE FUNCTION other.goodbye()",
    ),
    Hole(
        "rule-leaks",
        "other.settings:copies",
        "CREATE RULE copies AS ON INSERT TO other.settings DO ALSO "
        "INSERT INTO other.audit_log SELECT now(), email FROM app.users",
    ),
    Hole(
        "rule-destroys",
        "other.settings:sweeps",
        "CREATE RULE sweeps AS ON DELETE TO other.settings DO ALSO DELETE FROM app.orders WHERE total = 0",
    ),
    Hole(
        "rule-interferes",
        "app.users:instead",
        "CREATE RULE instead AS ON DELETE TO app.users DO INSTEAD NOTHING",
    ),
    Hole(
        "cascade-destroys",
        "other.accounts",
        "ALTER TABLE app.orders DISABLE TRIGGER pgsoftproxy_keep",
        before="CREATE TABLE other.accounts (id int PRIMARY KEY); "
        "ALTER TABLE app.orders ADD account int REFERENCES other.accounts ON DELETE CASCADE",
        also=("guard-missing", "app.orders"),
    ),
    Hole(
        "guard-missing",
        "app.users",
        "ALTER TABLE app.users DISABLE TRIGGER pgsoftproxy_keep",
    ),
    Hole("role-may-delete", "{role} on app.users", "GRANT DELETE, TRUNCATE ON app.users TO {role}"),
    Hole(
        "role-owns",
        "{login}",
        "ALTER TABLE app.orders OWNER TO {login}",
    ),
    Hole(
        "links-missing",
        "app.users",
        "DROP TRIGGER pgsoftproxy_deleted ON app.users",
    ),
    Hole(
        "child-outlives",
        "other.avatars.avatars_user_id_fkey",
        "",
        before="CREATE TABLE other.avatars (user_id int PRIMARY KEY REFERENCES app.users ON DELETE CASCADE)",
    ),
    Hole(
        "unique-counts-deleted",
        "app.orders:orders_total_key",
        "ALTER TABLE app.orders ADD UNIQUE (total)",
    ),
    Hole(
        "unique-counts-deleted",
        "app.people:people_email",
        "ALTER TABLE app.people ADD CONSTRAINT people_email UNIQUE (email); "
        "CREATE UNIQUE INDEX people_name ON app.people (lower(name))",
        before="CREATE TABLE app.people (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text, name text, "
        f"visits int DEFAULT 0, {STAMPS}); "
        "CREATE TABLE app.letters (id int PRIMARY KEY, to_id int REFERENCES app.people ON DELETE CASCADE, "
        f"{STAMPS})",
        also=("unique-counts-deleted", "app.people:people_name"),
    ),
    Hole(
        "unique-misses-live",
        "app.orders:loose",
        "CREATE UNIQUE INDEX loose ON app.orders (user_id, total, deleted_at)",
    ),
    Hole(
        "exclusion-counts-deleted",
        "app.orders:always_apart",
        "ALTER TABLE app.orders ADD CONSTRAINT always_apart EXCLUDE USING gist (during WITH &&)",
    ),
    Hole(
        "column-missing",
        "other.parts",
        "CREATE TABLE other.parts (id int)",
        '[tables."other.parts"]\n',
    ),
    Hole("rule-unmet", "{nowhere}", "", '[tables."other.nowhere"]\n'),
    Hole(
        "index-missing",
        "app.events",
        "DO $$ DECLARE found text; BEGIN SELECT i.indexrelid::regclass INTO found FROM pg_index AS i "
        "WHERE i.indrelid = 'app.events'::regclass AND i.indexrelid::regclass::text LIKE '%deletion_events%'; "
        "EXECUTE 'DROP INDEX ' || found; END $$",
    ),
    Hole("name-ambiguous", "other.users", "CREATE TABLE other.users (id int)"),
    Hole("table-unconfigured", "other.invoices", "CREATE TABLE other.invoices (id int, is_deleted boolean)"),
    Hole(
        "unique-counts-deleted",
        "app.users:users_code_key",
        "",
        before="ALTER TABLE app.users ADD code text UNIQUE; "
        "CREATE TABLE other.badges (id int PRIMARY KEY, code text REFERENCES app.users (code))",
        by="hand",
    ),
    Hole(
        "mostly-deleted",
        "app.visits",
        "ANALYZE app.visits",
        before=f"CREATE TABLE app.visits (id int PRIMARY KEY, {STAMPS}); INSERT INTO app.visits "
        "SELECT n, CASE WHEN n % 10 < 7 THEN now() END FROM generate_series(1, 2000) AS n",
    ),
    Hole(
        "bloated",
        "app.notes",
        "ANALYZE app.notes",
        before=f"CREATE TABLE app.notes (id int PRIMARY KEY, note text, {STAMPS}) WITH (autovacuum_enabled = off); "
        "INSERT INTO app.notes SELECT n, repeat('x', 1000) FROM generate_series(1, 12000) AS n; "
        "DELETE FROM app.notes WHERE id % 10 > 0",
    ),
)
