"""The way to the server is encrypted as `[upstream_tls]` says, in every mode of libpq, cancel requests too."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import create_server
from threading import Thread

import asyncpg
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.access.authority import Authority, trusting
from tests.access.conftest import SCHEMA, TABLES, StartProxy
from tests.fix_proxy import Proxies, RunningProxy, config_text
from tests.fix_servers import VERSIONS
from tests.processes import owned_directory
from tests.servers import LocalServer, execute, find_programs, local_server

PASSWORD = "a password"
HBA = """
host all postgres 127.0.0.1/32 trust
hostssl all only_encrypted 127.0.0.1/32 trust
hostnossl all only_plain 127.0.0.1/32 trust
hostssl all certified 127.0.0.1/32 cert
host all with_password 127.0.0.1/32 scram-sha-256
"""
ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
VERIFYING = ("verify-ca", "verify-full")


def encrypts(version: int) -> bool:
    """Tell whether the programs here were built with TLS: those of the embedded server were not."""
    programs = find_programs(version)
    return programs is not None and b"libssl" in (programs / "postgres").read_bytes()


@pytest.fixture(scope="module", params=[known for known in VERSIONS if encrypts(known)] or [15])
def server(
    request: pytest.FixtureRequest, authority: Authority, own: tuple[str, str]
) -> Iterator[LocalServer]:
    """Give a server that encrypts, which some roles must use and some must not."""
    folder = owned_directory("pgsoftproxy-certificates-")
    paths = []
    for source in (*own, str(authority.ca)):
        target = folder / Path(source).name
        shutil.copy(source, target)
        shutil.chown(target, folder.owner(), folder.group())
        target.chmod(0o600)
        paths.append(str(target))
    files = dict(zip(("ssl_cert_file", "ssl_key_file", "ssl_ca_file"), paths, strict=True))
    made = local_server(request.param, {"ssl": "on", **files}, HBA)
    roles = ("only_encrypted", "only_plain", "certified", "with_password")
    execute(made.dsn(), "".join(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'; " for role in roles))
    execute(made.dsn(), SCHEMA)
    yield made
    print(made.log())
    made.destroy()
    shutil.rmtree(folder)


Before = Callable[..., RunningProxy]


@pytest.fixture(scope="module")
def before(server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Before]:
    """Give a factory of proxies before that server: `before("require", ca=...)`."""
    proxies = Proxies(server, tmp_path_factory.mktemp("before"))

    def start(
        mode: str, client_tls: dict[str, str] | None = None, auth: str = "", **keys: str
    ) -> RunningProxy:
        return proxies.get(
            TABLES,
            upstream_tls={"mode": mode, **keys},
            client_tls=client_tls or {},
            auth={"method": "scram", "query": auth} if auth else {},
        )

    yield start
    proxies.stop()


def conninfo(proxy: RunningProxy, user: str, **more: str) -> str:
    given = {"sslmode": "disable", "gssencmode": "disable", "password": PASSWORD, **more}
    return make_conninfo(proxy.dsn(user=user), connect_timeout="20", **given)


def is_encrypted(proxy: RunningProxy, user: str) -> bool:
    """Read the one live row, and return whether the server says that the connection is encrypted."""
    with psycopg.connect(conninfo(proxy, user)) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchall() == [(1,)]
        found = connection.execute(ENCRYPTED).fetchone()
    assert found is not None
    return bool(found[0])


def refusal(proxy: RunningProxy, user: str = "postgres", **more: str) -> str:
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(conninfo(proxy, user, **more))
    return str(caught.value)


@pytest.mark.parametrize(
    ("mode", "encrypted"),
    [("disable", False), ("allow", False), ("prefer", True), ("require", True), ("verify-ca", True),
     ("verify-full", True)],
)  # fmt: skip
def test_each_mode_takes_its_way(before: Before, authority: Authority, mode: str, encrypted: bool) -> None:
    proxy = before(mode, **({"ca": str(authority.ca)} if mode in VERIFYING else {}))
    assert is_encrypted(proxy, "postgres") is encrypted


@pytest.mark.parametrize(
    ("user", "mode", "encrypted"),
    [("only_encrypted", "allow", True), ("only_plain", "allow", False), ("only_encrypted", "prefer", True),
     ("only_plain", "prefer", False)],
)  # fmt: skip
def test_a_server_that_turns_one_way_away_is_met_by_the_other(
    before: Before, user: str, mode: str, encrypted: bool
) -> None:
    assert is_encrypted(before(mode), user) is encrypted


@pytest.mark.parametrize(
    ("user", "mode", "said"),
    [("only_encrypted", "disable", "no encryption"), ("only_plain", "require", "SSL encryption"),
     ("nobody", "prefer", "no encryption"), ("nobody", "allow", "SSL encryption")],
)  # fmt: skip
def test_the_last_refusal_reaches_the_client(before: Before, user: str, mode: str, said: str) -> None:
    assert f'user "{user}", database "postgres", {said}' in refusal(before(mode), user)


def test_what_the_client_sent_ahead_survives_the_second_way(before: Before) -> None:
    with psycopg.connect(conninfo(before("allow"), "only_encrypted")) as connection, connection.pipeline():
        found = [connection.execute("SELECT %s::int", (number,)) for number in range(3)]
        assert [cursor.fetchone() for cursor in found] == [(0,), (1,), (2,)]


def test_a_server_whose_certificate_nobody_knows_is_refused(before: Before, stranger: Authority) -> None:
    proxy = before("verify-ca", ca=str(stranger.ca))
    assert "the upstream server cannot be reached now" in refusal(proxy)
    assert "certificate verify failed" in proxy.wait_for("upstream_unreachable")["reason"]


def test_with_an_authority_even_require_verifies(before: Before, stranger: Authority) -> None:
    assert "cannot be reached now" in refusal(before("require", ca=str(stranger.ca)))


def test_prefer_goes_in_clear_where_the_handshake_fails(before: Before, stranger: Authority) -> None:
    assert not is_encrypted(before("prefer", ca=str(stranger.ca)), "postgres")


def test_verify_full_wants_the_hosts_own_name(
    server: LocalServer, authority: Authority, folder: Path
) -> None:
    config = folder / "proxy.toml"
    # Another name of the same place, which is not in the certificate.
    other = {"host": "127.1", "port": server.port}
    for mode in VERIFYING:
        sections = {"upstream": other, "upstream_tls": {"mode": mode, "ca": str(authority.ca)}}
        config.write_text(config_text(server, "postgres", TABLES, sections))
        proxy = RunningProxy(config, server, "postgres")
        try:
            if mode == "verify-ca":
                assert is_encrypted(proxy, "postgres")
            else:
                refusal(proxy)
                assert "mismatch" in proxy.wait_for("upstream_unreachable")["reason"]
        finally:
            proxy.stop()


def test_the_proxys_own_certificate_logs_it_in(before: Before, authority: Authority) -> None:
    cert, key = authority.issue("certified")
    assert is_encrypted(before("require", cert=cert, key=key), "certified")
    assert "requires a valid client certificate" in refusal(before("require"), "certified")


def test_a_plain_client_logs_in_by_a_relayed_password(before: Before) -> None:
    """The server offers to bind the channel; libpq would take such an offer in clear for an attack."""
    assert is_encrypted(before("require"), "with_password")
    assert "password authentication failed" in refusal(before("require"), "with_password", password="wrong")


async def test_a_client_that_never_binds_logs_in_with_both_ends_encrypted(
    before: Before, own: tuple[str, str]
) -> None:
    proxy = before("require", {"mode": "require", "cert": own[0], "key": own[1]})
    connection = await asyncpg.connect(
        host=proxy.host, port=proxy.port, user="with_password", password=PASSWORD, database="postgres",
        ssl=trusting(),
    )  # fmt: skip
    assert await connection.fetchval(ENCRYPTED)
    await connection.close()


def test_with_both_ends_encrypted_libpq_logs_in_where_the_proxy_verifies_it(
    before: Before, own: tuple[str, str]
) -> None:
    """Relayed, it says that it could have bound the channel, and the server takes that for an attack."""
    client_tls = {"mode": "require", "cert": own[0], "key": own[1]}
    said = refusal(before("require", client_tls), "with_password", sslmode="require")
    assert "channel binding" in said
    query = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1"
    for binding in ("disable", "prefer", "require"):
        asked = {"sslmode": "require", "channel_binding": binding}
        with psycopg.connect(
            conninfo(before("require", client_tls, query), "with_password", **asked)
        ) as connection:
            assert connection.execute(ENCRYPTED).fetchone() == (True,)


def test_a_cancel_request_goes_encrypted(before: Before, authority: Authority) -> None:
    proxy = before("verify-full", ca=str(authority.ca))
    with (
        psycopg.connect(conninfo(proxy, "postgres")) as connection,
        ThreadPoolExecutor(1) as pool,
    ):
        sleeping = pool.submit(connection.execute, "SELECT pg_sleep(60)")
        while not sleeping.done():
            connection.cancel_safe(timeout=20)
        with pytest.raises(psycopg.errors.QueryCanceled):
            sleeping.result()


def test_large_results_pass_encrypted(before: Before) -> None:
    text = "ä" * 3_000_000
    with psycopg.connect(conninfo(before("require"), "postgres")) as connection:
        assert connection.execute("SELECT %s::text", (text,)).fetchall() == [(text,)]


def test_a_server_that_cannot_encrypt_is_met_in_clear_if_the_mode_allows(front: StartProxy) -> None:
    assert not is_encrypted(front(upstream_tls={"mode": "prefer"}), "ann")
    proxy = front(upstream_tls={"mode": "require"})
    assert "cannot be reached now" in refusal(proxy, "ann")
    assert proxy.wait_for("upstream_unreachable")["reason"] == "the server does not encrypt"


ANSWERS = {
    b"E": "the server does not know what encryption is",
    b"": "the server does not know what encryption is",
    # Words in clear behind its yes: somebody may have put them there.
    b"SR\x00\x00\x00\x08\x00\x00\x00\x00": "wrong version number",
}


def test_a_server_that_answers_otherwise_is_not_trusted(shop: LocalServer, folder: Path) -> None:
    with create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for answer in ANSWERS:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(8)
                    connection.sendall(answer)
                    while len(answer) > 1 and connection.recv(4096):
                        pass

        thread = Thread(target=serve)
        thread.start()
        sections = {
            "upstream": {"host": "127.0.0.1", "port": listening.getsockname()[1]},
            "upstream_tls": {"mode": "require"},
        }
        config = folder / "proxy.toml"
        config.write_text(config_text(shop, "postgres", TABLES, sections))
        proxy = RunningProxy(config, shop, "postgres")
        try:
            said = [refusal(proxy, "ann") for _ in ANSWERS]
        finally:
            proxy.stop()
            thread.join()
    assert all("the upstream server cannot be reached now" in words for words in said)
    reasons = [entry["reason"] for entry in proxy.logs() if entry.get("event") == "upstream_unreachable"]
    assert len(reasons) == 2, "of the same reason only the first is logged"
    assert all(part in reason for part, reason in zip(dict.fromkeys(ANSWERS.values()), reasons, strict=True))
