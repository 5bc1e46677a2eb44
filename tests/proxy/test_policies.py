"""PolicyStore: when catalogs are read, who shares a reading, what a failure leaves in force."""

import asyncio
from dataclasses import dataclass, field

import pytest

from pgsoftproxy.errors import ConfigError, UpstreamUnavailable
from pgsoftproxy.model.catalog import Catalog, Column, Relation
from pgsoftproxy.model.policy import Policy, Problem, TableRule
from pgsoftproxy.proxy.policies import FORGET_SECONDS, PolicyStore, Rules

STAMP = Column("deleted_at", "timestamp with time zone")
USERS = Relation(1, "app", "users", columns=(Column("id", "integer"), STAMP))
ORDERS = Relation(2, "app", "orders", columns=(STAMP,))
PROTECT_USERS = Rules((TableRule("app.users", origin="proxy.toml:9"),))
PROTECT_ALL = Rules((TableRule("app.*", origin="proxy.toml:9"),))


class Databases:
    """Catalogs to be read, with a gate at which readings wait and a switch that makes them fail."""

    def __init__(self, *relations: Relation) -> None:
        self.relations = {relation.oid: relation for relation in relations}
        self.reads: list[str | None] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.reached = asyncio.Event()
        self.broken: set[str] = set()

    async def load(self, database: str | None) -> Catalog:
        name = database or "shop"
        self.reads.append(database)
        catalog = Catalog(name, relations=dict(self.relations))
        self.reached.set()
        await self.gate.wait()
        if name in self.broken:
            raise UpstreamUnavailable(f'database "{name}" cannot be read: gone')
        return catalog


@dataclass
class Seen:
    refreshed: list[tuple[str, bool]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)

    def catalog_refreshed(self, database: str, seconds: float, *, changed: bool) -> None:
        self.refreshed.append((database, changed))

    def catalog_failed(self, database: str, reason: str) -> None:
        self.failed.append(database)

    def policy_compiled(self, database: str, problems: tuple[Problem, ...]) -> None:
        self.problems.extend(str(problem) for problem in problems)

    def database_forgotten(self, database: str) -> None:
        self.forgotten.append(database)


class Listening:
    def __init__(self) -> None:
        self.policies: list[Policy] = []

    def policy_changed(self, policy: Policy) -> None:
        self.policies.append(policy)


def store_of(databases: Databases, rules: Rules = PROTECT_USERS) -> tuple[PolicyStore, Seen]:
    seen = Seen()
    return PolicyStore(databases.load, rules, seen), seen


async def test_first_sessions_of_a_database_share_one_reading() -> None:
    databases = Databases(USERS)
    store, _ = store_of(databases)
    policies = await asyncio.gather(*(store.get("shop") for _ in range(20)))
    assert databases.reads == ["shop"]
    assert {id(policy) for policy in policies} == {id(policies[0])}
    assert policies[0].protections[1].column == "deleted_at"


async def test_each_database_has_a_policy_and_a_version_of_its_own() -> None:
    store, _ = store_of(Databases(USERS))
    shop, blog = await store.get("shop"), await store.get("blog")
    assert shop.version != blog.version
    assert (shop.catalog.database, blog.catalog.database) == ("shop", "blog")


async def test_unreadable_database_has_no_policy_and_leaves_no_trace() -> None:
    databases = Databases(USERS)
    databases.broken.add("nowhere")
    store, seen = store_of(databases)
    for _ in range(2):
        with pytest.raises(UpstreamUnavailable, match="gone"):
            await store.get("nowhere")
    assert seen.failed == ["nowhere", "nowhere"]
    assert store.databases == ()
    assert not store._entries


async def test_unchanged_catalog_keeps_policy_and_version() -> None:
    store, seen = store_of(Databases(USERS))
    before = await store.get("shop")
    assert await store.refresh("shop") is before
    assert seen.refreshed == [("shop", True), ("shop", False)]


async def test_changed_catalog_gives_a_new_version_and_tells_sessions() -> None:
    databases = Databases(USERS)
    store, _ = store_of(databases, PROTECT_ALL)
    before = await store.get("shop")
    session = Listening()
    store.subscribe("shop", session)
    databases.relations[2] = ORDERS
    after = await store.refresh("shop")
    assert session.policies == [after]
    assert after.version > before.version
    assert set(after.protections) == {1, 2}


async def test_refresh_is_answered_only_by_a_reading_that_began_after_it() -> None:
    databases = Databases(USERS)
    store, _ = store_of(databases, PROTECT_ALL)
    await store.get("shop")
    databases.gate.clear()
    databases.reached.clear()
    first = asyncio.create_task(store.refresh("shop"))
    await databases.reached.wait()
    databases.relations[2] = ORDERS  # committed after the first reading took its snapshot
    later = [asyncio.create_task(store.refresh("shop")) for _ in range(5)]
    await asyncio.sleep(0)
    databases.gate.set()
    assert set((await first).protections) == {1}
    for policy in await asyncio.gather(*later):
        assert set(policy.protections) == {1, 2}
    assert databases.reads == ["shop"] * 3


async def test_new_session_waits_for_the_reading_that_a_change_asked_for() -> None:
    databases = Databases(USERS)
    store, _ = store_of(databases, PROTECT_ALL)
    await store.get("shop")
    databases.gate.clear()
    databases.relations[2] = ORDERS
    refresh = asyncio.create_task(store.refresh("shop"))
    await asyncio.sleep(0)
    newcomer = asyncio.create_task(store.get("shop"))
    databases.gate.set()
    assert set((await newcomer).protections) == {1, 2}
    await refresh


async def test_failed_refresh_keeps_sessions_but_holds_back_new_ones() -> None:
    databases = Databases(USERS)
    store, seen = store_of(databases)
    policy = await store.get("shop")
    session = Listening()
    store.subscribe("shop", session)
    databases.broken.add("shop")
    with pytest.raises(UpstreamUnavailable):
        await store.refresh("shop")
    with pytest.raises(UpstreamUnavailable):
        await store.get("shop")
    assert session.policies == []
    databases.broken.clear()
    assert await store.get("shop") is policy
    assert seen.failed == ["shop", "shop"]


async def test_failed_interval_reading_leaves_the_last_policy_in_force() -> None:
    databases = Databases(USERS)
    store, seen = store_of(databases)
    policy = await store.get("shop")
    databases.broken.add("shop")
    await store.refresh_all()
    assert seen.failed == ["shop"]
    assert await store.get("shop") is policy


async def test_failed_reading_is_tried_again_before_the_interval_ends() -> None:
    databases = Databases(USERS)
    store, seen = store_of(databases, PROTECT_ALL)
    await store.get("shop")
    session = Listening()
    store.subscribe("shop", session)
    databases.broken.add("shop")
    await store.refresh_all()
    databases.broken.clear()
    databases.relations[2] = ORDERS
    databases.reached.clear()
    keeper = asyncio.create_task(store.keep_fresh(3600.0))
    await databases.reached.wait()
    assert seen.failed == ["shop"]
    assert set((await store.refresh("shop")).protections) == {1, 2}
    keeper.cancel()


async def test_cancelled_waiter_hands_the_reading_to_the_next() -> None:
    databases = Databases(USERS)
    store, _ = store_of(databases)
    databases.gate.clear()
    first = asyncio.create_task(store.get("shop"))
    await databases.reached.wait()
    second = asyncio.create_task(store.get("shop"))
    await asyncio.sleep(0)
    first.cancel()
    databases.gate.set()
    assert (await second).catalog.database == "shop"


async def test_default_database_names_itself_and_tells_its_problems() -> None:
    store, seen = store_of(Databases(USERS), Rules((TableRule("app.nothing", origin="proxy.toml:9"),)))
    problems = await store.open_default()
    assert store.default_database == "shop"
    assert [str(problem) for problem in problems] == [
        'proxy.toml:9: table "app.nothing" does not exist in database "shop"'
    ]
    assert seen.problems == [str(problems[0])]


async def test_reload_puts_new_rules_in_force_everywhere() -> None:
    store, _ = store_of(Databases(USERS, ORDERS))
    await store.open_default()
    await store.get("blog")
    session = Listening()
    store.subscribe("blog", session)
    await store.reload(PROTECT_ALL)
    assert set((await store.get("shop")).protections) == {1, 2}
    assert session.policies == [await store.get("blog")]
    assert set(session.policies[0].protections) == {1, 2}


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        (TableRule("app.gone", origin="f:1"), 'f:1: table "app.gone" does not exist in database "shop"'),
        (
            TableRule("app.gone", database="blog", origin="f:2"),
            'f:2: table "app.gone" does not exist in database "blog"',
        ),
    ],
)
async def test_bad_rules_change_nothing_in_any_database(rule: TableRule, wrong: str) -> None:
    store, _ = store_of(Databases(USERS, ORDERS))
    await store.open_default()
    blog = await store.get("blog")
    shop = await store.get("shop")
    with pytest.raises(ConfigError) as caught:
        await store.reload(Rules((*PROTECT_ALL.tables, rule)))
    assert caught.value.problems == (wrong,)
    assert await store.get("blog") is blog
    assert await store.get("shop") is shop
    assert set((await store.refresh("shop")).protections) == {1}


async def test_rule_for_all_databases_may_name_a_table_that_only_the_default_one_has() -> None:
    databases = Databases(USERS)
    store, _ = store_of(databases)
    await store.open_default()
    del databases.relations[1]
    await store.get("postgres")
    databases.relations[1] = USERS
    await store.refresh("shop")
    await store.reload(Rules((TableRule("app.users", mode=PROTECT_USERS.tables[0].mode, origin="f:1"),)))
    assert set((await store.get("postgres")).protections) == {1}


async def test_reload_is_refused_while_a_catalog_cannot_be_read() -> None:
    databases = Databases(USERS, ORDERS)
    store, _ = store_of(databases)
    policy = await store.get("shop")
    databases.broken.add("shop")
    with pytest.raises(ConfigError, match='catalog of database "shop" cannot be read'):
        await store.reload(PROTECT_ALL)
    assert await store.get("shop") is policy


async def test_database_loaded_during_a_reload_gets_the_new_rules() -> None:
    databases = Databases(USERS, ORDERS)
    store, _ = store_of(databases)
    databases.gate.clear()
    late = asyncio.create_task(store.get("blog"))
    await databases.reached.wait()
    await store.reload(PROTECT_ALL)
    databases.gate.set()
    assert set((await late).protections) == {1, 2}


async def test_databases_without_sessions_are_forgotten_but_the_default_is_not() -> None:
    databases = Databases(USERS)
    now = 0.0
    seen = Seen()
    store = PolicyStore(databases.load, PROTECT_USERS, seen, clock=lambda: now)
    await store.open_default()
    for name in ("used", "unused"):
        await store.get(name)
    store.subscribe("used", Listening())
    now = FORGET_SECONDS + 1
    await store.refresh_all()
    assert store.databases == ("shop", "used")
    assert seen.forgotten == ["unused"]


async def test_a_policy_is_at_hand_once_it_is_read_and_until_it_is_known_to_have_changed() -> None:
    databases = Databases(USERS)
    store, _ = store_of(databases)
    assert store.at_hand("shop") is None
    assert store.at_hand("shop") is not await store.get("shop")
    assert store.at_hand("shop") is await store.get("shop")
    databases.broken.add("shop")
    with pytest.raises(UpstreamUnavailable):
        await store.refresh("shop")
    assert store.at_hand("shop") is None
