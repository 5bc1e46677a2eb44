"""Large objects through the proxy: by SQL, by FunctionCall messages, by the drivers that send those."""

import subprocess
from pathlib import Path

import psycopg
import psycopg2
import pytest

from pgsoftproxy.session.fastpath import LARGE_OBJECT_FUNCTIONS
from tests.clients.raw import SYNC, RawClient, bind, comparable, execute, function_call, parse, query
from tests.clients.shop import ROWS, Shop
from tests.waiting import wait_until

OID = {name: number for number, name in LARGE_OBJECT_FUNCTIONS.items()}
TEXT = b"large \x00 object " * 10_000
READ_WRITE = (0x60000).to_bytes(4, "big")
FIRST, OTHER = (4_000_000_001).to_bytes(4, "big"), (4_000_000_002).to_bytes(4, "big")
RANDOM = 1598


def number(value: int, size: int = 4) -> bytes:
    """Return an integer as an argument."""
    return value.to_bytes(size, "big", signed=True)


def call(name: str, *arguments: bytes) -> bytes:
    """Return the FunctionCall of a function of large objects."""
    return function_call(OID[name], *arguments)


def test_the_functions_are_the_servers_own_of_those_names(shop: Shop) -> None:
    found = shop.rows(
        "SELECT p.oid::int, proname FROM pg_proc p JOIN pg_language l ON l.oid = prolang "
        "WHERE pronamespace = 'pg_catalog'::regnamespace AND lanname = 'internal' "
        f"AND p.oid IN ({', '.join(map(str, LARGE_OBJECT_FUNCTIONS))})"
    )
    assert dict(found) == LARGE_OBJECT_FUNCTIONS


DESCRIPTOR = number(0)
CONVERSATION = (
    call("lo_create", FIRST),
    query("BEGIN"),
    call("lo_open", FIRST, READ_WRITE),
    call("lowrite", DESCRIPTOR, TEXT),
    call("lo_tell", DESCRIPTOR) + call("lo_lseek", DESCRIPTOR, number(6), number(0)),
    call("loread", DESCRIPTOR, number(len(TEXT))),
    call("lo_lseek64", DESCRIPTOR, number(1 << 33, 8), number(0)) + call("lo_tell64", DESCRIPTOR),
    call("lo_truncate", DESCRIPTOR, number(5)) + call("lo_truncate64", DESCRIPTOR, number(4, 8)),
    query("DELETE FROM app.users WHERE id = 1; SELECT count(*) FROM app.users"),
    call("lo_close", DESCRIPTOR) + call("lo_close", DESCRIPTOR),
    call("lo_tell", DESCRIPTOR),
    query("SELECT 1") + call("lo_create", OTHER) + query("COMMIT"),
    call("lo_open", OTHER, READ_WRITE) + query("SELECT 2"),
    # Behind an error of the extended protocol it is skipped up to the Sync, as everything is.
    parse("SELECT 1/0") + bind() + execute() + call("lo_unlink", FIRST) + SYNC,
    call("lo_unlink", FIRST),
    call("lo_unlink", number(1)[:3]),
    call("lo_unlink"),
)


def test_function_calls_of_large_objects_are_answered_as_by_the_server(shop: Shop) -> None:
    found = []
    for target in (shop.proxied, shop.direct.as_user("ann")):
        shop.execute(f"{ROWS}; DELETE FROM app.orders; DELETE FROM app.users WHERE deleted_at IS NOT NULL")
        with RawClient(target) as client:
            client.log_in()
            client.send(b"".join(CONVERSATION) + query("SELECT 'the end of it'"))
            messages = [client.read_message()]
            while b"the end of it" not in messages[-1].body:
                messages.append(client.read_message())
            found.append(comparable(messages))
    assert found[0] == found[1]
    assert [kind for kind, _ in found[0]].count(b"V") == 12
    assert shop.rows("SELECT count(*) FROM pg_largeobject_metadata") == [(0,)]


@pytest.mark.parametrize(
    "function", [RANDOM, 0, 764, 765, 2_926], ids=["random", "none", "import", "export", "xml"]
)
def test_a_function_call_of_anything_else_is_refused_in_its_place(shop: Shop, function: int) -> None:
    with RawClient(shop.proxied) as client:
        client.log_in()
        client.send(query("BEGIN") + function_call(function) + query("ROLLBACK") + query("SELECT 7"))
        answers = [client.read_until(b"Z") for _ in range(4)]
    assert [one.type for one in answers[1]] == [b"E", b"Z"]
    assert (answers[1][0].fields["C"], answers[1][1].body) == ("0A000", b"E")
    assert [one.type for one in answers[3]] == [b"T", b"D", b"C", b"Z"]


def test_libpq_and_psycopg2_write_and_read_large_objects(shop: Shop) -> None:
    with psycopg2.connect(shop.proxied.conninfo) as connection:
        written = connection.lobject(0, "wb")
        written.write(TEXT)
        written.seek(6)
        written.truncate(20)
        oid = written.oid
        written.close()
        connection.commit()
        found = connection.lobject(oid, "rb")
        found.seek(6)
        assert found.read() == TEXT[6:20]
        found.unlink()
    connection.close()
    assert shop.rows("SELECT count(*) FROM pg_largeobject_metadata") == [(0,)]


def test_psql_imports_and_exports_large_objects(shop: Shop, psql_18: Path, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(TEXT)
    script = (
        f"\\lo_import '{tmp_path}/in'\n\\lo_export :LASTOID '{tmp_path}/out'\n"
        "SELECT length(lo_get(:LASTOID));\n\\lo_unlink :LASTOID\n"
    )
    done = subprocess.run(
        [psql_18, "-X", "-At", "-v", "ON_ERROR_STOP=1", "-d", shop.proxied.conninfo],
        input=script, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert str(len(TEXT)) in done.stdout.splitlines()
    assert (tmp_path / "out").read_bytes() == TEXT


def test_large_objects_by_sql(shop: Shop) -> None:
    with psycopg.connect(shop.proxied.conninfo) as connection:
        (oid,) = connection.execute("SELECT lo_from_bytea(0, %b)", (TEXT,)).fetchone() or (0,)
        connection.execute("SELECT lo_put(%s, 6, 'OBJECT'::bytea)", (oid,))
        assert connection.execute("SELECT lo_get(%s, 0, 12)", (oid,)).fetchone() == (TEXT[:6] + b"OBJECT",)
        assert connection.execute("SELECT lo_unlink(%s)", (oid,)).fetchone() == (1,)
        connection.execute("SAVEPOINT here")
        with pytest.raises(psycopg.errors.UndefinedObject):
            connection.execute("SELECT lo_get(%s)", (oid,))


def test_a_call_that_runs_is_cancelled(shop: Shop) -> None:
    with psycopg.connect(shop.direct.conninfo) as holding, RawClient(shop.proxied) as client:
        client.log_in(application_name="calling")
        client.ask(call("lo_create", FIRST))
        holding.execute("LOCK pg_largeobject_metadata")
        client.send(call("lo_unlink", FIRST))
        waits = (
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'calling' AND wait_event_type = 'Lock'"
        )
        wait_until(lambda: shop.rows(waits) != [])
        cancelled = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'calling'"
        assert shop.rows(cancelled) == [(True,)]
        error, ready = client.read_until(b"Z")
        assert (error.fields["C"], ready.body) == ("57014", b"I")
        holding.rollback()
        assert client.ask(call("lo_unlink", FIRST))[0].type == b"V"
