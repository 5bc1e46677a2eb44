"""Record the conversations of `transcripts/`: real clients, a session, a real server, and what flows between them.

`python -m tests.fuzz.record` writes all of them anew. Server bytes are those that answer what the session sent.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psycopg
from psycopg import sql

from pgsoftproxy.session.session import Need, Session
from tests.fuzz.transcript import CLIENT, FOLDER, SERVER, Turn, dump, split
from tests.playbook import fresh
from tests.raw import RawClient, cancel_request, frame, query, startup
from tests.rewrite import example
from tests.servers import Server, execute, local_server

DATABASE, ROLE, SECRET_ROLE, PASSWORD = "shop", "web", "web_scram", "pencil"
HBA = f"host all {SECRET_ROLE} 127.0.0.1/32 scram-sha-256\nlocal all all trust\nhost all all 127.0.0.1/32 trust\n"
CANARY = "c4n4ry"
"""Stands in every value of a deleted row."""

SCHEMA = f"""
CREATE SCHEMA IF NOT EXISTS app;
CREATE TABLE app.users (
    id bigint PRIMARY KEY, email text, deleted_at timestamptz, deleted_by text, deletion_id uuid);
CREATE TABLE app.orders (id bigint PRIMARY KEY, user_id bigint, deleted_at timestamptz);
CREATE TABLE app.logs (id bigint);
CREATE TABLE app.texts (id int PRIMARY KEY, body text);
INSERT INTO app.users (id, email, deleted_at)
    SELECT n, CASE WHEN n > 20 THEN '{CANARY}' ELSE 'user' END || n, CASE WHEN n > 20 THEN now() END
    FROM generate_series(1, 30) AS n;
INSERT INTO app.orders SELECT n, n, CASE WHEN n > 20 THEN now() END FROM generate_series(1, 30) AS n;
INSERT INTO app.texts SELECT n, 'text ' || n FROM generate_series(1, 5) AS n;
GRANT ALL ON SCHEMA app TO {ROLE}, {SECRET_ROLE};
GRANT ALL ON ALL TABLES IN SCHEMA app TO {ROLE}, {SECRET_ROLE};
"""

SYNC, FLUSH, TERMINATE = frame(b"S"), frame(b"H"), frame(b"X")
COPY_DONE = frame(b"c")


def parse(text: str, name: str = "", types: bytes = b"\0\0") -> bytes:
    """Return a Parse."""
    return frame(b"P", f"{name}\0{text}\0".encode() + types)


def bind(statement: str = "", portal: str = "", tail: bytes = bytes(6)) -> bytes:
    """Return a Bind; `tail` holds its formats and values."""
    return frame(b"B", f"{portal}\0{statement}\0".encode() + tail)


def run(text: str, rows: int = 0) -> bytes:
    """Return Parse, Bind, Describe and Execute of a text."""
    return parse(text) + bind() + frame(b"D", b"P\0") + frame(b"E", b"\0" + rows.to_bytes(4, "big"))


def copy_data(*lines: str) -> bytes:
    """Return CopyData messages."""
    return b"".join(frame(b"d", f"{line}\n".encode()) for line in lines)


ONE_INTEGER = b"\0\0\0\1\0\0\0\0013\0\0"
CONVERSATIONS: dict[str, list[bytes]] = {
    "simple": [
        query("SELECT id, email FROM app.users ORDER BY id LIMIT 3"),
        query("SELECT 1; SELECT 'zwei'; SELECT NULL"),
        query("DELETE FROM app.users WHERE id = 1"),
        query(""),
        query("/* c */ UPDATE app.users SET email = 'ä€😀' WHERE id = 2 RETURNING id, email"),
        TERMINATE,
    ],
    "transactions": [
        query("BEGIN; SAVEPOINT a; SET LOCAL search_path = app"),
        query("DELETE FROM users WHERE id = 3; ROLLBACK TO a"),
        query("SELECT 1/0"),
        query("SELECT 1"),
        query("COMMIT"),
        query("BEGIN ISOLATION LEVEL REPEATABLE READ; TABLE app.orders LIMIT 1; COMMIT AND CHAIN"),
        query("ROLLBACK"),
    ],
    "extended": [
        parse("SELECT id, email FROM app.users WHERE id = $1", "s") + frame(b"D", b"Ss\0") + SYNC,
        bind("s", "p", ONE_INTEGER) + frame(b"D", b"Pp\0") + frame(b"E", b"p\0\0\0\0\0") + SYNC,
        bind("s", "", ONE_INTEGER) + frame(b"E", b"\0\0\0\0\1") + frame(b"C", b"P\0") + SYNC,
        frame(b"C", b"Ss\0") + FLUSH,
        SYNC,
        parse("DELETE FROM app.orders WHERE id = $1", "", b"\0\1\0\0\0\x14")
        + bind("", "", b"\0\1\0\1\0\1\0\0\0\x08\0\0\0\0\0\0\0\x05\0\0")
        + frame(b"E", b"\0\0\0\0\0")
        + SYNC,
    ],
    "pipelines": [
        run("BEGIN") + run("DELETE FROM app.orders WHERE id < 4") + run("TABLE app.orders LIMIT 2")
        + run("SELECT 1/0") + run("SELECT 'skipped'") + SYNC + run("SELECT 'failed'") + SYNC + run("ROLLBACK") + SYNC,
        b"".join(run(f"SELECT {number}") + SYNC for number in range(20)),
        run("SET pgsoftproxy.visibility = 'live'") + SYNC + run("SELECT count(*) FROM app.users") + SYNC,
        query("SELECT 1") + run("TABLE app.texts") + SYNC + query("SELECT 2"),
    ],
    "copy_in": [
        query("COPY app.logs FROM STDIN"),
        copy_data("1", "2", "3") + COPY_DONE,
        query("COPY app.logs FROM STDIN") + copy_data("4") + frame(b"f", b"no more\0"),
        run("COPY app.logs FROM STDIN") + SYNC,
        copy_data("5", "6") + COPY_DONE + SYNC,
        query("COPY app.logs FROM STDIN") + copy_data("wrong") + COPY_DONE,
        query("SELECT count(*) FROM app.logs"),
    ],
    "copy_out": [
        query("COPY app.users TO STDOUT"),
        query("COPY (SELECT id FROM app.orders ORDER BY id LIMIT 3) TO STDOUT WITH (FORMAT binary)"),
        run("COPY app.texts TO STDOUT") + SYNC,
    ],
    "copy_both_ways": [
        query("COPY app.texts TO STDOUT; COPY app.logs FROM STDIN; SELECT 'between'; COPY app.logs TO STDOUT")
        + copy_data("7", "8")
        + COPY_DONE,
        query("COPY app.logs FROM STDIN; COPY app.logs FROM STDIN") + copy_data("9") + COPY_DONE,
        copy_data("10") + COPY_DONE,
    ],
    "errors": [
        query("SELEC 1"),
        query("SELECT nothing FROM app.users"),
        query("TRUNCATE app.users"),
        query("SELECT 1; TRUNCATE app.users; SELECT 2"),
        parse("TRUNCATE app.users", "t") + bind("t") + SYNC,
        bind("nothing") + SYNC,
        frame(b"F", b"\0\0\6\x3e\0\0\0\0\0\1"),
        query("INSERT INTO app.users (id) VALUES (5)"),
        query("DO $$ BEGIN RAISE WARNING 'mind %', 'this' USING HINT = 'so'; END $$"),
    ],
    "notifications": [
        query("LISTEN here"),
        query("NOTIFY here, 'to myself'; SELECT 1"),
        run("SELECT pg_notify('here', 'again')") + SYNC,
        query("SET application_name = 'other'; SET DateStyle = 'ISO, DMY'"),
        query("UNLISTEN *"),
    ],
    "names": [
        query("PREPARE a(int) AS SELECT id FROM app.users WHERE id > $1 LIMIT 2"),
        query("EXECUTE a(3); DEALLOCATE a"),
        parse("EXECUTE b(1)") + SYNC,
        query("PREPARE b AS DELETE FROM app.orders WHERE id = 9 RETURNING *"),
        bind("b") + frame(b"E", b"\0\0\0\0\0") + SYNC,
        query("BEGIN; DECLARE c CURSOR FOR TABLE app.users; FETCH 2 c; CLOSE c; COMMIT"),
        query("DISCARD ALL"),
    ],
    "catalog": [
        query("BEGIN; CREATE TABLE app.more (id int, deleted_at timestamptz); ROLLBACK"),
        query("CREATE TABLE app.kept (id int); DROP TABLE app.kept"),
        query("SELECT * FROM app.users WHERE id IN (" + ",".join(map(str, range(200))) + ") LIMIT 1"),
    ],
    "big_rows": [
        query("SELECT repeat('x', 5000) FROM generate_series(1, 2)"),
        query("SELECT n, repeat('y', 20) FROM generate_series(1, 100) AS n"),
    ],
    "cancel": [query("SELECT pg_sleep(0.01)")],
}  # fmt: skip


class Recorder:
    """A session between one client and a server; remembers what both said."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._upstream: socket.socket | None = None
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.turns: list[tuple[str, bytes]] = []
        self._lock = threading.Lock()
        self._session: Session = fresh()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "Recorder":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(30)
        self._listening.close()

    @property
    def conversation(self) -> list[Turn]:
        """Return what was said, with all that one side says at a time as one turn."""
        turns: list[tuple[str, bytes]] = []
        for side, data in self.turns:
            # After a request for encryption the client waits, for an answer that is the session's own.
            if turns and turns[-1][0] == side and turns[-1][1][0]:
                turns[-1] = side, turns[-1][1] + data
            else:
                turns.append((side, data))
        return [Turn(side, split(data)) for side, data in turns]

    def _serve(self) -> None:
        self._client, _ = self._listening.accept()
        self._read(self._client, CLIENT)
        self._client.close()

    def _read(self, source: socket.socket, side: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                with self._lock:
                    self.turns.append((side, data))
                    feed = self._session.from_client if side == CLIENT else self._session.from_upstream
                    feed(data)
                    self._move()
        if side == CLIENT and self._upstream is not None:
            with contextlib.suppress(OSError):
                self._upstream.shutdown(socket.SHUT_RDWR)
            self._upstream.close()

    def _move(self) -> None:
        session = self._session
        if session.need is Need.CONNECT:
            self._upstream = socket.create_connection((self._server.host, self._server.port))
            threading.Thread(target=self._read, args=(self._upstream, SERVER), daemon=True).start()
            session.connected(example.policy(self._server.version * 10_000))
        elif session.need is Need.CATALOG:
            session.catalog_refreshed(example.policy(self._server.version * 10_000))
        elif session.need is Need.PLAN:
            job = session.plan_job()
            job.run()
            session.planned(job)
        if self._upstream is not None:
            self._upstream.sendall(b"".join(session.to_upstream))
        self._client.sendall(b"".join(session.to_client))
        session.to_upstream.clear()
        session.to_client.clear()
        if session.need is Need.CLOSE:
            self._client.shutdown(socket.SHUT_RDWR)


def by_bytes(steps: list[bytes]) -> Callable[[int], None]:
    """Return a client that sends each step once the one before it is answered."""

    def client(port: int) -> None:
        with RawClient("127.0.0.1", port) as raw:
            raw.send(startup(user=ROLE, database=DATABASE)).until(b"Z")
            for step in steps:
                raw.send(step)
                raw.sock.settimeout(0.3)
                with contextlib.suppress(TimeoutError):
                    while raw.recv()[0]:
                        pass

    return client


def psycopg_with_password(port: int) -> None:
    """Log in by SCRAM, use a pipeline, a server-side cursor, COPY, prepared statements."""
    conninfo = f"host=127.0.0.1 port={port} dbname={DATABASE} user={SECRET_ROLE} password={PASSWORD}"
    with psycopg.connect(conninfo) as connection:
        with connection.pipeline():
            for number in range(3):
                connection.execute("SELECT email FROM app.users WHERE id = %s", (number + 6,), prepare=True)
        with connection.cursor("side") as cursor:
            cursor.itersize = 5
            cursor.execute("SELECT id FROM app.users")
            list(cursor)
        with connection.cursor().copy("COPY app.logs FROM STDIN") as copy:
            copy.write_row((11,))
        connection.execute("DELETE FROM app.users WHERE id = %s RETURNING id", (7,)).fetchall()
        connection.rollback()


def asyncpg_client(port: int) -> None:
    """Use asyncpg: binary results, its statement cache, a cursor, copy_records."""

    async def talk() -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=port, database=DATABASE, user=ROLE, ssl=False
        )
        for number in (8, 9):
            await connection.fetch("SELECT id, email FROM app.users WHERE id = $1", number)
        async with connection.transaction():
            async for _ in connection.cursor("SELECT id FROM app.users", prefetch=5):
                pass
        await connection.copy_records_to_table("logs", schema_name="app", records=[(12,), (13,)])
        with contextlib.suppress(asyncpg.PostgresError):
            await connection.fetch("SELECT nothing FROM app.users")
        await connection.close()

    asyncio.run(talk())


def refused_encryption(port: int) -> None:
    """Ask for encryption by both requests, then go on without."""
    with RawClient("127.0.0.1", port) as raw:
        for code in (80877104, 80877103):
            raw.send((8).to_bytes(4, "big") + code.to_bytes(4, "big"))
            raw.sock.recv(1)
        raw.send(startup(user=ROLE, database=DATABASE, application_name="x")).until(b"Z")
        raw.query("SELECT 1")
        raw.send(TERMINATE)


def cancelling(port: int) -> None:
    """Send a cancel request."""
    with RawClient("127.0.0.1", port) as raw:
        raw.send(cancel_request(bytes(8)))


CLIENTS: dict[str, Callable[[int], None]] = {
    **{name: by_bytes(steps) for name, steps in CONVERSATIONS.items()},
    "psycopg": psycopg_with_password,
    "asyncpg": asyncpg_client,
    "encryption": refused_encryption,
    "cancel_request": cancelling,
}


def fill(server: Server, dbname: str) -> None:
    """Make roles and tables in a database."""
    present = {role for (role,) in execute(server.dsn(), "SELECT rolname FROM pg_roles")}
    for role in (ROLE, SECRET_ROLE):
        if role not in present:
            name = sql.Identifier(role).as_string(None)
            execute(server.dsn(), f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    execute(server.dsn(dbname), SCHEMA)


def conversations(server: Server) -> Iterator[tuple[str, list[Turn]]]:
    """Hold every conversation on a fresh database; yield names and what was said."""
    for name, client in CLIENTS.items():
        execute(server.dsn(), f"CREATE DATABASE {DATABASE}")
        fill(server, DATABASE)
        with Recorder(server) as recorder:
            client(recorder.port)
        yield name, recorder.conversation
        execute(server.dsn(), f"DROP DATABASE {DATABASE} WITH (FORCE)")


def main(folder: Path = FOLDER) -> None:
    """Write all files anew."""
    server = local_server(18, hba=HBA)
    try:
        for name, turns in conversations(server):
            (folder / f"{name}.txt").write_text(dump(turns))
    finally:
        server.destroy()


if __name__ == "__main__":
    main()
