"""SQLAlchemy over psycopg2: sessions, savepoints, many-rows INSERT, streamed results, a pool that looks first."""

from collections.abc import Callable
from typing import Any

import sqlalchemy
from sqlalchemy import Engine, create_engine, delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, selectinload

from tests.clients.drivers import harness
from tests.clients.drivers.harness import PID
from tests.clients.models import User

PLACE = harness.address()


def engine() -> Engine:
    return create_engine(
        "postgresql+psycopg2://", connect_args=PLACE.keywords, pool_size=1, max_overflow=0, pool_pre_ping=True
    )


def names(session: Session) -> list[str | None]:
    return list(session.scalars(select(User.name).order_by(User.id)))


def with_session(work: Callable[[Session], Any]) -> Any:
    made = engine()
    try:
        with Session(made) as session:
            result = work(session)
            session.commit()
            return result
    finally:
        made.dispose()


def count(session: Session, statement: Any) -> int:
    result: Any = session.execute(statement)
    number: int = result.rowcount
    return number


def crud(session: Session) -> dict[str, Any]:
    user = User(email="zoe@example.org", name="Zoe")
    session.add(user)
    session.flush()
    by_id = delete(User).where(User.id == user.id)
    return {
        "inserted": session.get_one(User, user.id).name,
        "updated": count(session, update(User).where(User.id == user.id).values(name="Zoë")),
        "untouched": count(session, update(User).where(User.id == 4).values(name="Zoë")),
        "returned": list(session.scalars(by_id.returning(User.name))),
        "again": count(session, by_id),
        "hidden": count(session, delete(User).where(User.id == 4)),
        "names": names(session),
    }


def code(work: Callable[[], Any]) -> str | None:
    try:
        work()
    except DBAPIError as error:
        return str(getattr(error.orig, "pgcode", error))
    return None


def transaction(session: Session) -> dict[str, Any]:
    session.delete(session.get_one(User, 1))
    inside = names(session)
    savepoint = session.begin_nested()
    refused = code(lambda: session.execute(text("TRUNCATE app.users")))
    failed = code(lambda: names(session))
    savepoint.rollback()
    kept = names(session)
    session.rollback()
    return {"inside": inside, "refused": refused, "failed": failed, "kept": kept, "after": names(session)}


def batch(session: Session) -> dict[str, Any]:
    rows = [{"email": "batch@example.org", "name": "Batch"}]
    made = session.scalars(insert(User).returning(User.id), rows).all()
    removed = delete(User).where(User.email == "batch@example.org")
    return {"counts": [len(made), count(session, removed), count(session, removed)], "names": names(session)}


def cursor(session: Session) -> list[str | None]:
    query = select(User.name).where(User.id > 0).order_by(User.id)
    return list(session.scalars(query.execution_options(yield_per=2)))


def relations(session: Session) -> list[Any]:
    users = session.scalars(select(User).options(selectinload(User.orders)).order_by(User.id))
    return [[user.name, [order.id for order in user.orders]] for user in users]


def lost(end: Callable[[int], Any]) -> dict[str, Any]:
    """Lose the session of the pool, and use the pool again."""
    made = engine()

    def again() -> tuple[int, list[str | None]]:
        with Session(made) as session:
            return session.execute(text(PID)).scalar_one(), names(session)

    try:
        before, _ = again()
        end(before)
        after, found = harness.insist(again)
        return {"replaced": after != before, "names": found}
    finally:
        made.dispose()


def terminate(pid: int) -> None:
    with_session(lambda session: session.execute(text(f"SELECT pg_terminate_backend({pid:d}, 20000)")))


STEPS: dict[str, Callable[[], Any]] = {
    "connect": lambda: with_session(names),
    "crud": lambda: with_session(crud),
    "transaction": lambda: with_session(transaction),
    "batch": lambda: with_session(batch),
    "cursor": lambda: with_session(cursor),
    "relations": lambda: with_session(relations),
    "reconnect": lambda: lost(terminate),
    "restart": lambda: lost(lambda pid: harness.restarted()),
}

if __name__ == "__main__":
    harness.run(sqlalchemy.__version__, PLACE, STEPS)
