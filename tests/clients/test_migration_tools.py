"""Django's and Alembic's own migrations through the proxy: each sees what it has changed, and protects it at once."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config

from tests.fix_proxy import ROOT, RunningProxy
from tests.fix_servers import Database

RULES = '[tables."public.*"]'
ENVIRONMENT = """
from alembic import context

context.configure(connection=context.config.attributes["connection"], target_metadata=None)
with context.begin_transaction():
    context.run_migrations()
"""
REVISIONS = {
    "one": '''
import sqlalchemy as sa
from alembic import op
revision, down_revision = "one", None

def upgrade():
    users = op.create_table("users", sa.Column("id", sa.Integer, primary_key=True), sa.Column("gone", sa.Boolean))
    op.bulk_insert(users, [{"id": 1, "gone": False}, {"id": 2, "gone": True}, {"id": 3, "gone": False}])
''',
    "two": '''
import sqlalchemy as sa
from alembic import op
revision, down_revision = "two", "one"

def upgrade():
    op.add_column("users", sa.Column("deleted_at", sa.DateTime(timezone=True)))
    op.execute("UPDATE users SET deleted_at = now() WHERE gone")
    op.execute("DELETE FROM users WHERE id = 1")
    op.create_table("seen", sa.Column("id", sa.Integer))
    op.execute("INSERT INTO seen SELECT id FROM users")
''',
    "three": '''
import sqlalchemy as sa
from alembic import op
revision, down_revision = "three", "two"

def upgrade():
    with op.batch_alter_table("users") as batch:
        batch.add_column(sa.Column("name", sa.Text, server_default="x"))
        batch.alter_column("gone", new_column_name="was_gone")
    op.create_index("by_name", "users", ["name"], unique=True, postgresql_where=sa.text("deleted_at IS NULL"))
    op.execute("INSERT INTO seen SELECT id + 100 FROM users WHERE name = 'x' AND NOT was_gone")
''',
}  # fmt: skip


def test_django_migrates(database: Database, start_proxy: Callable[..., RunningProxy]) -> None:
    proxy = start_proxy(database, RULES, control={"refresh_interval": 3600})
    address = [proxy.host, str(proxy.port), database.name, database.server.user]
    ran = subprocess.run(
        [sys.executable, "-m", "tests.clients.django_shop.run", *address],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {
        "notes": ["left: ada, cyd", "after the savepoint: 2", "deleted: 1", "items: [0, 2]"],
        "users": ["ada"],
    }
    assert database.execute("SELECT name FROM django_shop_user ORDER BY id") == [("ada",), ("bob",), ("cyd",)]
    assert database.execute("SELECT count(*), count(deleted_at) FROM django_shop_item") == [(3, 1)]


def test_alembic_migrates(
    database: Database, start_proxy: Callable[..., RunningProxy], tmp_path: Path
) -> None:
    proxy = start_proxy(database, RULES, control={"refresh_interval": 3600})
    versions = tmp_path / "scripts" / "versions"
    versions.mkdir(parents=True)
    (tmp_path / "scripts" / "env.py").write_text(ENVIRONMENT)
    for name, text in REVISIONS.items():
        (versions / f"{name}.py").write_text(text)
    config = Config()
    config.set_main_option("script_location", str(tmp_path / "scripts"))
    config.set_main_option("path_separator", "os")
    engine = sqlalchemy.create_engine(proxy.dsn().replace("postgresql", "postgresql+psycopg", 1))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        assert connection.execute(sqlalchemy.text("SELECT id, name FROM users")).all() == [(3, "x")]
    engine.dispose()
    assert database.execute("SELECT id FROM seen ORDER BY id") == [(3,), (103,)]
    assert database.execute("SELECT count(*) FROM users") == [(3,)]
    assert database.execute("SELECT version_num FROM alembic_version") == [("three",)]
