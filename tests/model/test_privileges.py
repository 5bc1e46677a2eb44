"""Who may look into a schema, as the server decides it for the names of a search_path."""

from pgsoftproxy.model.privileges import Privileges

PRIVILEGES = Privileges(
    usage={"open": frozenset({"", "owner"}), "closed": frozenset({"owner", "staff"})},
    heirs={
        "ann": frozenset({"ann", "staff"}),
        "bob": frozenset({"bob"}),
        "owner": frozenset({"owner"}),
        "reader": frozenset({"reader", "pg_read_all_data"}),
    },
    superusers=frozenset({"root"}),
)


def test_role_may_use_what_is_granted_to_it_or_to_everybody() -> None:
    assert PRIVILEGES.may_use("bob", "open")
    assert PRIVILEGES.may_use("owner", "closed")
    assert not PRIVILEGES.may_use("bob", "closed")
    assert not PRIVILEGES.may_use("bob", "nowhere")


def test_role_may_use_what_it_inherits() -> None:
    assert PRIVILEGES.may_use("ann", "closed")
    assert PRIVILEGES.may_use("reader", "closed")


def test_superuser_may_use_everything() -> None:
    assert PRIVILEGES.may_use("root", "nowhere")


def test_role_that_is_younger_than_the_catalog_is_not_known() -> None:
    assert not PRIVILEGES.knows("eve")
    assert all(PRIVILEGES.knows(role) for role in ("ann", "root"))


def test_everybody_may_use_everything_where_nothing_was_read() -> None:
    assert Privileges().knows("eve")
    assert Privileges().may_use("eve", "closed")
