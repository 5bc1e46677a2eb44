"""Tell systemd how the process is, as sd_notify(3) and `WatchdogSec=` have it; nothing where it does not ask.

Must not know what ready means.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Sends states to the socket that the environment names."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        asked = environ.get("WATCHDOG_USEC", "") if ours and self._address else ""
        self._interval = int(asked) / 2e6 if asked.isdecimal() else 0.0

    def ready(self) -> None:
        """Tell that clients are served, or that a reload is over."""
        self._say("READY=1")

    def reloading(self) -> None:
        """Tell that the configuration is being read."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Tell that the process ends."""
        self._say("STOPPING=1")

    async def keep_alive(self) -> None:
        """Tell, as often as was asked for, that the event loop goes round."""
        while self._interval > 0:
            self._say("WATCHDOG=1")
            await asyncio.sleep(self._interval)

    def _say(self, state: str) -> None:
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address[0] == "@" else self._address
        # A supervisor that does not listen is no reason to serve nobody.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(state.encode(), address)
