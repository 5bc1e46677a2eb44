"""Structured logs on stderr, as text or JSON lines: what happened, without a value that a client sent.

Owns the form of a log line and how often a noisy event may repeat. SQL text appears only where the operator
asked for it (`sql_literals`); otherwise a fingerprint stands for it. Must not know sockets or sessions.
"""

import contextlib
import hashlib
import logging
import sys
import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

Logger = FilteringBoundLogger

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
LONGEST_TEXT = 10_000


def make_logger(form: str, level: str, stream: TextIO | None = None) -> Logger:
    """Return the process's logger; `form` is "json" or "text", `level` a key of LEVELS."""
    out = sys.stderr if stream is None else stream
    logger: Logger = structlog.wrap_logger(
        _Lines(out),
        processors=[*_stamps(), *_renderers(form, out)],
        wrapper_class=type("Levelled", (structlog.make_filtering_bound_logger(LEVELS[level]),), {}),
        cache_logger_on_first_use=True,
    )
    return logger


def set_level(logger: Logger, level: str) -> None:
    """Log from this level on, through this logger and all that were bound from it."""
    # Their class has no methods but those of its base; so a call below the level stays as cheap as it can be.
    type(logger.bind()).__bases__ = (structlog.make_filtering_bound_logger(LEVELS[level]),)


def adopt_standard_logging(logger: Logger) -> None:
    """Send what libraries say through `logging` (asyncio, the driver) to the same place, warnings and up."""
    root = logging.getLogger()
    root.handlers[:] = [_ToStructlog(logger)]
    root.setLevel(logging.WARNING)


def _stamps() -> list[Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]


def _renderers(form: str, out: TextIO) -> list[Processor]:
    if form == "json":
        return [structlog.processors.format_exc_info, _event_first, structlog.processors.JSONRenderer()]
    return [
        structlog.dev.ConsoleRenderer(
            colors=out.isatty(), timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
        )
    ]


def _event_first(_logger: Any, _method: str, event: EventDict) -> EventDict:
    head = {key: event.pop(key) for key in ("time", "level", "event") if key in event}
    return {**head, **event}


class _Lines:
    """Write lines to a stream; a reader that went away must not take the sessions with it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(f"{text}\n")
            self._stream.flush()

    log = debug = info = warning = error = critical = exception = msg


class _ToStructlog(logging.Handler):
    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        self._logger.log(
            record.levelno, "library_message", source=record.name, said=record.getMessage(),
            exc_info=record.exc_info,
        )  # fmt: skip


@dataclass(slots=True)
class _Seen:
    until: float
    suppressed: int = 0


class Once:
    """Tell whether something may be logged now: each key once in `seconds`, in bounded memory."""

    def __init__(self, seconds: float, clock: Callable[[], float], most: int = 2000) -> None:
        self._seconds = seconds
        self._clock = clock
        self._most = most
        self._seen: OrderedDict[object, _Seen] = OrderedDict()

    def allows(self, key: object) -> int | None:
        """Return how many of this key were suppressed since the last one allowed; None: suppress it."""
        now = self._clock()
        seen = self._seen.get(key)
        if seen is not None and now < seen.until:
            seen.suppressed += 1
            return None
        self._seen[key] = _Seen(now + self._seconds)
        self._seen.move_to_end(key)
        while len(self._seen) > self._most:
            self._seen.popitem(last=False)
        return 0 if seen is None else seen.suppressed


def describe_error(error: BaseException, *, literals: bool) -> dict[str, str]:
    """Return the log fields for a bug: where it is; its words, which may quote SQL, only if `literals`."""
    if literals:
        return {"exception": "".join(traceback.format_exception(error)).rstrip()}
    place = "".join(traceback.format_tb(error.__traceback__))
    return {"exception": f"{place}{type(error).__module__}.{type(error).__qualname__}"}


def describe_text(text: bytes, *, literals: bool) -> dict[str, str]:
    """Return the log fields for a SQL text: the text if `literals`, else its fingerprint."""
    if literals:
        return {"sql": text[:LONGEST_TEXT].decode("utf-8", "backslashreplace")}
    # Keyed by nothing: whoever has the text can find its line, whoever has the line cannot find the text.
    return {"fingerprint": hashlib.blake2b(text, digest_size=8).hexdigest()}
