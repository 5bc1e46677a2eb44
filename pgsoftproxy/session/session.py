"""One client's conversation as the relay sees it: the core, and beside it the lane that plain messages take.

Owns which of the two has the bytes. Must not know what either makes of them.
"""

from collections.abc import Callable

from pgsoftproxy.errors import ProxyError
from pgsoftproxy.kernel import Lane, Scanner
from pgsoftproxy.model.policy import Policy
from pgsoftproxy.rewrite.cache import Planner
from pgsoftproxy.session import express, overdue
from pgsoftproxy.session.core import Core
from pgsoftproxy.session.inside import CatalogTexts
from pgsoftproxy.session.limits import SessionLimits
from pgsoftproxy.session.observer import Observer
from pgsoftproxy.session.phase import Need, Phase
from pgsoftproxy.session.shelves import Shelves

__all__ = ["CatalogTexts", "Need", "Session", "SessionLimits", "Stream"]

Stream = tuple[Scanner, Callable[[], bool]]

_FLOWING = frozenset({Phase.READY, Phase.PASSING})


class Session(Core):
    """A core with a lane. Sessions that are given the same `shelves` share what they know to be plain."""

    def __init__(
        self,
        planner: Planner,
        observer: Observer,
        limits: SessionLimits,
        catalog_texts: CatalogTexts | None = None,
        shelves: Shelves | None = None,
    ) -> None:
        shelves = shelves or Shelves()
        super().__init__(planner, observer, limits, catalog_texts, shelves)
        self.lane = Lane(observer, shelves.hits, shelves.masks, (limits.pipeline, limits.statement_bytes))
        self._lane_closed = False
        self.silent = False

    @property
    def idle(self) -> bool:
        """Tell whether the session could end without loss: nothing is owed, open, or half sent."""
        return not self.lane.owes and super().idle

    @property
    def owes(self) -> bool:
        """Tell whether an answer of the server's is still to come."""
        return self.lane.owes or bool(self._state.replies.queue)

    @property
    def in_transaction(self) -> bool:
        """Tell whether a transaction was open when the server was last ready."""
        return self._state.in_transaction

    @property
    def stoppable(self) -> bool:
        """Tell whether a cancel request would do something: not while the server reads the data of a COPY."""
        return not (self.silent or self._state.replies.wants_data)

    @property
    def busy(self) -> bool:
        """Tell whether neither the client nor the server is waited for, but the proxy itself."""
        return self._state.need is not Need.NOTHING or self._reader.active

    @property
    def progress(self) -> object:
        """Return what equals itself for as long as nothing more is asked and nothing more is answered."""
        lane, replies = self.lane, self._state.replies
        head = replies.queue[0] if replies.queue else None
        return lane.turns, lane.answers, replies.segment, head, replies.wants_data, self.busy

    def stop_query(self) -> None:
        """Send nothing on until `go_on`: the server is asked to stop what it is at."""
        self.leave_lane()
        self.silent = self.stalled = True
        overdue.begin(self._state)

    def go_on(self) -> None:
        """Send on again: the server knows that it shall stop."""
        self.silent = self.stalled = False
        if self.need is Need.NOTHING:
            self._go_on()
        if self._client_ended:
            self._end_when_answered()

    def _go_on(self) -> None:
        if not self.silent:
            super()._go_on()

    def from_client(self, data: bytes) -> None:
        """Take bytes that the client sent."""
        lane = self.lane
        if lane.open:
            found = lane.client(bytearray(data), len(data))
            if found:
                self.to_upstream.append(data if found == 1 else bytes(lane.out.data[: lane.out.size]))
                return
            self.leave_lane()
        super().from_client(data)

    def from_upstream(self, data: bytes) -> None:
        """Take bytes that the upstream server sent."""
        lane = self.lane
        if lane.open:
            data = lane.held + data
            upto = lane.server(bytearray(data), len(data))
            if upto:
                self.to_client.append(data[:upto])
            if not lane.strange:
                return
            self.leave_lane()
            data = data[upto:]
        super().from_upstream(data)
        if self.phase is Phase.READY and not self._state.replies.queue:
            self._enter_lane()

    def streams(self) -> tuple[Stream, Stream]:
        """Return the client's bytes and the server's as streams: what cuts them, and what tells whether they may flow.

        What then passes may go on without being given: all that would come of it is that it goes on.
        """
        return (self._from_client, self._client_flows), (self._from_upstream, self._upstream_flows)

    def leave_lane(self) -> None:
        """Take over what the lane has carried, if it is open; whatever looks into the session comes behind this."""
        lane = self.lane
        if lane.open:
            express.leave(self._state, lane, (super().from_client, super().from_upstream))
            self._from_upstream.resume(lane.skip, lane.held)

    def close_lane(self) -> None:
        """Let every byte pass the core from now on."""
        self._lane_closed = True
        self.leave_lane()

    def policy_changed(self, policy: Policy) -> None:
        """Put a policy in force from the next statement on."""
        self.leave_lane()
        super().policy_changed(policy)

    def fail(self, error: ProxyError) -> None:
        """End the session with a FATAL ErrorResponse, unless that would be the second, or inside a cut-off frame."""
        self.leave_lane()
        super().fail(error)

    def client_closed(self) -> None:
        """Take the client's end of file: what it sent before is still answered, as it would be by the server."""
        self.leave_lane()
        super().client_closed()

    def _client_flows(self) -> bool:
        return (
            self.phase in _FLOWING
            and self._state.need is Need.NOTHING
            and self._doom is None
            and not (self.to_upstream or self._client_side.left)
        )

    def _upstream_flows(self) -> bool:
        # With nothing owed the lane may be entered, and whoever ends is waited for by what is still to come.
        return (
            self.phase in _FLOWING
            and self._state.need is Need.NOTHING
            and self._doom is None
            and not (self.to_client or self._client_ended)
            and (self.phase is Phase.PASSING or bool(self._state.replies.queue))
        )

    def _enter_lane(self) -> None:
        if not (
            self._lane_closed
            or self.silent
            or self.stalled
            or self._doom is not None
            or self._client_ended
            or self._reader.active
            or not self._from_client.empty
            or not self._from_upstream.empty
        ):
            express.enter(self._state, self.lane)
