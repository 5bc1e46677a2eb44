"""One session on both sides: through the proxy on data with deleted rows, and directly on the twin.

Sends what it is told to both, the twin second: what the proxy refuses with a documented reason must fail there too,
at the same place. Says how the answers differ.
"""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tests.oracle.client import Answer, Client, Result, Step
from tests.oracle.compare import CANARY, Naming, Origins, Terms, answer_differences
from tests.oracle.machine_phrases import PHRASES, Phrase

REFUSED = "SELECT pg_catalog.pgsoftproxy_refuses()"
"""Fails on the twin where the proxy refused."""
REASONS = {
    r"permission denied: role .* may not (see|delete)": r"SET .*pgsoftproxy",
    r"invalid (visibility|value)": r"SET .*'nonsense'",
    r"visibility as_of needs a time of deletion": r"notes|EXECUTE|FETCH",
    r"what relations there are is not known here: this text ends": r"(COMMIT|ROLLBACK).*;",
    r"may have become a protected table by a statement before this one": r"(CREATE|ALTER) .*;",
    r"would remove or uncover rows of protected table": r"DROP|TRUNCATE|ALTER",
}
"""What the proxy may refuse, and in which statements."""
DOUBTING = r"set_config\('(search' \|\||search_path', 'ap' \|\||role')"
"""After such a statement an unqualified name may be taken for a protected table that it does not mean."""
NO_COLUMN = r"column .*(deleted_at|gone)\"? does not exist"
SYNC: Step = ("sync",)
TERMS = Terms(Naming(lambda _, oid: str(oid), lambda _, oid: str(oid)), origins=Origins.IGNORED)

Act = tuple[str, ...]
"""What a message does: ("say", sql), ("parse", name, sql), ("run", name) or ("close", name)."""


@dataclass(frozen=True, slots=True)
class Message:
    """Statements in one Query (`simple`), or steps of the extended protocol sent in one write."""

    session: int
    simple: bool
    acts: tuple[Act, ...]

    def __repr__(self) -> str:
        return f"Message({self.session}, {self.simple}, {self.acts!r})"

    @property
    def phrases(self) -> list[Phrase | None]:
        """Return the statement of each act, None where it has none."""
        return [PHRASES[act[-1]] if act[0] in {"say", "parse"} else None for act in self.acts]


class Pair:
    """The session, its settings as the twin knows them, and the count of how its messages ended."""

    def __init__(self, proxied: Client, direct: Client, verdicts: Counter[str]) -> None:
        self.proxied = proxied
        self.direct = direct
        self._verdicts = verdicts
        self._status = "I"
        self._doubts = False

    def exchange(self, message: Message) -> list[str]:
        """Send a message to both sides; return how the answers differ."""
        visibility = self._visibility(message)
        self._doubts = self._doubts or any(re.search(DOUBTING, act[-1]) for act in message.acts)
        # What DDL made is not read before the message has been answered.
        defines = any(re.match("CREATE|ALTER|DROP|DISCARD", act[-1]) for act in message.acts[:-1])
        answer = self.proxied.exchange(_steps(message, [act[-1] for act in message.acts]))
        refused = _refused(message, answer, self._doubts or defines)
        found = [line for line in (_unreasoned(message, place, refused[place]) for place in refused) if line]
        texts = [
            REFUSED if place in refused else _twin_text(act, phrase, visibility)
            for place, (act, phrase) in enumerate(zip(message.acts, message.phrases, strict=True))
        ]
        expected = self.direct.exchange(_steps(message, texts, refused))
        self._status = expected.status[-1]
        found += _differences(message, answer, expected, visibility)
        # Which row an error under another visibility speaks of depends on the order of a scan.
        shown = CANARY in expected.raw or (visibility != "live" and answer.error)
        if CANARY in answer.raw and not shown:
            found.append("a deleted value reached the client")
        self._verdicts["refused" if refused else "failed alike" if answer.error else "agreed"] += 1
        return found

    @property
    def failed(self) -> bool:
        """Tell whether the session is in a transaction that has failed."""
        return self._status == "E"

    def close(self) -> None:
        """Close both connections."""
        self.proxied.close()
        self.direct.close()

    def _visibility(self, message: Message) -> str | None:
        """Return the visibility in force for all of the message, None if it may change or deletes are hard."""
        if self._status == "E" or any(phrase is not None and phrase.sets for phrase in message.phrases):
            return None
        # SHOW takes no snapshot.
        visibility, mode = (self._shown(name) for name in ("visibility", "delete"))
        return visibility if mode == "soft" else None

    def _shown(self, name: str) -> str:
        value = self.direct.query(f"SHOW pgsoftproxy.{name}").results[0].rows[0][0]
        assert value is not None
        return value.decode()


def _steps(message: Message, texts: Sequence[str], refused: Collection[int] = ()) -> list[Step]:
    if message.simple:
        return [("query", "; ".join(texts))]
    steps: list[Step] = []
    for place, (act, text) in enumerate(zip(message.acts, texts, strict=True)):
        match act:
            case _ if place in refused:
                steps.append(("parse", "", REFUSED))
            case ("say", _):
                steps += [("parse", "", text), ("bind", "", ""), ("describe", "P", ""), ("execute", "", "0")]
            case ("parse", name, _):
                steps.append(("parse", name, text))
            case ("run", name):
                steps += [("bind", "", name), ("execute", "", "0")]
            case ("close", name):
                steps.append(("close", "S", name))
            case ("sync",):
                steps.append(SYNC)
            case _:
                raise ValueError(act)
    return [*steps, SYNC]


def _twin_text(act: Act, phrase: Phrase | None, visibility: str | None) -> str:
    if phrase is None or not phrase.adapted:
        return act[-1]
    if act[0] == "say" and visibility == "live" and not _prepares(phrase):
        return phrase.sql
    # What is prepared follows the settings of its use.
    fixed = f"'{visibility}'" if visibility else "NULL"
    return phrase.adapted.replace("{visibility}", fixed)


def _prepares(phrase: Phrase) -> bool:
    return phrase.sql == phrase.adapted or phrase.sql.startswith("PREPARE")


def _refused(message: Message, answer: Answer, doubts: bool) -> dict[int, dict[str, str]]:
    """Return the acts that the proxy refused, by their place, with the error."""
    found = {}
    for place, error in _failures(message, answer).items():
        if any(re.search(reason, error["M"]) for reason in REASONS) or (
            doubts and re.search(NO_COLUMN, error["M"])
        ):
            found[place] = error
    return found


def _failures(message: Message, answer: Answer) -> dict[int, dict[str, str]]:
    """Return the places of the acts that failed, with their errors."""
    if message.simple:
        return {len(answer.results) - 1: answer.error} if answer.error else {}
    errors = iter([result.error for result in answer.results if result.error])
    found = {}
    place = 0
    for segment in _segments(bytes(answer.raw)):
        acts = _segment(message, place)
        done = 0
        for kind in segment:
            if kind == "E":
                found[place + done] = next(errors) or {}
            elif done < len(acts) and kind in _ENDS[acts[done][0]]:
                done += 1
        place += len(acts) + 1
    return found


_ENDS = {"say": "CIs", "run": "CIs", "parse": "1", "close": "3"}


def _segment(message: Message, place: int) -> list[Act]:
    acts = []
    for act in message.acts[place:]:
        if act == ("sync",):
            break
        acts.append(act)
    return acts


def _segments(raw: bytes) -> list[str]:
    """Return the kinds of messages up to each ReadyForQuery."""
    kinds, at = "", 0
    while at < len(raw):
        kinds += chr(raw[at])
        at += 1 + int.from_bytes(raw[at + 1 : at + 5], "big")
    return kinds.split("Z")[:-1]


def _unreasoned(message: Message, place: int, error: dict[str, str]) -> str:
    text = "; ".join(act[-1] for act in message.acts)
    if message.acts[place][0] == "run":
        text += "; EXECUTE"
    if re.search(NO_COLUMN, error["M"]):
        return ""
    fits = any(re.search(reason, error["M"]) and re.search(where, text) for reason, where in REASONS.items())
    return "" if fits else f"{text!r} refused: {error}"


def _differences(message: Message, answer: Answer, expected: Answer, visibility: str | None) -> list[str]:
    exact = all(
        not phrase.adapted or (visibility == "live" and act[0] == "say" and not _prepares(phrase))
        for act, phrase in zip(message.acts, message.phrases, strict=True)
        if phrase is not None
    ) and not any(act[0] == "run" for act in message.acts)
    if exact and not any(_stands_for_refusal(result) for result in expected.results):
        return answer_differences(answer, expected, TERMS)
    if len(answer.results) != len(expected.results) or answer.status != expected.status:
        return [f"{_shown(answer)}, not {_shown(expected)}"]
    pairs = zip(answer.results, expected.results, strict=True)
    if all(_alike(one, other) for one, other in pairs):
        return []
    return [f"{_shown(answer)}, not {_shown(expected)}"]


def _alike(one: Result, other: Result) -> bool:
    """Tell whether a result is what the adapted text says: the twin's rows, or their number."""
    if one.error or other.error:
        codes = [(result.error or {}).get("C") for result in (one, other)]
        return codes[0] == codes[1] or (codes[0] is not None and _stands_for_refusal(other))
    counts = [(result.tag or "").split()[-1:] for result in (one, other)]
    return counts[0] == counts[1] and (
        Counter(one.rows) == Counter(other.rows) or (one.columns is None and not one.rows)
    )


def _stands_for_refusal(result: Result) -> bool:
    return result.error is not None and "pgsoftproxy_refuses" in result.error["M"]


def _shown(answer: Answer) -> str:
    shown = [
        f"{result.error['C']} {result.error['M']}" if result.error else f"{result.tag} {result.rows}"
        for result in answer.results
    ]
    return f"{'; '.join(shown)} [{answer.status}]"
