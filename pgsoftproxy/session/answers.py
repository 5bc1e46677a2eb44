"""What a client is told where the server's own words would be wrong or would show a deleted row.

Pure: fields in, fields out. Must not know the queue.
"""

from collections.abc import Iterable

from pgsoftproxy.errors import Refusal
from pgsoftproxy.model.policy import Mode, Policy
from pgsoftproxy.rewrite.plan import REFUSAL_MARKER, Edit, Kind, StatementPlan, original_position
from pgsoftproxy.session.statements import Injected
from pgsoftproxy.wire import backend
from pgsoftproxy.wire.backend import Fields

UNDEFINED_FUNCTION = b"42883"
TELLING = frozenset({b"23505", b"23P01", b"23514", b"44000"})
"""Errors whose DETAIL prints values of a row, which may be a deleted one."""
FAILED_TRANSACTION = b"25P02"
EARLY = frozenset({"08P01", "22021", "26000", "42601"})
"""Errors in a text or a name itself, found before the failed transaction is, where REFUSAL_SQL comes too late."""
POSITION_DIGITS = 10
"""A text is shorter than 2 GiB; a number of thousands of digits cannot even be read."""
ENDING = frozenset({b"FATAL", b"PANIC"})


def value_of(fields: Fields, code: int) -> bytes:
    """Return a field's value, empty if it is not there."""
    return next((value for key, value in fields if key == code), b"")


def sqlstate_of(fields: Fields) -> str:
    """Return an error's SQLSTATE, as well as it can be read."""
    return value_of(fields, backend.SQLSTATE).decode(errors="replace")


def ends_session(fields: Fields) -> bool:
    """Tell whether the server closes the connection after this error."""
    return (value_of(fields, backend.SEVERITY_PLAIN) or value_of(fields, backend.SEVERITY)) in ENDING


def replacement(fields: Fields, statements: Iterable[StatementPlan]) -> tuple[StatementPlan, Refusal] | None:
    """Return the refusal that stands for this server error, with its statement, if there is one."""
    sqlstate = value_of(fields, backend.SQLSTATE)
    message = value_of(fields, backend.MESSAGE)
    for statement in statements:
        refusal = statement.refusal
        if refusal is not None and (
            (sqlstate == UNDEFINED_FUNCTION and REFUSAL_MARKER.encode() in message)
            or (
                sqlstate == FAILED_TRANSACTION
                and refusal.sqlstate in EARLY
                and statement.kind is Kind.INVALID
            )
        ):
            return statement, refusal
        for translation in statement.translations:
            if sqlstate.startswith(translation.sqlstate.encode()) and translation.marker.encode() in message:
                return statement, translation.refusal
    return None


def with_position(fields: Fields, edits: tuple[Edit, ...], injected: Injected | None = None) -> Fields:
    """Return the fields with the error position mapped back into the client's text.

    In what was injected, into the text that it stems from: an EXECUTE reports errors in its PREPARE like that.
    """
    start = 0
    if injected is not None:
        start, edits = injected.start, injected.edits
    if not edits:
        return fields
    return [
        (
            code,
            b"%d" % original_position(edits, int(value) - start)
            if code == backend.POSITION and value.isdigit() and len(value) <= POSITION_DIGITS
            else value,
        )
        for code, value in fields
    ]


def without_telling_detail(fields: Fields, policy: Policy) -> Fields:
    """Return the fields without the DETAIL that could print values of a deleted row."""
    if value_of(fields, backend.SQLSTATE) not in TELLING or not _may_tell(fields, policy):
        return fields
    return [(code, value) for code, value in fields if code != backend.DETAIL]


def _may_tell(fields: Fields, policy: Policy) -> bool:
    if not policy.hides:
        return False
    schema, table = value_of(fields, backend.SCHEMA), value_of(fields, backend.TABLE)
    relation = policy.catalog.find(schema.decode(errors="replace"), table.decode(errors="replace"))
    if relation is None:
        return True  # no table named, or one that is younger than the catalog
    protection = policy.protections.get(relation.oid)
    if protection is not None:
        return protection.mode is Mode.ENFORCE
    return relation.oid in policy.broken
