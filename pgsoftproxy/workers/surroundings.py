"""What a process is given by whoever started it: sockets to listen on, and who wants to be told of what.

Must not know what is done with it.
"""

import socket
from dataclasses import dataclass, field

from pgsoftproxy.ops.notify import Notifier
from pgsoftproxy.workers.outcome import Told, nobody_told


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Who is told what came of a reload, and how the process is; the sockets that were passed, if any were."""

    told: Told = nobody_told
    notifier: Notifier = field(default_factory=lambda: Notifier({}))
    sockets: tuple[socket.socket, ...] = ()
