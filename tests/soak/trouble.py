"""What befalls the proxy meanwhile: reloads, each with another policy and certificate, and a server that restarts."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.access.authority import Authority
from tests.fix_proxy import RunningProxy, config_text
from tests.servers import LocalServer, StopMode
from tests.soak.ground import Ground

RELOAD_SECONDS = 1.0
LOOK_SECONDS = 0.1
CACHE_BYTES = 2 * 2**20
"""Small, so that plans of policies that are gone have filled it before memory is looked at."""
RULES = '[tables."public.soak_items"]\n[tables."public.soak_shared"]\n'
OTHER_RULES = '[tables."public.soak_other"]\n[roles.nobody]\nvisibility = ["all"]\n'
MODES: tuple[StopMode, ...] = ("fast", "immediate")


@dataclass(frozen=True, slots=True)
class Configurations:
    """Texts that a reload takes in turn, whose answers are alike."""

    texts: tuple[str, ...]

    @classmethod
    def make(
        cls, server: LocalServer, database: str, folder: Path, workers: int, *, leaks: bool
    ) -> "Configurations":
        """Make two, each with a certificate of its own; `leaks` plants what a soak must find."""
        authority = Authority(folder)
        texts = []
        for number, rules in enumerate((RULES, "" if leaks else RULES + OTHER_RULES)):
            cert, key = authority.issue(f"proxy{number}", hosts=("127.0.0.1",))
            sections = {
                "listen": {"workers": workers},
                "client_tls": {"mode": "prefer", "cert": cert, "key": key},
                "limits": {"connections": 2000, "plan_cache_bytes": CACHE_BYTES},
            }
            texts.append(config_text(server, database, rules, sections))
        return cls(tuple(texts))


async def reload_again_and_again(ground: Ground, proxy: RunningProxy, texts: Sequence[str]) -> None:
    """Put one configuration after the other in force."""
    number = 0
    while not ground.over:
        number += 1
        since = time.monotonic()
        event = await asyncio.to_thread(proxy.reload, texts[number % len(texts)])
        if event["event"] == "reloaded":
            ground.acts["reload"] += 1
        elif not ground.excused(since):
            ground.find(f"reload refused: {event}")
        await asyncio.sleep(RELOAD_SECONDS)


async def restart_server(ground: Ground, server: LocalServer, seconds: float) -> None:
    """Restart the server each time that so many seconds have passed, in due form and otherwise in turn."""
    number = 0
    while True:
        due = time.monotonic() + seconds
        while time.monotonic() < due:
            if ground.over:
                return
            await asyncio.sleep(LOOK_SECONDS)
        with ground.away():
            await asyncio.to_thread(_restart, server, MODES[number % len(MODES)])
        number += 1
        ground.acts["restart of the server"] += 1


def _restart(server: LocalServer, mode: StopMode) -> None:
    server.stop(mode)
    server.start()
