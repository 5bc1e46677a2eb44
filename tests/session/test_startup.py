"""What a startup packet asks for, and what it is refused for."""

import pytest

from pgsoftproxy.errors import ProxyError
from pgsoftproxy.model.context import (
    UNCERTAIN_PATH,
    DeleteMode,
    Grant,
    SearchPath,
    Visibility,
    VisibilityMode,
)
from pgsoftproxy.session.startup import Startup, command_line, read_startup

ALL = Visibility(VisibilityMode.ALL)


def read(**parameters: str) -> Startup:
    """Read the startup parameters of user `web`; a dot in a name is written as two underscores."""
    pairs = {"user": "web", **{name.replace("__", "."): value for name, value in parameters.items()}}
    return read_startup(0, [(name.encode(), value.encode()) for name, value in pairs.items()])


def test_the_database_is_the_users_own_unless_named() -> None:
    assert (read().user, read().database) == ("web", "web")
    assert read(database="shop").database == "shop"
    assert read(database="").database == "web"


def test_a_name_is_cut_where_the_server_cuts_it() -> None:
    assert read(user="u" * 70).user == "u" * 63


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ("", []),
        ("  ", []),
        ("-c search_path=app", [("search_path", "app")]),
        ("-csearch_path=app", [("search_path", "app")]),
        ("--search-path=app", [("search_path", "app")]),
        (r"-c search_path=app,\ public", [("search_path", "app, public")]),
        (r"-c search_path=a\\b", [("search_path", r"a\b")]),
        ("-c a=b=c  --d=e", [("a", "b=c"), ("d", "e")]),
        ("-e -f s -c a=1", [("a", "1")]),
        ("-f -ca=1", []),
        ("-ec a=1", [("a", "1")]),
        ("-c a=1 -c a=2", [("a", "1"), ("a", "2")]),
        ("-c a=", [("a", "")]),
    ],
)
def test_options_are_read_as_the_server_reads_them(options: str, settings: list[tuple[str, str]]) -> None:
    assert command_line(options) == settings


@pytest.mark.parametrize("options", ["-c", "-c a", "--a", "--", "-", "word", "-c a=1 word", "-Z", "-f", "-é"])
def test_options_that_the_server_refuses_are_left_to_it(options: str) -> None:
    assert command_line(options) is None
    assert read(options=options).hopeless


def test_the_packets_own_parameters_go_over_its_options() -> None:
    assert read(options="-c search_path=a").search_path == SearchPath(("a",))
    assert read(options="-c search_path=a", search_path="b").search_path == SearchPath(("b",))
    assert read(search_path="b", options="-c SEARCH_PATH=a").search_path == SearchPath(("b",))


def test_the_last_of_several_settings_counts_as_it_does_for_the_server() -> None:
    assert (
        read(options="-c pgsoftproxy.visibility=all -c pgsoftproxy.visibility=live").visibility
        == Visibility()
    )


def test_a_search_path_of_unknown_characters_is_not_trusted() -> None:
    pairs = [(b"user", b"web"), (b"search_path", b"caf\xe9")]
    assert read_startup(0, pairs).search_path == UNCERTAIN_PATH


def test_the_role_of_the_options_is_what_user_stands_for() -> None:
    assert read(options="-c role=owner").values(("a",)).user == "owner"
    assert read(role="none").values(("a",)).user == "web"


def test_the_start_values_are_the_catalogs_where_the_packet_says_nothing() -> None:
    values = read(pgsoftproxy__visibility="all", pgsoftproxy__delete="hard").values(("own", "public"))
    assert values.search_path == SearchPath(("own", "public"))
    assert (values.visibility, values.delete) == (ALL, DeleteMode.HARD)


@pytest.mark.parametrize(
    ("encoding", "codec"),
    [
        ("UTF8", "utf-8"),
        ("utf-8", "utf-8"),
        ("'utf-8'", "utf-8"),
        ("Unicode", "utf-8"),
        ("SQL_ASCII", "utf-8"),
        ("LATIN1", "latin-1"),
        ("ISO_8859_1", "latin-1"),
        ("iso88591", "latin-1"),
    ],
)
def test_encodings_that_can_be_read_are_accepted_under_all_their_names(encoding: str, codec: str) -> None:
    assert read(client_encoding=encoding).codec == codec


REFUSED = {
    "no user": ({"user": ""}, "28000"),
    "replication by a word that only the server knows": ({"replication": "f"}, "0A000"),
    "replication by another case": ({"replication": "Database"}, "0A000"),
    "an encoding that is not ASCII-safe": ({"client_encoding": "SJIS"}, "0A000"),
    "an encoding without a codec here": ({"client_encoding": "WIN1252"}, "0A000"),
    "an encoding in the options": ({"options": "-c client_encoding=GBK"}, "0A000"),
    "backslashes in plain strings": ({"standard_conforming_strings": "off"}, "0A000"),
    "backslashes in plain strings, by options": ({"options": "--standard-conforming-strings=0"}, "0A000"),
    "replica triggers": ({"session_replication_role": "replica"}, "0A000"),
    "another session user": ({"session_authorization": "owner"}, "0A000"),
    "an unknown visibility": ({"pgsoftproxy__visibility": "some"}, "22023"),
    "an unknown delete mode": ({"pgsoftproxy__delete": "maybe"}, "22023"),
    "a malformed search_path": ({"search_path": 'a, "b'}, "22023"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_served_safely_is_refused(name: str) -> None:
    parameters, sqlstate = REFUSED[name]
    with pytest.raises(ProxyError) as caught:
        read(**parameters)
    assert caught.value.sqlstate == sqlstate


@pytest.mark.parametrize("value", ["false", "off", "no", "0"])
def test_replication_that_is_declined_is_fine(value: str) -> None:
    assert not read(replication=value).replicates


@pytest.mark.parametrize(("value", "database"), [("database", "shop"), ("true", ""), ("ON", ""), ("1", "")])
def test_replication_is_known_with_its_database(value: str, database: str) -> None:
    found = read(replication=value, database="shop")
    assert (found.replicates, found.database) == (True, database)


def test_more_than_the_role_may_is_refused() -> None:
    read(pgsoftproxy__visibility="live").check(Grant())
    read(pgsoftproxy__visibility="all").check(Grant(frozenset(VisibilityMode)))
    read(pgsoftproxy__delete="hard").check(Grant(hard_delete=True))
    for parameters in ({"pgsoftproxy__visibility": "all"}, {"pgsoftproxy__delete": "hard"}):
        with pytest.raises(ProxyError) as caught:
            read(**parameters).check(Grant())
        assert caught.value.sqlstate == "42501"


def test_a_backup_sees_all_where_the_role_may_and_rows_are_hidden() -> None:
    grant = Grant(frozenset(VisibilityMode))
    assert read(application_name="pg_dump").complete(grant, hides=True).visibility == ALL
    assert read(application_name="pg_dump").complete(grant, hides=False).visibility == Visibility()
    assert read(application_name="psql").complete(grant, hides=True).visibility == Visibility()


def test_a_backup_that_would_be_partial_is_refused_unless_it_asked_for_that() -> None:
    with pytest.raises(ProxyError, match="would lack the deleted rows") as refused:
        read(application_name="pg_dump").complete(Grant(), hides=True)
    assert refused.value.sqlstate == "42501"
    chosen = read(application_name="pg_dump", options="-c pgsoftproxy.visibility=live")
    assert chosen.complete(Grant(), hides=True).visibility == Visibility()
    assert read(application_name="pg_dump").complete(Grant(), hides=False).visibility == Visibility()
