"""Contexts of TLS from files: what the proxy shows, and whom it believes. Made anew at each reload.

Must not log or repeat what a file holds; errors name files alone.
"""

import ssl
from dataclasses import dataclass

from pgsoftproxy.errors import ConfigError
from pgsoftproxy.proxy.tls import ALPN
from pgsoftproxy.session.door import MUST_CERTIFY, TlsMode

SYSTEM = "system"
"""What stands for the authorities that the operating system believes."""
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True, slots=True)
class Files:
    """Paths of PEM files; `section` is the one of the configuration that names them."""

    section: str
    mode: TlsMode
    cert: str | None = None
    key: str | None = None
    ca: str | None = None
    min_version: str = "1.2"


def server_context(files: Files) -> ssl.SSLContext | None:
    """Return the context by which clients are met, if they may encrypt.

    With a CA, whatever certificate they show must be signed by it. Raises ConfigError.
    """
    if files.mode is TlsMode.DISABLE:
        return None
    if files.mode in MUST_CERTIFY and files.ca is None:
        raise ConfigError((f'{files.section}: mode "{files.mode.value}" needs ca',))
    context = _context(ssl.PROTOCOL_TLS_SERVER, files.min_version)
    # As the server: nothing to resume, so that each session is judged by its own certificate.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    if files.cert is None or files.key is None:
        raise ConfigError((f"{files.section}: needs cert and key",))
    _show(context, files)
    if files.ca is not None:
        _believe(context, files, files.ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_context(files: Files) -> ssl.SSLContext | None:
    """Return the context by which the server is met, unless all goes in clear.

    As libpq has it, a CA is asked for whatever the mode, where there is one. Raises ConfigError.
    """
    if files.mode is TlsMode.DISABLE:
        return None
    context = _context(ssl.PROTOCOL_TLS_CLIENT, files.min_version)
    context.check_hostname = files.mode is TlsMode.VERIFY_FULL
    if files.ca is None:
        if files.mode in MUST_CERTIFY:
            raise ConfigError((f'{files.section}: mode "{files.mode.value}" needs ca',))
        context.verify_mode = ssl.CERT_NONE
    elif files.ca != SYSTEM:
        _believe(context, files, files.ca)
    elif files.mode is TlsMode.VERIFY_FULL:
        context.load_default_certs()
    else:
        # Anybody can have a certificate that the system believes, in a name of his own.
        raise ConfigError((f'{files.section}: ca "{SYSTEM}" needs mode "verify-full"',))
    if files.cert is not None:
        _show(context, files)
    return context


def _context(protocol: int, minimum: str) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = VERSIONS[minimum]
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols([ALPN])
    return context


def _show(context: ssl.SSLContext, files: Files) -> None:
    assert files.cert is not None
    try:
        # Without a password of its own, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(files.cert, files.key, password=lambda: "")
    except OSError as error:  # an SSLError is one
        raise ConfigError((f"{files.section}: {files.cert}, {files.key}: {_why(error)}",)) from None


def _believe(context: ssl.SSLContext, files: Files, ca: str) -> None:
    try:
        context.load_verify_locations(ca)
    except OSError as error:
        raise ConfigError((f"{files.section}: {ca}: {_why(error)}",)) from None


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        words = (error.reason or "").lower().replace("_", " ")
        return f"no certificates, or no key that fits: {words}" if words else "no certificates in PEM format"
    return f"cannot be read: {error.strerror or error}"
