"""Lookups in a catalog."""

import pytest

from pgsoftproxy.model.catalog import Catalog, Column, Relation

USERS = Relation(1, "app", "users", columns=(Column("id", "integer"), Column("name", "text")))


def test_a_relation_is_found_by_its_exact_name_only() -> None:
    catalog = Catalog("shop", relations={1: USERS})
    assert catalog.find("app", "users") is USERS
    assert catalog.find("app", "Users") is None
    assert catalog.find("public", "users") is None


def test_columns_have_positions_among_the_live_ones() -> None:
    assert USERS.position("name") == 1
    assert USERS.column("name") == Column("name", "text")
    assert USERS.column("none") is None
    with pytest.raises(ValueError, match="none"):
        USERS.position("none")


def test_descendants_come_once_each_even_with_two_parents() -> None:
    parents = {1: (), 2: (1,), 3: (1,), 4: (2, 3), 5: ()}
    relations = {oid: Relation(oid, "app", f"t{oid}", parents=above) for oid, above in parents.items()}
    found = [relation.oid for relation in Catalog("shop", relations=relations).descendants(1)]
    assert sorted(found) == [2, 3, 4]


def test_a_role_starts_with_its_own_path_or_that_of_the_database() -> None:
    catalog = Catalog("shop", search_path=("app",), search_paths={"ann": ("private", "app")})
    assert catalog.path_of("ann") == ("private", "app")
    assert catalog.path_of("bob") == ("app",)
    assert Catalog("shop").path_of("bob") == ("$user", "public")
