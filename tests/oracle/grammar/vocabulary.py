"""What the random statements speak of: the relations of tests/cases/schema.sql, with the types of their columns.

Names are held as they are written in SQL. Knows what a statement may do without an answer that depends on
what a twin cannot have (keys that deleted rows still hold, foreign keys), nothing of how the proxy works.
"""

from dataclasses import dataclass, field

INT, TEXT, BOOL, TIME, NUM, DATE, JSON, INTS, TEXTS, OTHER = (
    "bigint", "text", "boolean", "timestamptz", "numeric", "date", "jsonb", "int[]", "text[]", "",
)  # fmt: skip


def _columns(text: str) -> dict[str, str]:
    """Read `name:kind, ...`; without a kind, a column that expressions leave alone."""
    kinds = {
        "i": INT, "t": TEXT, "b": BOOL, "z": TIME, "n": NUM, "d": DATE, "j": JSON, "I": INTS, "T": TEXTS,
    }  # fmt: skip
    pairs = (part.strip().rpartition(":") for part in text.split(","))
    return {name: kinds.get(kind, OTHER) for name, _, kind in pairs}


@dataclass(frozen=True, slots=True)
class Table:
    """One relation, and how it may be written to.

    `key` is unique; `live` are values of it that live rows have; `also` are the columns that an INSERT must
    give besides key and text, with their values; `only` limits a DELETE to rows that nothing refers to.
    """

    schema: str
    name: str
    columns: dict[str, str]
    key: str = "id"
    live: tuple[int, ...] = ()
    note: str = ""
    also: dict[str, str] = field(default_factory=dict)
    only: str = ""
    root: str = ""
    view: bool = False
    children: bool = False
    full_key: str = ""

    @property
    def qualified(self) -> str:
        """Return the name with its schema."""
        return f"{self.schema}.{self.name}"

    @property
    def state(self) -> str:
        """Return the relation that shows everything a write to this one can change."""
        return self.root or self.qualified


LONG = "abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_012345678"
MEASURES = "id:i, day:d, value:i, label:t, deleted_at:z"
DAY = {"day": "date '2026-04-04'"}

TABLES = (
    Table(
        "app", "users",
        _columns(
            "id:i, email:t, name:t, city:t, age:i, manager_id:i, created_at:z, deleted_at:z, deleted_by:t, deletion_id:"
        ),
        live=(1, 2, 3, 5, 6, 7, 8, 9), note="name", also={"email": "'m' || {key} || '@example.com'"}, only="{t}.id > 4",
    ),
    Table(
        "app", "orders",
        _columns("id:i, user_id:i, status:t, deleted_at:z, total:n, note:t, placed_on:d"),
        live=(100, 101, 102, 103, 104), note="note", also={"user_id": "1 + {key} % 3"},
    ),
    Table(
        "app", "items", _columns("id:i, order_id:i, sku:t, qty:i, price:n, deleted_at:z"),
        live=(1000, 1001, 1002, 1003, 1004, 1005), note="sku",
    ),
    Table("app", "logs", _columns("id:i, user_id:i, message:t, at:z"), live=(1, 2, 3, 4, 5), note="message"),
    Table("app", "tasks", _columns("id:i, title:t, mood:, is_deleted:b"), live=(1, 2, 3), note="title"),
    Table("app", "memos", _columns("id:i, body:t, gone:b"), live=(1, 2, 4), note="body"),
    Table("app", "events", _columns("id:i, kind:t, happened:z, deleted_at:z"), live=(1, 2), note="kind"),
    Table("app", "measures", _columns(MEASURES), live=(1, 2, 3, 4, 5), note="label", also=DAY, children=True),
    Table(
        "app", "measures_2025", _columns(MEASURES), live=(1, 2), note="label", also={"day": "date '2025-04-04'"},
        root="app.measures",
    ),
    Table("app", "measures_2026", _columns(MEASURES), live=(3, 4), note="label", also=DAY, root="app.measures"),
    Table(
        "app", "animals", _columns("id:i, name:t, deleted_at:z"), live=(1, 3, 5), note="name", children=True,
        full_key="-",
    ),
    Table(
        "app", "dogs", _columns("id:i, name:t, deleted_at:z, breed:t"), live=(3, 5), note="name", root="app.animals",
        children=True, full_key="-",
    ),
    Table(
        "app", "puppies", _columns("id:i, name:t, deleted_at:z, breed:t, weeks:i"), live=(5,), note="breed",
        root="app.dogs",
    ),
    Table(
        "app", "invoices", _columns("id:i, net:n, tax:n, memo:t, deleted_at:z, gross:n"), live=(1, 2), note="memo",
        also={"net": "{key} + 0.5"},
    ),
    Table(
        "app", '"Weird Name"', _columns('"Id":i, "Quoted ""Col":t, "select":i, "Deleted At":z'), '"Id"', (1, 2),
        '"Quoted ""Col"',
    ),
    Table(
        "app", "accounts", _columns("id:i, handle:t, balance:i, deleted_at:z"), live=(1, 2), note="handle",
        full_key="accounts_handle_key",
    ),
    Table(
        "app", "products", _columns("sku:t, title:t, tags:T, attrs:j, sizes:I, deleted_at:z"), "sku", note="title",
    ),
    Table("app", "relics", _columns("id:i, label:t, deleted_at:z"), live=(1, 2), note="label"),
    Table("app", "node", _columns("node:i, parent:i, label:t, deleted_at:z"), "node", (1, 2, 3, 4, 6), "label"),
    Table("app", "articles", _columns("id:i, category_id:i, title:t, deleted_at:z"), live=(1,), note="title"),
    Table("app", "categories", _columns("id:i, title:t")),
    Table("app", "gadgets", _columns("id:i, label:t, deleted_at:z"), "", (), "label"),
    Table("app", LONG, _columns("id:i, label:t, deleted_at:z"), live=(1,), note="label"),
    Table("app", '"Überblick"', _columns('id:i, "größe":t, deleted_at:z'), live=(1,), note='"größe"'),
    Table('"Mixed Schema"', "users", _columns("id:i, name:t, deleted_at:z"), live=(1,), note="name"),
    Table("public", "users", _columns("id:i, email:t, name:t, deleted_at:z"), live=(1, 2), note="name"),
    Table("other", "orders", _columns("id:i, note:t, deleted_at:z"), live=(1, 2), note="note"),
)  # fmt: skip

VIEWS = (
    Table("app", "user_names", _columns("id:i, name:t"), view=True),
    Table("app", "user_name_lengths", _columns("id:i, size:i"), view=True),
    Table("app", "user_orders", _columns("user_id:i, who:t, order_id:i, total:n"), "", view=True),
    Table("app", "city_sizes", _columns("city:t, size:i, orders:i"), "", view=True),
    Table("app", '"Odd View"', _columns('"Id":i, "whole row":, "Deleted At":z'), "", view=True),
    Table("app", "log_messages", _columns("id:i, message:t"), view=True),
    Table("app", "event_kinds", _columns("kind:t"), "", view=True),
    Table("app", "measure_sums", _columns("year:d, value:i"), "", view=True),
    Table("public", "tasks", _columns("id:i, title:t"), view=True),
)

TRAPS = {
    "age": "100 / ({c} - 6661)", "qty": "100 / ({c} - 666)", "value": "100 / ({c} - 6661)",
    "balance": "100 / ({c} - 6661)", '"select"': "100 / ({c} - 6661)", "weeks": "100 / ({c} - 6661)",
}  # fmt: skip
"""Expressions that fail on a deleted row alone: they tell whether one was looked at before it was left out."""

RENAMED: dict[str, tuple[str, ...]] = {
    # New names for the first columns, in order; some are those of a deletion column elsewhere.
    "tasks": ("k", "deleted_at", "m", "d"),
    "memos": ("k", "b", "g"),
    "relics": ("deleted_at", "l", "d"),
    "animals": ("a", "b", "c"),
    "orders": ("oid_", "uid_", "s"),
    "users": ("k", "e", "deleted_at", "c"),
    "node": ("n", "p"),
    "items": ("id", "deleted_at", "s", "q", "p", "gone"),
}
THROUGH_VIEW = Table(
    "app", "log_messages", _columns("id:i, message:t"), note="message", root="app.logs", view=True
)
WRITABLE = (*(table for table in TABLES if table.note), THROUGH_VIEW)
KEYED = tuple(table for table in WRITABLE if table.live)
CTE_NAMES = ("users", "orders", "tasks", "c1", "c2", "_sd1", "logs", "items", "measures")
PLAIN_PATH = "app, public"
OTHER_PATH = "public, app"
"""Under the second, `users` and `tasks` are not those of `app`."""


@dataclass(frozen=True, slots=True)
class Source:
    """One entry of a FROM list: its name, its columns with their types, whether it has system columns.

    Without a name it stands for the columns that a USING has merged from those that it `covers`. A crowded one has
    neighbours that are not in the scope, so its columns are always qualified.
    """

    alias: str
    columns: dict[str, str]
    table: bool = False
    crowded: bool = False
    covers: frozenset[str] = frozenset()


Scope = tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """A query and the columns that it gives."""

    text: str
    columns: dict[str, str]
