"""Contexts of TLS from files: what the proxy shows, and whom it believes. Made anew at each reload.

Must not log or repeat what a file holds; errors name files alone.
"""

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path

from pgsoftproxy.errors import ConfigError
from pgsoftproxy.proxy.tls import ALPN
from pgsoftproxy.session.door import MUST_CERTIFY, TlsMode

SYSTEM = "system"
"""What stands for the authorities that the operating system believes."""
_HASHES = {
    # Of RSA (PKCS #1, RFC 8017) and ECDSA (RFC 5758); for MD5 and SHA-1, RFC 5929 takes SHA-256.
    **dict.fromkeys(("2a864886f70d010104", "2a864886f70d010105", "2a8648ce3d0401"), "sha256"),
    **dict.fromkeys(("2a864886f70d01010b", "2a8648ce3d040302"), "sha256"),
    **dict.fromkeys(("2a864886f70d01010c", "2a8648ce3d040303"), "sha384"),
    **dict.fromkeys(("2a864886f70d01010d", "2a8648ce3d040304"), "sha512"),
    **dict.fromkeys(("2a864886f70d01010e", "2a8648ce3d040301"), "sha224"),
}
"""The hash of each signature algorithm, by the bytes of its object identifier."""
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


@dataclass(frozen=True, slots=True)
class Shown:
    """What clients are met with; `binding` is what they may bind a proof to (tls-server-end-point, RFC 5929)."""

    context: ssl.SSLContext
    binding: bytes | None = None


def server_context(files: Files) -> Shown | None:
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
    return Shown(context, end_point(_first(files.cert)))


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


def end_point(certificate: bytes) -> bytes | None:
    """Return the hash of a certificate in DER by its signature's own algorithm, None if that names no single one."""
    inner, _ = _value(certificate, 0)
    _, behind = _value(inner, 0)
    algorithm, _ = _value(inner, behind)
    name = _HASHES.get(_value(algorithm, 0)[0].hex())
    return None if name is None else hashlib.new(name, certificate).digest()


def _value(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the value of the DER element at an offset, and where the next one begins."""
    size, begin = data[at + 1], at + 2
    if size & 0x80:
        begin += size & 0x7F
        size = int.from_bytes(data[at + 2 : begin], "big")
    return data[begin : begin + size], begin + size


def _first(path: str) -> bytes:
    """Return the first certificate of a PEM file that was loaded a moment ago."""
    text = Path(path).read_text(encoding="ascii", errors="replace")
    begin = text.index(ssl.PEM_HEADER)
    return ssl.PEM_cert_to_DER_cert(text[begin : text.index(ssl.PEM_FOOTER, begin) + len(ssl.PEM_FOOTER)])


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
