"""A small policy for the rewriter's unit tests: no server, only model values."""

from pgsoftproxy.model.catalog import (
    Catalog,
    Column,
    ForeignKey,
    KeyAction,
    Relation,
    RelationKind,
    UniqueIndex,
)
from pgsoftproxy.model.context import Context, Grant, SearchPath, Values, Variables, VisibilityMode
from pgsoftproxy.model.policy import Mode, Policy, TableRule, Truncate, compile_policy

STAMP = "timestamp with time zone"
ID, DELETED = Column("id", "bigint", not_null=True), Column("deleted_at", STAMP)

USERS = Relation(
    1,
    "app",
    "users",
    columns=(
        ID,
        Column("email", "text"),
        DELETED,
        Column("deleted_by", "text"),
        Column("deletion_id", "uuid"),
    ),
    unique_indexes=(
        UniqueIndex("users_pkey", ("id",), primary=True, constraint="users_pkey"),
        UniqueIndex("users_email", ("email",), "(deleted_at IS NULL)"),
    ),
)
ORDERS = Relation(2, "app", "orders", columns=(ID, Column("user_id", "bigint"), DELETED))
FLAGS = Relation(3, "app", "flags", columns=(ID, Column("gone", "boolean", not_null=True)))
OTHER_USERS = Relation(4, "public", "users", columns=(ID,))
DEFINITION = " SELECT users.id AS num FROM app.users;"
VIEW = Relation(5, "app", "active", RelationKind.VIEW, definition=DEFINITION, reads=(1,))
UNREAD = Relation(15, "app", "unread", RelationKind.VIEW, definition="", reads=(1,))
FROZEN = Relation(16, "app", "frozen", RelationKind.MATVIEW, definition=DEFINITION, reads=(1,))
LOGS = Relation(6, "app", "logs", columns=(ID,))
TENANTS = Relation(7, "app", "tenants", columns=(ID,))
WATCHED = Relation(8, "app", "watched", columns=(ID, DELETED))
WEIRD = Relation(9, "app", "Weird Name", columns=(Column("I d", "bigint"), DELETED))
BROKEN = Relation(10, "app", "broken", columns=(ID,))
BASE = Relation(11, "app", "base", columns=(ID,))
CHILD = Relation(12, "app", "child", columns=(ID, DELETED), parents=(11,))
SOLE = Relation(
    13,
    "app",
    "sole",
    columns=(Column("id", "bigint", identity=True), Column("email", "text"), DELETED),
    unique_indexes=(
        UniqueIndex("sole_pkey", ("id",), primary=True, constraint="sole_pkey"),
        UniqueIndex("sole_email", ("email",), "(deleted_at IS NULL)"),
    ),
)
NOTES = Relation(
    14,
    "app",
    "notes",
    columns=(ID, DELETED),
    unique_indexes=(UniqueIndex("notes_pkey", ("id",), primary=True),),
)
RELATIONS = (
    USERS,
    ORDERS,
    FLAGS,
    OTHER_USERS,
    VIEW,
    LOGS,
    TENANTS,
    WATCHED,
    WEIRD,
    BROKEN,
    BASE,
    CHILD,
    SOLE,
    NOTES,
    UNREAD,
    FROZEN,
)
KEYS = (ForeignKey("orders_tenant", 2, 7, ("tenant_id",), ("id",), on_delete=KeyAction.CASCADE),)
RULES = (
    TableRule("app.*", deleted_by="deleted_by", deletion_id="deletion_id"),
    TableRule("app.flags", column="gone"),
    TableRule("app.watched", mode=Mode.OBSERVE),
    TableRule("app.broken"),
    TableRule("app.notes", truncate=Truncate.SOFT),
    TableRule("app.sole", truncate=Truncate.SOFT),
)
GRANTS = {"support": Grant(frozenset(VisibilityMode), restore=True), "dpo": Grant(hard_delete=True)}


def policy(server_version: int = 150000) -> Policy:
    """Return the example policy as if on a server of that version."""
    catalog = Catalog("shop", server_version, {relation.oid: relation for relation in RELATIONS}, KEYS)
    return compile_policy(RULES, GRANTS, catalog, version=1)[0]


def context(role: str = "web", path: tuple[str, ...] = ("app", "public"), *, certain: bool = True) -> Context:
    """Return the context of a fresh session."""
    values = Values(role, SearchPath(path, certain))
    return Context(Variables.at_start(values), role, policy().grant(role))
