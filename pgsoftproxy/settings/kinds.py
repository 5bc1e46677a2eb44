"""The kinds of values that keys of the configuration take: their constraints, and the words for what they must be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

from pgsoftproxy.db.connection import is_conninfo
from pgsoftproxy.model.context import VisibilityMode
from pgsoftproxy.model.links import Reaction, Unprotected
from pgsoftproxy.model.policy import Mode, Relations, Truncate, Upsert
from pgsoftproxy.model.routines import Action
from pgsoftproxy.model.statements import Views
from pgsoftproxy.session.door import TlsMode

YEAR = 31_536_000


@dataclass(frozen=True, slots=True)
class Must:
    """What a value must be, in words that follow "must be"."""

    be: str


def _conninfo(dsn: str) -> str:
    if not is_conninfo(dsn):
        raise ValueError("not a conninfo")
    return dsn


def _host(host: str) -> str:
    if not host or any(char.isspace() or char in "@,?" for char in host) or "://" in host:
        raise ValueError("not a host")
    return host


def _address(host: str) -> str:
    if "/" in host:
        raise ValueError("not an address")
    return _host(host)


def _table_name(pattern: str) -> str:
    parts = pattern.split(".", 1)
    if not all(parts):
        raise ValueError("needs a schema and a name, as in app.users")
    if any(len(part) > 1 and part[0] == part[-1] == '"' for part in parts):
        raise ValueError("is written as the catalog stores the name, without SQL quotes")
    return pattern


def _routine_name(name: str) -> str:
    if "." not in name:
        raise ValueError("needs a schema")
    return _table_name(name)


def _finding_name(name: str) -> str:
    check, colon, subject = name.partition(":")
    if not all(word.isalpha() for word in check.split("-")) or (colon and not subject):
        raise ValueError("needs the id of a check")
    return name


def _reason(text: str) -> str:
    if not text.strip():
        raise ValueError("needs a reason")
    return text


def _audit_target(target: str) -> str:
    if "\0" in target or (target not in ("", "log") and "/" not in target):
        raise ValueError("needs a folder, so that a name is not taken for another word")
    return target


Port = Annotated[int, Field(ge=0, le=65535), Must("an integer between 0 and 65535")]
Count = Annotated[int, Field(ge=1, le=1_000_000), Must("an integer between 1 and 1000000")]
Workers = Annotated[int, Field(ge=1, le=256), Must("an integer between 1 and 256")]
Most = Annotated[int, Field(ge=0, le=1_000_000), Must("an integer between 0 and 1000000")]
Bytes = Annotated[int, Field(ge=0, le=2**40), Must("a number of bytes between 0 and 2^40")]
Length = Annotated[int, Field(ge=1, le=2**30), Must("a number of bytes between 1 and 2^30")]
Timeout = Annotated[
    float, Field(gt=0, le=YEAR, allow_inf_nan=False), Must(f"a number of seconds above 0, at most {YEAR}")
]
Seconds = Annotated[
    float, Field(ge=0, le=YEAR, allow_inf_nan=False), Must(f"a number of seconds between 0 and {YEAR}")
]
Flag = Annotated[bool, Must("true or false")]
Host = Annotated[str, AfterValidator(_host), Must("a host name, an address or a socket directory")]
Address = Annotated[str, AfterValidator(_address), Must("a host name or an address")]
Hosts = Annotated[
    Host | Annotated[tuple[Host, ...], Field(strict=False, min_length=1)],
    Must("a host or a list of hosts, each a name, an address or a socket directory"),
]
ColumnName = Annotated[str, Field(min_length=1), Must("the name of a column")]
OptionalColumn = Annotated[str | None, Must('the name of a column, or "" for none')]
TableMode = Annotated[Mode, Field(strict=False), Must('"enforce" or "observe"')]
UpsertChoice = Annotated[Upsert, Field(strict=False), Must('"error" or "revive"')]
RelationsChoice = Annotated[Relations, Field(strict=False), Must('"require" or "parent_only"')]
KeyReaction = Annotated[
    Reaction,
    Field(strict=False),
    Must('"cascade", "restrict", "no_action", "set_null", "set_default" or "parent_only"'),
]
UnprotectedChoice = Annotated[Unprotected, Field(strict=False), Must('"keep" or "hard"')]
ColumnNames = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    Field(strict=False),
    Must('a list of columns, as in ["owner_id"]'),
]
TruncateChoice = Annotated[Truncate, Field(strict=False), Must('"refuse" or "soft"')]
Modes = Annotated[
    frozenset[Annotated[VisibilityMode, Field(strict=False)]],
    Field(strict=False),
    Must('a list of "live", "all", "deleted" and "as_of"'),
]
Dsn = Annotated[
    str,
    AfterValidator(_conninfo),
    Must("a connection string, as in postgresql://user@host:5432/database or host=... dbname=..."),
]
TlsChoice = Annotated[
    TlsMode,
    Field(strict=False),
    Must('"disable", "allow", "prefer", "require", "verify-ca" or "verify-full"'),
]
AuditTarget = Annotated[str, AfterValidator(_audit_target), Must('the path of a file, "log" or ""')]
FilePath = Annotated[str, Field(min_length=1), Must("the path of a file")]
Choice = Annotated[Action, Field(strict=False), Must('"refuse", "warn" or "allow"')]
ViewChoice = Annotated[Views, Field(strict=False), Must('"expand" or "refuse"')]
RoutineNames = Annotated[
    tuple[Annotated[str, AfterValidator(_routine_name)], ...],
    Field(strict=False),
    Must('a list of names with their schema, as in ["app.report"]'),
]
FindingNames = Annotated[
    tuple[Annotated[str, AfterValidator(_finding_name)], ...],
    Field(strict=False),
    Must(
        'a list of ids of checks, each with or without an object, as in ["bloated", "view-leaks:app.everybody"]'
    ),
]


Acceptances = Annotated[
    Mapping[Annotated[str, AfterValidator(_finding_name)], Annotated[str, AfterValidator(_reason)]],
    Must(
        'findings, as for ignore, each with a reason, as in "view-leaks:app.everybody" = "support needs it"'
    ),
]


def _key_name(name: str) -> str:
    if len(parts := name.split(".", 2)) != 3 or not all(parts):
        raise ValueError("needs a schema, a table and a key, as in app.orders.orders_user_id_fkey")
    return name


KeyName = Annotated[str, AfterValidator(_key_name)]
TableName = Annotated[str, AfterValidator(_table_name)]
