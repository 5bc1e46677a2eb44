"""Send random units to the proxy and to the twin, many in one write, and judge each pair of answers."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from tests.oracle.client import Answer, Client, ServerGone, parsed
from tests.oracle.compare import CANARY, CANARY_IN_HEX, Naming, Terms, answer_differences
from tests.oracle.databases import FULL
from tests.oracle.grammar.units import PATH, Unit
from tests.oracle.refusals import reason_of

NEEDLES = (CANARY.lower(), CANARY_IN_HEX.lower())
CANCELLED = "57014"
STATEMENT_TIMEOUT = "10s"
INVALID_REFERENCE = "42P10"
INTERNAL_ERROR = "XX000"


class Outcome(Enum):
    """How a unit ended."""

    AGREED = "agreed"
    ERRED = "erred alike"
    REFUSED = "refused"
    CANCELLED = "took too long"
    DISAGREED = "disagreed"
    LEAKED = "leaked"
    DIED = "lost the connection"

    @property
    def fails(self) -> bool:
        """Tell whether it is a finding."""
        return self in (Outcome.DISAGREED, Outcome.LEAKED, Outcome.DIED)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one unit ended, why, and what each side answered where that is of interest."""

    unit: Unit
    outcome: Outcome
    reason: str = ""
    proxied: bytes = b""
    direct: bytes = b""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the duel: how to connect to it, and its database's name."""

    connect: Callable[[], Client]
    database: str


class Duel:
    """Two open sessions, one through the proxy and one beside it."""

    def __init__(self, proxied: Side, direct: Side) -> None:
        self._sides = (proxied, direct)
        self._clients: list[Client] = []

    def fight(self, units: Sequence[Unit]) -> list[Verdict]:
        """Send the units, all in one write, and judge what comes back; a lost connection costs one of them."""
        verdicts: list[Verdict] = []
        waiting = deque(units)
        together = True
        while waiting:
            batch = list(waiting) if together else [waiting[0]]
            judged = self._exchange(batch)
            for _ in judged:
                waiting.popleft()
            verdicts += judged
            if len(judged) < len(batch):
                together = False  # whose fault it is shows when they are sent one by one
                if len(batch) == 1:
                    verdicts.append(Verdict(waiting.popleft(), Outcome.DIED, "the connection was closed"))
        return verdicts

    def close(self) -> None:
        """Close both sessions."""
        for client in self._clients:
            client.close()
        self._clients = []

    def _exchange(self, units: Sequence[Unit]) -> list[Verdict]:
        """Return the verdicts up to where a connection was lost."""
        judged: list[Verdict] = []
        try:
            if not self._clients:
                self._clients = [_opened(side) for side in self._sides]
            proxied, direct = self._clients
            barriers = [proxied.pour(_for_database(unit, self._sides[0].database)) for unit in units]
            for unit in units:
                direct.pour(_for_database(unit, self._sides[1].database))
            for unit, count in zip(units, barriers, strict=True):
                judged.append(judge(unit, proxied.drain(count), direct.drain(count)))
        except (ServerGone, OSError):
            self.close()
        return judged


def judge(unit: Unit, proxied: bytes, direct: bytes) -> Verdict:
    """Compare two answers, byte by byte first, then for what may differ without being wrong."""
    lower = proxied.lower()
    for needle in NEEDLES:
        if needle in lower:
            return Verdict(unit, Outcome.LEAKED, "a deleted value reached the client", proxied, direct)
    one = parsed(proxied)
    if proxied == direct:
        return Verdict(unit, Outcome.ERRED if one.error else Outcome.AGREED, _state(one), proxied, direct)
    other = parsed(direct)
    if CANCELLED in (_state(one), _state(other)):
        return Verdict(unit, Outcome.CANCELLED, "", proxied, direct)
    if one.error and (reason := reason_of(one.error)):
        return Verdict(unit, Outcome.REFUSED, reason, proxied, direct)
    if _is_about_a_join(one, other) or _is_the_servers_own_bug(one, other):
        return Verdict(unit, Outcome.ERRED, _state(one), proxied, direct)
    found = answer_differences(one, other, Terms(Naming(_oid, _oid), unit.ordered, unit.origins))
    if found:
        return Verdict(unit, Outcome.DISAGREED, "\n".join(found), proxied, direct)
    return Verdict(unit, Outcome.ERRED if one.error else Outcome.AGREED, _state(one), proxied, direct)


def _is_about_a_join(one: Answer, other: Answer) -> bool:
    """Tell whether both refuse a name where it stands, and differ in what they call it: that is documented."""
    if one.error is None or other.error is None or one.error["C"] != other.error["C"]:
        return False
    return one.error["C"] == INVALID_REFERENCE and '"unnamed_join"' in one.error["M"]


def _is_the_servers_own_bug(one: Answer, other: Answer) -> bool:
    """Tell whether both failed on themselves, at one place of their source: the text names parts of the plan."""
    if one.error is None or other.error is None or one.error["C"] != INTERNAL_ERROR:
        return False
    return one.error.get("R", "") == other.error.get("R")


def _opened(side: Side) -> Client:
    client = side.connect()
    for text in (
        f"SET search_path = {PATH}",
        f"SET statement_timeout = '{STATEMENT_TIMEOUT}'",
        "SET jit = off",
    ):
        answer = client.query(text)
        assert answer.error is None, answer.error
    return client


def _for_database(unit: Unit, name: str) -> list[tuple[str, ...]]:
    """Return the steps with the side's own database in the place of the one that they name."""
    if "name with a database" not in unit.constructs:
        return list(unit.steps)
    return [tuple(part.replace(FULL, name) for part in step) for step in unit.steps]


def _state(answer: Answer) -> str:
    return answer.error["C"] if answer.error else ""


def _oid(kind: str, oid: int) -> str:
    return f"{kind} {oid}"  # the twin is a copy: what is older than the session has the same oid
