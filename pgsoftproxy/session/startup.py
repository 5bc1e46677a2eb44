"""What a startup packet asks for, as far as this proxy must know or must refuse it.

Reads the parameters as ProcessStartupPacket and process_postgres_switches do; must not know phases or sockets.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from pgsoftproxy.errors import ClientProtocolError, StatementRefused
from pgsoftproxy.model.context import (
    UNCERTAIN_PATH,
    DeleteMode,
    Grant,
    SearchPath,
    Values,
    Visibility,
    VisibilityMode,
)
from pgsoftproxy.model.encodings import codec_of
from pgsoftproxy.model.names import NAME_BYTES
from pgsoftproxy.model.parsing import parse_delete_mode, parse_search_path, parse_visibility

NEWEST_MINOR = 2

BACKUPS = frozenset({"pg_dump"})
"""Programs, by application_name, whose output nobody reads until it is needed: a part would pass for the whole."""

LOGICAL = "database"
"""The value of `replication` that keeps the connection's database; others that are true have none."""
_TRUE = frozenset({"true", "on", "yes", "1"})
_FALSE = frozenset({"false", "off", "no", "0"})

UNDECODABLE = "\N{REPLACEMENT CHARACTER}"

# getopt's letters in process_postgres_switches: those that take an argument, those that do not.
_WITH_ARGUMENT = frozenset("BCcDdfhkNprStvW")
_WITHOUT_ARGUMENT = frozenset("bEeFijlnOPsT")


@dataclass(frozen=True, slots=True)
class Startup:
    """What a session starts with. `extensions` are the `_pq_.` options that were asked for.

    `replicates`: the server will take replication commands, and no database but one that is named for logical ones.
    `hopeless`: the server must refuse the packet, in its own words; if it does not, the proxy read it wrong.
    """

    user: str
    database: str
    application_name: str = ""
    minor: int = 0
    extensions: frozenset[bytes] = frozenset()
    codec: str = "utf-8"
    search_path: SearchPath | None = None
    visibility: Visibility = field(default_factory=Visibility)
    visibility_given: bool = False
    delete: DeleteMode = DeleteMode.SOFT
    role: str | None = None
    replicates: bool = False
    hopeless: bool = False

    def values(self, search_path: tuple[str, ...]) -> Values:
        """Return the values that the session's variables start with; `search_path` is the role's own."""
        path = self.search_path or SearchPath(search_path)
        return Values(
            self.role or self.user,
            path,
            self.visibility,
            self.delete,
            session_user=self.user,
            encoding=self.codec,
        )

    def complete(self, grant: Grant, *, hides: bool) -> "Startup":
        """Return what a backup program starts with where rows are hidden: all of them, if it did not choose.

        Raises StatementRefused (42501) if the role may not see them: a backup is never silently partial.
        """
        if self.application_name not in BACKUPS or self.visibility_given or not hides:
            return self
        if VisibilityMode.ALL not in grant.visibility:
            raise StatementRefused(
                f'a dump by role "{self.user}" would lack the deleted rows',
                hint="Use a role with visibility all, or dump the live rows only, "
                "by PGOPTIONS='-c pgsoftproxy.visibility=live'.",
                sqlstate="42501",
            )
        return replace(self, visibility=Visibility(VisibilityMode.ALL))

    def check(self, grant: Grant) -> None:
        """Raise StatementRefused (42501) where the packet asks for more than the role may."""
        if self.visibility.mode not in grant.visibility:
            raise not_allowed(self.user, f"visibility {self.visibility.mode.value}")
        if self.delete is DeleteMode.HARD and not grant.hard_delete:
            raise not_allowed(self.user, "delete mode hard")


def not_allowed(user: str, what: str) -> StatementRefused:
    """Return the error for a role that asks for what the configuration does not grant it."""
    return StatementRefused(
        f'role "{user}" may not use {what}',
        hint="The proxy's configuration grants it under [roles].",
        sqlstate="42501",
    )


def read_startup(minor: int, parameters: Iterable[tuple[bytes, bytes]]) -> Startup:
    """Read the parameters of a StartupMessage of protocol 3.`minor`.

    Raises ClientProtocolError or StatementRefused if they are malformed, or ask for what cannot be served.
    """
    given: dict[str, str] = {}
    settings: list[tuple[str, str]] = []
    extensions = set()
    for name, value in parameters:
        if name.startswith(b"_pq_."):
            extensions.add(name)
        elif name in (b"user", b"database", b"options", b"replication"):
            given[name.decode()] = value.decode(errors="replace")
        else:
            settings.append((_text(name), _text(value)))
    user = given.get("user", "")
    if not user:
        raise ClientProtocolError("no PostgreSQL user name specified in startup packet", sqlstate="28000")
    replication = given.get("replication", "false")
    replicates = replication == LOGICAL or replication.lower() in _TRUE
    if not replicates and replication.lower() not in _FALSE:
        # The server takes more spellings; one that it reads otherwise than this proxy would open a way past it.
        raise StatementRefused(
            f'invalid value for parameter "replication": "{replication}"',
            hint='Write "database", "true" or "false".',
        )
    database = "" if replicates and replication != LOGICAL else given.get("database") or user
    # The server applies the command line first, the packet's own parameters over it.
    options = command_line(given.get("options", ""))
    wanted = {name.lower(): value for name, value in (*(options or ()), *settings)}
    _refuse_settings(wanted)
    return Startup(
        user=_cut(user),
        database=_cut(database),
        application_name=wanted.get("application_name", ""),
        minor=minor,
        extensions=frozenset(extensions),
        codec=_codec(wanted.get("client_encoding", "utf8")),
        search_path=_search_path(wanted.get("search_path")),
        visibility=_visibility(wanted.get("pgsoftproxy.visibility", "live")),
        visibility_given="pgsoftproxy.visibility" in wanted,
        delete=_delete(wanted.get("pgsoftproxy.delete", "soft")),
        role=wanted["role"] if wanted.get("role", "none") != "none" else None,
        replicates=replicates,
        hopeless=options is None,
    )


def command_line(options: str) -> list[tuple[str, str]] | None:
    """Return the settings, in order, that the startup parameter `options` makes; None if it is malformed."""
    settings: list[tuple[str, str]] = []
    words = iter(_words(options))
    for word in words:
        if not word.startswith("-") or word in ("-", "--"):
            return None
        found = _assignment(word[2:]) if word.startswith("--") else _letters(word[1:], words)
        if found is None:
            return None
        settings.extend(found)
    return settings


def _letters(letters: str, words: Iterator[str]) -> list[tuple[str, str]] | None:
    """Read a word of one-letter options, as getopt does; the last may take the next word as its argument."""
    for at, letter in enumerate(letters):
        if letter in _WITHOUT_ARGUMENT:
            continue
        argument = letters[at + 1 :] or next(words, None)
        if argument is None or letter not in _WITH_ARGUMENT:
            return None
        return _assignment(argument) if letter == "c" else []
    return []


def _assignment(text: str) -> list[tuple[str, str]] | None:
    name, equals, value = text.partition("=")
    return [(name.replace("-", "_"), value)] if equals else None


def _words(options: str) -> list[str]:
    # pg_split_opts: words end at white space, a backslash takes the next character as it is.
    words: list[str] = []
    word: list[str] | None = None
    letters = iter(options)
    for letter in letters:
        if letter in " \t\n\r\f\v":
            if word is not None:
                words.append("".join(word))
            word = None
            continue
        word = word if word is not None else []
        word.append(next(letters, "") if letter == "\\" else letter)
    if word is not None:
        words.append("".join(word))
    return words


def _refuse_settings(wanted: dict[str, str]) -> None:
    strings = wanted.get("standard_conforming_strings", "on").lower()
    if strings not in ("on", "true", "yes", "1"):
        raise StatementRefused(
            "standard_conforming_strings must stay on",
            hint="The proxy reads string literals as standard SQL does.",
        )
    if wanted.get("session_replication_role", "origin").lower() != "origin":
        raise StatementRefused("session_replication_role must stay origin: it would disable triggers")
    if "session_authorization" in wanted:
        raise StatementRefused("session_authorization cannot be set at startup")


def _codec(encoding: str) -> str:
    codec = codec_of(encoding)
    if codec is None:
        raise StatementRefused(
            f'client_encoding "{encoding}" is not supported',
            hint="Use UTF8, LATIN1 or SQL_ASCII.",
        )
    return codec


def _search_path(text: str | None) -> SearchPath | None:
    if text is None:
        return None
    if UNDECODABLE in text:
        return UNCERTAIN_PATH
    try:
        return SearchPath(parse_search_path(text))
    except ValueError as error:
        raise StatementRefused(str(error), sqlstate="22023") from None


def _visibility(text: str) -> Visibility:
    try:
        return parse_visibility(text)
    except ValueError as error:
        raise StatementRefused(str(error), sqlstate="22023") from None


def _delete(text: str) -> DeleteMode:
    try:
        return parse_delete_mode(text)
    except ValueError as error:
        raise StatementRefused(str(error), sqlstate="22023") from None


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _cut(name: str) -> str:
    return name.encode(errors="replace")[:NAME_BYTES].decode(errors="replace")
