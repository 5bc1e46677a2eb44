"""The command line, as a process: what it prints where, and its exit codes."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pgsoftproxy import __version__
from tests.fix_proxy import ROOT, RunningProxy
from tests.fix_servers import Database
from tests.servers import Server, execute

SHOP = """
CREATE SCHEMA app;
CREATE TABLE app.users (id int PRIMARY KEY, name text, deleted_at timestamptz, who text);
CREATE TABLE app.orders (id int PRIMARY KEY, deleted_at timestamp(0));
CREATE TABLE app.notes (id int PRIMARY KEY);
CREATE TABLE app.flags (id int PRIMARY KEY, deleted_at boolean NOT NULL DEFAULT false);
CREATE TABLE app.events (id int, deleted_at timestamptz) PARTITION BY LIST (id);
CREATE TABLE app.events_1 PARTITION OF app.events FOR VALUES IN (1);
CREATE TABLE app.numbers (id int PRIMARY KEY, deleted_at bigint);
CREATE VIEW app.v AS SELECT 1 AS deleted_at;
"""
EXPLICIT = '[tables."app.users"]\n[tables."app.e*"]\n[tables."app.zz*"]\n'


@dataclass(frozen=True, slots=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


def command(*arguments: str, environ: dict[str, str] | None = None, stdin: str = "") -> Result:
    ended = subprocess.run(
        [sys.executable, "-m", "pgsoftproxy", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})},
        timeout=60,
    )
    return Result(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture
def shop(database: Database) -> Database:
    """Give a database with tables of every sort."""
    database.execute(SHOP)
    return database


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], str]:
    """Give a writer of configurations: the DSN, and what follows in the third line."""

    def writer(dsn: str, text: str = "") -> str:
        path = tmp_path / "p.toml"
        path.write_text(f"[control]\ndsn = {json.dumps(dsn)}\n{text}")
        return str(path)

    return writer


def test_the_version_is_printed() -> None:
    expected = Result(0, f"pgsoftproxy {__version__}\n", "")
    assert command("version") == command("--version") == expected


def test_help_names_the_commands_that_exist() -> None:
    listed = command("--help").out
    for name in ("run", "reload", "check-config", "rewrite", "demo", "version"):
        assert f" {name} " in listed


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("run",),
        ("rewrite", "--config", "x"),
        ("reload",),
        ("run", "--config", "x", "--listen", "nowhere"),
    ],
)
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...]) -> None:
    assert command(*arguments).code == 2


def test_help_imports_none_of_the_heavy_rooms() -> None:
    heavy = "pydantic", "psycopg", "pglast", "uvloop"
    code = f"import sys, pgsoftproxy.cli; print([name for name in {heavy} if name in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True, timeout=60
    )
    assert ended.stdout == "[]\n"


@pytest.mark.parametrize("name", ["run", "check-config", "rewrite"])
def test_a_wrong_file_is_told_line_by_line_and_nothing_starts(write: Callable[..., str], name: str) -> None:
    config = write("host=127.0.0.1 port=1", "[listen]\nport = 'abc'\n[tables.'a.b']\ncolum = 'x'\n")
    extra = ["SELECT 1"] if name == "rewrite" else []
    result = command(name, "--config", config, *extra)
    assert result.err.splitlines() == [
        f'{config}:4: listen.port: must be an integer between 0 and 65535, got "abc"',
        f'{config}:6: [tables."a.b"] unknown key "colum" (did you mean "column"?)',
    ]
    assert (result.code, result.out) == (2, "")


def test_a_wrong_file_is_told_as_json_too(write: Callable[..., str]) -> None:
    config = write("host=x", "[listen]\nport = 'abc'\n")
    result = command("check-config", "--config", config, "--json")
    answer = json.loads(result.out)
    assert (result.code, answer["ok"], len(answer["problems"])) == (2, False, 1)


def test_the_file_alone_is_checked_offline(write: Callable[..., str]) -> None:
    config = write("host=127.0.0.1 port=1", EXPLICIT)
    result = command("check-config", "--config", config, "--offline")
    assert result == Result(0, "the file is in order: 3 table sections, compared with no database\n", "")


def test_the_variable_and_the_flag_of_the_file_and_of_keys_count(write: Callable[..., str]) -> None:
    environ = {"PGSOFTPROXY_CONFIG": write("host=x"), "PGSOFTPROXY_LISTEN__PORT": "abc"}
    told = command("check-config", "--offline", environ=environ)
    assert (told.code, told.err.partition(":")[0]) == (2, "PGSOFTPROXY_LISTEN__PORT")
    assert command("check-config", "--offline", "--set", "listen.port=1", environ=environ).code == 0


@pytest.mark.parametrize("arguments", [("check-config",), ("rewrite", "SELECT 1")])
def test_a_control_connection_that_fails_exits_with_3(
    write: Callable[..., str], arguments: tuple[str, ...]
) -> None:
    config = write("host=127.0.0.1 port=1 dbname=shop password=hunter2")
    result = command(arguments[0], "--config", config, *arguments[1:])
    assert (result.code, result.out) == (3, "")
    assert 'database "shop" cannot be read: connection failed' in result.err
    assert "hunter2" not in result.err


def test_what_the_database_lacks_is_told_with_file_and_line(
    shop: Database, write: Callable[..., str]
) -> None:
    text = (
        '[tables."app.nowhere"]\n[tables."app.notes"]\n[tables."app.numbers"]\n[tables."app.users"]\n'
        'column = "id"\n[tables."app.v"]\n[tables."app.orders"]\ndeleted_by = "who"\n'
    )
    config = write(shop.dsn, text)
    result = command("check-config", "--config", config)
    assert (result.code, result.out) == (2, "")
    wanted = "not timestamptz, timestamp or boolean"
    assert sorted(result.err.splitlines()) == [
        f'{config}:3: table "app.nowhere" does not exist in database "{shop.name}"',
        f'{config}:4: table "app.notes" has no column "deleted_at"',
        f'{config}:5: column "deleted_at" of table "app.numbers" is bigint, {wanted}',
        f'{config}:6: column "id" of table "app.users" is integer, {wanted}',
        f'{config}:8: "app.v" is a view, only tables can be protected',
        f'{config}:9: table "app.orders" has no column "who" (deleted_by)',
    ]


def test_a_table_that_lacks_the_column_starts_nothing(shop: Database, write: Callable[..., str]) -> None:
    config = write(shop.dsn, '[tables."app.notes"]\n[listen]\nport = 0\n[metrics]\nport = 0\n')
    result = command("run", "--config", config)
    assert result.code == 2
    assert result.err.endswith(f'\n{config}:3: table "app.notes" has no column "deleted_at"\n')
    assert "listening" not in result.err


def test_a_sound_configuration_is_summed_up(shop: Database, write: Callable[..., str]) -> None:
    text = EXPLICIT + '[tables."app.flags"]\nmode = "observe"\n[tables."app.orders"]\n'
    result = command("check-config", "--config", write(shop.dsn, text))
    assert (result.code, result.err) == (0, "")
    head, *rest = result.out.splitlines()
    assert head.startswith(f"database {shop.name} (PostgreSQL ")
    assert head.endswith("5 protected tables")
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in rest if line.startswith("│")]
    zoned, plain = "timestamp with time zone", "timestamp without time zone"
    assert rows == [
        ["app.events", "deleted_at", zoned, "enforce", "app.e*"],
        ["app.events_1", "deleted_at", zoned, "enforce", "app.e*"],
        ["app.flags", "deleted_at", "boolean", "observe", "app.flags"],
        ["app.orders", "deleted_at", plain, "enforce", "app.orders"],
        ["app.users", "deleted_at", zoned, "enforce", "app.users"],
    ]
    assert rest[-2:] == ['"app.e*" protects 2 of them', '"app.zz*" protects 0 of them']


def test_a_partition_that_no_rule_names_is_inherited(shop: Database, write: Callable[..., str]) -> None:
    result = command("check-config", "--config", write(shop.dsn, '[tables."app.events"]\n'), "--json")
    (found,) = json.loads(result.out)["databases"]
    assert [(row["table"], row["rule"]) for row in found["tables"]] == [
        ("app.events", "app.events"),
        ("app.events_1", "(inherited)"),
    ]


def test_every_database_that_is_named_is_checked(
    shop: Database, server: Server, write: Callable[..., str]
) -> None:
    text = f'[tables."app.users"]\n[databases.postgres.tables."app.here"]\n[databases.{shop.name}]\n'
    config = write(shop.dsn, text)
    result = command("check-config", "--config", config, "--json")
    answer = json.loads(result.out)
    assert result.code == 2
    assert answer["problems"] == [f'{config}:4: table "app.here" does not exist in database "postgres"']
    assert [found["database"] for found in answer["databases"]] == [shop.name, "postgres"]


def test_a_database_that_does_not_exist_is_told_with_its_line(
    shop: Database, write: Callable[..., str]
) -> None:
    config = write(shop.dsn, "[databases.nowhere]\n")
    result = command("check-config", "--config", config)
    assert result.code == 3
    assert result.err.startswith(f'{config}:3: database "nowhere" cannot be read: ')


def test_rewrite_prints_only_what_would_be_sent(shop: Database, write: Callable[..., str]) -> None:
    config = write(shop.dsn, EXPLICIT)
    result = command("rewrite", "--config", config, "SELECT name FROM app.users WHERE id = 1")
    assert (result.code, result.err) == (0, "")
    assert "deleted_at IS NULL" in result.out
    assert "\x1b" not in result.out
    plain = command("rewrite", "--config", config, "-", stdin="SELECT  1 -- as it is")
    assert plain == Result(0, "SELECT  1 -- as it is\n", "")


def test_a_rewritten_delete_runs_on_the_server(shop: Database, write: Callable[..., str]) -> None:
    shop.execute("INSERT INTO app.users VALUES (1, 'a'), (2, 'b')")
    result = command("rewrite", "--config", write(shop.dsn, EXPLICIT), "DELETE FROM app.users WHERE id = 1")
    shop.execute(result.out)
    assert shop.execute("SELECT id, deleted_at IS NULL FROM app.users ORDER BY id") == [(1, False), (2, True)]


def test_a_refusal_is_printed_with_its_sqlstate_and_hint(shop: Database, write: Callable[..., str]) -> None:
    result = command("rewrite", "--config", write(shop.dsn, EXPLICIT), "TRUNCATE app.users")
    assert (result.code, result.out) == (1, "")
    error, hint = result.err.splitlines()
    assert error.startswith("ERROR:  0A000: ")
    assert "app.users" in error
    assert hint.startswith("HINT:  ")


def test_rewrite_answers_as_json(shop: Database, write: Callable[..., str]) -> None:
    config = write(shop.dsn, EXPLICIT + '[tables."app.orders"]\nmode = "observe"\n')

    def answer(sql: str, code: int) -> dict[str, object]:
        result = command("rewrite", "--config", config, "--json", sql)
        assert result.code == code
        found: dict[str, object] = json.loads(result.out)
        return found

    assert answer("SELECT 1", 0)["outcome"] == "forwarded"
    assert answer("SELECT * FROM app.orders", 0)["outcome"] == "observed"
    refused = answer("SELEC", 1)
    assert (refused["outcome"], refused["sql"]) == ("refused", None)
    deleted = answer("DELETE FROM app.users", 0)
    assert deleted["outcome"] == "rewritten"
    assert deleted["statements"] == [
        {
            "kind": "delete",
            "outcome": "rewritten",
            "guarded": ["app.users"],
            "observed": [],
            "deletes": "app.users",
            "visibility": None,
            "tag": {"sent": "UPDATE", "shown": "DELETE"},
            "refusal": None,
        }
    ]


def test_rewrite_is_coloured_on_a_terminal(shop: Database, write: Callable[..., str]) -> None:
    ours, theirs = pty.openpty()
    ended = subprocess.run(
        [sys.executable, "-m", "pgsoftproxy", "rewrite", "--config", write(shop.dsn, EXPLICIT), "SELECT 1"],
        stdout=theirs,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"},
        timeout=60,
    )
    printed = os.read(ours, 4096)
    os.close(theirs)
    os.close(ours)
    assert ended.returncode == 0
    assert b"\x1b[" in printed


def test_rewrite_follows_the_role_its_grants_and_its_search_path(
    shop: Database, role: str, write: Callable[..., str]
) -> None:
    shop.execute(f"GRANT USAGE ON SCHEMA app TO PUBLIC; ALTER ROLE {role} SET search_path = app")
    config = write(shop.dsn, EXPLICIT + f'[roles.{role}]\nvisibility = ["all"]\n')

    def outcome(*arguments: str) -> str:
        result = command("rewrite", "--config", config, "--json", *arguments, "SELECT * FROM users")
        return str(json.loads(result.out)["outcome"])

    assert outcome("--user", "another") == "forwarded"  # its path leads to no such table
    assert outcome("--user", role) == "rewritten"
    assert outcome("--user", role, "--visibility", "all") == "forwarded"
    assert outcome("--user", role, "--visibility", "deleted") == "refused"
    assert outcome("--user", role, "--visibility", "nonsense") == "refused"


def test_rewrite_of_another_database_uses_its_tables(
    shop: Database, server: Server, write: Callable[..., str]
) -> None:
    config = write(server.dsn(), f'[databases.{shop.name}.tables."app.users"]\n')
    sql = "SELECT * FROM app.users"
    assert command("rewrite", "--config", config, sql).out == f"{sql}\n"
    assert "deleted_at" in command("rewrite", "--config", config, "--database", shop.name, sql).out


def test_a_pid_file_leads_reload_to_the_proxy_and_is_gone_afterwards(
    database: Database, start_proxy: Callable[..., RunningProxy], tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    config = start_proxy(database).config
    with subprocess.Popen(
        [sys.executable, "-m", "pgsoftproxy", "run", "--config", str(config), "--pid-file", str(pid_file)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as proxy:
        assert proxy.stderr is not None
        events = (json.loads(line)["event"] for line in proxy.stderr)
        assert "listening" in events  # reads up to it
        second = command("run", "--config", str(config), "--pid-file", str(pid_file))
        assert (second.code, second.err) == (2, f"--pid-file {pid_file}: another proxy runs with it\n")
        for _ in range(2):
            reloaded = command("reload", "--pid-file", str(pid_file))
            assert (reloaded.code, reloaded.out) == (0, f"process {proxy.pid} has reloaded\n")
            assert "reloaded" in events
        right = config.read_text()
        config.write_text(f"{right}\n[no_such_section]\n")
        refused = command("reload", "--pid-file", str(pid_file))
        assert (refused.code, refused.out) == (2, "")
        assert refused.err.startswith(f"{config}:")
        assert "no_such_section" in refused.err
        assert "reload_refused" in events
        config.write_text(right)
        assert command("reload", "--pid", str(proxy.pid)).code == 0
        assert "reloaded" in events
        proxy.send_signal(signal.SIGTERM)
        assert proxy.wait(30) == 0
    assert not pid_file.exists()


def test_a_stale_pid_file_reloads_no_one(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as innocent:
        pid_file.write_text(f"{innocent.pid}\n")
        result = command("reload", "--pid-file", str(pid_file))
        assert (result.code, result.err) == (1, f"not reloaded: no proxy runs with the pid file {pid_file}\n")
        innocent.communicate(b"\n")
        assert innocent.returncode == 0
    assert command("reload", "--pid-file", str(tmp_path / "none")).code == 1


def test_flags_of_run_stand_above_the_file(
    database: Database, start_proxy: Callable[..., RunningProxy]
) -> None:
    proxy = start_proxy(database)
    result = command(
        "run",
        *("--config", str(proxy.config), "--listen", f"127.0.0.1:{proxy.port}", "--log-format", "text"),
        *("--metrics", "127.0.0.1:0", "--upstream", "[::1]:5432"),
    )
    assert result.code == 2
    assert str(proxy.port) in result.err


def test_the_sample_configuration_protects_what_it_says(database: Database, server: Server) -> None:
    execute(
        server.dsn(database.name),
        SHOP.replace("CREATE TABLE app.numbers (id int PRIMARY KEY, deleted_at bigint);", ""),
    )
    sample = str(ROOT / "config" / "pgsoftproxy.toml")
    result = command("check-config", "--config", sample, "--set", f"control.dsn={database.dsn}", "--json")
    assert result.code == 0
    (found,) = json.loads(result.out)["databases"]
    assert [row["table"] for row in found["tables"]] == [
        "app.events",
        "app.events_1",
        "app.flags",
        "app.orders",
        "app.users",
    ]
