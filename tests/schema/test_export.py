"""Migration files: what they hold does the same as a run, and the way back too, by psql, Alembic and Django."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config

from tests.relations.test_triggers import FAMILY
from tests.schema.migrating import Migration
from tests.schema.planting import psql

TABLES = f"{FAMILY} CREATE UNIQUE INDEX odd ON users (email) WHERE email <> '100%''s :odd $1'"
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
ENVIRONMENT = """
from alembic import context

if context.is_offline_mode():
    context.configure(dialect_name="postgresql")
else:
    context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
"""
DJANGO = """
import sys
import django
from django.conf import settings
from django.core.management import call_command

host, port, name, user, folder = sys.argv[1:]
sys.path.insert(0, folder)
database = {"ENGINE": "django.db.backends.postgresql", "HOST": host, "PORT": port, "NAME": name, "USER": user}
settings.configure(DATABASES={"default": database}, INSTALLED_APPS=["softened"], USE_TZ=True)
django.setup()
for target in sys.stdin:
    call_command("migrate", "softened", target.strip(), verbosity=0)
    print("done", flush=True)
"""
Writer = Callable[[str, Path], None]


@pytest.fixture
def write(migration: Migration) -> Writer:
    """Give a writer of migration files for a database with tables."""
    migration.database.execute(TABLES)

    def write(form: str, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        code, out = migration.command("--write", form, "--output", str(file))
        assert (code, out.startswith("wrote ")) == (0, True)

    return write


def test_plain_sql_runs_in_psql(migration: Migration, write: Writer, tmp_path: Path) -> None:
    before = migration.dump()
    file = tmp_path / "migration.sql"
    write("sql", file)
    psql(migration.database, file.read_text())
    assert migration.database.execute(INVALID) == [(0,)]
    assert migration.ids() == []
    _, _, back = file.read_text().partition("-- The way back:\n")
    psql(migration.database, "".join(line.removeprefix("-- ") for line in back.splitlines(keepends=True)))
    assert migration.dump() == before


@pytest.fixture
def revision(write: Writer, tmp_path: Path) -> Config:
    """Give an Alembic project whose only revision is the file."""
    write("alembic", tmp_path / "scripts" / "versions" / "first.py")
    (tmp_path / "scripts" / "env.py").write_text(ENVIRONMENT)
    config = Config(output_buffer=io.StringIO())
    config.set_main_option("script_location", str(tmp_path / "scripts"))
    config.set_main_option("path_separator", "os")
    return config


def test_an_alembic_revision_goes_up_and_down(migration: Migration, revision: Config) -> None:
    before = migration.dump()
    engine = sqlalchemy.create_engine(migration.database.dsn.replace("postgresql", "postgresql+psycopg", 1))
    with engine.connect() as connection:
        revision.attributes["connection"] = connection
        command.upgrade(revision, "head")
        assert migration.ids() == []
        command.downgrade(revision, "base")
    engine.dispose()
    migration.database.execute("DROP TABLE alembic_version")
    assert migration.dump() == before


def test_an_alembic_revision_can_be_printed_as_sql(migration: Migration, revision: Config) -> None:
    command.upgrade(revision, "head", sql=True)
    assert isinstance(revision.output_buffer, io.StringIO)
    psql(migration.database, revision.output_buffer.getvalue())
    migration.database.execute("DROP TABLE alembic_version")
    assert migration.ids() == []


def test_a_django_migration_goes_up_and_down(migration: Migration, write: Writer, tmp_path: Path) -> None:
    before = migration.dump()
    folder = tmp_path / "project" / "softened"
    write("django", folder / "migrations" / "0001_initial.py")
    for package in (folder, folder / "migrations"):
        (package / "__init__.py").touch()
    database = migration.database
    server = database.server
    address = [server.host, str(server.port), database.name, server.user, str(folder.parent)]
    running = subprocess.Popen(
        [sys.executable, "-c", DJANGO, *address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with running:
        assert running.stdin is not None and running.stdout is not None
        for target in ("0001", "zero"):
            running.stdin.write(f"{target}\n")
            running.stdin.flush()
            assert running.stdout.readline() == "done\n"
            assert bool(migration.ids()) == (target == "zero")
        running.stdin.close()
    database.execute("DROP TABLE django_migrations")
    assert migration.dump() == before


def test_an_unknown_format_is_refused(migration: Migration) -> None:
    code, out = migration.command("--write", "flyway")
    assert (code, "--write takes one of sql, alembic, django" in out) == (2, True)
