"""`migrate` from end to end: what it plans, does, takes back, and that it does it once."""

from tests.relations.test_triggers import FAMILY
from tests.schema.migrating import STAMPED, Migration


def test_a_second_plan_is_empty(migration: Migration) -> None:
    migration.database.execute(FAMILY)
    assert migration.run()
    assert migration.plan() == {"steps": [], "remarks": []}


def test_the_way_back_leaves_the_schema_as_it_was(migration: Migration) -> None:
    migration.database.execute(FAMILY)
    before = migration.dump()
    migration.run()
    assert migration.dump() != before
    migration.run("--down")
    assert migration.dump() == before
    assert migration.ids("--down") == []


def test_missing_columns_are_added_to_tables_that_are_named(migration: Migration) -> None:
    migration.database.execute("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)")
    migration.configure(f'[tables."public.a"]\n{STAMPED}[tables."public.*"]\n')
    before = migration.dump()
    migration.run()
    columns = (
        "SELECT attrelid::regclass::text, attname::text, atttypid::regtype::text FROM pg_attribute "
        "WHERE attrelid IN ('a'::regclass, 'b'::regclass) AND attnum > 1 ORDER BY attnum"
    )
    assert migration.database.execute(columns) == [
        ("a", "deleted_at", "timestamp with time zone"),
        ("a", "deleted_by", "text"),
        ("a", "deletion_id", "uuid"),
    ]
    assert migration.plan()["steps"] == []
    migration.run("--down")
    assert migration.dump() == before


def test_columns_that_hold_deletions_are_not_dropped(migration: Migration) -> None:
    migration.database.execute("CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)")
    migration.configure('[tables."public.a"]\n')
    migration.run()
    migration.database.execute("UPDATE a SET deleted_at = now()")
    code, out = migration.command("--yes", "--down")
    assert code == 1
    assert 'column "deleted_at" of table "public.a" holds values' in out
    assert "would be live again" in out
    assert migration.database.execute("SELECT count(*) FROM a WHERE deleted_at IS NOT NULL") == [(1,)]


def test_partitions_get_their_part_of_an_index(migration: Migration) -> None:
    stamps = "deleted_at timestamptz, deleted_by text, deletion_id uuid"
    migration.database.execute(
        f"CREATE TABLE p (id int, part int, {stamps}, PRIMARY KEY (id, part)) PARTITION BY LIST (part);"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);"
        "CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2, 3) PARTITION BY LIST (part);"
        "CREATE TABLE p2a PARTITION OF p2 FOR VALUES IN (2);"
        f"CREATE TABLE c (id int PRIMARY KEY, a int, b int, {stamps},"
        " FOREIGN KEY (a, b) REFERENCES p ON DELETE CASCADE)"
    )
    before = migration.dump()
    migration.run()
    invalid = "SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid"
    assert migration.database.execute(invalid) == []
    assert migration.plan() == {"steps": [], "remarks": []}
    migration.run("--down")
    assert migration.dump() == before


def test_privileges_to_remove_rows_are_revoked_and_come_back(migration: Migration, role: str) -> None:
    migration.database.execute(
        f"CREATE TABLE t (id int PRIMARY KEY, deleted_at timestamptz); GRANT ALL ON t TO {role} WITH GRANT OPTION;"
        "GRANT DELETE ON t TO PUBLIC"
    )
    held = "SELECT array_agg(p) FROM unnest('{SELECT,UPDATE,DELETE,TRUNCATE}'::text[]) AS p WHERE "
    held += f"has_table_privilege('{role}', 't', p)"
    before = migration.dump()
    migration.run()
    assert migration.database.execute(held) == [(["SELECT", "UPDATE"],)]
    assert migration.ids() == []
    migration.run("--down")
    assert migration.dump() == before


def test_a_role_that_may_delete_hard_keeps_its_privilege(migration: Migration, role: str) -> None:
    migration.database.execute(
        f"CREATE TABLE t (id int PRIMARY KEY, deleted_at timestamptz); GRANT DELETE ON t TO {role}"
    )
    migration.configure(f'[tables."public.*"]\n[roles.{role}]\nhard_delete = true\n')
    assert [step for step in migration.ids() if step.startswith("revoke")] == []


def test_only_and_skip_choose_kinds_of_step(migration: Migration, role: str) -> None:
    migration.database.execute(f"{FAMILY} GRANT DELETE ON users TO {role}")
    assert migration.ids("--only", "revoke") == ["schema:pgsoftproxy", f"revoke:public.users:{role}"]
    kinds = {step["kind"] for step in migration.plan("--skip", "trigger", "--skip", "index")["steps"]}
    assert kinds == {"schema", "revoke"}
    code, out = migration.command("--only", "columns")
    assert (code, "kinds of step are schema, column," in out) == (2, True)


def test_what_no_step_can_mend_is_told_and_nothing_is_done(migration: Migration) -> None:
    migration.configure('[tables."public.nowhere"]\n')
    code, out = migration.command("--yes")
    assert (code, 'table "public.nowhere" does not exist' in out) == (2, True)


def test_without_a_terminal_the_plan_is_only_shown(migration: Migration) -> None:
    migration.database.execute(FAMILY)
    code, out = migration.command()
    assert code == 0
    assert "SHARE ROW EXCLUSIVE" in out and "CREATE INDEX CONCURRENTLY" in out
    assert migration.database.execute("SELECT to_regnamespace('pgsoftproxy')") == [(None,)]


def test_the_history_outlives_the_way_back(migration: Migration) -> None:
    migration.database.execute(FAMILY)
    migration.run()
    migration.database.execute(
        "UPDATE users SET deleted_at = now() WHERE id = 3; UPDATE users SET deleted_at = NULL"
    )
    assert "kept" in migration.plan("--down")["remarks"][0]["message"]
    migration.run("--down")
    assert migration.database.execute("SELECT count(*) FROM pgsoftproxy.ledger") == [(1,)]
    migration.run()
    assert migration.ids() == []


def test_a_trigger_that_was_disabled_or_changed_is_made_anew(migration: Migration) -> None:
    migration.database.execute(FAMILY)
    migration.run()
    migration.database.execute(
        "ALTER TABLE users DISABLE TRIGGER pgsoftproxy_keep;"
        "DROP TRIGGER pgsoftproxy_keep_all ON orders;"
        "CREATE OR REPLACE FUNCTION pgsoftproxy.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'"
    )
    assert migration.ids() == [
        "function:pgsoftproxy",
        "trigger:public.orders",
        "trigger:public.users",
    ]
    migration.run()
    assert migration.ids() == []


def test_what_the_configuration_no_longer_asks_for_is_dropped(migration: Migration) -> None:
    migration.database.execute(FAMILY)
    migration.run()
    migration.configure(f'[tables."public.users"]\n{STAMPED}')
    assert {step["kind"] for step in migration.plan()["steps"]} == {"trigger"}
    migration.run()
    triggers = "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"
    children = ["invoices", "logins", "orders", "reviews", "users"]
    assert set(row[0] for row in migration.database.execute(triggers)) <= set(children)
    assert migration.ids() == []


ODD = f"""
CREATE SCHEMA "Odd USING (x)";
CREATE TABLE "Odd USING (x)"."a ""table"" %s {{}}" (
  "the ""key"" " int PRIMARY KEY, "E-mail; --" text UNIQUE, "naïve" text, "gone?" boolean NOT NULL DEFAULT false);
CREATE UNIQUE INDEX "i USING btree WHERE (" ON "Odd USING (x)"."a ""table"" %s {{}}" (lower("naïve"))
  WHERE "naïve" <> 'it''s %s {{}}';
CREATE TABLE "Odd USING (x)"."{"é" * 31}" (
  id int PRIMARY KEY, up int REFERENCES "Odd USING (x)"."a ""table"" %s {{}}" ON DELETE CASCADE,
  "gone?" boolean NOT NULL DEFAULT false);
"""


def test_odd_names_and_flags_that_are_not_null(migration: Migration) -> None:
    migration.database.execute(ODD)
    migration.configure('[defaults]\ncolumn = "gone?"\n[tables."Odd USING (x).*"]\n')
    before = migration.dump()
    options = ("--rls", "--views")
    migration.run(*options)
    assert migration.plan(*options) == {"steps": [], "remarks": []}
    predicates = (
        "SELECT pg_get_expr(indpred, indrelid) FROM pg_index WHERE indisunique AND indpred IS NOT NULL"
    )
    assert {row[0] for row in migration.database.execute(predicates)} == {
        '(NOT "gone?")',
        """((NOT "gone?") AND ("naïve" <> 'it''s %s {}'::text))""",
    }
    migration.run("--down")
    assert migration.dump() == before


def test_an_owner_who_is_no_superuser_can_run_it(migration: Migration, role: str) -> None:
    database = migration.database
    database.execute(
        f"ALTER ROLE {role} LOGIN; GRANT CREATE ON DATABASE {database.name} TO {role}; "
        f"GRANT CREATE ON SCHEMA public TO {role}; SET ROLE {role}; {FAMILY}"
        "CREATE UNIQUE INDEX emails ON users (email); RESET ROLE"
    )
    before = migration.dump()
    dsn = database.server.dsn(database.name, role)
    migration.run("--dsn", dsn, "--rls", "--views")
    assert migration.ids("--dsn", dsn, "--rls", "--views") == []
    migration.run("--dsn", dsn, "--down")
    assert migration.dump() == before
    database.execute(f"DROP OWNED BY {role}")


def test_a_partition_that_is_a_foreign_table_is_named_for_each_index_that_is_not_built(
    migration: Migration,
) -> None:
    migration.database.execute(
        "CREATE FOREIGN DATA WRAPPER files; CREATE SERVER files FOREIGN DATA WRAPPER files;"
        "CREATE TABLE p (id int, part int, deleted_at timestamptz) PARTITION BY LIST (part);"
        "CREATE FOREIGN TABLE p1 PARTITION OF p FOR VALUES IN (1) SERVER files"
    )
    migration.configure('[tables."public.*"]\n')
    plan = migration.plan()
    assert [step["id"] for step in plan["steps"] if step["kind"] == "index"] == []
    (remark,) = plan["remarks"]
    assert remark["table"] == "public.p"
    assert "no index of deleted rows (deleted_at): a partition is a foreign table" in remark["message"]
