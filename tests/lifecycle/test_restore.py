"""`restore`: after it the live rows are those from before the deletion; what stands in its way is named."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg
import pytest

from pgsoftproxy.model.policy import TableRule
from tests.fix_proxy import ROOT
from tests.lifecycle.restoring import COLUMNS, RULES, SHOP, Lifecycle, deletion
from tests.relations.twins import equip


@dataclass(frozen=True, slots=True)
class Case:
    """A deletion, and the arguments that take it back."""

    table: str
    where: str
    arguments: Sequence[str]


ID = deletion(1)
CASES = {
    "a deletion of one row": Case("users", "id = 1", ["--deletion", ID]),
    "several rows": Case("users", "id IN (1, 2)", ["--deletion", ID]),
    "all rows": Case("users", "true", ["--deletion", ID]),
    "by key": Case("users", "id = 1", ["users", "1"]),
    "by a key of two columns": Case("items", "id = 4", ["public.items", "1", "4"]),
    "by predicate": Case("users", "id < 3", ["users", "--where", "id < 3 -- and its orders"]),
    "by predicate with a percent sign": Case("users", "id = 1", ["users", "--where", "email LIKE 'A%'"]),
    "by time": Case("orders", "id > 2", ["--since", "yesterday"]),
    "by time of one table": Case("users", "id = 2", ["users", "--since", "-infinity", "--until", "infinity"]),
}


def test_after_a_restore_all_is_as_it_was_before_the_deletion(shop: Lifecycle) -> None:
    before = shop.live()
    for name, case in CASES.items():
        shop.delete(case.table, case.where)
        deleted = shop.live()
        assert deleted != before
        dry = shop.restore(*case.arguments, "--dry-run")
        assert shop.live() == deleted
        report = shop.restore(*case.arguments)
        assert report == {**dry, "done": True}
        assert report["rows"] > 0 and report["conflicts"] == []
        assert (name, shop.live()) == (name, before)
        stamped = "SELECT count(*) FROM {} WHERE num_nonnulls(deleted_at, deleted_by, deletion_id) > 0"
        for table in ("users", "orders", "items", "reviews"):
            assert shop.database.execute(stamped.format(table)) == [(0,)]
        assert shop.database.execute("SELECT count(*) FROM pgsoftproxy.journal") == [(0,)]


def test_nothing_is_left_to_restore_after_it(shop: Lifecycle) -> None:
    shop.delete("users", "id = 1")
    assert shop.restore("users", "1")["rows"] == 16
    assert shop.restore("users", "1", code=4)["rows"] == 0


def test_the_report_says_what_comes_back_in_which_order(shop: Lifecycle) -> None:
    shop.delete("users", "id = 1")
    report = shop.restore("users", "1", "--dry-run")
    assert [(row["table"], row["asked"], row["below"]) for row in report["tables"]] == [
        ("public.users", 1, 0), ("public.orders", 0, 3), ("public.items", 0, 6), ("public.notes", 0, 6),
    ]  # fmt: skip
    links = {link["link"]: (link["put_back"], link["left"]) for link in report["links"]}
    assert links == {
        "public.users.users_boss_fkey": (2, []),
        "public.orders.orders_seller_fkey": (1, []),
        "public.reviews.reviews_author_fkey": (1, []),
    }


def test_rows_that_were_deleted_by_themselves_before_or_after_are_left_alone(shop: Lifecycle) -> None:
    shop.delete("orders", "id = 2", 7)
    before = shop.live()
    shop.delete("users", "id = 1", 1)
    shop.delete("orders", "id = 1", 8)
    shop.restore("users", "1")
    shop.restore("orders", "1")
    assert shop.live() == before


def test_a_part_of_a_deletion_comes_back_by_itself_under_a_live_parent(shop: Lifecycle) -> None:
    shop.delete("orders", "id < 4")
    report = shop.restore("orders", "2")
    assert [(row["table"], row["rows"]) for row in report["tables"]] == [
        ("public.orders", 1), ("public.items", 2), ("public.notes", 2),
    ]  # fmt: skip


def test_a_child_of_a_deleted_parent_is_refused_unless_the_parents_come_too(shop: Lifecycle) -> None:
    shop.delete("users", "id = 1")
    deleted = shop.live()
    report = shop.restore("items", "1", "1", code=1)
    assert not report["done"] and shop.live() == deleted
    assert [(c["kind"], c["table"], c["key"], c["name"], c["other"]) for c in report["conflicts"]] == [
        ("parent", "public.items", {"id": 1, "shop": 1}, "items_order_id_fkey", {"id": 2})
    ]
    report = shop.restore("items", "1", "1", "--with-parents")
    assert [(row["table"], row["asked"], row["below"], row["parents"]) for row in report["tables"]] == [
        ("public.users", 0, 0, 1), ("public.orders", 0, 0, 1), ("public.items", 1, 0, 0), ("public.notes", 0, 1, 0),
    ]  # fmt: skip


def test_a_taken_key_is_named_and_nothing_comes_back(shop: Lifecycle) -> None:
    shop.delete("users", "id = 1")
    shop.database.execute("INSERT INTO users VALUES (9, 'ANN')")
    deleted = shop.live()
    report = shop.restore("--deletion", ID, code=1)
    assert shop.live() == deleted
    [conflict] = report["conflicts"]
    assert (conflict["kind"], conflict["key"], conflict["name"], conflict["other"]) == (
        "unique", {"id": 1}, "users_email", {"id": 9},
    )  # fmt: skip
    report = shop.restore("--deletion", ID, "--skip", code=1)
    assert report["rows"] == 0 and shop.live() == deleted


def test_skip_leaves_out_what_is_in_conflict_and_what_would_hang_below(shop: Lifecycle) -> None:
    shop.database.execute("UPDATE users SET boss = NULL; UPDATE orders SET seller = 3")
    before = shop.live()
    shop.delete("users", "id < 3")
    shop.database.execute("INSERT INTO users VALUES (9, 'ANN')")
    report = shop.restore("--deletion", ID, "--skip")
    assert [(row["table"], row["rows"]) for row in report["tables"]] == [
        ("public.users", 1), ("public.orders", 3), ("public.items", 6), ("public.notes", 6),
    ]  # fmt: skip
    shop.database.execute("SET pgsoftproxy.delete = 'hard'; DELETE FROM users WHERE id = 9")
    shop.restore("--deletion", ID)
    assert shop.live() == before


def test_two_rows_that_both_come_back_with_one_key_are_in_conflict(shop: Lifecycle) -> None:
    shop.delete("items", "id = 1", 1)
    shop.database.execute("INSERT INTO items VALUES (2, 1, 1, 'c1')")
    shop.delete("items", "shop = 2", 2)
    report = shop.restore("items", "--where", "code = 'c1'", code=1)
    assert [(c["key"], c["other"], c["other_restored"]) for c in report["conflicts"]] == [
        ({"id": 1, "shop": 1}, {"id": 1, "shop": 2}, True),
        ({"id": 1, "shop": 2}, {"id": 1, "shop": 1}, True),
    ]


@pytest.mark.parametrize(
    "unique",
    [
        "ALTER TABLE things ADD EXCLUDE USING gist (at WITH &&) WHERE (deleted_at IS NULL)",
        "CREATE UNIQUE INDEX ON things (name, live)",
        "CREATE UNIQUE INDEX ON things (name, coalesce(deleted_at, 'infinity'))",
        "CREATE UNIQUE INDEX ON things (name, deleted_at) NULLS NOT DISTINCT",
    ],
)
def test_keys_of_every_sort_are_minded(lifecycle: Lifecycle, unique: str) -> None:
    live = "live boolean GENERATED ALWAYS AS (CASE WHEN deleted_at IS NULL THEN true END) STORED"
    lifecycle.database.execute(f"""
        CREATE TABLE things (id int PRIMARY KEY, name text, at int4range, {live}, {COLUMNS});
        INSERT INTO things (id, name, at) VALUES (1, 'a', '[1,5)'), (2, 'b', '[5,9)'); {unique}""")
    equip(lifecycle.database.dsn)
    lifecycle.delete("things", "true")
    lifecycle.database.execute("INSERT INTO things (id, name, at) VALUES (3, 'a', '[2,4)')")
    report = lifecycle.restore("--deletion", ID, code=1)
    assert report["conflict_count"] == 1 and not report["done"]
    assert report["conflicts"][0]["name"].startswith("things_")
    assert [row["id"] for row in lifecycle.live()["things"]] == [3]
    lifecycle.restore("--deletion", ID, "--skip")
    assert {row["id"] for row in lifecycle.live()["things"]} == {2, 3}


def test_a_link_that_was_changed_meanwhile_is_left_as_it_is(shop: Lifecycle) -> None:
    shop.delete("users", "id = 1")
    shop.database.execute(
        "UPDATE users SET boss = 3 WHERE id = 2; UPDATE reviews SET author = 2 WHERE id = 1"
    )
    report = shop.restore("--deletion", ID)
    links = {link["link"]: (link["put_back"], link["left"]) for link in report["links"]}
    assert links["public.users.users_boss_fkey"] == (1, [{"id": 2}])
    assert links["public.reviews.reviews_author_fkey"] == (0, [{"id": 1}])
    rows = shop.database.execute("SELECT id, boss FROM users ORDER BY id")
    assert rows == [(1, None), (2, 3), (3, 1)]
    assert shop.database.execute("SELECT count(*) FROM pgsoftproxy.journal") == [(0,)]


def test_tables_that_refer_to_each_other_come_back_together(lifecycle: Lifecycle) -> None:
    lifecycle.database.execute(f"""
        CREATE TABLE a (id int PRIMARY KEY, b int, {COLUMNS});
        CREATE TABLE b (id int PRIMARY KEY, a int NOT NULL REFERENCES a ON DELETE CASCADE, up int, {COLUMNS});
        ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
        ALTER TABLE b ADD FOREIGN KEY (up) REFERENCES b ON DELETE CASCADE;
        INSERT INTO a VALUES (1), (2); INSERT INTO b VALUES (1, 1, NULL), (2, 2, 1), (3, 2, 2);
        UPDATE a SET b = id""")
    equip(lifecycle.database.dsn)
    before = lifecycle.live()
    lifecycle.delete("a", "id = 1")
    assert lifecycle.live() == {"a": [], "b": []}
    lifecycle.restore("b", "3", code=1)
    report = lifecycle.restore("b", "3", "--with-parents")
    assert report["rows"] == 5
    assert lifecycle.live() == before


def test_after_migrate_deletions_and_restores_leave_nothing_to_do(lifecycle: Lifecycle) -> None:
    lifecycle.database.execute(
        SHOP + "; ALTER TABLE reviews ADD text text UNIQUE; UPDATE reviews SET text = id"
    )
    assert lifecycle.command("migrate", "--yes", "--json")[0] == 0
    before = lifecycle.live()
    shop_deletion = lifecycle.delete("users", "true")
    lifecycle.delete("reviews", "id = 3", 2)
    lifecycle.database.execute("INSERT INTO reviews (id, text) VALUES (4, '3')")
    lifecycle.restore("--deletion", shop_deletion)
    [conflict] = lifecycle.restore("reviews", "3", code=1)["conflicts"]
    assert conflict["other"] == {"id": 4}
    lifecycle.database.execute("SET pgsoftproxy.delete = 'hard'; DELETE FROM reviews WHERE id = 4")
    lifecycle.restore("reviews", "3")
    assert lifecycle.live() == before
    assert '"steps": []' in lifecycle.command("migrate", "--dry-run", "--json")[1]


def test_a_table_whose_names_need_quotes_comes_back(lifecycle: Lifecycle) -> None:
    lifecycle.configure('[tables."my app.*"]\ncolumn = "gone at"\ndeletion_id = "%s"\n')
    lifecycle.database.execute("""
        CREATE SCHEMA "my app";
        CREATE TABLE "my app"."a.b" (
            "i d" text PRIMARY KEY, "1" text, up text REFERENCES "my app"."a.b" ON DELETE CASCADE,
            "gone at" timestamptz, "%s" uuid);
        CREATE UNIQUE INDEX ON "my app"."a.b" (lower("1")) WHERE "gone at" IS NULL;
        INSERT INTO "my app"."a.b" VALUES ('it''s', 'A', NULL), ('below', 'B', 'it''s')""")
    equip(lifecycle.database.dsn, rules=[TableRule("my app.*", "gone at", deletion_id="%s")])
    count = 'SELECT count(*) FROM "my app"."a.b" WHERE "gone at" IS NULL'
    lifecycle.database.execute('UPDATE "my app"."a.b" SET "gone at" = now() WHERE up IS NULL')
    assert lifecycle.database.execute(count) == [(0,)]
    assert lifecycle.history("my app.a.b", "below")["deletion"]["path"][0]["key"] == {"i d": "it's"}
    lifecycle.restore("my app.a.b", "it's")
    assert lifecycle.database.execute(count) == [(2,)]


def test_partitions_and_other_columns_come_back(lifecycle: Lifecycle) -> None:
    lifecycle.configure('[tables."public.*"]\n[tables."public.flags"]\ncolumn = "gone"\n')
    lifecycle.database.execute("""
        CREATE TABLE p (id int, part int, deleted_at timestamptz, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
        CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
        CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2);
        CREATE TABLE flags (name text, gone boolean NOT NULL DEFAULT false);
        INSERT INTO p VALUES (1, 1), (2, 2), (3, 2); INSERT INTO flags VALUES ('a'), ('a')""")
    lifecycle.database.execute("UPDATE p SET deleted_at = now(); UPDATE flags SET gone = true")
    assert lifecycle.restore("p", "2", "2")["rows"] == 1
    assert lifecycle.restore("p", "--where", "part > 0")["tables"][0]["table"] == "public.p"
    assert lifecycle.restore("flags", "--where", "true")["rows"] == 2
    assert lifecycle.database.execute("SELECT count(*) FROM p WHERE deleted_at IS NULL") == [(3,)]
    assert lifecycle.database.execute("SELECT count(*) FROM flags WHERE NOT gone") == [(2,)]


TWO_STATEMENTS = (
    "true)) AS f; DELETE FROM reviews; INSERT INTO reviews SELECT 9 FROM (SELECT FROM users AS r WHERE (true"
)


def test_a_deletion_id_may_be_a_text(lifecycle: Lifecycle) -> None:
    lifecycle.database.execute("""
        CREATE TABLE a (id int PRIMARY KEY, deleted_at timestamptz, deletion_id text);
        CREATE TABLE b (
            id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE, deleted_at timestamptz, deletion_id uuid);
        CREATE TABLE c (id int PRIMARY KEY, a int REFERENCES a ON DELETE SET NULL, deleted_at timestamptz);
        INSERT INTO a VALUES (1), (2); INSERT INTO b VALUES (1, 1), (2, 2); INSERT INTO c VALUES (1, 1)""")
    before = lifecycle.live()
    delete = "UPDATE a SET deleted_at = now(), deletion_id = '{}' WHERE id = 1"
    lifecycle.database.execute(
        delete.format(ID) + f"; UPDATE b SET deleted_at = now(), deletion_id = '{ID}' WHERE a = 1"
    )
    assert lifecycle.history("b", "1")["deletion"]["path"][0] == {"table": "public.a", "key": {"id": 1}}
    assert [row["below"] for row in lifecycle.restore("a", "1")["tables"]] == [0, 1]
    assert lifecycle.live() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["users"], "say which rows"),
        (["--where", "true"], "needs a table"),
        (["nothing", "1"], 'table "nothing" is not protected'),
        (["items", "1"], 'the primary key of table "public.items" is (shop, id)'),
        (["users", "one"], "invalid input syntax for type integer"),
        (["users", "--where", "nonsense"], 'column "nonsense" does not exist'),
        (["users", "--where", TWO_STATEMENTS], "multiple commands"),
        (["notes", "--deletion", ID], "does not note a deletion id"),
    ],
)
def test_what_cannot_be_meant_is_refused(shop: Lifecycle, arguments: list[str], words: str) -> None:
    report = shop.restore(*arguments, code=1)
    assert words in report["message"]
    assert shop.database.execute("SELECT id FROM reviews ORDER BY id") == [(1,), (2,), (3,)]


def test_a_predicate_that_breaks_out_of_its_parentheses_changes_no_live_row(shop: Lifecycle) -> None:
    shop.delete("users", "id = 2")
    deleted = shop.live()
    report = shop.restore("users", "--where", "false) OR (true", code=1)
    assert "as they are" in report["message"]
    assert shop.live() == deleted


def test_nothing_is_done_where_nobody_can_be_asked(shop: Lifecycle) -> None:
    shop.delete("users", "id = 1")
    deleted = shop.live()
    code, out = shop.command("restore", "--deletion", ID)
    assert code == 2 and "--yes" in out
    code, out = shop.command("restore", "--deletion", "x", "--yes")
    assert code == 2 and "not a uuid" in out
    code, out = shop.command("restore", "--deletion", ID, "--dry-run")
    assert code == 0 and "public.users" in out and "nothing was changed" in out
    assert shop.live() == deleted
    code, out = shop.command("restore", "--deletion", ID, "--yes")
    assert code == 0 and "16 rows are back" in out


@pytest.mark.parametrize(("answer", "said"), [("n", "with them"), ("y", "16 rows are back")])
def test_on_a_terminal_it_shows_what_would_come_back_and_asks(
    shop: Lifecycle, answer: str, said: str
) -> None:
    shop.delete("users", "id = 1")
    deleted = shop.live()
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "pgsoftproxy", "restore", "-c", str(shop.config), "--deletion", ID],
        stdin=theirs, stdout=theirs, stderr=theirs,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    printed = read_until(ours, b"[y/N]")
    assert b"public.users" in printed and shop.live() == deleted
    os.write(ours, f"{answer}\n".encode())
    printed += read_until(ours, None)
    assert process.wait(timeout=30) == 0
    os.close(ours)
    assert said in printed.decode()
    assert (shop.live() == deleted) is (answer == "n")


def read_until(terminal: int, wanted: bytes | None) -> bytes:
    """Read what a process prints, until it has printed something, or to its end."""
    printed = b""
    while wanted is None or wanted not in printed:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # EIO: the process has ended
            break
        if not chunk:
            break
        printed += chunk
    return printed


def test_a_restore_does_not_wait_for_a_lock_for_ever(shop: Lifecycle) -> None:
    shop.delete("users", "id = 1")
    with psycopg.connect(shop.database.dsn) as other:
        other.execute("SELECT FROM orders WHERE id = 4 FOR UPDATE")
        report = shop.restore("--deletion", ID, "--lock-timeout", "0.1", code=1)
        assert report["sqlstate"] == "55P03"
    assert shop.restore("--deletion", ID)["rows"] == 16


@pytest.mark.parametrize(
    "ending", ["UPDATE users SET deleted_at = NULL, deletion_id = NULL", "DELETE FROM users"]
)
def test_a_row_that_was_restored_or_purged_meanwhile_is_not_restored_again(
    shop: Lifecycle, ending: str
) -> None:
    shop.database.execute("INSERT INTO users VALUES (10, 'x')")
    shop.delete("users", "id = 10")
    with psycopg.connect(shop.database.dsn) as other, ThreadPoolExecutor(1) as pool:
        other.execute("SET pgsoftproxy.delete = 'hard'")
        other.execute(f"{ending} WHERE id = 10".encode())
        waiting = pool.submit(shop.restore, "users", "10", code=4)
        wait_until_blocked(shop)
        other.commit()
        assert waiting.result(timeout=20)["rows"] == 0


def test_a_parent_that_is_deleted_meanwhile_is_found_missing(shop: Lifecycle) -> None:
    shop.delete("orders", "id = 2")
    with psycopg.connect(shop.database.dsn) as other, ThreadPoolExecutor(1) as pool:
        other.execute("UPDATE users SET deleted_at = now() WHERE id = 1")
        waiting = pool.submit(shop.restore, "orders", "2", code=1)
        wait_until_blocked(shop)
        other.commit()
        [conflict] = waiting.result(timeout=20)["conflicts"]
        assert conflict["name"] == "orders_user_id_fkey"


def wait_until_blocked(shop: Lifecycle) -> None:
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while shop.database.execute(query) != [(1,)]:
        pass


def test_a_database_without_the_triggers_is_restored_as_well(lifecycle: Lifecycle) -> None:
    lifecycle.database.execute(SHOP)
    lifecycle.configure(RULES)
    before = lifecycle.live()
    lifecycle.delete("orders", "id = 2")
    lifecycle.delete("items", "order_id = 2")
    lifecycle.restore("items", "--where", "order_id = 2", code=1)
    lifecycle.restore("--deletion", ID)
    assert lifecycle.live() == before
