"""Clients encrypt as `[client_tls]` says: who may, who must, with which certificate, and what is refused."""

import shutil
import socket
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import asyncpg
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.access.authority import Authority, trusting
from tests.access.conftest import StartProxy
from tests.clients.raw import GSSENC_REQUEST, SSL_REQUEST, RawClient, query, startup
from tests.clients.shop import Target
from tests.fix_proxy import RunningProxy
from tests.servers import LocalServer, find_programs

COUNT = "SELECT count(*) FROM users"
Own = tuple[str, str]


def section(mode: str, own: Own, authority: Authority | None = None) -> dict[str, str]:
    found = {"mode": mode, "cert": own[0], "key": own[1]}
    return found if authority is None else {**found, "ca": str(authority.ca)}


def conninfo(proxy: RunningProxy, user: str = "ann", **more: str) -> str:
    unset = {"sslcert": "/nonexistent", "sslkey": "/nonexistent", "sslrootcert": "/nonexistent"}
    return make_conninfo(
        proxy.dsn(user=user), connect_timeout="20", gssencmode="disable", **{**unset, **more}
    )


def connects(proxy: RunningProxy, user: str = "ann", **more: str) -> bool:
    """Connect, read the one live row, and return whether the connection is encrypted."""
    with psycopg.connect(conninfo(proxy, user, **more)) as connection:
        assert connection.execute(COUNT).fetchall() == [(1,)]
        return connection.pgconn.ssl_in_use


def refusal(proxy: RunningProxy, user: str = "ann", **more: str) -> str:
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(conninfo(proxy, user, **more))
    return str(caught.value)


@pytest.mark.parametrize("mode", ["allow", "prefer", "require"])
@pytest.mark.parametrize("asked", ["prefer", "require", "verify-ca", "verify-full"])
def test_who_asks_for_encryption_gets_it(
    front: StartProxy, own: Own, authority: Authority, mode: str, asked: str
) -> None:
    ca = {"sslrootcert": str(authority.ca)} if asked.startswith("verify") else {}
    assert connects(front(client_tls=section(mode, own)), sslmode=asked, **ca)


@pytest.mark.parametrize(("mode", "encrypted"), [("allow", False), ("prefer", False), ("require", True)])
def test_who_would_rather_not_encrypt_must_only_where_it_is_required(
    front: StartProxy, own: Own, mode: str, encrypted: bool
) -> None:
    assert connects(front(client_tls=section(mode, own)), sslmode="allow") is encrypted


def test_without_encryption_nobody_gets_it(front: StartProxy) -> None:
    assert not connects(front(), sslmode="prefer")
    assert "server does not support SSL" in refusal(front(), sslmode="require")


def test_a_plain_client_is_refused_in_the_servers_words_where_encryption_is_required(
    front: StartProxy, own: Own
) -> None:
    proxy = front(client_tls=section("require", own))
    with RawClient(Target(proxy.host, proxy.port, "postgres", "ann")) as client:
        client.send(startup((3, 0), {"user": "ann", "database": "postgres"}))
        error = client.read_to_end()[-1].fields
    assert (error["S"], error["C"]) == ("FATAL", "28000")
    assert error["M"] == (
        'no pg_hba.conf entry for host "127.0.0.1", user "ann", database "postgres", no encryption'
    )


def test_a_client_that_checks_the_host_refuses_a_certificate_of_another(
    front: StartProxy, authority: Authority
) -> None:
    proxy = front(client_tls=section("prefer", authority.issue("elsewhere", hosts=("db.example.org",))))
    ca = str(authority.ca)
    assert connects(proxy, sslmode="verify-ca", sslrootcert=ca)
    assert "does not match host name" in refusal(proxy, sslmode="verify-full", sslrootcert=ca)


@pytest.mark.parametrize("alone", [True, False])
def test_verify_full_wants_a_certificate_that_names_the_user(
    front: StartProxy, own: Own, authority: Authority, stranger: Authority, alone: bool
) -> None:
    proxy = front(client_tls=section("verify-full", own, authority))
    cert, key = authority.issue("ann") if alone else authority.issue("service", hosts=("ann",))
    assert connects(proxy, sslmode="require", sslcert=cert, sslkey=key)
    said = refusal(proxy, "bob", sslmode="require", sslcert=cert, sslkey=key)
    assert 'certificate authentication failed for user "bob"' in said
    assert "requires a valid client certificate" in refusal(proxy, sslmode="require")
    cert, key = stranger.issue("ann")
    assert "unknown ca" in refusal(proxy, sslmode="require", sslcert=cert, sslkey=key)


def test_verify_ca_wants_a_certificate_whoever_it_names(
    front: StartProxy, own: Own, authority: Authority, stranger: Authority
) -> None:
    proxy = front(client_tls=section("verify-ca", own, authority))
    cert, key = authority.issue("somebody")
    assert connects(proxy, sslmode="require", sslcert=cert, sslkey=key)
    assert "requires a valid client certificate" in refusal(proxy, sslmode="require")
    cert, key = stranger.issue("somebody")
    before = len(proxy.logs())
    assert "unknown ca" in refusal(proxy, sslmode="require", sslcert=cert, sslkey=key)
    assert proxy.wait_for("tls_handshake_failed", after=before)["reason"] == "CERTIFICATE_VERIFY_FAILED"


@pytest.mark.parametrize("mode", ["prefer", "require"])
def test_libpq_of_17_may_begin_with_the_handshake(
    front: StartProxy, own: Own, authority: Authority, mode: str
) -> None:
    ca = str(authority.ca)
    proxy = front(client_tls=section(mode, own))
    assert connects(proxy, sslmode="verify-full", sslrootcert=ca, sslnegotiation="direct")


def encrypted(proxy: RunningProxy, context: ssl.SSLContext, first: bytes = SSL_REQUEST) -> ssl.SSLSocket:
    """Connect, ask for encryption unless `first` is empty, and shake hands."""
    plain = socket.create_connection((proxy.host, proxy.port), timeout=20)
    if first:
        plain.sendall(first)
        assert plain.recv(1) == b"S"
    return context.wrap_socket(plain, server_hostname="localhost")


def answer(connection: ssl.SSLSocket) -> bytes:
    """Return all that comes until the end."""
    found = b""
    while data := connection.recv(4096):
        found += data
    return found


def test_a_direct_handshake_needs_the_protocols_name(front: StartProxy, own: Own) -> None:
    proxy = front(client_tls=section("prefer", own))
    with closing(encrypted(proxy, trusting(alpn=None), b"")) as client:
        assert b"without ALPN protocol negotiation extension" in answer(client)
    with closing(encrypted(proxy, trusting(alpn="http/1.1"), b"")) as client:
        assert b"without ALPN protocol negotiation extension" in answer(client)


def test_what_follows_a_request_in_clear_is_refused_unread(front: StartProxy, own: Own) -> None:
    proxy = front(client_tls=section("prefer", own))
    packet = startup((3, 0), {"user": "ann", "database": "postgres"})
    with RawClient(Target(proxy.host, proxy.port, "postgres", "ann")) as client:
        client.send(SSL_REQUEST + packet)
        error = client.read_to_end()[-1].fields
    assert (error["C"], error["M"]) == ("08P01", "received unencrypted data after SSL request")


def test_what_follows_later_in_clear_breaks_the_handshake_and_is_never_answered(
    front: StartProxy, own: Own
) -> None:
    proxy = front(client_tls=section("prefer", own))
    with RawClient(Target(proxy.host, proxy.port, "postgres", "ann")) as client:
        client.send(SSL_REQUEST)
        assert client.read(1) == b"S"
        client.send(startup((3, 0), {"user": "ann", "database": "postgres"}) + query(COUNT))
        rest = client.socket.recv(4096)
    assert rest[:1] in (b"", b"\x15"), "the end, or an alert of TLS before it"


@pytest.mark.parametrize("again", [SSL_REQUEST, GSSENC_REQUEST], ids=["SSL", "GSSAPI"])
def test_inside_encryption_none_is_asked_for_again(front: StartProxy, own: Own, again: bytes) -> None:
    proxy = front(client_tls=section("prefer", own))
    with closing(encrypted(proxy, trusting())) as client:
        client.sendall(again)
        assert b"unsupported frontend protocol 1234.56" in answer(client)


def test_old_versions_of_tls_are_refused(front: StartProxy, own: Own) -> None:
    proxy = front(client_tls=section("prefer", own))
    context = trusting()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        encrypted(proxy, context)


def test_the_oldest_version_is_configured(front: StartProxy, own: Own) -> None:
    proxy = front(client_tls={**section("prefer", own), "min_version": "1.3"})
    assert connects(proxy, sslmode="require")
    assert "protocol version" in refusal(proxy, sslmode="require", ssl_max_protocol_version="TLSv1.2")


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_large_results_and_large_statements_pass_encrypted(front: StartProxy, own: Own, version: str) -> None:
    proxy = front(client_tls=section("require", own))
    text = "ä" * 3_000_000
    only = {"ssl_min_protocol_version": version, "ssl_max_protocol_version": version}
    with psycopg.connect(conninfo(proxy, sslmode="require", **only)) as connection:
        for _ in range(2):
            assert connection.execute("SELECT %s::text", (text,)).fetchall() == [(text,)]
        rows = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 20000)) TO STDOUT"
        with connection.cursor().copy(rows) as copy:
            assert sum(len(data) for data in copy) == 20_000 * 1001


def test_a_cancel_request_passes_encrypted(front: StartProxy, own: Own) -> None:
    proxy = front(client_tls=section("require", own))
    with (
        psycopg.connect(conninfo(proxy, sslmode="require")) as connection,
        ThreadPoolExecutor(1) as pool,
    ):
        sleeping = pool.submit(connection.execute, "SELECT pg_sleep(60)")
        while not sleeping.done():
            connection.cancel_safe(timeout=20)
        with pytest.raises(psycopg.errors.QueryCanceled):
            sleeping.result()


async def test_asyncpg_connects_encrypted(front: StartProxy, own: Own) -> None:
    proxy = front(client_tls=section("require", own))
    for direct in (False, True):
        connection = await asyncpg.connect(
            host=proxy.host, port=proxy.port, user="ann", database="postgres",
            ssl=trusting(), direct_tls=direct,
        )  # fmt: skip
        assert await connection.fetchval(COUNT) == 1
        await connection.close()


def test_psql_shows_the_encryption(front: StartProxy, own: Own, authority: Authority) -> None:
    proxy = front(client_tls=section("require", own))
    programs = find_programs(15)
    assert programs is not None, "that of the embedded server is built without TLS"
    done = subprocess.run(
        [
            programs / "psql",
            "-X",
            "-At",
            "-d",
            conninfo(proxy, sslmode="verify-full", sslrootcert=str(authority.ca)),
        ],
        input="\\conninfo\n" + COUNT,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
    assert "SSL connection (protocol: TLSv1.3" in done.stdout
    assert done.stdout.endswith("1\n")


def served(proxy: RunningProxy) -> bytes:
    """Return the certificate that the proxy shows now."""
    with closing(encrypted(proxy, trusting())) as client:
        found = client.getpeercert(binary_form=True)
    assert found is not None
    return found


def test_a_reload_takes_new_certificates_and_drops_nobody(
    front: StartProxy, authority: Authority, folder: Path
) -> None:
    cert, key = str(folder / "cert"), str(folder / "key")

    def install(name: str) -> None:
        for source, target in zip(authority.issue(name), (cert, key), strict=True):
            shutil.copy(source, target)

    install("first")
    proxy = front(client_tls=section("require", (cert, key)))
    with psycopg.connect(conninfo(proxy, sslmode="require")) as connection:
        connection.execute("SELECT 1")
        before = served(proxy)
        install("second")
        assert served(proxy) == before
        assert proxy.reload()["event"] == "reloaded"
        assert served(proxy) != before
        assert connection.execute(COUNT).fetchall() == [(1,)]
        after = served(proxy)
        Path(cert).write_text("nothing of the kind")
        answered = proxy.reload()
        assert answered["event"] == "reload_refused"
        assert cert in answered["problems"][0]
        assert served(proxy) == after


def test_a_client_that_stops_in_the_midst_of_a_handshake_meets_the_login_timeout(
    front: StartProxy, own: Own
) -> None:
    proxy = front(client_tls=section("prefer", own), limits={"login_timeout": 0.3})
    with RawClient(Target(proxy.host, proxy.port, "postgres", "ann")) as client:
        client.send(SSL_REQUEST)
        assert client.read(1) == b"S"
        assert client.socket.recv(1) == b""
    assert connects(proxy, sslmode="require")


@pytest.mark.parametrize("eof", [True, False], ids=["after the goodbye of TLS", "cut off"])
def test_a_client_that_leaves_takes_its_session_along(
    front: StartProxy, shop: LocalServer, own: Own, eof: bool
) -> None:
    proxy = front(client_tls=section("prefer", own))
    open_before = proxy.metric("pgsoftproxy_connections_open")
    client = encrypted(proxy, trusting())
    client.sendall(startup((3, 0), {"user": "ann", "database": "postgres"}))
    greeting = b""
    while not greeting.endswith(b"Z\x00\x00\x00\x05I"):
        greeting += client.recv(4096)
    if eof:
        client.unwrap().close()
    else:
        client.close()
    while proxy.metric("pgsoftproxy_connections_open") > open_before:
        pass


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"mode": "require"}, "client_tls: needs cert and key"),
        ({"mode": "prefer", "cert": "/nonexistent", "key": "/nonexistent"}, "cannot be read: No such file"),
        ({"mode": "verify-full", "cert": "x", "key": "x"}, 'client_tls: mode "verify-full" needs ca'),
        ({"mode": "sometimes"}, 'client_tls.mode: must be "disable", "allow", '),
    ],
)
def test_what_cannot_be_is_told_by_check_config(
    shop: LocalServer, folder: Path, broken: dict[str, str], said: str
) -> None:
    lines = "".join(f'{name} = "{value}"\n' for name, value in broken.items())
    config = folder / "proxy.toml"
    config.write_text(f'[control]\ndsn = "{shop.dsn()}"\n[client_tls]\n{lines}')
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pgsoftproxy",
            "check-config",
            "--offline",
            "--config",
            config,
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert said in done.stdout + done.stderr
    assert "proxy.toml:" in done.stdout + done.stderr
