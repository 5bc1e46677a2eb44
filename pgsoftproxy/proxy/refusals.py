"""What sessions are refused or ended with, where more than one place says so. Values only."""

from pgsoftproxy.errors import ProxyError, UpstreamUnavailable

NO_SUCH_DATABASE = "3D000"


def shutdown() -> ProxyError:
    """Return the error by which sessions end when the proxy is told to stop, in the server's words."""
    return ProxyError("terminating connection due to administrator command", sqlstate="57P01")


def login_timed_out() -> ProxyError:
    """Return the error for who takes too long to log in, in the server's words."""
    return ProxyError("canceling authentication due to timeout", sqlstate="57014")


def unserved(database: str, cause: UpstreamUnavailable) -> ProxyError:
    """Return the error for a database whose catalog cannot be read."""
    if cause.sqlstate == NO_SUCH_DATABASE:
        return UpstreamUnavailable(f'database "{database}" does not exist', sqlstate=cause.sqlstate)
    # The cause quotes the control connection: it is for the log, which has it.
    return UpstreamUnavailable(
        f'database "{database}" cannot be served now: its catalog cannot be read',
        hint="The proxy's log has the reason.",
    )


def password_failed(user: str) -> ProxyError:
    """Return the error for a wrong password, an unknown user, and one who may not log in: all are one."""
    return ProxyError(f'password authentication failed for user "{user}"', sqlstate="28P01")


def unverifiable(user: str) -> UpstreamUnavailable:
    """Return the error for a user of whom nothing can be asked now."""
    return UpstreamUnavailable(
        f'user "{user}" cannot be authenticated now', hint="The proxy's log has the reason."
    )
