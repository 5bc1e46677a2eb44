"""What is stored of passwords, in a file as PgBouncer's `auth_file` has it: a name and a secret on each line.

Must not log or repeat a secret; errors name file and line alone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pgsoftproxy.errors import ConfigError
from pgsoftproxy.session.scram import Verifier, mock_salt, parse_verifier, verifier_of

_QUOTED = r'"((?:[^"]|"")*)"'
_LINE = re.compile(rf"\s*{_QUOTED}\s+{_QUOTED}\s*")
_COMMENT = re.compile(r"\s*([;#].*)?")
_MD5 = re.compile(r"md5[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Secret:
    """What is known of one user's password: the password itself, if it was written so."""

    verifier: Verifier
    password: str | None = field(default=None, repr=False)


def secret_of(user: str, text: str, key: bytes) -> Secret | None:
    """Return what a stored text says; None if nobody can be verified by it. `key` is the one of mock salts."""
    verifier = parse_verifier(text)
    if verifier is not None:
        return Secret(verifier)
    if not text or _MD5.fullmatch(text) or text.startswith("SCRAM-SHA-256$"):
        return None
    return Secret(verifier_of(text, mock_salt(key, user)), text)


def read_users(origin: str, path: str, key: bytes) -> Mapping[str, Secret]:
    """Read a file of users. Raises ConfigError, whose lines begin with `origin`."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise ConfigError((f"{origin}: {path}: cannot be read: {reason}",)) from None
    users: dict[str, Secret] = {}
    problems = []
    for number, line in enumerate(lines, start=1):
        if _COMMENT.fullmatch(line):
            continue
        found = _LINE.fullmatch(line)
        name, text = (part.replace('""', '"') for part in found.groups()) if found else ("", "")
        secret = secret_of(name, text, key)
        if not name or name in users:
            problems.append(f'{origin}: {path}:{number}: must be "user" "secret", each user once')
        elif secret is None:
            problems.append(f"{origin}: {path}:{number}: must hold a SCRAM-SHA-256 verifier, or a password")
        else:
            users[name] = secret
    if problems:
        raise ConfigError(tuple(problems))
    return users
