"""What every session of a process is given: one planner, one policy store, one way to the upstream server.

Values only.
"""

from dataclasses import dataclass, field

from pgsoftproxy.ops.reporter import Reporter
from pgsoftproxy.proxy.entrance import Entrance
from pgsoftproxy.proxy.policies import PolicyStore
from pgsoftproxy.proxy.tasks import Tasks
from pgsoftproxy.proxy.upstream import Upstream
from pgsoftproxy.rewrite.cache import Planner
from pgsoftproxy.session.limits import SessionLimits
from pgsoftproxy.session.shelves import Shelves


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; an `idle` of 0 means for ever."""

    login: float = 60.0
    idle: float = 0.0


@dataclass(frozen=True, slots=True)
class Services:
    """What the sessions of a process share."""

    planner: Planner
    reporter: Reporter
    store: PolicyStore
    upstream: Upstream
    tasks: Tasks
    session_limits: SessionLimits = field(default_factory=SessionLimits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    shelves: Shelves = field(default_factory=Shelves)
    entrance: Entrance = field(default_factory=Entrance)
