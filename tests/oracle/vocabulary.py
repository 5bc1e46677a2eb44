"""What the random statements speak of: tables of tests/cases/schema.sql with columns that are easy to compare."""

from dataclasses import dataclass

INT, TEXT, BOOL, TIME = "int", "text", "bool", "time"

TABLES: dict[str, dict[str, str]] = {
    "users": {
        "id": INT,
        "email": TEXT,
        "name": TEXT,
        "city": TEXT,
        "age": INT,
        "manager_id": INT,
        "deleted_at": TIME,
    },
    "orders": {"id": INT, "user_id": INT, "status": TEXT, "note": TEXT, "deleted_at": TIME},
    "items": {"id": INT, "order_id": INT, "sku": TEXT, "qty": INT, "deleted_at": TIME},
    "logs": {"id": INT, "user_id": INT, "message": TEXT, "at": TIME},
    "tasks": {"id": INT, "title": TEXT, "is_deleted": BOOL},
    "memos": {"id": INT, "body": TEXT, "gone": BOOL},
    "measures": {"id": INT, "value": INT, "label": TEXT, "deleted_at": TIME},
    "measures_2025": {"id": INT, "value": INT, "label": TEXT, "deleted_at": TIME},
    "animals": {"id": INT, "name": TEXT, "deleted_at": TIME},
    "dogs": {"id": INT, "name": TEXT, "deleted_at": TIME, "breed": TEXT},
    "accounts": {"id": INT, "handle": TEXT, "balance": INT, "deleted_at": TIME},
    "node": {"node": INT, "parent": INT, "label": TEXT, "deleted_at": TIME},
    "gadgets": {"id": INT, "label": TEXT, "deleted_at": TIME},
    "relics": {"id": INT, "label": TEXT, "deleted_at": TIME},
    '"Weird Name"': {'"Id"': INT, '"Quoted ""Col"': TEXT, '"select"': INT, '"Deleted At"': TIME},
    "public.users": {"id": INT, "email": TEXT, "name": TEXT, "deleted_at": TIME},
    "user_names": {"id": INT, "name": TEXT},
}
RENAMED: dict[str, tuple[tuple[str, str], ...]] = {
    # New names for the first columns, in order; some are those of a deletion column. No type: not referred to.
    "tasks": (("k", INT), ("deleted_at", TEXT), ("m", ""), ("d", BOOL)),
    "memos": (("k", INT), ("b", TEXT), ("g", BOOL)),
    "relics": (("deleted_at", INT), ("l", TEXT), ("d", TIME)),
    "animals": (("a", INT), ("b", TEXT), ("c", TIME)),
    "orders": (("oid_", INT), ("uid_", INT), ("s", TEXT)),
}
VIEWS = frozenset({"user_names"})
KEYS_OF = {"node": "node", '"Weird Name"': '"Id"'}
DELETABLE = tuple("orders items logs tasks memos measures animals dogs node relics".split())
DELETABLE_IN_WITH = ("accounts", "gadgets")
UPDATABLE = {
    "users": "name", "orders": "note", "items": "sku", "logs": "message", "tasks": "title", "memos": "body",
    "measures": "label", "animals": "name", "node": "label", '"Weird Name"': '"Quoted ""Col"',
}  # fmt: skip
INSERTABLE = {"logs": "message", "tasks": "title", "memos": "body", "node": "label", "relics": "label"}
CTE_NAMES = ("users", "orders", "tasks", "c1", "c2", "_sd1", "logs")
MOST_TABLES = 6
"""In one statement, sub-selects included: cross joins of more would take minutes."""


@dataclass(frozen=True, slots=True)
class Source:
    """One entry of a FROM list: what its columns are called and what types they have."""

    alias: str
    columns: dict[str, str]
    table: bool = False
    """Whether whole-row and system-column references work."""


Scope = tuple[Source, ...]
