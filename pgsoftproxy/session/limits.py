"""How much one session may ask for at once."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """The longest text of a statement, in bytes, and how many unanswered messages are sent on."""

    statement_bytes: int = 16 * 1024 * 1024
    pipeline: int = 10_000
