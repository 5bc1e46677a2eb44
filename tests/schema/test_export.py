"""Migration files: what they hold does the same as a run, and the way back too."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psycopg
import pytest

from tests.relations.test_triggers import FAMILY
from tests.schema.migrating import Migration

TABLES = f"{FAMILY} CREATE UNIQUE INDEX odd ON users (email) WHERE email <> '100%''s'"
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def wanted(migration: Migration) -> Callable[[str], Path]:
    """Give a writer of migration files for a database with tables."""
    migration.database.execute(TABLES)

    def write(form: str) -> Path:
        file = migration.config.with_name(f"migration_{form}.py")
        code, out = migration.command("--write", form, "--output", str(file))
        assert (code, out.startswith("wrote ")) == (0, True)
        return file

    return write


class _Module(ModuleType):
    """A stand-in for the library that a file imports, as far as the file uses it."""

    def __init__(self, name: str, **members: object) -> None:
        super().__init__(name)
        self.__dict__.update(members)


def load(file: Path, monkeypatch: pytest.MonkeyPatch, **modules: ModuleType) -> dict[str, Any]:
    """Execute a file with those modules in place."""
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name.replace("_", "."), module)
    names: dict[str, Any] = {}
    exec(compile(file.read_text(), str(file), "exec"), names)  # noqa: S102 (what the command wrote)
    return names


def test_plain_sql_runs_in_psql(migration: Migration, wanted: Callable[[str], Path]) -> None:
    file = wanted("sql")
    programs = migration.database.server.bin
    psql = str(programs / "psql") if programs is not None and (programs / "psql").exists() else "psql"
    subprocess.run([psql, "-q", "-f", str(file), migration.database.dsn], check=True, capture_output=True)
    assert migration.database.execute(INVALID) == [(0,)]
    assert migration.ids() == []


def test_an_alembic_revision_goes_up_and_down(
    migration: Migration, wanted: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = migration.dump()
    with psycopg.connect(migration.database.dsn) as connection:

        @contextmanager
        def autocommit_block() -> Iterator[None]:
            connection.commit()
            connection.autocommit = True
            yield
            connection.autocommit = False

        bind = SimpleNamespace(exec_driver_sql=lambda text: connection.execute(text.encode()))
        bind.execution_options = lambda *, no_parameters: bind
        context = SimpleNamespace(autocommit_block=autocommit_block)
        op = _Module("alembic.op", get_bind=lambda: bind, get_context=lambda: context)
        names = load(wanted("alembic"), monkeypatch, alembic=_Module("alembic", op=op))
        names["upgrade"]()
        connection.commit()
        assert migration.ids() == []
        names["downgrade"]()
        connection.commit()
    assert migration.dump() == before


def test_a_django_migration_goes_up_and_down(
    migration: Migration, wanted: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = migration.dump()
    migrations = _Module("django.db.migrations", Migration=object, RunSQL=_RunSQL)
    db = _Module("django.db", migrations=migrations)
    names = load(wanted("django"), monkeypatch, django=_Module("django"), django_db=db)
    made = names["Migration"]
    assert made.atomic is False
    with psycopg.connect(migration.database.dsn, autocommit=True) as connection:
        for operation in made.operations:
            operation.run(connection, operation.sql)
        assert migration.ids() == []
        for operation in reversed(made.operations):
            operation.run(connection, operation.reverse_sql)
    assert migration.dump() == before


class _RunSQL:
    def __init__(self, sql: list[tuple[str, None]], reverse_sql: list[tuple[str, None]]) -> None:
        self.sql, self.reverse_sql = sql, reverse_sql

    def run(self, connection: Connection, texts: list[tuple[str, None]]) -> None:
        """Run texts as Django does: one query each, outside a transaction."""
        for text, parameters in texts:
            connection.execute(text.encode(), parameters)


def test_an_unknown_format_is_refused(migration: Migration) -> None:
    code, out = migration.command("--write", "flyway")
    assert (code, "--write takes one of sql, alembic, django" in out) == (2, True)
