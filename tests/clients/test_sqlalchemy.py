"""SQLAlchemy 2 through the proxy: models written as if rows were removed for good, over two drivers."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, inspect, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import (
    Mapped,
    Session,
    joinedload,
    mapped_column,
    selectinload,
)

from tests.clients.models import Base, Order, User
from tests.clients.shop import Shop

Work = Callable[[Session], Any]


@pytest.fixture(params=["psycopg", "asyncpg"])
async def run(request: pytest.FixtureRequest, shop: Shop) -> AsyncIterator[Callable[[Work], Awaitable[Any]]]:
    """Give a function that does work in a session of its own and commits it."""
    engine = create_async_engine(shop.proxied.url(request.param))

    async def do(work: Work) -> Any:
        async with AsyncSession(engine) as session:
            result = await session.run_sync(work)
            await session.commit()
            return result

    yield do
    await engine.dispose()


Run = Callable[[Work], Awaitable[Any]]


def names(session: Session) -> list[str | None]:
    return list(session.scalars(select(User.name).order_by(User.id)))


async def test_deleting_an_object_deletes_its_row_and_its_children_softly(shop: Shop, run: Run) -> None:
    def work(session: Session) -> None:
        user = session.get_one(User, 1)
        assert [order.id for order in user.orders] == [1]
        session.delete(user)  # a row count other than 1 makes the flush fail

    await run(work)
    assert await run(names) == ["Bob", "Cyd"]
    assert await run(lambda session: session.get(User, 1)) is None
    assert shop.is_deleted(1)
    assert shop.rows("SELECT id, deleted_at IS NULL FROM app.orders WHERE user_id = 1 ORDER BY id") == [
        (1, False), (2, False),
    ]  # fmt: skip


async def test_deleting_a_row_that_is_deleted_already_is_noticed_as_gone(run: Run) -> None:
    def work(session: Session) -> int:
        assert session.get(User, 4) is None
        result: Any = session.execute(delete(User).where(User.id == 4))
        count: int = result.rowcount
        return count

    assert await run(work) == 0


async def test_a_delete_by_query_counts_and_returns_its_rows(shop: Shop, run: Run) -> None:
    def work(session: Session) -> tuple[int, list[Any]]:
        counted: Any = session.execute(delete(User).where(User.id.in_([1, 4])))
        returned = session.execute(delete(User).where(User.id > 1).returning(User.id, User.name))
        return counted.rowcount, sorted(tuple(row) for row in returned)

    assert await run(work) == (1, [(2, "Bob"), (3, "Cyd")])
    assert shop.rows("SELECT count(*), count(deleted_at) FROM app.users") == [(5, 5)]


@pytest.mark.parametrize("load", [joinedload, selectinload])
async def test_relationships_hide_deleted_rows_in_both_directions(run: Run, load: Any) -> None:
    def work(session: Session) -> tuple[Any, Any]:
        users = session.scalars(select(User).options(load(User.orders)).order_by(User.id)).unique()
        orders = session.scalars(select(Order).options(load(Order.user)).order_by(Order.id)).unique()
        return (
            [(user.name, [order.id for order in user.orders]) for user in users],
            [(order.id, order.user.name if order.user else None) for order in orders],
        )

    assert await run(work) == (
        [("Ada", [1]), ("Bob", [3]), ("Cyd", [])],
        [(1, "Ada"), (3, "Bob"), (4, None)],
    )


async def test_lazy_relationships_hide_deleted_rows(run: Run) -> None:
    def work(session: Session) -> tuple[Any, Any]:
        order = session.get_one(Order, 4)
        return order.user, [one.id for one in session.get_one(User, 1).orders]

    assert await run(work) == (None, [1])


async def test_joins_aggregates_and_exists(run: Run) -> None:
    def work(session: Session) -> list[Any]:
        totals = (
            select(User.name, func.coalesce(func.sum(Order.total), 0), func.count(Order.id))
            .join(User.orders, isouter=True)
            .group_by(User.id)
            .order_by(User.id)
        )
        without = select(User.name).where(~User.orders.any())
        return [[tuple(row) for row in session.execute(totals)], list(session.scalars(without))]

    totals, without = await run(work)
    assert totals == [("Ada", Decimal("10.50"), 1), ("Bob", 30, 1), ("Cyd", 0, 0)]
    assert without == ["Cyd"]


async def test_bulk_insert_gives_the_objects_their_keys(shop: Shop, run: Run) -> None:
    def work(session: Session) -> tuple[list[int], list[Any]]:
        users = [User(email=f"{number}@example.org", name=f"n{number}") for number in range(50)]
        session.add_all(users)
        session.flush()
        rows = [{"email": f"bulk{number}@example.org", "name": "bulk"} for number in range(20)]
        returned = session.scalars(insert(User).returning(User.id, sort_by_parameter_order=True), rows)
        return [user.id for user in users], list(returned)

    added, returned = await run(work)
    assert added == list(range(6, 56))
    assert returned == list(range(56, 76))
    assert shop.rows("SELECT count(*) FROM app.users WHERE deleted_at IS NULL") == [(73,)]


async def test_upsert_inserts_over_a_deleted_row_and_updates_a_live_one(shop: Shop, run: Run) -> None:
    def work(session: Session) -> list[Any]:
        values = [
            {"email": "dan@example.org", "name": "New Dan"},
            {"email": "ada@example.org", "name": "New Ada"},
        ]
        statement = pg_insert(User).values(values)
        upsert = statement.on_conflict_do_update(
            index_elements=[User.email], set_={"name": statement.excluded.name}
        ).returning(User.id, User.name)
        return sorted(tuple(row) for row in session.execute(upsert))

    assert await run(work) == [(1, "New Ada"), (6, "New Dan")]
    assert shop.rows("SELECT name FROM app.users WHERE id = 4") == [("Dan",)]


async def test_a_live_duplicate_is_refused_and_a_deleted_one_is_not(run: Run) -> None:
    def add(email: str) -> Work:
        return lambda session: session.add(User(email=email))

    await run(add("eve@example.org"))
    with pytest.raises(IntegrityError):
        await run(add("eve@example.org"))


async def test_changing_an_object_changes_one_live_row(shop: Shop, run: Run) -> None:
    def work(session: Session) -> int:
        session.get_one(User, 2).name = "Robert"
        session.flush()
        result: Any = session.execute(update(User).values(name=func.upper(User.name)))
        count: int = result.rowcount
        return count

    assert await run(work) == 3
    assert shop.rows("SELECT name FROM app.users ORDER BY id") == [
        ("ADA",), ("ROBERT",), ("CYD",), ("Dan",), ("Eve",),
    ]  # fmt: skip


async def test_a_rollback_brings_the_deleted_object_back(shop: Shop, run: Run) -> None:
    def work(session: Session) -> list[str | None]:
        session.delete(session.get_one(User, 3))
        with pytest.raises(DBAPIError, match="protected table"), session.begin_nested():
            session.execute(text("TRUNCATE app.users"))
        assert names(session) == ["Ada", "Bob"]
        session.rollback()
        return names(session)

    assert await run(work) == ["Ada", "Bob", "Cyd"]
    assert not shop.is_deleted(3)


async def test_locks_and_pages(run: Run) -> None:
    def work(session: Session) -> list[str | None]:
        query = select(User).order_by(User.id).offset(1).limit(2).with_for_update(skip_locked=True, of=User)
        return [user.name for user in session.scalars(query)]

    assert await run(work) == ["Bob", "Cyd"]


async def test_the_schema_is_reflected_as_it_is(shop: Shop, run: Run) -> None:
    def work(session: Session) -> tuple[Any, ...]:
        inspector = inspect(session.connection())
        return (
            set(inspector.get_table_names("app")),
            [column["name"] for column in inspector.get_columns("users", "app")],
            [key["referred_table"] for key in inspector.get_foreign_keys("orders", "app")],
            {index["name"] for index in inspector.get_indexes("users", "app")},
        )

    assert await run(work) == (
        {"users", "orders", "notes"},
        ["id", "email", "name", "deleted_at", "deleted_by", "deletion_id"],
        ["users"],
        {"users_email_live"},
    )


async def test_tables_made_by_the_application_work_at_once(shop: Shop, run: Run) -> None:
    shop.execute("GRANT CREATE ON SCHEMA app TO ann")

    class Extra(Base):
        __tablename__ = "extra"
        __table_args__ = {"schema": "app"}  # noqa: RUF012 (SQLAlchemy reads it once)
        id: Mapped[int] = mapped_column(primary_key=True)
        at: Mapped[datetime] = mapped_column(server_default=func.now())

    table: Any = Extra.__table__
    try:
        await run(lambda session: table.create(session.connection()))
        await run(lambda session: session.add_all([Extra(), Extra()]))
        assert await run(lambda session: session.scalar(select(func.count(Extra.id)))) == 2
        await run(lambda session: table.drop(session.connection()))
        with pytest.raises(ProgrammingError):
            await run(lambda session: session.scalar(select(func.count(Extra.id))))
    finally:
        Base.metadata.remove(table)
        Base.registry._dispose_cls(Extra)
