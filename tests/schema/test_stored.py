"""Stored views that show deleted rows are made anew by `migrate --stored`, with all that belonged to them."""

from tests.schema.migrating import Migration

TABLES = """
CREATE TABLE users (id int PRIMARY KEY, email text, deleted_at timestamptz);
INSERT INTO users VALUES (1, 'a', NULL), (2, 'b', now());
"""
KEPT = """
CREATE MATERIALIZED VIEW kept WITH (fillfactor = 70) AS SELECT id, email FROM users;
CREATE UNIQUE INDEX kept_id ON kept (id); CREATE INDEX "odd name" ON kept (lower(email)) WHERE id > 0;
CLUSTER kept USING kept_id;
COMMENT ON MATERIALIZED VIEW kept IS 'it''s theirs'; COMMENT ON COLUMN kept.email IS 'e';
ALTER MATERIALIZED VIEW kept OWNER TO {role};
GRANT SELECT ON kept TO PUBLIC WITH GRANT OPTION; GRANT SELECT (id) ON kept TO postgres;
"""
OBJECTS = """
SELECT c.reloptions::text, c.relacl::text, c.relowner::regrole::text, obj_description(c.oid),
       col_description(c.oid, 2), (SELECT array_agg(pg_get_indexdef(i.indexrelid) || i.indisclustered ORDER BY 1)
       FROM pg_index AS i WHERE i.indrelid = c.oid), (SELECT a.attacl::text FROM pg_attribute AS a
       WHERE a.attrelid = c.oid AND a.attname = 'id')
FROM pg_class AS c WHERE c.relname = 'kept'
"""


def test_a_materialized_view_keeps_all_that_belongs_to_it(migration: Migration, role: str) -> None:
    database = migration.database
    database.execute(TABLES + KEPT.format(role=role).replace("WITH GRANT OPTION", ""))
    before, dumped = database.execute(OBJECTS), migration.dump()
    migration.run("--stored")
    assert database.execute("SELECT id FROM kept") == [(1,)]
    assert database.execute(OBJECTS) == before
    assert migration.ids("--stored") == []
    migration.run("--down")
    assert database.execute("SELECT count(*) FROM kept") == [(2,)]
    assert (database.execute(OBJECTS), migration.dump()) == (before, dumped)


def test_a_materialized_view_that_holds_nothing_still_holds_nothing(migration: Migration) -> None:
    migration.database.execute(f"{TABLES} CREATE MATERIALIZED VIEW kept AS SELECT id FROM users WITH NO DATA")
    migration.run("--stored")
    populated = "SELECT relispopulated FROM pg_class WHERE relname = 'kept'"
    assert migration.database.execute(populated) == [(False,)]


def test_a_materialized_view_that_others_read_is_left_and_named(migration: Migration) -> None:
    migration.database.execute(
        f"{TABLES} CREATE MATERIALIZED VIEW kept AS SELECT id FROM users; CREATE VIEW above AS SELECT id FROM kept"
    )
    migration.run()
    plan = migration.plan("--stored")
    assert [step["id"] for step in plan["steps"]] == []
    assert {remark["table"] for remark in plan["remarks"]} == {"public.kept", "public.above"}
    assert 'it cannot be dropped: "public.above" read it' in plan["remarks"][0]["message"]


def test_views_are_mended_from_below_and_only_those_that_need_it(migration: Migration) -> None:
    migration.database.execute(
        f"{TABLES} CREATE VIEW a_top AS SELECT m.id FROM middle_less AS m, users AS u".replace(
            "middle_less", "users"
        )
        + "; CREATE VIEW z_base AS SELECT id FROM users; CREATE VIEW middle AS SELECT id FROM z_base;"
        "CREATE VIEW b_both AS SELECT m.id FROM middle AS m JOIN users AS u ON u.id = m.id"
    )
    migration.run()
    ids = migration.ids("--stored")
    assert ids == ["stored:public.a_top", "stored:public.z_base", "stored:public.b_both"]
    migration.run("--stored")
    assert migration.ids("--stored") == []
    for view in ("a_top", "z_base", "middle", "b_both"):
        assert migration.database.execute(f"SELECT DISTINCT id FROM {view}") == [(1,)]


def test_the_way_back_leads_to_the_view_that_was_there_last(migration: Migration) -> None:
    database = migration.database
    database.execute(f"{TABLES} CREATE VIEW everybody AS SELECT id FROM users")
    migration.run("--stored")
    database.execute("CREATE OR REPLACE VIEW everybody AS SELECT id, email FROM users")
    before = database.execute("SELECT pg_get_viewdef('everybody'::regclass)")
    migration.run("--stored")
    assert database.execute("SELECT * FROM everybody") == [(1, "a")]
    migration.run("--down")
    assert database.execute("SELECT pg_get_viewdef('everybody'::regclass)") == before
