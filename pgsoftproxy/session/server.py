"""What each backend message of an authenticated session leads to: passed on, repaired, or swallowed.

Pops the queue of what is owed, applies effects when the server confirms them. A reply that fits nothing owed
ends the session. Must not know the client's messages nor sockets.
"""

from collections.abc import Callable

from pgsoftproxy.errors import UpstreamProtocolError
from pgsoftproxy.kernel import Scanner
from pgsoftproxy.model.effects import ChangesCatalog
from pgsoftproxy.model.encodings import codec_of
from pgsoftproxy.rewrite.plan import Kind, Retag, StatementPlan
from pgsoftproxy.session import answers, overdue
from pgsoftproxy.session.phase import Need
from pgsoftproxy.session.replies import Owed, Owes
from pgsoftproxy.session.state import State
from pgsoftproxy.wire import backend


class ServerSide:
    """Handle the backend messages of one session in its READY phase."""

    def __init__(self, state: State, scanner: Scanner) -> None:
        self._state = state
        self._scanner = scanner
        self._failed = False  # an error came since the last ReadyForQuery
        self._handlers: dict[int, Callable[[], None]] = {
            backend.PARSE_COMPLETE: self._parse_complete,
            backend.BIND_COMPLETE: self._bind_complete,
            backend.CLOSE_COMPLETE: self._close_complete,
            backend.PARAMETER_DESCRIPTION: self._parameter_description,
            backend.ROW_DESCRIPTION: self._row_description,
            backend.NO_DATA: self._no_data,
            backend.COMMAND_COMPLETE: self._command_complete,
            backend.EMPTY_QUERY: self._empty_query,
            backend.PORTAL_SUSPENDED: self._portal_suspended,
            backend.FUNCTION_RESPONSE: self._function_response,
            backend.COPY_IN: self._copy_in,
            backend.COPY_OUT: self._copy_out,
            backend.COPY_BOTH: self._copy_both,
            backend.ERROR: self.error,
            backend.READY: self.ready,
            backend.PARAMETER_STATUS: self.parameter_status,
        }

    def handle(self, kind: int) -> None:
        """Handle the frame at hand; raises UpstreamProtocolError."""
        self._handlers[kind]()

    def _parse_complete(self) -> None:
        entry = self._state.replies.expect("ParseComplete", Owes.PARSE)
        if entry.statement is not None and entry.statement.refusal is not None:
            raise UpstreamProtocolError("the upstream server accepted a refused statement")
        self._confirm(entry)

    def _bind_complete(self) -> None:
        self._confirm(self._state.replies.expect("BindComplete", Owes.BIND))

    def _close_complete(self) -> None:
        self._confirm(self._state.replies.expect("CloseComplete", Owes.CLOSE))

    def _parameter_description(self) -> None:
        entry = self._state.replies.expect("ParameterDescription", Owes.DESCRIBE_STATEMENT)
        entry.kind = Owes.DESCRIBE_PORTAL  # what is left of it

    def _row_description(self) -> None:
        entry = self._state.replies.expect("RowDescription", Owes.DESCRIBE_PORTAL, Owes.QUERY)
        if entry.kind is Owes.DESCRIBE_PORTAL:
            self._state.replies.pop()

    def _no_data(self) -> None:
        self._state.replies.expect("NoData", Owes.DESCRIBE_PORTAL)
        self._state.replies.pop()

    def _command_complete(self) -> None:
        replies = self._state.replies
        entry = replies.expect("CommandComplete", Owes.EXECUTE, Owes.QUERY)
        if entry.hidden:
            self._confirm(entry)
            return
        if entry.injected is not None:
            for change in entry.named.pop(entry.index, ()):
                change.confirm()
            entry.index += 1
            self._swallow()
            return
        statement = entry.statement
        if statement is not None:
            self._complete(entry, statement)
        elif entry.kind is Owes.QUERY:
            raise UpstreamProtocolError("the upstream server completed more statements than were sent")
        replies.end_copy()
        if entry.kind is Owes.QUERY:
            entry.index += 1
        else:
            replies.pop()
            self._settle()

    def _complete(self, entry: Owed, statement: StatementPlan) -> None:
        if statement.refusal is not None:
            raise UpstreamProtocolError("the upstream server ran a refused statement")
        state = self._state
        role = state.startup.user
        rows: int | None = None
        if statement.effects or statement.retag is not None or statement.deletes is not None:
            tag = backend.command_tag(self._scanner.body())
            if statement.effects:
                self._apply(entry, statement, tag)
            if statement.deletes is not None:
                rows = backend.tag_rows(tag)
            if statement.retag is not None:
                self._retag(statement.retag, tag)
        state.observer.statement(statement, role, rows)
        if statement.bypass is not None:
            state.observer.bypass(statement, state.who())
        if statement.hard and statement.kind is not Kind.PREPARE:
            state.observer.hard_delete(statement, state.who())
        if statement.restores is not None and statement.kind is not Kind.PREPARE:
            state.observer.restored(statement, state.who())

    def _apply(self, entry: Owed, statement: StatementPlan, tag: bytes) -> None:
        state = self._state
        state.tracker.confirm(statement.effects, tag)
        for change in entry.named.pop(entry.index, ()):
            change.confirm()
        for effect in statement.effects:
            if isinstance(effect, ChangesCatalog):
                state.catalog_changed = True

    def _retag(self, retag: Retag, tag: bytes) -> None:
        verb, space, rest = tag.partition(b" ")
        if verb != retag.sent.encode():
            return
        shown = retag.shown.encode() if retag.drop_count else retag.shown.encode() + space + rest
        self._replace(backend.command_complete(shown))

    def _empty_query(self) -> None:
        replies = self._state.replies
        entry = replies.expect("EmptyQueryResponse", Owes.EXECUTE, Owes.QUERY)
        if entry.statement is not None:
            raise UpstreamProtocolError("the upstream server found no statement in a text that has one")
        if entry.kind is Owes.EXECUTE:
            replies.pop()

    def _portal_suspended(self) -> None:
        entry = self._state.replies.expect("PortalSuspended", Owes.EXECUTE)
        if entry.statement is not None and entry.statement.effects:
            # Its rows up to here were computed, set_config() calls among them included.
            self._apply(entry, entry.statement, b"")
        self._state.replies.pop()
        self._settle()

    def _function_response(self) -> None:
        entry = self._state.replies.expect("FunctionCallResponse", Owes.FUNCTION_CALL)
        if entry.index:
            raise UpstreamProtocolError("the upstream server answered one FunctionCall twice")
        entry.index = 1

    def _copy_in(self) -> None:
        self._must_copy("CopyInResponse")
        self._state.replies.begin_copy()

    def _copy_out(self) -> None:
        self._must_copy("CopyOutResponse")

    def _copy_both(self) -> None:
        raise UpstreamProtocolError("the upstream server sent CopyBothResponse outside replication")

    def _must_copy(self, reply: str) -> None:
        entry = self._state.replies.expect(reply, Owes.EXECUTE, Owes.QUERY)
        if not entry.script.copies:
            raise UpstreamProtocolError(f"the upstream server sent {reply} for no COPY")

    def error(self) -> None:
        """Pass an ErrorResponse on, in the words that are right for the client."""
        state = self._state
        fields = given = backend.error_fields(self._scanner.body())
        if answers.ends_session(fields):
            state.need = Need.CLOSE
            state.observer.error(answers.sqlstate_of(fields))
            return
        entry = state.replies.head("ErrorResponse")
        if state.overdue:
            fields = overdue.judge(state, entry, fields)
        if entry.failed:
            raise UpstreamProtocolError("the upstream server sent two errors for one message")
        current = entry.statement
        found = answers.replacement(fields, () if current is None else (current,))
        if found is not None:
            statement, refusal = found
            self._replace(backend.refusal(refusal, b"ERROR", state.codec))
            state.observer.error(refusal.sqlstate)
            if statement.refusal is refusal:
                state.report_refusal(refusal, statement)
        else:
            mapped = answers.with_position(fields, entry.script.edits, entry.injected)
            mapped = answers.without_telling_detail(mapped, state.policy)
            if mapped != given:
                self._replace(backend.error(mapped))
            state.observer.error(answers.sqlstate_of(fields))
        self._failed = True
        if entry.kind is Owes.PARSE and not entry.hidden and entry.name == b"":
            state.statements.known.pop(b"", None)  # a Parse without a name drops the old one before it fails
        state.replies.fail()
        self._settle()

    def ready(self) -> None:
        """Apply a ReadyForQuery."""
        state = self._state
        status = backend.transaction_status(self._scanner.body())
        replies = state.replies
        entry = replies.head("ReadyForQuery")
        if entry.kind is Owes.QUERY:
            if not entry.failed and entry.statement is not None:
                raise UpstreamProtocolError("the upstream server completed fewer statements than were sent")
        elif entry.kind is not Owes.SYNC and not (
            entry.kind is Owes.FUNCTION_CALL and (entry.index or entry.failed)
        ):
            raise UpstreamProtocolError(
                f"the upstream server sent ReadyForQuery where {entry.kind.value} was due"
            )
        replies.pop()
        for change in entry.changes:
            change.confirm()
        replies.end_copy()
        state.transaction_failed = status == backend.FAILED
        self._end_segment(idle=status == backend.IDLE)

    def _end_segment(self, *, idle: bool) -> None:
        state = self._state
        state.in_transaction = not idle
        state.tracker.ready(idle=idle, failed=self._failed)
        self._failed = False
        self._settle()
        if idle:
            # Every portal ends with its transaction.
            state.portals.known.clear()
            state.readings_failed = 0
            if state.catalog_changed and state.need is Need.NOTHING:
                state.catalog_changed = False
                state.need = Need.CATALOG

    def parameter_status(self) -> None:
        """Follow the settings that texts and names depend on."""
        state = self._state
        name, value = backend.parameter_status(self._scanner.body())
        if name == b"client_encoding":
            codec = codec_of(value.decode(errors="replace"))
            if codec is None:
                raise UpstreamProtocolError(
                    f"client_encoding became {value.decode(errors='replace')}, which is not supported",
                    hint="Use UTF8, LATIN1 or SQL_ASCII.",
                    sqlstate="0A000",
                )
            state.tracker.report_encoding(codec)
        elif name == b"server_encoding":
            state.foreign = value != b"UTF8"
        elif name == b"application_name":
            state.application_name = value.decode(errors="replace")
        elif name == b"standard_conforming_strings" and value != b"on":
            raise UpstreamProtocolError("standard_conforming_strings must stay on", sqlstate="0A000")
        elif name == b"search_path":
            try:
                state.tracker.report_search_path(value.decode(state.tracker.reported_encoding))
            except UnicodeDecodeError:
                state.tracker.report_search_path(None)

    def _confirm(self, entry: Owed) -> None:
        for change in entry.changes:
            change.confirm()
        self._state.replies.pop()
        if entry.hidden:
            self._swallow()

    def _settle(self) -> None:
        if not self._state.replies.effects:
            self._state.tracker.settle()

    def _swallow(self) -> None:
        run = self._scanner.drop()
        if run:
            self._state.to_client.append(run)

    def _replace(self, frame: bytes) -> None:
        self._swallow()
        self._state.to_client.append(frame)
