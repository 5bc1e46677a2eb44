"""Every error that a client or an operator can see: its SQLSTATE, its words, its way out.

Knows nothing of bytes, SQL or sockets. An exception's class says who is at fault.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """Say why a statement is not executed, in the fields of a PostgreSQL ErrorResponse.

    `position` is 1-based and counts characters of the client's own text, as in the protocol.
    """

    sqlstate: str
    message: str
    hint: str | None = None
    detail: str | None = None
    position: int | None = None


class ProxyError(Exception):
    """Base of all errors of this project; carries what an ErrorResponse would say."""

    sqlstate = "XX000"

    def __init__(self, message: str, *, hint: str | None = None, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if sqlstate is not None:
            self.sqlstate = sqlstate

    @property
    def refusal(self) -> Refusal:
        """Return the error as the fields of an ErrorResponse."""
        return Refusal(self.sqlstate, self.message, self.hint)


class ClientProtocolError(ProxyError):
    """The client broke the wire protocol; its session ends."""

    sqlstate = "08P01"


class UpstreamProtocolError(ProxyError):
    """The upstream server sent what the protocol does not allow here; the session ends."""

    sqlstate = "08P01"


class UpstreamUnavailable(ProxyError):
    """The upstream server, or the catalog of one of its databases, cannot be reached now."""

    sqlstate = "57P03"


class UpstreamLost(ProxyError):
    """An established connection to the upstream server broke."""

    sqlstate = "08006"


class StatementRefused(ProxyError):
    """A statement cannot be proven safe and is not sent; raised inside `rewrite`, never through it."""

    sqlstate = "0A000"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        sqlstate: str | None = None,
        position: int | None = None,
    ) -> None:
        super().__init__(message, hint=hint, sqlstate=sqlstate)
        self.position = position

    @property
    def refusal(self) -> Refusal:
        """Return the error as the fields of an ErrorResponse."""
        return Refusal(self.sqlstate, self.message, self.hint, position=self.position)


class StepFailed(ProxyError):
    """The server refused a step of a migration; the steps before it are done, the next run goes on from there."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        sqlstate: str | None = None,
        detail: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, sqlstate=sqlstate)
        self.detail = detail


class RestoreFailed(ProxyError):
    """A restore was asked for wrongly, or the server refused it; nothing was changed."""

    def __init__(self, message: str, *, sqlstate: str | None = None, detail: str | None = None) -> None:
        super().__init__(message, sqlstate=sqlstate)
        self.detail = detail


class ConfigError(ProxyError):
    """The configuration is wrong; each line of `problems` names file, line and reason."""

    sqlstate = "F0000"

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
