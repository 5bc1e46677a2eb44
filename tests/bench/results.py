"""Large results and large COPYs: time on the wall and CPU of the middle.

The client reads and writes plain bytes, so that it is not what takes the time. Through the proxy the text is as an
application writes it, for the others the predicate is written by hand: the same rows come back. Each text comes once,
as large ones do, so that the proxy has not seen it before.
"""

import re
import struct
import time
from dataclasses import dataclass
from itertools import count

from tests.bench.figures import Ledger
from tests.bench.names import OURS, OURS_TWICE, PROTECTED
from tests.bench.pgbench import Failed
from tests.bench.rounds import Effort, interleaved
from tests.bench.stage import Contender, Stage
from tests.raw import RawClient, frame, query
from tests.servers import execute

ROWS = 1_000_000
WIDE_ROWS = 300_000
DELETED = 1000
RECEIVE = 1 << 20
CHUNK = 8192
READY = b"Z\0\0\0\5I"
READINGS = count(1)
FILL = f"""
TRUNCATE narrow;
INSERT INTO narrow SELECT n, CASE WHEN n > {{rows}} THEN now() END FROM generate_series(1, {{rows}} + {DELETED}) AS n;
VACUUM ANALYZE narrow;
"""


@dataclass(frozen=True, slots=True)
class Result:
    """A query, and how many rows are right."""

    name: str
    text: str
    rows: int


def measure_results(stage: Stage, effort: Effort, ledger: Ledger) -> None:
    """Read many narrow rows, and 300 MB of wider ones."""
    rows, wide = effort.size(ROWS), effort.size(WIDE_ROWS)
    for statement in FILL.format(rows=rows).strip().split("\n"):
        execute(stage.server.dsn(PROTECTED), statement)
    results = [
        Result("narrow rows", "SELECT id FROM narrow{where}", rows),
        Result("300 MB", f"SELECT repeat('x', 1000) FROM narrow{{where}} LIMIT {wide}", wide),
    ]
    found = [contender for contender in stage.contenders if contender.name != OURS_TWICE]
    tasks = [(result, contender) for result in results for contender in found]
    for result, contender in tasks:
        read(contender, result)
    sizes: dict[str, int] = {}
    for result, contender in interleaved(effort.rounds, tasks):
        before, started = contender.seconds(), time.perf_counter()
        size = read(contender, result)
        _note(ledger, f"result of {result.name}", contender, started, before)
        if sizes.setdefault(result.name, size) != size:
            raise Failed(f"{contender.name}: {result.name} has {size} bytes, not {sizes[result.name]}")


def measure_copies(stage: Stage, effort: Effort, ledger: Ledger) -> None:
    """Copy rows in, in messages of eight kilobytes as psql sends them, and in one message a row."""
    rows = effort.size(ROWS)
    lines = [b"%d\tnote %d\n" % (number, number) for number in range(rows)]
    whole = b"".join(lines)
    streams = {
        "8 KiB messages": b"".join(frame(b"d", whole[at : at + CHUNK]) for at in range(0, len(whole), CHUNK)),
        "a message a row": b"".join(frame(b"d", line) for line in lines),
    }
    found = [contender for contender in stage.contenders if contender.name != OURS_TWICE]
    tasks = [(name, contender) for name in streams for contender in found]
    for name, contender in interleaved(effort.rounds, tasks):
        execute(stage.server.dsn(PROTECTED), "TRUNCATE copied")
        before, started = contender.seconds(), time.perf_counter()
        copy(contender, streams[name], rows)
        _note(ledger, f"copy of {name}", contender, started, before)
        if execute(contender.dsn(PROTECTED), "SELECT count(*) FROM copied") != [(rows,)]:
            raise Failed(f"{contender.name}: not all rows were copied")


def read(contender: Contender, result: Result) -> int:
    """Ask, read to the end and return the bytes that came; Failed if the number of rows is wrong."""
    where = "" if contender.name == OURS else " WHERE deleted_at IS NULL"
    with RawClient("127.0.0.1", contender.port).login(PROTECTED) as client:
        client.send(query(f"/* {next(READINGS)} */ {result.text.format(where=where)}"))
        size, end = _drain(client)
    _expect(contender, end, f"SELECT {result.rows}")
    return size


def copy(contender: Contender, stream: bytes, rows: int) -> None:
    """Send CopyData messages that are ready; Failed if the number of rows is wrong."""
    with RawClient("127.0.0.1", contender.port).login(PROTECTED) as client:
        client.send(query("COPY copied (id, note) FROM STDIN"))
        kind, body = client.recv()
        if kind != b"G":
            raise Failed(f"{contender.name}: COPY was answered by {body!r}")
        client.send(stream)
        client.send(frame(b"c"))
        _, end = _drain(client)
    _expect(contender, end, f"COPY {rows}")


def _note(ledger: Ledger, what: str, contender: Contender, started: float, before: float) -> None:
    ledger.add(f"wall.{what}", contender.name, time.perf_counter() - started)
    if contender.pids:
        ledger.add(f"work.{what}", contender.name, contender.seconds() - before)


def _drain(client: RawClient) -> tuple[int, bytes]:
    """Read up to ReadyForQuery; return the number of bytes and the last of them."""
    buffer = bytearray(RECEIVE)
    view, size, end = memoryview(buffer), 0, b""
    while not end.endswith(READY):
        count = client.sock.recv_into(buffer)
        if not count:
            break
        size += count
        end = (end + bytes(view[max(0, count - 200) : count]))[-200:]
    return size, end


def _expect(contender: Contender, end: bytes, tag: str) -> None:
    found = re.search(rb"C(....)([A-Z]+ [\d ]+)\0" + re.escape(READY) + rb"$", end, re.DOTALL)
    if found is None or struct.unpack(">I", found[1])[0] != len(found[2]) + 5 or found[2].decode() != tag:
        raise Failed(f"{contender.name}: {tag} was not the answer but {end!r}")
