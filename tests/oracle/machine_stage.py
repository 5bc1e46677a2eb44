"""The two databases of the machines: how they start, who connects to them, and what is left in them in the end."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.fix_proxy import RunningProxy
from tests.oracle.client import Address, Client
from tests.oracle.compare import CANARY
from tests.oracle.machine_pair import Message, Pair
from tests.oracle.machine_phrases import DELETED, TABLES
from tests.servers import Server, execute

FULL, TWIN = "machines_full", "machines_twin"
ROLES = ("machines_a", "machines_b")
"""The first may see deleted rows, restore them and delete physically; the second may nothing of that."""
PATHS = ("app,other", '"$user",other,app')
CONFIG = """
[tables."app.*"]

[tables."app.notes"]
column = "gone"

[roles.machines_a]
visibility = ["live", "all", "deleted", "as_of"]
restore = true
hard_delete = true
"""
GRAVEYARD = (Path(__file__).parent / "graveyard.sql").read_text()
LOCK_TIMEOUT = "100ms"

SCHEMAS = """
SELECT string_agg(quote_ident(nspname), ', ') FROM pg_namespace
WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public')
"""
STATE = """
SELECT n.nspname || '.' || c.relname, c.oid::regclass::text, a.attname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_attribute a
    ON a.attrelid = c.oid AND NOT a.attisdropped AND n.nspname = 'app' AND a.attname IN ('deleted_at', 'gone')
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'graveyard') ORDER BY 1
"""


class Stage:
    """Make, compare and reset the databases; sessions are pairs of a proxied and a direct connection."""

    def __init__(self, server: Server, proxy: RunningProxy) -> None:
        self._server = server
        self._proxy = proxy
        self.verdicts: Counter[str] = Counter()

    def begin(self, sessions: int = 2) -> list[Pair]:
        """Put both databases back to their start and return new sessions."""
        self._reset(FULL, TABLES + _deleted_rows())
        self._reset(TWIN, GRAVEYARD + TABLES + _buried_rows())
        self._have_the_catalog_read()
        return [self._pair(number) for number in range(sessions)]

    def final_differences(self) -> list[str]:
        """Return how the databases differ now, in live rows and in deleted ones."""
        full, twin = self._rows(FULL), self._rows(TWIN)
        return [
            f"{side} has {rows - other}"
            for side, rows, other in (("full", full, twin), ("twin", twin, full))
            if rows - other
        ]

    def _pair(self, number: int) -> Pair:
        role, path = ROLES[number], PATHS[number]
        common = f"-c lock_timeout={LOCK_TIMEOUT} -c search_path={path}"
        restorer = "off" if number else "on"
        own = f"-c pgsoftproxy.visibility=live -c pgsoftproxy.delete=soft -c machines.restorer={restorer}"
        return Pair(
            Client(Address(self._proxy.host, self._proxy.port, role, FULL), common),
            Client(Address(self._server.host, self._server.port, role, TWIN), f"{common} {own}"),
            self.verdicts,
        )

    def _reset(self, database: str, sql: str) -> None:
        with_schemas = execute(self._server.dsn(database), SCHEMAS)[0][0]
        drop = f"DROP SCHEMA {with_schemas} CASCADE;" if with_schemas else ""
        execute(self._server.dsn(database), f"DROP EVENT TRIGGER IF EXISTS watch; {drop} {sql}")

    def _have_the_catalog_read(self) -> None:
        client = Client(Address(self._proxy.host, self._proxy.port, ROLES[0], FULL))
        answer = client.query("CREATE TABLE public.read_again (); DROP TABLE public.read_again")
        assert answer.error is None, answer.error
        assert client.query("SELECT 1").error is None  # answered when the catalog has been read
        client.close()

    def _rows(self, database: str) -> Counter[tuple[str, bool, str]]:
        found: Counter[tuple[str, bool, str]] = Counter()
        for name, relation, column in execute(self._server.dsn(database), STATE):
            dead = {"deleted_at": "deleted_at IS NOT NULL", "gone": "gone"}.get(column, "false")
            query = f"SELECT {dead}, jsonb_build_object('id', id, 'val', val) FROM {relation}"
            found.update((name, dead, str(row)) for dead, row in execute(self._server.dsn(database), query))
        if database == TWIN:
            buried = (
                "SELECT tab::regclass::text, jsonb_build_object('id', id, 'val', val) FROM graveyard.rows"
            )
            found.update((name, True, str(row)) for name, row in execute(self._server.dsn(database), buried))
        return found


def _deleted_rows() -> str:
    canary = CANARY.decode()
    lines = []
    for table, rows in DELETED.items():
        for number, moment in rows.items():
            stamp = f"'{moment}'" if table == "app.users" else "true"
            lines.append(f"INSERT INTO {table} VALUES ({number}, '{canary} {number}', {stamp});")
    return "".join(lines)


def _buried_rows() -> str:
    canary = CANARY.decode()
    return "".join(
        f"INSERT INTO graveyard.rows VALUES ('{table}'::regclass, {number}, '{canary} {number}', '{moment}');"
        for table, rows in DELETED.items()
        for number, moment in rows.items()
    )


def played(stage: Stage, messages: tuple[Message, ...]) -> Iterator[str]:
    """Play a conversation from the start; yield how it differs from the twin's, nothing if it does not."""
    pairs = stage.begin(1 + max(message.session for message in messages))
    try:
        for message in messages:
            yield from (f"{message}: {line}" for line in pairs[message.session].exchange(message))
    finally:
        for pair in pairs:
            pair.close()
    yield from stage.final_differences()
