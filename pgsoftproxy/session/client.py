"""What each frontend message of an authenticated session leads to: sent on, replaced, held back, or left out.

Owns the order of what goes upstream and what is then owed. Must not know replies' contents nor sockets.
"""

from collections.abc import Callable
from dataclasses import replace

from pgsoftproxy.errors import ClientProtocolError, Refusal
from pgsoftproxy.kernel import Scanner
from pgsoftproxy.model.names import NAME_BYTES
from pgsoftproxy.rewrite.plan import Kind, Plan, depends
from pgsoftproxy.session import express, sqlnames
from pgsoftproxy.session.batches import plan_batch
from pgsoftproxy.session.fastpath import is_of_large_objects
from pgsoftproxy.session.inside import InsideReader
from pgsoftproxy.session.phase import Need
from pgsoftproxy.session.replies import NOTHING, Owed, Owes, effects_of
from pgsoftproxy.session.state import State
from pgsoftproxy.session.statements import Confirmable, Prepared, Script, Waits
from pgsoftproxy.session.texts import (
    FASTPATH,
    REFUSAL_TEXT,
    Planned,
    PlansApart,
    malformed,
    plan_named,
    plan_text,
    refuse,
    too_long,
)
from pgsoftproxy.session.uses import Uses, prepare
from pgsoftproxy.wire import frontend
from pgsoftproxy.wire.framing import HEADER


class ClientSide:
    """Handle the frontend messages of one session in its READY phase.

    `run` handles what the scanner has and returns False if it had to hold a message back: it waits for replies.
    """

    def __init__(self, state: State, scanner: Scanner, reader: InsideReader) -> None:
        self._state = state
        self._scanner = scanner
        self._reader = reader
        self._uses = Uses(state, self._ahead)
        self._held = False
        self._asked = False
        self.left = False  # the client has said goodbye
        self._handlers: dict[int, Callable[[], None]] = {
            frontend.QUERY: self._query,
            frontend.PARSE: self._parse,
            frontend.BIND: self._bind,
            frontend.DESCRIBE: self._describe,
            frontend.EXECUTE: self._execute,
            frontend.CLOSE: self._close,
            frontend.SYNC: self._sync,
            frontend.FLUSH: self._flush,
            frontend.FUNCTION_CALL: self._function_call,
            frontend.TERMINATE: self._terminate,
            frontend.COPY_DONE: self._copy_end,
            frontend.COPY_FAIL: self._copy_end,
        }

    def run(self) -> bool:
        """Handle all frames that are complete; raises ClientProtocolError, with all before it sent on."""
        state, scanner, handlers = self._state, self._scanner, self._handlers
        self._held = False
        try:
            while state.need is Need.NOTHING and not self.left:
                kind = scanner.next()
                if not kind:
                    break
                handlers[kind]()
                if self._held:
                    break
                self._asked = False
        except ClientProtocolError:
            scanner.hold()  # what is wrong does not reach the server
            raise
        except PlansApart:
            self._hold()
            self._asked = True  # it waits for a plan, not for the server
            state.need = Need.PLAN
        finally:
            run = scanner.flush()
            if run:
                state.to_upstream.append(run)
        if self._held and not self._asked and not state.replies.unsettled:
            # What is waited for may lie in the server's buffer: nothing that was sent makes it flush.
            state.to_upstream.append(frontend.FLUSH_FRAME)
            self._asked = True
        return not self._held

    def _blocked(self) -> bool:
        """Hold the frame at hand if it depends on replies that have not come."""
        replies = self._state.replies
        if replies.must_copy:
            if replies.wants_data:
                # The server ends the session over this message, unless its COPY has failed already.
                replies.copy_broken = True
            else:
                self._hold()
        elif replies.unsettled or len(replies.queue) >= self._state.limits.pipeline:
            self._hold()
        elif self._reader.active:
            self._hold()
            self._asked = True
        return self._held

    def _reads_catalog(self, plan: Plan) -> bool:
        """Hold the frame at hand if its plan depends on what the open transaction has changed and nobody has read."""
        if not self._state.tracker.context.values.stale or not depends(plan) or not self._reader.may_begin():
            return False
        if not self._state.replies.queue:
            self._reader.begin()
            self._asked = True  # a Sync of its own ends what it has sent
        self._hold()
        return True

    def _reads_catalog_for(self, name: bytes) -> bool:
        state = self._state
        known = state.statements.find(name[:NAME_BYTES], state.replies.segment)
        # Its own plan was made under another catalog: what the text names now decides.
        return isinstance(known, Prepared) and self._reads_catalog(plan_text(state, known.text).plan)

    def _hold(self) -> None:
        self._scanner.hold()
        self._held = True

    def _send(self, frame: bytes, *, instead: bool = True) -> None:
        """Send a frame of our own ahead of the one at hand, or instead of it."""
        out, run = self._state.to_upstream, self._scanner.drop() if instead else self._scanner.before()
        if run:
            out.append(run)
        out.append(frame)

    def _query(self) -> None:
        if self._blocked():
            return
        scanner = self._scanner
        text = frontend.query_text(scanner.body()) if scanner.whole else None
        if text is None:
            self._run_query(too_long(self._state), None)
        elif isinstance(text, str):
            self._run_query(malformed(text), None)
        else:
            planned = plan_text(self._state, text)
            if not self._reads_catalog(planned.plan):
                self._run_query(planned, text)
                self._remember(planned)

    def _run_query(self, planned: Planned, text: bytes | None) -> None:
        state = self._state
        batch = plan_batch(state, planned, text)
        if isinstance(batch, Waits):
            self._hold()
            return
        if batch.sent is None or batch.sent is not text:
            self._send(frontend.query(REFUSAL_TEXT if batch.sent is None else batch.sent))
        segment = state.replies.segment
        # A Query destroys the unnamed statement and the unnamed portal, whatever becomes of it.
        changes: tuple[Confirmable, ...] = (
            *state.statements.expect_none(segment, b""),
            *state.portals.expect_none(segment, b""),
        )
        entry = Owed(Owes.QUERY, batch.script, changes)
        entry.named = batch.named
        self._expect(entry)
        self._end_segment(entry)

    def _function_call(self) -> None:
        if self._blocked():
            return
        if is_of_large_objects(self._scanner.body()):
            self._end_segment(Owed(Owes.FUNCTION_CALL))
        else:
            self._run_query(refuse(FASTPATH), None)

    def _parse(self) -> None:
        if self._blocked():
            return
        state, scanner = self._state, self._scanner
        parts = frontend.parse_parts(scanner.body()) if scanner.whole else None
        if parts is None or isinstance(parts, str):
            planned = too_long(state) if parts is None else malformed(parts)
            name, text, types = scanner.body().partition(b"\0")[0], b"", b"\0\0"
        else:
            name, text, types = parts
            planned = plan_named(state, text) if name else plan_text(state, text)
            if self._reads_catalog(planned.plan):
                return
        prepared = prepare(state, planned, (text, types))
        change = state.statements.expect(name[:NAME_BYTES], prepared, state.replies.segment)
        if planned.sent is None:
            self._send(frontend.parse(name[:NAME_BYTES], REFUSAL_TEXT))
        elif planned.sent is not text:
            self._send(frontend.parse(name, planned.sent, types))
        entry = Owed(Owes.PARSE, prepared.script, (change,))
        entry.name = name
        state.replies.push(entry)
        if not name:
            self._remember(planned, (text, types))

    def _bind(self) -> None:
        if self._blocked():
            return
        scanner, state = self._scanner, self._state
        names = frontend.bind_names(scanner.data, scanner.start + HEADER, scanner.stop)
        if names is None:
            self._bad_bind()
            return
        portal, name = names
        script = self._script_to_use(name)
        if script is None:
            return
        change = state.portals.expect(portal[:NAME_BYTES], script, state.replies.segment)
        state.replies.push(Owed(Owes.BIND, script, (change,)))

    def _describe(self) -> None:
        if self._blocked():
            return
        target = frontend.target(self._scanner.body())
        if target is None:
            self._malformed()
            return
        what, name = target
        if what == ord("P"):
            self._state.replies.push(Owed(Owes.DESCRIBE_PORTAL))
            return
        script = self._script_to_use(name)
        if script is not None:
            self._state.replies.push(Owed(Owes.DESCRIBE_STATEMENT, script))

    def _execute(self) -> None:
        if self._blocked():
            return
        state = self._state
        portal = frontend.execute_portal(self._scanner.body())
        if portal is None:
            self._malformed()
            return
        script = state.portals.find(portal[:NAME_BYTES], state.replies.segment)
        if isinstance(script, Waits):
            self._hold()
            return
        if script is None or not script.effects:
            state.replies.push(Owed(Owes.EXECUTE, NOTHING if script is None else script))
        else:
            self._execute_with_effects(script)

    def _execute_with_effects(self, script: Script) -> None:
        state = self._state
        context = state.tracker.whole_context()
        found = sqlnames.resolve(state, script.statements[0], context)
        if isinstance(found, Waits):
            self._hold()
            return
        if isinstance(found, Refusal):
            self._uses.refuse(found, Kind.EXECUTE)
            state.replies.push(Owed(Owes.EXECUTE))
            return
        if found.again is not None:
            self._uses.prepare_again(found.again)
        copies = script.copies or found.plan.kind is Kind.COPY
        entry = Owed(Owes.EXECUTE, replace(script, statements=(found.plan,), copies=copies))
        entry.named = {0: sqlnames.changes(state, found.plan, context)}
        self._expect(entry)
        state.replies.push(entry)

    def _close(self) -> None:
        if self._blocked():
            return
        target = frontend.target(self._scanner.body())
        if target is None:
            self._malformed()
            return
        what, name = target
        state = self._state
        names = state.statements if what == ord("S") else state.portals
        change = names.expect(name[:NAME_BYTES], None, state.replies.segment)
        state.replies.push(Owed(Owes.CLOSE, NOTHING, (change,)))

    def _sync(self) -> None:
        scanner, state = self._scanner, self._state
        replies = state.replies
        if replies.must_copy:
            if replies.wants_data:
                # Its data is still to come: the server would ignore a Sync now (COPY in the extended protocol).
                run = scanner.drop()
                if run:
                    state.to_upstream.append(run)
            else:
                self._hold()
            return
        if len(replies.queue) >= state.limits.pipeline:
            self._hold()
            return
        self._end_segment(Owed(Owes.SYNC))

    def _end_segment(self, entry: Owed) -> None:
        entry.settles = self._state.tracker.end_segment()
        self._state.replies.push(entry)
        self._state.replies.segment += 1

    def _flush(self) -> None:
        if not self._scanner.whole or self._scanner.stop - self._scanner.start != HEADER:
            self._malformed()

    def _terminate(self) -> None:
        self.left = True

    def _copy_end(self) -> None:
        replies = self._state.replies
        if replies.copies:
            replies.copy_ends += 1

    def _malformed(self) -> None:
        # It holds no text, so it goes on for the server to say what is wrong; anything but an error ends the session.
        self._state.replies.push(Owed(Owes.ERROR))

    def _bad_bind(self) -> None:
        if not self._scanner.whole:
            raise ClientProtocolError(frontend.NO_STRING)  # its names are longer than any name can be
        self._malformed()

    def _remember(self, planned: Planned, given: tuple[bytes, bytes] | None = None) -> None:
        if planned.script.plain and not self._held:
            scanner = self._scanner
            express.remember(self._state, scanner.data[scanner.start : scanner.stop], planned, given)

    def _expect(self, entry: Owed) -> None:
        if entry.script.effects and not self._state.replies.skipping:
            entry.effects = True
            self._state.tracker.expect(effects_of(entry.script))

    def _script_to_use(self, name: bytes) -> Script | None:
        """Return the script of a prepared statement, made current if it was not; None if the frame is held."""
        if self._state.tracker.context.values.stale and self._reads_catalog_for(name):
            return None
        script = self._uses.script(name)
        if isinstance(script, Waits):
            self._hold()
            return None
        return script

    def _ahead(self, frame: bytes) -> None:
        self._send(frame, instead=False)
