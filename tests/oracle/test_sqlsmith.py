"""sqlsmith through the proxy: no deleted value, no error of the proxy's own but documented refusals, no death."""

import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.fix_proxy import RunningProxy, config_text
from tests.oracle.databases import Databases
from tests.oracle.refusals import reason_of
from tests.oracle.relay import Relay
from tests.servers import Server, execute

SECONDS = float(os.environ.get("PGSOFTPROXY_SQLSMITH_SECONDS", "60"))
SEED = os.environ.get("PGSOFTPROXY_SQLSMITH_SEED", "1")
WORKER = 90
ROLE = "oracle_smith"
SYNTAX_ERROR = "42601"
TABLES = """
[tables."app.*"]

[tables."app.users"]
deleted_by = "deleted_by"
deletion_id = "deletion_id"

[tables."app.tasks"]
column = "is_deleted"

[tables."app.memos"]
column = "gone"
"""
PREPARED = f"""
    -- sqlsmith quotes no names, and what shows deleted rows on purpose is not for it.
    DROP SCHEMA "Mixed Schema" CASCADE;
    DROP SCHEMA oracle CASCADE;
    DROP TABLE app."Weird Name", app."Überblick" CASCADE;
    GRANT USAGE ON SCHEMA app, other, routines TO {ROLE};
    GRANT ALL ON ALL TABLES IN SCHEMA app, other, public, routines TO {ROLE};
    ANALYZE;
"""


def smith_database(server: Server) -> str:
    """Make a database with deleted rows for sqlsmith, and its role; return the database's name."""
    databases = Databases(server.host, server.port, server.user)
    databases.create()
    full, _ = databases.copies(WORKER)
    if not execute(server.dsn(), f"SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}'"):
        execute(server.dsn(), f"CREATE ROLE {ROLE} LOGIN")
    execute(server.dsn(full), PREPARED)
    return full


def kept(server: Server, database: str) -> int:
    """Return how many deleted rows the database holds, of some tables."""
    tables = ("users", "orders", "items", "measures", "animals", "products")
    counts = " + ".join(f"(SELECT count(*) FROM app.{name} WHERE deleted_at IS NOT NULL)" for name in tables)
    count: int = execute(server.dsn(database), f"SELECT {counts}")[0][0]
    return count


def forge(port: int, database: str) -> str:
    """Run sqlsmith for a while and return what it said."""
    target = f"host=127.0.0.1 port={port} user={ROLE} dbname={database} sslmode=disable gssencmode=disable"
    command = ["sqlsmith", f"--target={target}", f"--seed={SEED}", "--verbose"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _, said = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()
        _, said = process.communicate(timeout=30)
    return said.decode(errors="replace")


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 120)
def test_sqlsmith_gets_no_deleted_value_and_no_undocumented_error(
    server: Server, tmp_path: Path, verdicts: Counter[str]
) -> None:
    assert shutil.which("sqlsmith"), "sqlsmith is not installed, and this test needs it: apt install sqlsmith"
    database = smith_database(server)
    before = kept(server, database)
    config = tmp_path / "proxy.toml"
    config.write_text(config_text(server, database, TABLES))
    proxy = RunningProxy(config, server, database)
    relay = Relay(proxy.host, proxy.port)
    try:
        said = forge(relay.port, database)
    finally:
        relay.close()
        alive = proxy.process.poll() is None
        proxy.stop()
    refused: Counter[str] = Counter()
    strange = []
    for (state, message), count in relay.errors.items():
        reason = reason_of({"C": state, "M": message, "H": "-"})
        if reason is not None:
            refused[reason] += count
        elif state != SYNTAX_ERROR:
            strange.append(f"{count} times {state} {message}")
    verdicts["sqlsmith statements that answered"] += relay.messages["C"]
    verdicts["sqlsmith statements refused"] += refused.total()
    assert relay.messages["C"] > 100, said[-2000:]
    assert relay.leaks == []
    assert strange == [], "\n".join(strange)
    assert relay.lost == 0, said[-2000:]
    assert alive, proxy.output()[-3000:]
    assert [event for event in proxy.logs() if event.get("level") == "error"] == []
    assert kept(server, database) >= before
