"""Broken conversations over sockets: a client that says what a seed makes of it, and what it hears.

Knows sockets and frames. What must hold of the answers is in `test_proxy`.
"""

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.fuzz.mutate import mutated
from tests.fuzz.offline import pieces_of
from tests.fuzz.record import DATABASE
from tests.fuzz.transcript import CLIENT, SERVER, Transcript, Turn, split
from tests.raw import startup

HANG_SECONDS = 20.0
ENOUGH = 64 << 20
"""Bytes after which a client has heard enough, and goes."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a client heard; `ended`: until the other side closed."""

    data: bytes
    ended: bool
    seconds: float


def for_database(transcripts: Sequence[Transcript], dbname: str) -> tuple[Transcript, ...]:
    """Return the conversations with another database in their startup packets."""

    def frame(one: bytes) -> bytes:
        old = f"database\0{DATABASE}\0".encode()
        if one[:1] != b"\0" or old not in one:
            return one
        new = one[8:].replace(old, f"database\0{dbname}\0".encode())
        return struct.pack(">I", len(new) + 8) + one[4:8] + new

    def turn(one: Turn) -> Turn:
        return Turn(one.side, tuple(frame(each) for each in one.frames))

    return tuple(Transcript(one.name, tuple(turn(each) for each in one.turns)) for one in transcripts)


def client_turns(rng: Random, transcripts: Sequence[Transcript]) -> tuple[list[bytes], str]:
    """Return what a broken client says, turn by turn."""
    turns, names = mutated(rng, transcripts, CLIENT)
    said = [turn.data for turn in turns if turn.side == CLIENT and turn.data]
    return said or [startup(user="nobody")], names


def attack(address: tuple[str, int], rng: Random, said: Sequence[bytes]) -> Heard:
    """Say it in one connection, in any pieces, waiting for answers or not; end in any way; return what came back."""
    patient, how = rng.random() < 0.5, rng.choice(("whole", "random", "random"))
    end = rng.choice(("half-close", "half-close", "terminate", "reset"))
    started = time.monotonic()
    heard = bytearray()
    with socket.create_connection(address, HANG_SECONDS) as sock, contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for data in said:
            for piece in pieces_of(rng, how)(data):
                _send(sock, piece, heard)
            if patient:
                _listen(sock, heard, 0.01)
        if end == "terminate":
            _send(sock, b"X\0\0\0\4", heard)
        if end == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return Heard(bytes(heard), False, time.monotonic() - started)
        sock.shutdown(socket.SHUT_WR)
        ended = _listen(sock, heard, HANG_SECONDS, to_the_end=True)
        return Heard(bytes(heard), ended, time.monotonic() - started)
    return Heard(bytes(heard), True, time.monotonic() - started)


def _send(sock: socket.socket, data: bytes, heard: bytearray) -> None:
    """Send, and listen meanwhile: who only speaks, blocks."""
    while data:
        readable, writable, _ = select.select([sock], [sock], [], HANG_SECONDS)
        if readable:
            got = sock.recv(1 << 16)
            if not got:
                raise OSError("closed")
            heard += got
        if writable:
            data = data[sock.send(data) :]


def _listen(sock: socket.socket, heard: bytearray, seconds: float, *, to_the_end: bool = False) -> bool:
    """Hear what comes until nothing does for so long; return whether the other side has closed."""
    while len(heard) < ENOUGH:
        readable, _, _ = select.select([sock], [], [], seconds)
        if not readable:
            return False
        try:
            got = sock.recv(1 << 16)
        except ConnectionResetError:
            return True
        if not got:
            return True
        heard += got
    return True


SILENCE = 0.3


class Mangler:
    """A relay between proxy and server that breaks what the server says, by seed; each connection gets the next.

    `rate` is the share of pieces that are mutated. It hangs up once one side has, or after SILENCE seconds without
    a byte from anyone. A session whose startup packet names the application `bystander` is spared.
    """

    def __init__(self, address: tuple[str, int], seed: int, rate: float = 0.3) -> None:
        self._address = address
        self._seed = seed
        self._rate = rate
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listening.getsockname()[1]

    def serve(self) -> None:
        """Serve connections, each in the caller's thread, until `close`."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self._seed += 1
                threading.Thread(target=self._relay, args=(client, self._seed), daemon=True).start()

    def close(self) -> None:
        """Accept no more."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _relay(self, client: socket.socket, seed: int) -> None:
        rng = Random(seed)  # noqa: S311 - no secret
        begin = rng.choice(
            (0, 0, 1, 2, 5)
        )  # pieces that pass as they are: else no session gets beyond its login
        # Until something is heard, the proxy is busy with what it needs ahead of the startup packet.
        spared, heard = False, False
        with client, socket.create_connection(self._address) as server, contextlib.suppress(OSError):
            other = {client: server, server: client}
            while True:
                readable, _, _ = select.select(
                    [client, server], [], [], SILENCE if heard and not spared else None
                )
                if not readable:
                    return
                for source in readable:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    heard = True
                    spared = spared or (source is client and b"\0bystander\0" in data)
                    if source is server and not spared:
                        begin -= 1
                        if begin < 0 and rng.random() < self._rate:
                            data = _mangled(rng, data)
                    other[source].sendall(data)


def _mangled(rng: Random, data: bytes) -> bytes:
    turns = (Turn(SERVER, split(data)),)
    broken, _ = mutated(rng, (Transcript("live", turns),), SERVER)
    return b"".join(turn.data for turn in broken)
