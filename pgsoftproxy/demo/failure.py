"""How the demo fails: something could not be started, or a step did not show what it should."""


class DemoFailed(Exception):
    """The demo cannot go on; `detail` is what was seen instead, or a child's last words."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class Stopped(Exception):
    """A signal asked the demo to end; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
