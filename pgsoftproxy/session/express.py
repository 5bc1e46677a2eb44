"""The session's side of its lane: when it may be opened, what becomes plain, and how the session takes over from it.

Knows what a lane has kept; must not know the relay. To take over means to live through what the lane has carried since
nothing was owed, by the very code that would have carried it; what that writes has been written, and is thrown away.
"""

from collections.abc import Callable

from pgsoftproxy.kernel import Known, Lane
from pgsoftproxy.kernel.lane import GONE, THERE
from pgsoftproxy.session.phase import Need
from pgsoftproxy.session.shelves import Shelves
from pgsoftproxy.session.state import State
from pgsoftproxy.session.texts import Planned
from pgsoftproxy.session.uses import prepare
from pgsoftproxy.wire import backend, frontend
from pgsoftproxy.wire.framing import HEADER

_ANSWERS = {
    **{kind: backend.message(kind, b"") for kind in b"12nsTt"},
    backend.COMMAND_COMPLETE: backend.command_complete(b"SELECT 0"),
}
"""Replies as the lane has kept them, by their types: of plain statements the session reads no more of them."""


Feed = Callable[[bytes], None]


def enter(state: State, lane: Lane) -> None:
    """Open the lane if nothing is owed and nothing in doubt: until then no ReadyForQuery would change anything."""
    replies, tracker = state.replies, state.tracker
    if (
        replies.queue
        or replies.skipping
        or state.need is not Need.NOTHING
        or state.transaction_failed
        or state.catalog_changed
        or state.privates
        or state.foreign
        or state.statements.pending
        or state.portals.pending
        or (state.portals.known and not state.in_transaction)
        or not tracker.steady(idle=not state.in_transaction)
    ):
        return
    status = ord("T") if state.in_transaction else backend.IDLE
    terms = tracker.context, state.policy.version, state.startup.user
    assert state.shelves is not None
    shelf = state.shelf(state.shelves)
    lane.enter((shelf.known, shelf.shapes), state.statements.known, terms, status)


def remember(state: State, frame: bytes, planned: Planned, given: tuple[bytes, bytes] | None = None) -> None:
    """Put a frame on the shelf if it is plain: a Query, or a Parse without a name, of the text and types `given`."""
    shelves, text = state.shelves, planned.sent
    if shelves is None:
        return
    assert text is not None
    shelf = state.shelf(shelves)
    if given is None:
        _remember_shape(state, shelves, frame, planned)
    if not shelves.wants(shelf, frame):
        return
    if given is None:
        sent, source = frontend.query(text), None
    else:
        sent, source = frontend.parse(b"", text, given[1]), (planned, given)
    cells = state.observer.cells(planned.script.statements)
    shelves.put(shelf, frame, Known((frame, sent), planned.script, cells, source))


def _remember_shape(state: State, shelves: Shelves, frame: bytes, planned: Planned) -> None:
    """Put the shape of a Query's text on the shelf, if the planner has a plan that all texts of the shape share."""
    literals: list[bytes] = []
    shape = shelves.masks.mask(bytearray(frame), HEADER, len(frame) - 1, literals)
    shelf = state.shelf(shelves)
    if not shape or not literals or shape in shelf.shapes:
        return
    template = state.planner.template(shape.decode(), state.policy.version, state.tracker.context)
    if template is None or template.fill([literal.decode() for literal in literals]) != planned.plan:
        return
    if template.forward is None and not "".join(template.parts).isascii():
        return
    parts = None if template.forward is not None else tuple(part.encode() for part in template.parts[::2])
    cells = state.observer.cells(planned.script.statements)
    shelves.put_shape(shelf, shape, Known((frame, frame), planned.script, cells, None).shaped(parts))


def leave(state: State, lane: Lane, feeds: tuple[Feed, Feed]) -> None:
    """Close the lane, and bring the session to where it would be without one."""
    lane.open = lane.strange = False
    _take_names(state, lane)
    from_client, from_upstream = feeds
    to_client, to_upstream = len(state.to_client), len(state.to_upstream)
    status = backend.message(backend.READY, b"T" if state.in_transaction else b"I")
    at = 0
    for mark, chunk in lane.log:
        _answer(from_upstream, lane.replies(at, mark), status)
        from_client(chunk)
        at = mark
    _answer(from_upstream, lane.replies(at, lane.answers), status)
    sent = sum(map(len, state.to_upstream[to_upstream:]))
    assert sent == lane.sent, "the session sends what the lane has sent"
    del state.to_client[to_client:], state.to_upstream[to_upstream:]


def _answer(from_upstream: Feed, kinds: bytes, status: bytes) -> None:
    if kinds:
        from_upstream(b"".join(_ANSWERS.get(kind, status) for kind in kinds))


def _take_names(state: State, lane: Lane) -> None:
    if lane.unnamed_is == GONE:
        state.statements.known.pop(b"", None)
    elif lane.unnamed_is == THERE:
        state.statements.known[b""] = prepare(state, *lane.unnamed.source)
    if state.in_transaction:
        if lane.portal_is == GONE:
            state.portals.known.pop(b"", None)
        elif lane.portal_is == THERE:
            state.portals.known[b""] = lane.portal.script
