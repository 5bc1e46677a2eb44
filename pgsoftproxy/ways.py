"""The ways in and out, from settings: encryption on either side, and what clients are verified by.

Reads the files that the settings name, at start, at each reload, and when they are only checked.
"""

from hashlib import sha256
from pathlib import Path

from pgsoftproxy.db.connection import password_of
from pgsoftproxy.errors import ConfigError
from pgsoftproxy.proxy.certificates import Files, client_context, server_context
from pgsoftproxy.proxy.encryption import Encryption
from pgsoftproxy.proxy.entrance import Way
from pgsoftproxy.proxy.users import read_users
from pgsoftproxy.session.door import Door, Method
from pgsoftproxy.settings import Settings


def way_in(settings: Settings) -> Way:
    """Return what clients meet; raises ConfigError if certificates or users cannot be had."""
    tls, auth = settings.client_tls, settings.auth
    files = Files(f"{settings.origin('client_tls')}: client_tls", **tls.model_dump())
    shown, key = server_context(files), _mock_key(settings)
    origin = f"{settings.origin('auth')}: auth"
    if auth.method is Method.SCRAM and not (auth.users_file or auth.query):
        raise ConfigError((f'{origin}: method "scram" needs users_file or query',))
    users = {} if auth.users_file is None else read_users(origin, auth.users_file, key)
    return Way(Door(tls.mode, auth.method), shown, users, auth.query, key, auth.failure_delay)


def _mock_key(settings: Settings) -> bytes:
    """Return what unknown users are asked by, from a secret that other processes and the next start have, too."""
    secret = password_of(settings.control.dsn).encode()
    if not secret and settings.client_tls.key is not None:
        secret = Path(settings.client_tls.key).read_bytes()
    return sha256(b"pgsoftproxy mock " + (secret or settings.control.dsn.encode())).digest()


def way_out(settings: Settings) -> Encryption:
    """Return how the server is met; raises ConfigError if certificates cannot be had."""
    tls = settings.upstream_tls
    files = Files(f"{settings.origin('upstream_tls')}: upstream_tls", **tls.model_dump())
    return Encryption(tls.mode, client_context(files))
