"""Keys that count deleted rows become keys of live rows, by the same name, and back again."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.fix_proxy import RunningProxy
from tests.fix_servers import Database
from tests.schema.auditing import findings, pairs
from tests.schema.migrating import RULES, STAMPED, Migration
from tests.schema.planting import psql

STAMPS = "deleted_at timestamptz, deleted_by text, deletion_id uuid"
LIVE = "(deleted_at IS NULL)"
INDEXES = {
    "constraint": ("a text UNIQUE", "", f"t_a_key UNIQUE (a) WHERE {LIVE}"),
    "two columns": ("a text, b int, CONSTRAINT k UNIQUE (b, a)", "", f"k UNIQUE (b, a) WHERE {LIVE}"),
    "include": (
        "a text, b int, UNIQUE (a) INCLUDE (b)",
        "",
        f"t_a_b_key UNIQUE (a) INCLUDE (b) WHERE {LIVE}",
    ),
    "plain index": ("a text", "CREATE UNIQUE INDEX i ON t (a)", f"i UNIQUE (a) WHERE {LIVE}"),
    "order and classes": (
        "a text, b int",
        'CREATE UNIQUE INDEX "I" ON t (a COLLATE "C" text_pattern_ops DESC, b NULLS FIRST)',
        f'I UNIQUE (a COLLATE "C" text_pattern_ops DESC, b NULLS FIRST) WHERE {LIVE}',
    ),
    "expression": (
        "a text",
        "CREATE UNIQUE INDEX i ON t (lower(a)) WITH (fillfactor=70)",
        f"i UNIQUE (lower(a)) WITH (fillfactor='70') WHERE {LIVE}",
    ),
    "predicate": (
        "a text, b bool",
        "CREATE UNIQUE INDEX i ON t (a) WHERE b OR a <> ' WHERE '",
        f"i UNIQUE (a) WHERE ({LIVE} AND (b OR (a <> ' WHERE '::text)))",
    ),
    "nulls": (
        "a text, UNIQUE NULLS NOT DISTINCT (a)",
        "",
        f"t_a_key UNIQUE (a) NULLS NOT DISTINCT WHERE {LIVE}",
    ),
}
PARTITIONED = f"""
CREATE TABLE t (id int, part int, email text, {STAMPS}, PRIMARY KEY (id, part), UNIQUE (email, part))
  PARTITION BY LIST (part);
CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1);
CREATE TABLE t2 PARTITION OF t FOR VALUES IN (2, 3) PARTITION BY LIST (part);
CREATE TABLE t2a PARTITION OF t2 FOR VALUES IN (2);
CREATE UNIQUE INDEX lowered ON t (lower(email), part);
"""


def shown(database: Database, table: str = "t") -> list[str]:
    """Return the unique indexes of a table but its primary key, briefly."""
    rows = database.execute(
        "SELECT x.relname || ' UNIQUE ' || regexp_replace(pg_get_indexdef(i.indexrelid), '.* USING btree ', '') "
        "FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid "
        f"WHERE i.indrelid = '{table}'::regclass AND i.indisunique AND NOT i.indisprimary ORDER BY 1"
    )
    return [row[0] for row in rows]


def test_unique_keys_become_keys_of_live_rows(migration: Migration) -> None:
    database = migration.database
    for number, (columns, further, _) in enumerate(INDEXES.values()):
        database.execute(
            f"CREATE SCHEMA s{number}; SET search_path = s{number};"
            f"CREATE TABLE t (id int PRIMARY KEY, {columns}, {STAMPS}); {further}"
        )
    migration.configure(f'[tables."s*.t"]\n{STAMPED}')
    before = migration.dump()
    migration.run("--only", "unique")
    for number, (case, (_, _, wanted)) in enumerate(INDEXES.items()):
        assert (case, shown(database, f"s{number}.t")) == (case, [wanted])
    assert migration.ids("--only", "unique") == []
    migration.run("--down")
    assert migration.dump() == before


def test_deleted_rows_leave_their_keys_to_others(migration: Migration) -> None:
    database = migration.database
    database.execute(f"CREATE TABLE t (id int PRIMARY KEY, email text UNIQUE, {STAMPS})")
    database.execute("INSERT INTO t VALUES (1, 'a', now())")
    migration.run()
    database.execute("INSERT INTO t VALUES (2, 'a')")
    with pytest.raises(psycopg.errors.UniqueViolation) as caught:
        database.execute("INSERT INTO t VALUES (3, 'a')")
    assert caught.value.diag.constraint_name == "t_email_key"


def test_the_way_back_fails_where_a_deleted_row_has_a_live_ones_key_and_leaves_nothing(
    migration: Migration,
) -> None:
    database = migration.database
    database.execute(f"CREATE TABLE t (id int PRIMARY KEY, email text UNIQUE, {STAMPS})")
    migration.run()
    database.execute("INSERT INTO t VALUES (1, 'a', now()), (2, 'a', NULL)")
    code, out = migration.command("--yes", "--down", "--only", "unique")
    assert (code, "could not create unique index" in out) == (1, True)
    assert shown(database) == [f"t_email_key UNIQUE (email) WHERE {LIVE}"]
    database.execute("SET pgsoftproxy.delete = 'hard'; DELETE FROM t WHERE id = 1")
    migration.run("--down", "--only", "unique")
    assert shown(database) == ["t_email_key UNIQUE (email)"]


def test_comments_stay_with_the_key(migration: Migration) -> None:
    database = migration.database
    database.execute(
        f"CREATE TABLE t (id int PRIMARY KEY, email text UNIQUE, {STAMPS});"
        "COMMENT ON CONSTRAINT t_email_key ON t IS 'it''s theirs'"
    )
    migration.run()
    assert database.execute("SELECT obj_description('t_email_key'::regclass, 'pg_class')") == [
        ("it's theirs",)
    ]
    migration.run("--down")
    constraint = (
        "SELECT obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE conname = 't_email_key'"
    )
    assert database.execute(constraint) == [("it's theirs",)]


LEFT = {
    'foreign keys refer to it: "u_a_fkey"': "a text UNIQUE, {stamps}); CREATE TABLE s0.u (a text REFERENCES s0.t (a))",
    "deferrable": "a text UNIQUE DEFERRABLE, {stamps})",
    "clustered": "a text UNIQUE, {stamps}); CLUSTER s2.t USING t_a_key",
    "--exclusions": "r int4range, EXCLUDE USING gist (r WITH &&), {stamps})",
}
"""Why a key stays as it is, to the rest of the CREATE TABLE of schema s0, s1, ..."""


def test_keys_that_cannot_be_replaced_are_left_and_named(migration: Migration) -> None:
    for number, rest in enumerate(LEFT.values()):
        migration.database.execute(
            f"CREATE SCHEMA s{number}; CREATE TABLE s{number}.t (id int PRIMARY KEY, {rest.format(stamps=STAMPS)}"
        )
    migration.configure(f'[tables."s*.t"]\n{STAMPED}')
    plan = migration.plan("--only", "unique")
    assert plan["steps"] == []
    told = {remark["table"]: remark["message"] for remark in plan["remarks"]}
    assert len(told) == len(plan["remarks"]) == len(LEFT)
    for number, reason in enumerate(LEFT):
        assert reason in told[f"s{number}.t"]


def test_an_exclusion_constraint_is_rebuilt_if_asked_for(migration: Migration) -> None:
    database = migration.database
    database.execute(
        f"CREATE TABLE t (id int PRIMARY KEY, r int4range, b bool, {STAMPS},"
        "CONSTRAINT plain EXCLUDE USING gist (r WITH &&),"
        "CONSTRAINT later EXCLUDE USING gist (r WITH &&) WHERE (b) DEFERRABLE INITIALLY DEFERRED)"
    )
    before = migration.dump()
    steps = migration.plan("--exclusions")["steps"]
    locks = {(step["lock"], step["holds"]) for step in steps if step["kind"] == "exclusion"}
    assert locks == {("ACCESS EXCLUSIVE", True)}
    migration.run("--exclusions")
    definitions = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'x' ORDER BY conname"
    live = "((deleted_at IS NULL) AND b)"
    assert [row[0] for row in database.execute(definitions)] == [
        f"EXCLUDE USING gist (r WITH &&) WHERE ({live}) DEFERRABLE INITIALLY DEFERRED",
        "EXCLUDE USING gist (r WITH &&) WHERE ((deleted_at IS NULL))",
    ]
    assert migration.plan("--exclusions") == {"steps": [], "remarks": []}
    migration.run("--down")
    assert migration.dump() == before


def test_keys_of_a_partitioned_table_become_those_of_live_rows(migration: Migration) -> None:
    database = migration.database
    database.execute(PARTITIONED)
    before = migration.dump()
    migration.run()
    assert shown(database)[0] == f"lowered UNIQUE (lower(email), part) WHERE {LIVE}"
    database.execute("INSERT INTO t VALUES (1, 2, 'a', now()), (2, 2, 'a', NULL)")
    names = "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 't2a'::regclass AND NOT indisprimary"
    assert {"t2a_email_part_key", "t2a_lower_part_idx"} <= {row[0] for row in database.execute(names)}
    assert database.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]
    assert migration.plan() == {"steps": [], "remarks": []}
    database.execute("SET pgsoftproxy.delete = 'hard'; DELETE FROM t WHERE id = 1")
    migration.run("--down")
    assert migration.dump() == before


def test_what_was_built_before_a_run_was_cut_short_is_used(migration: Migration) -> None:
    database = migration.database
    database.execute(f"CREATE TABLE t (id int PRIMARY KEY, a text UNIQUE, {STAMPS})")
    before = migration.dump()
    steps: list[dict[str, Any]] = migration.plan("--only", "unique")["steps"]
    assert [step["id"] for step in steps] == [
        "schema:pgsoftproxy", "unique_build:public.t:t_a_key", "unique:public.t:t_a_key",
    ]  # fmt: skip
    with psycopg.connect(database.dsn) as other:
        other.execute("SELECT 1 FROM t")
        code, _ = migration.command("--yes", "--only", "unique", "--lock-timeout", "0.02", "--attempts", "1")
        assert code == 1
    assert migration.ids("--only", "unique") == ["unique:public.t:t_a_key"]
    migration.run("--only", "unique")
    assert shown(database) == [f"t_a_key UNIQUE (a) WHERE {LIVE}"]
    migration.run("--down")
    assert migration.dump() == before


UPSERTING = f"""
CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text UNIQUE, b text UNIQUE,
  n int DEFAULT 1, {STAMPS});
CREATE FUNCTION note(what text) RETURNS int LANGUAGE plpgsql AS $$ DECLARE found int; BEGIN
  INSERT INTO t (a) VALUES (what) ON CONFLICT (a) DO UPDATE SET n = t.n + 1 RETURNING n INTO found; RETURN found;
END $$;
CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO t (b) VALUES (NEW.id::text) ON CONFLICT (b) WHERE deleted_at IS NULL DO NOTHING; RETURN NEW;
END $$;
"""


def test_a_key_by_which_a_function_upserts_waits_until_the_function_names_live_rows(
    migration: Migration,
) -> None:
    database = migration.database
    database.execute(UPSERTING)
    plan = migration.plan("--only", "unique")
    assert {step["id"].partition(":")[2] for step in plan["steps"]} == {"pgsoftproxy", "public.t:t_b_key"}
    (remark,) = plan["remarks"]
    assert 'functions upsert by it, and would fail: "public.note"' in remark["message"]
    migration.run()
    found = {one["check"]: one for one in findings(migration)}
    assert set(found) == {"routine-leaks", "unique-counts-deleted"}
    assert remark["message"].partition("; ")[2] in found["unique-counts-deleted"]["mend"]
    psql(database, found["routine-leaks"]["mend"])
    assert database.execute("SELECT note('x'), note('x')") == [(1, 2)]
    migration.run()
    assert pairs(migration) == set()
    database.execute("UPDATE t SET deleted_at = now()")
    assert database.execute("SELECT note('x'), note('x')") == [(1, 2)]


def test_upserts_by_the_name_of_a_key_of_a_partition_or_with_equal_nulls_go_on(
    migration: Migration, start_proxy: Callable[..., RunningProxy]
) -> None:
    database = migration.database
    database.execute(
        f"{PARTITIONED} CREATE TABLE e (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text, n int DEFAULT 1,"
        f'{STAMPS}, CONSTRAINT "the Key" UNIQUE NULLS NOT DISTINCT (a))'
    )
    migration.run()
    proxy = start_proxy(database, RULES)
    with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
        upsert = (
            'INSERT INTO e (a) VALUES (NULL) ON CONFLICT ON CONSTRAINT "the Key" DO UPDATE SET n = e.n + 1'
        )
        upsert += " RETURNING n"
        part = "INSERT INTO t2a VALUES (1, 2, 'x') ON CONFLICT ON CONSTRAINT t2a_email_part_key DO UPDATE SET id = 7"
        answers = [connection.execute(upsert.encode()).fetchall() for _ in range(2)]
        assert connection.execute("DELETE FROM e").statusmessage == "DELETE 1"
        answers.append(connection.execute(upsert.encode()).fetchall())
        assert answers == [[(1,)], [(2,)], [(1,)]]
        assert [connection.execute(part.encode()).statusmessage for _ in range(2)] == ["INSERT 0 1"] * 2
        assert connection.execute("SELECT id FROM t").fetchall() == [(7,)]
