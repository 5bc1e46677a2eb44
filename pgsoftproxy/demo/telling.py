"""How a step of the demo is told: statements run and shown, what came back checked. Must not know what is told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pgsoftproxy.db.demo_client import Answer, DemoClient
from pgsoftproxy.demo.failure import DemoFailed
from pgsoftproxy.demo.screen import Screen

Metrics = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass(frozen=True, slots=True)
class Cast:
    """Who takes part: two roles through the proxy, the superuser past it, the proxy's metrics, and its commands.

    `command` runs `pgsoftproxy` with these arguments and returns its output; `reload` has the proxy read all anew.
    """

    shop: DemoClient
    support: DemoClient
    direct: DemoClient
    metrics: Callable[[], Metrics]
    command: Callable[..., str]
    reload: Callable[[], None]


class Telling:
    """Show statements and check their answers; DemoFailed at the first that is not as promised."""

    def __init__(self, screen: Screen, cast: Cast) -> None:
        self.screen = screen
        self.cast = cast
        self._names = {cast.shop: "shop", cast.support: "support", cast.direct: "direct"}
        self.checks = 0

    def run(self, client: DemoClient, sql: str, *parameters: object) -> Answer:
        """Show a statement and its answer."""
        self.screen.query(self._names[client], _shown(sql, parameters))
        answer = client.run(sql, *parameters)
        self.screen.answer(answer)
        return answer

    def quiet(self, client: DemoClient, sql: str) -> Answer:
        """Run a statement that must succeed, and show nothing."""
        answer = client.run(sql)
        if answer.error is not None:
            error = f"{answer.error.sqlstate}: {answer.error.message}"
            raise DemoFailed(f"an unexpected error at: {sql}", error)
        return answer

    def received(self, client: DemoClient, sql: str) -> str:
        """Run a statement through the proxy and ask the server, past the proxy, for the text it received."""
        self.screen.query(self._names[client], sql)
        self.quiet(client, sql)
        activity = self.cast.direct.run("SELECT query FROM pg_stat_activity WHERE pid = %s", client.pid)
        text = str(activity.value)
        self.screen.received(text)
        return text

    def command(self, *arguments: str) -> str:
        """Show a command of ours and run it; return what it printed."""
        self.screen.command(f"pgsoftproxy {' '.join(arguments)}")
        return self.cast.command(*arguments)

    def sqlstate(self, answer: Answer, wanted: str) -> None:
        """Check that an answer is this error."""
        self.same("the error", answer.error.sqlstate if answer.error else f"none, but {answer.tag}", wanted)

    def same(self, what: str, seen: object, wanted: object) -> None:
        """Check that two values are the same."""
        self.true(f"{what} should be {wanted!r}", seen == wanted, f"it is {seen!r}")

    def true(self, what: str, held: bool, seen: str) -> None:
        """Check that something held."""
        if not held:
            raise DemoFailed(what, seen)
        self.checks += 1


def _shown(sql: str, parameters: tuple[object, ...]) -> str:
    for number, parameter in enumerate(parameters, 1):
        sql = sql.replace("%s", f"${number}", 1) + f"\n-- ${number} is '{parameter}'"
    return sql
