"""SQLAlchemy's models of the shop, as an application that knows nothing of soft deletion maps it."""

from decimal import Decimal

from sqlalchemy import ForeignKey, Numeric
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """Base of the models."""


class User(Base):
    """A user, as an application that knows nothing of soft deletion maps it."""

    __tablename__ = "users"
    __table_args__ = {"schema": "app"}  # noqa: RUF012 (SQLAlchemy reads it once)
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    name: Mapped[str | None]
    orders: Mapped[list["Order"]] = relationship(
        back_populates="user", cascade="all, delete-orphan", order_by="Order.id"
    )


class Order(Base):
    """An order of a user."""

    __tablename__ = "orders"
    __table_args__ = {"schema": "app"}  # noqa: RUF012 (SQLAlchemy reads it once)
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("app.users.id"))
    total: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    user: Mapped[User | None] = relationship(back_populates="orders")
