"""Listening sockets: one for each address, as many as there are workers to share its port, or those that systemd holds.

Must not know who accepts from them.
"""

import os
import socket
from collections.abc import Mapping
from typing import Any

from pgsoftproxy.errors import ConfigError
from pgsoftproxy.proxy.upstream import tune

BACKLOG = 1024
FIRST_PASSED = 3

Share = tuple[socket.socket, ...]
"""What one worker accepts from: a socket for each address."""


def bind(host: str, port: int, copies: int) -> tuple[Share, ...]:
    """Listen on every address of a host, `copies` times. Raises ConfigError if one cannot be had.

    Several copies share the port (SO_REUSEPORT): the kernel deals connections out among them.
    """
    made: list[list[socket.socket]] = [[] for _ in range(copies)]
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, place in dict.fromkeys(found):
            taken: Any = place
            if copies > 1:
                # A port that is to be shared would be shared with another proxy as well, and nobody would notice.
                with _bound(family, place, shared=False) as probe:
                    taken = probe.getsockname()
            for share in made:
                share.append(_listening(family, taken, shared=copies > 1))
    except OSError as error:
        for sock in (sock for share in made for sock in share):
            sock.close()
        reason = error.strerror or error
        raise ConfigError((f"listen: cannot listen on {host}:{port}: {reason}",)) from error
    return tuple(tuple(share) for share in made)


def passed(environ: Mapping[str, str]) -> Share:
    """Return the listening sockets that systemd has passed, as sd_listen_fds(3) says; () if it has not.

    Raises ConfigError if one is not for TCP.
    """
    number = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(os.getpid()) or not number.isdecimal():
        return ()
    found = []
    for fd in range(FIRST_PASSED, FIRST_PASSED + int(number)):
        os.set_inheritable(fd, False)
        try:
            sock = socket.socket(fileno=fd)
        except OSError as error:
            raise ConfigError((f"LISTEN_FDS: file descriptor {fd} is no socket",)) from error
        if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
            raise ConfigError((f"LISTEN_FDS: file descriptor {fd} is no TCP socket",))
        sock.setblocking(False)
        tune(sock)
        found.append(sock)
    return tuple(found)


def _listening(family: int, place: Any, *, shared: bool) -> socket.socket:
    sock = _bound(family, place, shared=shared)
    try:
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _bound(family: int, place: Any, *, shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # 0.0.0.0 may be listened on as well
        tune(sock)
        sock.setblocking(False)
        sock.bind(place)
    except OSError:
        sock.close()
        raise
    return sock
