"""`history`: why a row is gone, and who brought it back before."""

from tests.lifecycle.restoring import Lifecycle, deletion


def test_a_deleted_row_tells_when_by_whom_and_with_what_it_went(shop: Lifecycle) -> None:
    shop.delete("users", "id = 1")
    story = shop.history("items", "1", "1")
    found = story["deletion"]
    assert story["state"] == "deleted"
    assert story["place"] == {"table": "public.items", "key": {"shop": 1, "id": 1}}
    assert (found["stamps"]["by"], found["stamps"]["deletion_id"]) == ("ann", deletion(1))
    [(at,)] = shop.database.execute("SELECT deleted_at FROM users WHERE id = 1")
    assert found["stamps"]["at"] == at.isoformat()
    assert found["path"] == [
        {"table": "public.users", "key": {"id": 1}},
        {"table": "public.orders", "key": {"id": 2}},
        {"table": "public.items", "key": {"id": 1, "shop": 1}},
    ]
    counts = {table: count for table, count in found["tables"]}
    assert counts == {"public.users": 1, "public.orders": 3, "public.items": 6}


def test_a_row_of_a_table_that_notes_only_the_time_finds_its_root_by_it(shop: Lifecycle) -> None:
    shop.delete("users", "id = 1")
    found = shop.history("notes", "1")["deletion"]
    assert [place["table"] for place in found["path"]] == [
        "public.users", "public.orders", "public.items", "public.notes",
    ]  # fmt: skip


def test_a_live_row_tells_which_deletion_emptied_it(shop: Lifecycle) -> None:
    shop.delete("users", "id = 1")
    story = shop.history("reviews", "1")
    assert (story["state"], story["deletion"]) == ("live", None)
    [emptied] = story["emptied"]
    assert (emptied["link"], emptied["deletion_id"], emptied["was"]) == (
        "reviews_author_fkey", deletion(1), {"author": 1},
    )  # fmt: skip


def test_deletions_that_were_undone_are_told_the_newest_first(shop: Lifecycle) -> None:
    for number in (1, 2):
        shop.delete("orders", "id = 1", number)
        shop.restore("orders", "1")
    story = shop.history("orders", "1")
    assert story["state"] == "live"
    assert [undone["stamps"]["deletion_id"] for undone in story["undone"]] == [deletion(2), deletion(1)]
    assert {undone["restored_by"] for undone in story["undone"]} == {shop.database.server.user}


def test_a_row_that_was_never_seen_has_an_exit_code_of_its_own(shop: Lifecycle) -> None:
    assert shop.history("orders", "77", code=4)["state"] == "unknown"
    assert "no trace" in shop.command("history", "orders", "77")[1]
    shop.delete("orders", "id = 1")
    shop.restore("orders", "1")
    shop.database.execute("SET pgsoftproxy.delete = 'hard'; DELETE FROM orders WHERE id = 1")
    assert shop.history("orders", "1")["state"] == "gone"


def test_people_are_told_in_sentences(shop: Lifecycle) -> None:
    shop.delete("users", "id = 1")
    code, out = shop.command("history", "orders", "2")
    assert code == 0
    assert out.startswith("public.orders id=2 was deleted\n  at ")
    assert f"by ann, in deletion {deletion(1)}" in out
    assert "it went with public.users id=1" in out
    assert "deleted by it: 6 of public.items" in out
    shop.restore("users", "1")
    code, out = shop.command("history", "orders", "2")
    assert "public.orders id=2 is live" in out and f"restored by {shop.database.server.user}" in out


def test_a_key_that_cannot_be_one_is_refused(shop: Lifecycle) -> None:
    assert "invalid input syntax" in shop.history("orders", "one", code=1)["message"]
    assert "primary key" in shop.history("items", "1", code=1)["message"]
    assert "not protected" in shop.history("nothing", "1", code=1)["message"]


def test_history_answers_without_journal_and_ledger(lifecycle: Lifecycle) -> None:
    lifecycle.database.execute("CREATE TABLE t (id text PRIMARY KEY, deleted_at timestamptz)")
    lifecycle.database.execute("INSERT INTO t VALUES ('a', now()), ('b', NULL)")
    assert lifecycle.history("t", "a")["deletion"]["stamps"]["by"] is None
    assert lifecycle.history("t", "b")["state"] == "live"
    assert lifecycle.history("t", "c", code=4)["state"] == "unknown"
