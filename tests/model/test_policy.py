"""Compiling rules against a catalog: globs, precedence, inheritance, and what endangers protected rows."""

import pytest

from pgsoftproxy.model.catalog import Catalog, Column, ForeignKey, KeyAction, Relation, RelationKind
from pgsoftproxy.model.context import Grant, VisibilityMode
from pgsoftproxy.model.policy import (
    SETTINGS,
    ColumnKind,
    Mode,
    Policy,
    Problem,
    TableRule,
    compile_policy,
)
from pgsoftproxy.model.reach import STATISTICS

TIMESTAMPTZ = "timestamp with time zone"
STAMPED = (Column("id", "integer"), Column("deleted_at", TIMESTAMPTZ))
PLAIN = (Column("id", "integer"),)


def table(
    oid: int, name: str, columns: tuple[Column, ...] = STAMPED, parents: tuple[int, ...] = ()
) -> Relation:
    """Return a table of that `schema.name`."""
    schema, _, bare = name.partition(".")
    return Relation(oid, schema, bare, columns=columns, parents=parents)


def view(oid: int, name: str, reads: tuple[int, ...], kind: RelationKind = RelationKind.VIEW) -> Relation:
    """Return a view that reads these relations."""
    schema, _, bare = name.partition(".")
    return Relation(oid, schema, bare, kind, STAMPED, reads=reads)


def key(child: int, parent: int, action: KeyAction = KeyAction.CASCADE) -> ForeignKey:
    """Return a foreign key between two relations."""
    return ForeignKey(f"fk_{child}_{parent}", child, parent, ("parent",), ("id",), on_delete=action)


def catalog(*relations: Relation, keys: tuple[ForeignKey, ...] = ()) -> Catalog:
    """Return a catalog of the database `shop`."""
    return Catalog("shop", relations={relation.oid: relation for relation in relations}, foreign_keys=keys)


def compiled(source: Catalog, *rules: TableRule) -> Policy:
    """Compile rules that must not lack anything."""
    policy, problems = compile_policy(rules, {}, source)
    assert problems == ()
    return policy


def protected(policy: Policy) -> set[str]:
    """Return the labels of the protected tables."""
    return {protection.label for protection in policy.protections.values()}


TABLES = (
    table(1, "app.users"),
    table(2, "app.orders"),
    table(3, "app.settings", PLAIN),
    table(4, "public.users"),
    table(5, "audit.log_2024"),
)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("app.users", {"app.users"}),
        ("users", {"public.users"}),
        ("app.*", {"app.users", "app.orders"}),
        ("*.users", {"app.users", "public.users"}),
        ("audit.log_????", {"audit.log_2024"}),
        ("audit.log_?", set()),
        ("nowhere.*", set()),
        ("*", {"public.users"}),
        ("*.*", {"app.users", "app.orders", "public.users", "audit.log_2024"}),
    ],
)
def test_a_pattern_protects_what_it_matches_and_has_the_column(pattern: str, expected: set[str]) -> None:
    assert protected(compiled(catalog(*TABLES), TableRule(pattern))) == expected


def test_brackets_in_a_pattern_are_plain_characters() -> None:
    source = catalog(table(1, "app.log[1]"), table(2, "app.log1"))
    assert protected(compiled(source, TableRule("app.log[1]"))) == {"app.log[1]"}


@pytest.mark.parametrize("turn", [1, -1])
def test_the_more_specific_rule_wins_whatever_the_order(turn: int) -> None:
    columns = (*STAMPED, Column("gone", "boolean", not_null=True))
    source = catalog(
        table(1, "app.users", columns), table(2, "app.orders", columns), table(3, "web.hits", columns)
    )
    rules = [
        TableRule("*.*"),
        TableRule("app.*", mode=Mode.OBSERVE),
        TableRule("app.users", column="gone"),
        TableRule("app.orders", column="gone", database="shop"),
        TableRule("app.orders"),
        TableRule("web.*", column="gone", database="elsewhere"),
    ]
    policy = compiled(source, *rules[::turn])
    assert policy.protections[1].column == "gone"
    assert policy.protections[1].kind is ColumnKind.BOOLEAN
    assert not policy.protections[1].nullable
    assert policy.protections[1].mode is Mode.ENFORCE
    assert policy.protections[2].column == "gone"
    assert policy.protections[3].column == "deleted_at"
    assert policy.protections[3].nullable


@pytest.mark.parametrize(
    ("type_name", "kind"),
    [
        ("timestamp with time zone", ColumnKind.TIMESTAMPTZ),
        ("timestamp(3) with time zone", ColumnKind.TIMESTAMPTZ),
        ("timestamp without time zone", ColumnKind.TIMESTAMP),
        ("timestamp(0) without time zone", ColumnKind.TIMESTAMP),
        ("boolean", ColumnKind.BOOLEAN),
        ("date", None),
        ("character varying(20)", None),
        ("timestamp with time zone[]", None),
        ("boolean[]", None),
    ],
)
def test_kinds_of_deletion_column(type_name: str, kind: ColumnKind | None) -> None:
    assert ColumnKind.of(type_name) is kind


@pytest.mark.parametrize(
    ("column", "rule", "message"),
    [
        (Column("other", "text"), TableRule("app.t"), 'table "app.t" has no column "deleted_at"'),
        (
            Column("deleted_at", "date"),
            TableRule("app.t"),
            'column "deleted_at" of table "app.t" is date, not timestamptz, timestamp or boolean',
        ),
        (
            Column("deleted_at", TIMESTAMPTZ, not_null=True),
            TableRule("app.t"),
            'column "deleted_at" of table "app.t" is NOT NULL, so that no row can be live',
        ),
        (
            Column("deleted_at", TIMESTAMPTZ, generated=True),
            TableRule("app.t"),
            'column "deleted_at" of table "app.t" is generated and cannot be set',
        ),
        (
            Column("deleted_at", TIMESTAMPTZ),
            TableRule("app.t", deleted_by="who"),
            'table "app.t" has no column "who" (deleted_by)',
        ),
        (
            Column("deleted_at", "date"),
            TableRule("app.*"),
            'column "deleted_at" of table "app.t" is date, not',
        ),
    ],
)
def test_a_table_that_lacks_what_its_rule_needs_is_broken(
    column: Column, rule: TableRule, message: str
) -> None:
    policy, problems = compile_policy([rule], {}, catalog(table(1, "app.t", (column,))))
    assert policy.protections == {}
    assert policy.broken[1].startswith(message)
    assert [problem.message for problem in problems] == [policy.broken[1]]
    assert policy.names == {"t": (policy.catalog.relations[1],)}


def test_optional_columns_of_a_glob_are_used_where_they_are() -> None:
    source = catalog(table(1, "app.a"), table(2, "app.b", (*STAMPED, Column("who", "text"))))
    policy = compiled(source, TableRule("app.*", deleted_by="who"))
    assert policy.protections[1].deleted_by is None
    assert policy.protections[2].deleted_by == "who"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            TableRule("app.none", origin="f.toml:7"),
            'f.toml:7: table "app.none" does not exist in database "shop"',
        ),
        (TableRule("none"), 'table "public.none" does not exist in database "shop"'),
        (TableRule("app.recent"), '"app.recent" is a view, only tables can be protected'),
    ],
)
def test_an_exact_rule_without_its_table_is_a_problem(rule: TableRule, message: str) -> None:
    _, problems = compile_policy([rule], {}, catalog(*TABLES, view(9, "app.recent", (1,))))
    assert [str(problem) for problem in problems] == [message]


def test_a_rule_of_another_database_is_no_problem_here() -> None:
    assert compiled(catalog(*TABLES), TableRule("app.none", database="other")).protections == {}


def test_a_more_specific_rule_mends_what_a_glob_breaks() -> None:
    columns = (Column("deleted_at", "date"), Column("gone", "boolean"))
    rules = [TableRule("app.*"), TableRule("app.t", column="gone")]
    policy, problems = compile_policy(rules, {}, catalog(table(1, "app.t", columns)))
    assert policy.broken == {}
    assert policy.protections[1].column == "gone"
    assert problems == ()


def test_a_more_specific_rule_that_breaks_takes_the_protection_away() -> None:
    rules = [TableRule("app.*"), TableRule("app.t", column="none", origin="f:3")]
    policy, problems = compile_policy(rules, {}, catalog(table(1, "app.t")))
    assert policy.protections == {}
    assert policy.broken == {1: 'table "app.t" has no column "none"'}
    assert problems == (Problem("f:3", 'table "app.t" has no column "none"'),)


FAMILY = (
    table(1, "app.events"),
    table(2, "app.events_2024", parents=(1,)),
    table(3, "app.events_2024_01", parents=(2,)),
    table(4, "app.events_2025", (*STAMPED, Column("gone", "boolean")), parents=(1,)),
)


def test_children_inherit_the_policy_unless_they_have_a_rule() -> None:
    rules = [TableRule("app.events"), TableRule("app.events_2024", mode=Mode.OBSERVE)]
    policy = compiled(catalog(*FAMILY), *rules)
    modes = {oid: protection.mode for oid, protection in policy.protections.items()}
    assert modes == {1: Mode.ENFORCE, 2: Mode.OBSERVE, 3: Mode.OBSERVE, 4: Mode.ENFORCE}
    assert policy.protections[3].relation.oid == 3
    assert policy.protections[4].column == "deleted_at"


@pytest.mark.parametrize(
    "rules",
    [
        [TableRule("app.events", origin="f:1"), TableRule("app.events_2025", column="gone", origin="f:2")],
        [
            TableRule("app.events", mode=Mode.OBSERVE, origin="f:1"),
            TableRule("app.events_2025", origin="f:2"),
        ],
    ],
)
def test_a_parent_that_would_show_what_its_child_hides_is_broken(rules: list[TableRule]) -> None:
    policy, problems = compile_policy(rules, {}, catalog(*FAMILY))
    message = (
        'table "app.events" has another column or mode than "app.events_2025", which inherits from it: '
        "its hidden rows would show"
    )
    assert policy.broken == {1: message}
    assert problems == (Problem("f:1", message),)
    assert 4 in policy.protections


def test_children_of_a_broken_parent_are_broken() -> None:
    columns = (*STAMPED, Column("gone", "date"))
    source = catalog(table(1, "app.events", columns), table(2, "app.events_2024", columns, parents=(1,)))
    policy, problems = compile_policy([TableRule("app.events", column="gone", origin="f:1")], {}, source)
    assert set(policy.broken) == {1, 2}
    assert policy.protections == {}
    assert {problem.origin for problem in problems} == {"f:1"}


def test_a_child_inherits_from_its_nearest_protected_ancestor() -> None:
    rows = [
        table(1, "app.a", (*STAMPED, Column("gone", "boolean"))),
        table(2, "app.b", (*STAMPED, Column("gone", "boolean")), parents=(1,)),
        table(3, "app.c", (*STAMPED, Column("gone", "boolean")), parents=(2,)),
    ]
    for relations in (rows, rows[::-1]):
        rules = [TableRule("app.b", mode=Mode.OBSERVE), TableRule("app.a")]
        policy = compiled(catalog(*relations), *rules)
        assert policy.protections[3].mode is Mode.OBSERVE


def test_an_unprotected_parent_exposes_the_rows_of_a_protected_child() -> None:
    policy = compiled(catalog(*FAMILY), TableRule("app.events_2024_01"))
    assert policy.exposing == {1: "app.events_2024_01", 2: "app.events_2024_01"}


def test_views_expose_through_any_number_of_views() -> None:
    source = catalog(
        *TABLES,
        view(10, "app.people", (1,)),
        view(11, "app.names", (10,)),
        view(12, "app.counts", (11, 3), RelationKind.MATVIEW),
        view(13, "app.harmless", (3,)),
    )
    policy = compiled(source, TableRule("app.users"))
    assert policy.exposing == {10: "app.users", 11: "app.users", 12: "app.users"}
    assert set(policy.names) - STATISTICS - {SETTINGS} == {"users", "people", "names", "counts"}


def test_a_table_in_observe_mode_exposes_nothing() -> None:
    source = catalog(*TABLES, view(10, "app.people", (1,)))
    assert compiled(source, TableRule("app.users", mode=Mode.OBSERVE)).exposing == {}


def test_a_view_of_a_broken_table_is_exposing() -> None:
    source = catalog(table(1, "app.t", PLAIN), view(2, "app.v", (1,)))
    policy, _ = compile_policy([TableRule("app.t")], {}, source)
    assert policy.exposing == {2: "app.t"}


def test_cascades_into_a_protected_table_are_destroying_at_any_distance() -> None:
    rows = [table(oid, f"app.t{oid}", PLAIN) for oid in (1, 2, 3, 4)]
    source = catalog(
        *rows,
        table(9, "app.kept"),
        keys=(key(9, 3), key(3, 2), key(2, 1), key(9, 4, KeyAction.SET_NULL), key(1, 3)),
    )
    policy = compiled(source, TableRule("app.kept"))
    assert policy.destroying == {3: "app.kept", 2: "app.kept", 1: "app.kept"}


def test_a_cascade_stops_at_a_protected_table() -> None:
    source = catalog(
        table(1, "app.parent", PLAIN),
        table(2, "app.kept"),
        table(3, "app.below"),
        keys=(key(3, 2), key(2, 1)),
    )
    policy = compiled(source, TableRule("app.kept"), TableRule("app.below"))
    assert policy.destroying == {1: "app.kept"}


def test_children_and_partitions_of_the_parent_destroy_too() -> None:
    source = catalog(
        table(1, "app.root", PLAIN),
        table(2, "app.part", PLAIN, parents=(1,)),
        table(9, "app.kept"),
        keys=(key(9, 1),),
    )
    policy = compiled(source, TableRule("app.kept"))
    assert policy.destroying == {1: "app.kept", 2: "app.kept"}


def test_deleting_from_the_root_destroys_what_cascades_from_a_partition() -> None:
    source = catalog(
        table(1, "app.root", PLAIN),
        table(2, "app.part", PLAIN, parents=(1,)),
        table(9, "app.kept"),
        keys=(key(9, 2),),
    )
    policy = compiled(source, TableRule("app.kept"))
    assert policy.destroying == {1: "app.kept", 2: "app.kept"}


def test_deleting_through_a_view_of_the_parent_destroys_too() -> None:
    source = catalog(
        table(1, "app.parent", PLAIN),
        table(9, "app.kept"),
        view(2, "app.simple", (1,)),
        view(3, "app.over", (2,)),
        view(4, "app.stored", (1,), RelationKind.MATVIEW),
        keys=(key(9, 1),),
    )
    policy = compiled(source, TableRule("app.kept"))
    assert policy.destroying == {1: "app.kept", 2: "app.kept", 3: "app.kept"}


def test_a_cascade_into_a_broken_table_is_destroying() -> None:
    source = catalog(table(1, "app.parent", PLAIN), table(2, "app.t", PLAIN), keys=(key(2, 1),))
    policy, _ = compile_policy([TableRule("app.t")], {}, source)
    assert policy.destroying == {1: "app.t"}


def test_a_cascade_into_an_observed_table_passes() -> None:
    source = catalog(table(1, "app.parent", PLAIN), table(2, "app.t"), keys=(key(2, 1),))
    assert compiled(source, TableRule("app.t", mode=Mode.OBSERVE)).destroying == {}


def test_a_role_may_what_any_role_it_belongs_to_may() -> None:
    all_rows = frozenset({VisibilityMode.LIVE, VisibilityMode.ALL})
    grants = {"support": Grant(all_rows, restore=True), "dpo": Grant(hard_delete=True)}
    source = Catalog(
        "shop", memberships={"ann": frozenset({"support", "dpo"}), "bob": frozenset({"support"})}
    )
    policy, _ = compile_policy([], grants, source)
    assert policy.grant("ann") == Grant(all_rows, restore=True, hard_delete=True)
    assert policy.grant("bob") == Grant(all_rows, restore=True)
    assert policy.grant("dpo") == Grant(hard_delete=True)
    assert policy.grant("stranger") == Grant()


def test_live_rows_are_seen_even_if_a_grant_does_not_say_so() -> None:
    policy, _ = compile_policy([], {"r": Grant(frozenset({VisibilityMode.ALL}))}, Catalog("shop"))
    assert policy.grant("r").visibility == {VisibilityMode.LIVE, VisibilityMode.ALL}


def test_names_list_every_relation_of_that_name_in_any_schema() -> None:
    policy = compiled(catalog(*TABLES), TableRule("*.users"))
    assert {relation.schema for relation in policy.names["users"]} == {"app", "public"}
    assert set(policy.names) - STATISTICS - {SETTINGS} == {"users"}


def test_statistics_are_among_the_names_where_a_table_is_enforced_only() -> None:
    tables = catalog(table(1, "app.users"))
    enforced, _ = compile_policy([TableRule("app.users")], {}, tables)
    observed, _ = compile_policy([TableRule("app.users", mode=Mode.OBSERVE)], {}, tables)
    assert set(enforced.names) >= STATISTICS
    assert STATISTICS.isdisjoint(observed.names)
