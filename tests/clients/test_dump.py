"""pg_dump through the proxy: complete for a role that may see all, refused for others, of the live rows if so asked."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.clients.shop import LIVE_USERS, Shop, Target
from tests.clients.terminal import ENVIRONMENT
from tests.fix_shop import temporary_database
from tests.servers import execute, find_programs

DELETED = re.compile(r"^.*\t2024-0\d-\d\d 12:00:00\+00.*\n", re.M)
NOISE = re.compile(r"^(\\(un)?restrict .*|SET transaction_timeout = 0;|--.*|)\n", re.M)
"""A random word that pg_dump brackets its output with; a setting that PostgreSQL 15 does not know; comments."""
LIVE = {"PGOPTIONS": "-c pgsoftproxy.visibility=live"}
FORMS = {
    "text": [],
    "inserts": ["--inserts"],
    "column inserts": ["--column-inserts", "--rows-per-insert=2"],
    "schema": ["--schema-only"],
    "data": ["--data-only"],
    "one table": ["-t", "app.users"],
    "made to be loaded anew": ["--clean", "--if-exists", "--no-owner", "--serializable-deferrable"],
}


def run(
    program: str, target: Target, *options: str, more: dict[str, str] | None = None, version: int = 18
) -> subprocess.CompletedProcess[str]:
    """Run a program of one version of PostgreSQL against a target."""
    folder = find_programs(version)
    assert folder is not None
    return subprocess.run(
        [folder / program, "-d", target.conninfo, *options],
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, **(more or {})},
        timeout=60,
    )


def dump(target: Target, *options: str, more: dict[str, str] | None = None) -> str:
    """Return what pg_dump writes."""
    done = run("pg_dump", target, *options, more=more)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return NOISE.sub("", done.stdout)


def as_text(file: Path) -> str:
    """Return the text of a dump in another form."""
    folder = find_programs(18)
    assert folder is not None
    done = subprocess.run(
        [folder / "pg_restore", "-f", "-", file], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return NOISE.sub("", done.stdout)


@pytest.mark.parametrize("form", FORMS)
def test_a_dump_by_a_role_that_may_see_all_is_that_of_a_direct_connection(shop: Shop, form: str) -> None:
    direct = dump(shop.direct.as_user("support"), *FORMS[form])
    assert dump(shop.proxied.as_user("support"), *FORMS[form]) == direct
    assert ("eve@example.org" in direct) == (form != "schema")


@pytest.mark.parametrize("form", [["-Fc"], ["-Ft"], ["-Fd", "--jobs=3"]], ids=["custom", "tar", "jobs"])
def test_a_dump_into_a_file_holds_what_a_direct_one_does(shop: Shop, form: list[str], tmp_path: Path) -> None:
    texts = []
    for name, target in (("through", shop.proxied), ("direct", shop.direct)):
        file = tmp_path / name
        dump(target.as_user("support"), *form, "-f", str(file))
        texts.append(as_text(file))
    assert texts[0] == texts[1]
    assert "eve@example.org" in texts[0]


@pytest.mark.parametrize(
    "form", [[], ["--schema-only"], ["--inserts"], ["-t", "app.notes"], ["-Fd", "--jobs=2"]]
)
def test_a_dump_by_another_role_is_refused_and_never_silently_partial(
    shop: Shop, form: list[str], tmp_path: Path
) -> None:
    done = run("pg_dump", shop.proxied, *form, "-f", str(tmp_path / "dump"))
    assert done.returncode == 1
    assert 'a dump by role "ann" would lack the deleted rows' in done.stderr
    assert "HINT:" in done.stderr


def test_a_dump_of_all_databases_is_refused_for_another_role_too(shop: Shop) -> None:
    done = run("pg_dumpall", shop.proxied, "--no-role-passwords", "-l", shop.proxied.dbname)
    assert done.returncode == 1
    assert "would lack the deleted rows" in done.stderr


def test_a_dump_of_all_databases_is_that_of_a_direct_connection(shop: Shop) -> None:
    only = ["--no-role-passwords", "-l", shop.proxied.dbname]
    others = [
        f"--exclude-database={name}"
        for (name,) in execute(shop.server.dsn(), "SELECT datname FROM pg_database")
        if name != shop.proxied.dbname
    ]
    texts = []
    for target in (shop.proxied, shop.direct):
        done = run("pg_dumpall", target.as_user("support"), *only, *others)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        texts.append(NOISE.sub("", done.stdout))
    assert texts[0] == texts[1]
    assert "eve@example.org" in texts[0]


def test_a_dump_of_the_live_rows_is_that_of_a_direct_connection_without_the_others(shop: Shop) -> None:
    direct = dump(shop.direct.as_user("ann"))
    without = DELETED.sub("", direct)
    assert len(direct.splitlines()) - len(without.splitlines()) == 4
    assert dump(shop.proxied, more=LIVE) == without


@pytest.mark.parametrize("form", ["--inserts", "--column-inserts", "--rows-per-insert=2"])
def test_a_dump_of_the_live_rows_as_inserts_holds_no_others(shop: Shop, form: str) -> None:
    text = dump(shop.proxied, form, "--data-only", more=LIVE)
    assert re.findall(r"\w+@example.org", text) == ["ada@example.org", "bob@example.org", "cyd@example.org"]


@contextmanager
def empty(shop: Shop) -> Iterator[Target]:
    """Give a fresh database through the proxy, as its owner."""
    with temporary_database(shop.server, "") as name:
        yield Target(shop.proxied.host, shop.proxied.port, name, shop.direct.user)


def test_a_dump_can_be_loaded_through_the_proxy(shop: Shop) -> None:
    owner = shop.proxied.as_user(shop.direct.user)
    text = dump(owner, "--no-acl", "--exclude-table=app.orders", more=LIVE)
    folder = find_programs(18)
    assert folder is not None
    with empty(shop) as copy:
        done = subprocess.run(
            [folder / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", copy.conninfo],
            input=text,
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert (
            execute(shop.server.dsn(copy.dbname), "SELECT id, name FROM app.users ORDER BY id") == LIVE_USERS
        )
        with psycopg.connect(copy.conninfo, autocommit=True) as connection:
            assert connection.execute("DELETE FROM app.users WHERE id = 1").statusmessage == "DELETE 1"
        assert execute(shop.server.dsn(copy.dbname), "SELECT count(*) FROM app.users") == [(3,)]


def backup(shop: Shop, folder: Path) -> str:
    """Dump the shop through the proxy, by the server's own version: a newer one sets what an older server lacks."""
    file = str(folder / "dump")
    source = shop.proxied.as_user("support")
    options = ["-Fc", "--no-owner", "--no-acl", "-f", file]
    done = run("pg_dump", source, *options, version=shop.server.version)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return file


@pytest.mark.parametrize("options", [[], ["--single-transaction"]], ids=["plain", "at once"])
def test_pg_restore_through_the_proxy_brings_back_every_row(
    shop: Shop, options: list[str], tmp_path: Path
) -> None:
    file = backup(shop, tmp_path)
    with empty(shop) as copy:
        done = run("pg_restore", copy, "--exit-on-error", *options, file, version=shop.server.version)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        whole = execute(shop.server.dsn(copy.dbname), "SELECT * FROM app.users ORDER BY id")
        assert whole == shop.rows("SELECT * FROM app.users ORDER BY id")
        with psycopg.connect(copy.conninfo) as connection:
            assert connection.execute("SELECT id, name FROM app.users ORDER BY id").fetchall() == LIVE_USERS


def test_pg_restore_with_jobs_is_refused_its_truncate(shop: Shop, tmp_path: Path) -> None:
    with empty(shop) as copy:
        done = run("pg_restore", copy, "--jobs=3", backup(shop, tmp_path), version=shop.server.version)
        assert done.returncode == 1
        assert 'TRUNCATE would remove or uncover rows of protected table "app.users"' in done.stderr
