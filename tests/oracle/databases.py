"""The two databases of the oracle, and how they come back to where they started.

One is built from tests/cases/schema.sql; the twin is a copy of it from which the deleted rows are removed.
Copies, so that oids and ctids of what remains are equal.
"""

from collections.abc import Sequence
from pathlib import Path

from tests.oracle.cases import CASES_DIRECTORY
from tests.oracle.client import Address, Client

FULL = "oracle_full"
TWIN = "oracle_twin"
MIRROR = "oracle_mirror"
"""A second full database, asked directly where a case is about seeing deleted rows."""
SOURCES = (CASES_DIRECTORY / "schema.sql", Path(__file__).parent / "state.sql")
OWNER = "oracle_owner"
"""Owns all; may see deleted rows when it asks."""
CLERK = "oracle_clerk"
"""An ordinary role without any grant in the proxy's configuration."""

CONFIG = f"""
[tables."app.*"]

[tables."app.users"]
deleted_by = "deleted_by"
deletion_id = "deletion_id"

[tables."app.tasks"]
column = "is_deleted"

[tables."app.memos"]
column = "gone"

[tables."app.members"]
deleted_by = "deleted_by"
deletion_id = "deletion_id"
upsert = "revive"

[tables."app.badges"]
column = "is_gone"
upsert = "revive"
truncate = "soft"

[tables."app.slots"]
upsert = "revive"
truncate = "soft"

[tables."app.slots_2025"]
upsert = "revive"
truncate = "soft"

[tables."app.tickets"]
upsert = "revive"

[tables."app.rooms"]
upsert = "revive"

[tables."app.drafts"]
deleted_by = "deleted_by"
deletion_id = "deletion_id"
truncate = "soft"

[tables."app.sheets"]
truncate = "soft"

[tables."app.folders"]
truncate = "soft"

[tables."app.boxes"]
truncate = "soft"

[tables."app.crates"]
truncate = "soft"

[tables."app.Weird Name"]
column = "Deleted At"

[tables."Mixed Schema.users"]

[routines]
allow = ["oracle.state", "oracle.kept"]

[roles.{OWNER}]
visibility = ["live", "all", "deleted", "as_of"]
restore = true
"""


class Databases:
    """Create and reset the twin databases of one server; `host`, `port` and a superuser's name say which."""

    def __init__(self, host: str, port: int, superuser: str) -> None:
        self.host = host
        self.port = port
        self.superuser = superuser

    def create(self) -> None:
        """Build both databases and their templates anew."""
        for role, options in ((OWNER, "LOGIN SUPERUSER"), (CLERK, "LOGIN")):
            known = self._run("postgres", f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'")
            if not known:
                self._run("postgres", f"CREATE ROLE {role} {options}")
        for name in (FULL, TWIN):
            self._run("postgres", f"DROP DATABASE IF EXISTS {name}_template WITH (FORCE)")
        self._run("postgres", f"CREATE DATABASE {FULL}_template TEMPLATE template0 ENCODING 'UTF8'")
        for path in SOURCES:
            self._run(f"{FULL}_template", path.read_text())
        self._run("postgres", f"CREATE DATABASE {TWIN}_template TEMPLATE {FULL}_template")
        self._run(f"{TWIN}_template", "CALL oracle.remove_deleted()")
        self.reset()

    def reset(self) -> None:
        """Put both databases back to their start; whoever is connected to them is thrown out."""
        for name, template in ((FULL, FULL), (TWIN, TWIN), (MIRROR, FULL)):
            self._run("postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            self._run("postgres", f"CREATE DATABASE {name} TEMPLATE {template}_template")

    def copies(self, number: int) -> tuple[str, str]:
        """Make a pair of databases for one worker, full and twin, and return their names."""
        # As long as the names of the first pair, so that a statement which names its database stays as long.
        names = (f"fuzz{number:02}_full", f"fuzz{number:02}_twin")
        for name, template in zip(names, (FULL, TWIN), strict=True):
            self._run("postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            self._run("postgres", f"CREATE DATABASE {name} TEMPLATE {template}_template")
            self._run(name, "ANALYZE")
        return names

    def vacuum(self, names: Sequence[str] = (FULL, TWIN, MIRROR)) -> None:
        """Remove what rolled-back cases left behind: it slows down every scan."""
        for name in names:
            self._run(name, "VACUUM")

    def address(self, database: str, user: str = OWNER) -> Address:
        """Return where to reach one of the databases directly."""
        return Address(self.host, self.port, user, database)

    def _run(self, database: str, sql: str) -> list[tuple[bytes | None, ...]]:
        client = Client(Address(self.host, self.port, self.superuser, database))
        try:
            answer = client.query(sql)
        finally:
            client.close()
        if answer.error:
            raise RuntimeError(f"{answer.error} from: {sql[:200]}")
        return answer.results[-1].rows if answer.results else []
