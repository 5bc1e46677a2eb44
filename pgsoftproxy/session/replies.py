"""The queue of what the upstream server owes: one entry for each message that it answers.

Knows which reply fits which message, and what an error skips; must not know what the replies contain.

Theory. The server answers in order. An error in the extended protocol makes it skip all up to the next Sync,
a Query included; an error in a Query, a FunctionCall or at a Sync itself skips nothing more than the rest of
that message.
A COPY FROM STDIN makes the server swallow Syncs while it reads the data, and which ones it swallows depends on
when the COPY fails. The session therefore sends nothing but COPY data behind a statement that may be a COPY,
until that statement is through (`copies`); so every Sync in this queue is answered.
"""

from collections import deque
from enum import Enum

from pgsoftproxy.errors import UpstreamProtocolError
from pgsoftproxy.model.effects import Effect
from pgsoftproxy.rewrite.plan import StatementPlan
from pgsoftproxy.session.statements import Confirmable, Injected, Script


class Owes(Enum):
    """What an entry waits for."""

    PARSE = "ParseComplete"
    BIND = "BindComplete"
    CLOSE = "CloseComplete"
    DESCRIBE_STATEMENT = "ParameterDescription"
    DESCRIBE_PORTAL = "RowDescription"
    EXECUTE = "CommandComplete"
    QUERY = "the replies of a Query"
    FUNCTION_CALL = "FunctionCallResponse"
    SYNC = "ReadyForQuery"
    ERROR = "an error"


NOTHING = Script(())


class Owed:
    """One entry: what it waits for, the script it belongs to, and the names that change when it is confirmed.

    `index` counts the statements of a Query that are complete. `hidden`: the client did not ask for it, and
    must not see its reply. `settles`: its ReadyForQuery decides variables that later messages depend on.
    `named` holds, by index of the statement, the names that SQL's PREPARE and DEALLOCATE change.
    """

    __slots__ = (
        "changes",
        "effects",
        "failed",
        "hidden",
        "index",
        "kind",
        "name",
        "named",
        "script",
        "settles",
    )

    def __init__(
        self,
        kind: Owes,
        script: Script = NOTHING,
        changes: tuple[Confirmable, ...] = (),
        *,
        hidden: bool = False,
    ) -> None:
        self.kind = kind
        self.script = script
        self.changes = changes
        self.named: dict[int, tuple[Confirmable, ...]] = {}
        self.hidden = hidden
        self.effects = False
        self.settles = False
        self.failed = False
        self.index = 0
        self.name: bytes | None = None  # of a Parse

    @property
    def statement(self) -> StatementPlan | None:
        """Return the statement whose reply comes next, None if that is unknown."""
        statements = self.script.statements
        return statements[self.index] if self.index < len(statements) else None

    @property
    def injected(self) -> Injected | None:
        """Return what that statement is if the client did not send it."""
        injected = self.script.injected
        return injected[self.index] if injected and self.index < len(injected) else None


class Replies:
    """The queue with the counts that decide whether a client's message may go on."""

    __slots__ = (
        "copies",
        "copy_broken",
        "copy_ends",
        "copying",
        "effects",
        "queue",
        "segment",
        "skipping",
        "unsettled",
    )

    def __init__(self) -> None:
        self.queue: deque[Owed] = deque()
        self.skipping = False  # the server skips what it reads until the next Sync
        self.segment = 0
        self.unsettled = 0  # ends of segments whose ReadyForQuery must be awaited
        self.effects = 0  # entries with effects
        self.copies = 0  # entries that may be a COPY
        self.copying = False  # the server is in copy-in mode
        self.copy_ends = 0  # CopyDone and CopyFail sent and not yet read by a COPY
        self.copy_broken = False  # another message was sent where the server wants data

    @property
    def must_copy(self) -> bool:
        """Tell whether only COPY data may be sent, until the replies say that the COPY is through."""
        return self.copies > 0 and not self.copy_broken

    @property
    def wants_data(self) -> bool:
        """Tell whether the server reads COPY data whose end was not sent yet."""
        return self.copying and not self.copy_ends

    @property
    def starved(self) -> bool:
        """Tell whether the server would wait for ever if the client said no more: inside a COPY without its end."""
        return self.wants_data and not self.copy_broken

    def push(self, entry: Owed) -> None:
        """Note that a message was sent."""
        kind = entry.kind
        if self.skipping:
            if kind is not Owes.SYNC:
                _forget(entry)
                return
            self.skipping = False
        self.queue.append(entry)
        if entry.effects:
            self.effects += 1
        if entry.settles:
            self.unsettled += 1
        if entry.script.copies and kind in _RUNS:
            if not self.copies:
                self.copy_ends = 0
                self.copy_broken = False
            self.copies += 1

    def head(self, reply: str) -> Owed:
        """Return the entry that the next reply belongs to; raises UpstreamProtocolError if none is owed."""
        if not self.queue:
            raise UpstreamProtocolError(f"the upstream server sent {reply} although none was due")
        return self.queue[0]

    def expect(self, reply: str, *kinds: Owes) -> Owed:
        """Return the head if it is one of these kinds; raises UpstreamProtocolError otherwise."""
        entry = self.head(reply)
        if entry.kind not in kinds or entry.failed:
            raise UpstreamProtocolError(f"the upstream server sent {reply} where {entry.kind.value} was due")
        return entry

    def pop(self) -> Owed:
        """Take the head out: it is answered; its changes are the caller's to confirm."""
        entry = self.queue.popleft()
        self._uncount(entry)
        return entry

    def fail(self) -> None:
        """Apply an error to the head, and to what the server skips because of it."""
        self.copying = False
        head = self.queue[0]
        if head.kind in _FAIL_ALONE:
            head.failed = True
            if head.script.copies:
                self.copy_ends = 0
            for changes in head.named.values():
                for change in changes:
                    change.forget()
            return
        while self.queue and self.queue[0].kind is not Owes.SYNC:
            _forget(self.pop())
        self.skipping = not self.queue
        if not self.copies:
            self.copy_ends = 0

    def begin_copy(self) -> None:
        """The server went into copy-in mode for the head."""
        self.copying = True

    def end_copy(self) -> None:
        """The head's COPY FROM STDIN, if it was in one, is through."""
        if self.copying:
            self.copying = False
            self.copy_ends = max(0, self.copy_ends - 1)

    def _uncount(self, entry: Owed) -> None:
        if entry.effects:
            self.effects -= 1
        if entry.settles:
            self.unsettled -= 1
        if entry.script.copies and entry.kind in _RUNS:
            self.copies -= 1


_RUNS = frozenset({Owes.QUERY, Owes.EXECUTE})
_FAIL_ALONE = frozenset({Owes.QUERY, Owes.FUNCTION_CALL, Owes.SYNC})


def _forget(entry: Owed) -> None:
    for change in entry.changes:
        change.forget()
    for changes in entry.named.values():
        for change in changes:
            change.forget()


def effects_of(script: Script) -> tuple[Effect, ...]:
    """Return the effects of all statements of a script in their order."""
    return tuple(effect for statement in script.statements for effect in statement.effects)
