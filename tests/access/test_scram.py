"""The proxy verifies passwords by SCRAM-SHA-256 itself, and logs in by what a client has proven."""

import base64
import hashlib
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from pgsoftproxy.errors import ProxyError, UpstreamProtocolError
from pgsoftproxy.proxy.certificates import end_point
from pgsoftproxy.session.proof import Challenge
from pgsoftproxy.session.scram import (
    SCRAM,
    SCRAM_PLUS,
    Keys,
    ScramClient,
    ScramServer,
    mock_verifier,
    parse_verifier,
    verifier_of,
)
from tests.access.authority import Authority, trusting
from tests.access.conftest import SCHEMA, TABLES
from tests.clients.raw import RawClient, startup
from tests.clients.shop import Target
from tests.fix_proxy import Proxies, RunningProxy
from tests.fix_servers import VERSIONS
from tests.servers import LocalServer, execute, local_server

PASSWORD = "pä ss'w=rd,\u00a0\u2168"
HBA = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
QUERY = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1"
LIVE = "SELECT count(*) FROM users"


@pytest.fixture(scope="module", params=VERSIONS, ids="pg{}".format)
def server(request: pytest.FixtureRequest) -> Iterator[LocalServer]:
    """Give a server that asks everybody for a password, some of whom may not log in."""
    made = local_server(request.param, hba=HBA)
    quoted = PASSWORD.replace("'", "''")
    for role, attributes in {
        "ann": "LOGIN",
        "expired": "LOGIN VALID UNTIL '2001-01-01'",
        "locked": "NOLOGIN",
        "filed": "LOGIN",
    }.items():
        execute(made.dsn(), f"CREATE ROLE {role} {attributes} PASSWORD '{quoted}'")
    execute(made.dsn(), "CREATE ROLE no_password LOGIN")
    execute(made.dsn(), SCHEMA)
    yield made
    print(made.log())
    made.destroy()


class Fronts(Proxies):
    """Proxies that ask for passwords."""

    def file(self, name: str, *lines: str) -> str:
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines))
        return str(path)

    def stored(self, role: str) -> str:
        return str(
            execute(self.server.dsn(), f"SELECT rolpassword FROM pg_authid WHERE rolname = '{role}'")[0][0]
        )

    def start(self, auth: dict[str, Any], **sections: Any) -> RunningProxy:
        return self.get(TABLES, auth={"method": "scram", "failure_delay": 0, **auth}, **sections)

    def encrypted(self, own: tuple[str, str]) -> RunningProxy:
        return self.start({"query": QUERY}, client_tls={"mode": "prefer", "cert": own[0], "key": own[1]})


@pytest.fixture(scope="module")
def fronts(server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fronts]:
    """Give the proxies."""
    made = Fronts(server, tmp_path_factory.mktemp("fronts"))
    yield made
    for output in made.stop():
        assert PASSWORD not in output
        assert "SCRAM-SHA-256$" not in output


def conninfo(proxy: RunningProxy, user: str, **more: str) -> str:
    given = {"sslmode": "disable", "gssencmode": "disable", "password": PASSWORD, **more}
    return make_conninfo(proxy.dsn(user=user), connect_timeout="20", passfile="/nonexistent", **given)


def gets_in(proxy: RunningProxy, user: str, **more: str) -> None:
    with psycopg.connect(conninfo(proxy, user, **more)) as connection:
        assert connection.execute(f"SELECT session_user, ({LIVE})").fetchall() == [(user, 1)]


def refusal(proxy: RunningProxy, user: str, **more: str) -> str:
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(conninfo(proxy, user, **more))
    return str(caught.value)


def test_what_a_client_proves_logs_it_in_upstream(fronts: Fronts) -> None:
    gets_in(fronts.start({"query": QUERY}), "ann")


async def test_asyncpg_gets_in(fronts: Fronts) -> None:
    proxy = fronts.start({"query": QUERY})
    connection = await asyncpg.connect(
        host=proxy.host, port=proxy.port, user="ann", password=PASSWORD, database="postgres"
    )
    assert await connection.fetchval(LIVE) == 1
    await connection.close()


@pytest.mark.parametrize("kind", ["verifier", "password"])
def test_a_file_holds_verifiers_or_passwords(fronts: Fronts, kind: str) -> None:
    secret = fronts.stored("filed") if kind == "verifier" else PASSWORD
    path = fronts.file(f"{kind}.txt", "; users", "", f'"filed" "{secret}"', '"a ""quoted"" one" "x"')
    proxy = fronts.start({"users_file": path})
    gets_in(proxy, "filed")
    assert 'password authentication failed for user "filed"' in refusal(proxy, "filed", password="wrong")
    assert 'password authentication failed for user "ann"' in refusal(proxy, "ann")


@pytest.mark.parametrize("user", ["ann", "nobody", "expired", "locked", "no_password"])
def test_all_who_fail_get_the_servers_words(fronts: Fronts, user: str) -> None:
    proxy = fronts.start({"query": QUERY})
    said = refusal(proxy, user, password="wrong" if user == "ann" else PASSWORD)
    assert said.strip().endswith(f'FATAL:  password authentication failed for user "{user}"')


def conversation(proxy: RunningProxy, user: str) -> list[tuple[bytes, object]]:
    """Fail to log in, and return what came, without what must differ."""
    with RawClient(Target(proxy.host, proxy.port, "postgres", user)) as client:
        client.send(startup((3, 0), {"user": user, "database": "postgres"}))
        offer = client.read_message()
        first = b"n,,n=,r=nonce"
        body = SCRAM + b"\0" + len(first).to_bytes(4, "big") + first
        client.send(b"p" + (len(body) + 4).to_bytes(4, "big") + body)
        challenge = client.read_message()
        parts = challenge.body[4:].split(b",")
        assert challenge.body[:4] == b"\0\0\0\x0b"
        proof = b"c=biws," + parts[0] + b",p=" + base64.b64encode(bytes(32))
        client.send(b"p" + (len(proof) + 4).to_bytes(4, "big") + proof)
        rest = client.read_to_end()
    shape = [(part[:2], len(part)) for part in parts]
    fields = [{key: value.replace(user, "?") for key, value in error.fields.items()} for error in rest]
    return [(offer.type, offer.body), (challenge.type, (shape, parts[2])), *((b"E", f) for f in fields)]


def test_no_byte_tells_who_exists(fronts: Fronts) -> None:
    proxy = fronts.start({"query": QUERY})
    known = conversation(proxy, "ann")
    assert all(conversation(proxy, user) == known for user in ("nobody", "expired", "locked", "no_password"))


def salt(proxy: RunningProxy, user: str) -> bytes:
    with RawClient(Target(proxy.host, proxy.port, "postgres", user)) as client:
        client.send(startup((3, 0), {"user": user, "database": "postgres"}))
        client.read_message()
        body = SCRAM + b"\0\0\0\0\x09n,,n=,r=x"
        client.send(b"p" + (len(body) + 4).to_bytes(4, "big") + body)
        return client.read_message().body.split(b",")[1]


def test_the_salt_of_who_does_not_exist_stays_the_same_as_those_of_others_do(fronts: Fronts) -> None:
    proxy = fronts.start({"query": QUERY})
    assert salt(proxy, "ann") == salt(proxy, "ann")
    assert salt(proxy, "nobody") == salt(proxy, "nobody")
    assert len({salt(proxy, user) for user in ("ann", "nobody", "nobody_else", "locked")}) == 4
    proxy.reload()
    other = fronts.start({"query": QUERY, "failure_delay": 0.2})
    assert salt(proxy, "nobody") == salt(other, "nobody")


def test_a_failed_login_is_slow_and_keeps_nobody_else_waiting(fronts: Fronts) -> None:
    proxy = fronts.start({"query": QUERY, "failure_delay": 3})
    with RawClient(Target(proxy.host, proxy.port, "postgres", "ann")) as client:
        client.send(startup((3, 0), {"user": "ann", "database": "postgres"}))
        client.read_message()
        body = SCRAM + b"\0\0\0\0\x09n,,n=,r=x"
        client.send(b"p" + (len(body) + 4).to_bytes(4, "big") + body)
        nonce = client.read_message().body[4:].split(b",")[0]
        proof = b"c=biws," + nonce + b",p=" + base64.b64encode(bytes(32))
        began = time.monotonic()
        client.send(b"p" + (len(proof) + 4).to_bytes(4, "big") + proof)
        gets_in(proxy, "ann")
        assert time.monotonic() - began < 3
        assert client.read_to_end()[-1].fields["C"] == "28P01"
        assert time.monotonic() - began >= 3


def test_what_the_server_changes_holds_at_once(fronts: Fronts) -> None:
    proxy = fronts.start({"query": QUERY})
    dsn = fronts.server.dsn()
    execute(dsn, "CREATE ROLE changing LOGIN PASSWORD 'one'")
    gets_in(proxy, "changing", password="one")
    execute(dsn, "ALTER ROLE changing PASSWORD 'two'")
    assert "password authentication failed" in refusal(proxy, "changing", password="one")
    gets_in(proxy, "changing", password="two")
    execute(dsn, "ALTER ROLE changing VALID UNTIL '2001-01-01'")
    assert "password authentication failed" in refusal(proxy, "changing", password="two")
    execute(dsn, "DROP ROLE changing")


def test_a_verifier_that_the_server_does_not_have_lets_nobody_in(fronts: Fronts) -> None:
    path = fronts.file("other.txt", '"ann" "another"')
    assert "password authentication failed" in refusal(
        fronts.start({"users_file": path}), "ann", password="another"
    )


def test_a_query_sees_no_function_or_table_of_others(fronts: Fronts) -> None:
    execute(
        fronts.server.dsn(),
        "CREATE TABLE IF NOT EXISTS public.pg_authid (rolname text, rolpassword text); "
        "CREATE OR REPLACE FUNCTION public.lower(name) RETURNS text LANGUAGE sql AS $$ SELECT 'nobody' $$",
    )
    gets_in(fronts.start({"query": QUERY + " AND lower(rolname) = $1"}), "ann")
    execute(fronts.server.dsn(), "DROP TABLE public.pg_authid; DROP FUNCTION public.lower(name)")


def test_a_query_that_fails_is_in_the_log_and_nobody_is_let_in(fronts: Fronts) -> None:
    proxy = fronts.start({"query": "SELECT a FROM nowhere WHERE $1 = ''"})
    assert 'user "ann" cannot be authenticated now' in refusal(proxy, "ann")
    assert "nowhere" in proxy.wait_for("auth_query_failed")["reason"]


def test_a_lost_connection_of_the_query_is_opened_again(fronts: Fronts) -> None:
    proxy = fronts.start({"query": QUERY})
    gets_in(proxy, "ann")
    execute(
        fronts.server.dsn(),
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgsoftproxy'",
    )
    gets_in(proxy, "ann")


@pytest.mark.parametrize("binding", ["disable", "prefer", "require"])
def test_an_encrypted_client_binds_its_proof_to_the_channel(
    fronts: Fronts, own: tuple[str, str], binding: str
) -> None:
    gets_in(fronts.encrypted(own), "ann", sslmode="require", channel_binding=binding)


@pytest.mark.parametrize("hash_name", ["sha256", "sha384"])
def test_the_binding_is_the_servers_own(fronts: Fronts, authority: Authority, hash_name: str) -> None:
    """libpq computes it from what it sees; where it agrees it lets itself be bound."""
    from cryptography.hazmat.primitives import hashes

    algorithm = hashes.SHA256() if hash_name == "sha256" else hashes.SHA384()
    cert, _ = own = authority.issue(f"by_{hash_name}", algorithm=algorithm)
    gets_in(fronts.encrypted(own), "ann", sslmode="require", channel_binding="require")
    der = ssl.PEM_cert_to_DER_cert(Path(cert).read_text())
    assert end_point(der) == hashlib.new(hash_name, der).digest()


def test_a_client_in_clear_cannot_bind(fronts: Fronts, own: tuple[str, str]) -> None:
    said = refusal(fronts.encrypted(own), "ann", channel_binding="require")
    assert "channel binding required" in said


async def test_a_client_that_never_binds_gets_in_encrypted(fronts: Fronts, own: tuple[str, str]) -> None:
    proxy = fronts.encrypted(own)
    connection = await asyncpg.connect(
        host=proxy.host, port=proxy.port, user="ann", password=PASSWORD, database="postgres", ssl=trusting()
    )
    assert await connection.fetchval(LIVE) == 1
    await connection.close()


def test_a_reload_reads_the_file_again(fronts: Fronts) -> None:
    path = fronts.file("changing.txt", f'"filed" "{PASSWORD}"')
    proxy = fronts.start({"users_file": path, "failure_delay": 0.01})
    assert "password authentication failed" in refusal(proxy, "ann")
    fronts.file("changing.txt", f'"ann" "{fronts.stored("ann")}"')
    assert proxy.reload()["event"] == "reloaded"
    gets_in(proxy, "ann")
    fronts.file("changing.txt", '"ann" "md50123456789abcdef0123456789abcdef"', '"ann"')
    problems = proxy.reload()["problems"]
    assert len(problems) == 2
    assert "changing.txt:1: must hold a SCRAM-SHA-256 verifier, or a password" in problems[0]
    assert 'changing.txt:2: must be "user" "secret"' in problems[1]
    gets_in(proxy, "ann")


# The exchange itself, without sockets.

VERIFIER = verifier_of("pencil", b"salt of sixteen.", 4096)


def exchange(secret: Keys | str, server: ScramServer) -> tuple[bytes, Keys] | None:
    client = ScramClient(secret, b"clients")
    return server.final(client.final(server.first(SCRAM, client.first())))


def test_a_proof_gives_the_keys_that_prove_again() -> None:
    proven = exchange("pencil", ScramServer(VERIFIER, b"servers", None))
    assert proven is not None
    again = exchange(proven[1], ScramServer(VERIFIER, b"others", None))
    assert again is not None
    assert again[1] == proven[1]
    assert exchange("pencils", ScramServer(VERIFIER, b"servers", None)) is None


def test_nobody_satisfies_a_mock() -> None:
    mock = mock_verifier(b"key", "nobody")
    assert exchange(Keys(mock.stored_key, mock.server_key), ScramServer(mock, b"servers", None)) is None


def test_the_example_of_rfc_7677_holds() -> None:
    """The user name is `user` there, which nobody reads."""
    verifier = verifier_of("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    server = ScramServer(verifier, b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", None)
    assert server.first(SCRAM, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO") == (
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    proven = server.final(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert proven is not None
    assert proven[0] == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


@pytest.mark.parametrize(
    ("mechanism", "message", "binding", "sqlstate"),
    [
        (b"PLAIN", b"n,,n=,r=x", None, "08P01"),
        (SCRAM_PLUS, b"p=tls-server-end-point,,n=,r=x", None, "08P01"),
        (SCRAM_PLUS, b"n,,n=,r=x", b"hash", "08P01"),
        (SCRAM_PLUS, b"y,,n=,r=x", b"hash", "08P01"),
        (SCRAM_PLUS, b"p=tls-unique,,n=,r=x", b"hash", "08P01"),
        (SCRAM, b"p=tls-server-end-point,,n=,r=x", b"hash", "08P01"),
        (SCRAM, b"y,,n=,r=x", b"hash", "28000"),
        (SCRAM, b"n,a=other,n=,r=x", None, "08P01"),
        (SCRAM, b"n,,m=x,n=,r=x", None, "08P01"),
        (SCRAM, b"n,,n=,r=", None, "08P01"),
        (SCRAM, b"n,,n=,r=\xff", None, "08P01"),
        (SCRAM, b"", None, "08P01"),
    ],
)
def test_a_first_message_that_is_none_is_refused(
    mechanism: bytes, message: bytes, binding: bytes | None, sqlstate: str
) -> None:
    with pytest.raises(ProxyError) as caught:
        ScramServer(VERIFIER, b"servers", binding).first(mechanism, message)
    assert caught.value.sqlstate == sqlstate


PROOF = base64.b64encode(bytes(32))


@pytest.mark.parametrize(
    "message",
    [
        b"", b"c=biws,r=xservers", b"c=biws,r=xserver,p=" + PROOF, b"c=eSws,r=xservers,p=" + PROOF,
        b"r=xservers,c=biws,p=" + PROOF, b"c=biws,r=xservers,p=AAAA", b"c=biws,r=xservers,p=?" + PROOF,
        b"c=" + base64.b64encode(b"p=tls-server-end-point,,hash") + b",r=xservers,p=" + PROOF,
    ],
)  # fmt: skip
def test_a_last_message_that_is_none_is_refused(message: bytes) -> None:
    server = ScramServer(VERIFIER, b"servers", None)
    server.first(SCRAM, b"n,,n=,r=x")
    with pytest.raises(ProxyError):
        server.final(message)


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_no_bytes_crash_the_exchange(first: bytes, last: bytes) -> None:
    server = ScramServer(VERIFIER, b"servers", b"hash")
    for message in (first, b"n,," + first, b"n,,n=,r=" + first):
        try:
            server.first(SCRAM, message)
            assert server.final(last) is None
        except ProxyError as error:
            assert error.sqlstate in ("08P01", "28000")


@pytest.mark.parametrize(
    "message",
    [
        b"", b"r=clients,s=AAAA,i=4096", b"r=otherservers,s=AAAA,i=4096", b"r=clientsservers,s=AAAA,i=0",
        b"r=clientsservers,s=AAAA,i=9999999", b"r=clientsservers,s=?,i=4096", b"s=AAAA,r=clientsservers,i=4096",
    ],
)  # fmt: skip
def test_a_server_that_asks_wrongly_gets_no_proof(message: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        ScramClient("pencil", b"clients").final(message)


def test_a_server_that_does_not_know_the_verifier_is_found_out() -> None:
    client = ScramClient("pencil", b"clients")
    with pytest.raises(UpstreamProtocolError):
        client.check(b"v=")
    client.final(b"r=clientsservers,s=AAAA,i=4096")
    with pytest.raises(UpstreamProtocolError):
        client.check(b"v=" + base64.b64encode(bytes(32)))


def test_no_repr_shows_a_secret() -> None:
    keys = exchange("pencil", ScramServer(VERIFIER, b"servers", None))
    assert keys is not None
    shown = repr((VERIFIER, keys[1], Challenge(VERIFIER, b"n", None, "pencil")))
    assert "pencil" not in shown
    assert repr(VERIFIER.stored_key) not in shown
    assert repr(keys[1].client_key) not in shown


@pytest.mark.parametrize(
    "text",
    ["", "md5", "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA", "SCRAM-SHA-256$0:AAAA$" + PROOF.decode() + ":" + PROOF.decode(),
     "SCRAM-SHA-256$4096:A$" + PROOF.decode() + ":" + PROOF.decode()],
)  # fmt: skip
def test_what_is_no_verifier_is_not_read_as_one(text: str) -> None:
    assert parse_verifier(text) is None
