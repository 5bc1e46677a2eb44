"""Control connections: how they are opened, bounded in time, and how their failures are told.

Must not know what is read over them. No message holds a password.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from pgsoftproxy.errors import UpstreamUnavailable

CONNECT_TIMEOUT = 10
NO_SUCH_DATABASE = "3D000"
APPLICATION_NAME = "pgsoftproxy"

Connection = psycopg.AsyncConnection[TupleRow]


def is_conninfo(dsn: str) -> bool:
    """Tell whether libpq understands a connection string or URI."""
    try:
        conninfo_to_dict(dsn)
    except psycopg.Error:
        return False
    return bool(dsn.strip())


@asynccontextmanager
async def connect(dsn: str, database: str | None = None) -> AsyncIterator[Connection]:
    """Open a control connection to one database of the DSN's server, and close it at the end.

    Raises UpstreamUnavailable for whatever the driver raises, inside the block too; its sqlstate is 3D000 if
    the database does not exist and the server says so in English (libpq keeps no SQLSTATE of a failed login).
    """
    try:
        connection = await psycopg.AsyncConnection.connect(
            with_defaults(dsn, database), autocommit=True, prepare_threshold=None
        )
        async with connection:
            yield connection
    except psycopg.Error as error:
        absent = database is not None and f'database "{database}" does not exist' in str(error)
        sqlstate = NO_SUCH_DATABASE if absent else None
        raise UpstreamUnavailable(told(error, dsn, database), sqlstate=sqlstate) from error


def password_of(dsn: str) -> str:
    """Return the password in a connection string, "" if there is none."""
    return str(conninfo_to_dict(dsn).get("password") or "")


def with_defaults(dsn: str, database: str | None = None) -> str:
    """Return a connection string with what every control connection has, for another database if one is named."""
    parts = conninfo_to_dict(dsn)
    wanted: dict[str, str | int] = {"connect_timeout": CONNECT_TIMEOUT, "application_name": APPLICATION_NAME}
    changed = {key: value for key, value in wanted.items() if parts.get(key) is None}
    if database is not None:
        changed["dbname"] = database
    return make_conninfo(dsn, **changed)


def told(error: BaseException, dsn: str, database: str | None) -> str:
    """Return why a control connection failed, without a secret."""
    reason = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.Error:  # its message quotes pieces of the string
        return "the control connection string is not valid"
    for secret in (parts.get("password"), parts.get("sslpassword")):
        if secret:
            reason = reason.replace(str(secret), "***")
    name = database or parts.get("dbname")
    place = f'database "{name}"' if name else "the control database"
    return f"{place} cannot be read: {reason}"
