"""Who a session is, as logs name it. A value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Who:
    """The user who has logged in, where from, to what; `backend_pid` is the server's process, 0 if it named none."""

    user: str
    database: str
    application_name: str = ""
    client_address: str = ""
    backend_pid: int = 0
