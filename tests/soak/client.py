"""The life of a client: sessions one after the other, each with some statements, each left in its own way."""

import asyncio
import random
import time

from tests.soak.acts import Client, Wrong, chosen, exits
from tests.soak.ground import Ground
from tests.soak.wire import Leak, Lost, Session

PATIENCE_SECONDS = 60.0
"""What has no answer for so long has none."""
SHORTEST, LONGEST = 5, 60
"""Statements of a session."""
ENCRYPTED = 0.1
"""So many sessions are encrypted."""
PAUSE_SECONDS = 0.5
"""Between two attempts to connect while the server is away."""


async def live(ground: Ground, owner: int, seed: int) -> None:
    """Be a client until the soak is over."""
    chance = random.Random(seed * 1_000_003 + owner)  # noqa: S311
    client: Client | None = None
    await asyncio.sleep(chance.random() * ground.pace)
    while not ground.over:
        client = await _visit(ground, owner, chance, client)


async def _visit(ground: Ground, owner: int, chance: random.Random, client: Client | None) -> Client | None:
    since = time.monotonic()
    encrypted = chance.random() < ENCRYPTED
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            session = await Session.open(ground.port, ground.database, ground.tls if encrypted else None)
    except Lost as error:
        ground.lost(error, since, "login")
        await asyncio.sleep(PAUSE_SECONDS)
        return client
    except TimeoutError:
        ground.find(f"no answer: client {owner} in login")
        return client
    if client is None:
        client = Client(owner, chance, session)
    client.session = session
    await _stay(ground, client, since, encrypted=encrypted)
    return client


async def _stay(ground: Ground, client: Client, since: float, *, encrypted: bool) -> None:
    doing = "settle"
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await client.settle()
        for _ in range(client.chance.randint(SHORTEST, LONGEST)):
            if ground.over:
                break
            act = chosen(client)
            doing = act.__name__
            async with asyncio.timeout(PATIENCE_SECONDS):
                await act(client)
            ground.acts[doing] += 1
            await asyncio.sleep(client.chance.expovariate(1 / ground.pace))
        leave = client.chance.choice(list(exits(encrypted)))
        doing = leave.__name__
        async with asyncio.timeout(PATIENCE_SECONDS):
            await leave(client)
        ground.acts[doing] += 1
    except Lost as error:
        client.session.drop()
        ground.lost(error, since, doing)
    except (Wrong, Leak, TimeoutError) as error:
        client.session.drop()
        client.astray = True
        kind = {Wrong: "wrong answer", Leak: "a deleted row", TimeoutError: "no answer"}[type(error)]
        ground.find(f"{kind}: client {client.owner} in {doing}: {error}")
