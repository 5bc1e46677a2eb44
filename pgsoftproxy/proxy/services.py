"""What every session of a process is given: one planner, one policy store, one way to the upstream server.

Values only.
"""

from dataclasses import dataclass, field

from pgsoftproxy.ops.reporter import Reporter
from pgsoftproxy.proxy.bounds import Bounds
from pgsoftproxy.proxy.entrance import Entrance
from pgsoftproxy.proxy.policies import PolicyStore
from pgsoftproxy.proxy.tasks import Tasks
from pgsoftproxy.proxy.upstream import Upstream
from pgsoftproxy.rewrite.cache import Planner
from pgsoftproxy.session.shelves import Shelves


@dataclass(frozen=True, slots=True)
class Services:
    """What the sessions of a process share."""

    planner: Planner
    reporter: Reporter
    store: PolicyStore
    upstream: Upstream
    tasks: Tasks
    bounds: Bounds = field(default_factory=Bounds)
    shelves: Shelves = field(default_factory=Shelves)
    entrance: Entrance = field(default_factory=Entrance)
