"""Log lines: their form, how often they repeat, and that no SQL literal gets into them unasked."""

import io
import json
import logging

import pytest

from pgsoftproxy.errors import Refusal, UpstreamUnavailable
from pgsoftproxy.model.context import VisibilityMode
from pgsoftproxy.model.policy import Problem
from pgsoftproxy.model.who import Who
from pgsoftproxy.ops.logs import Once, adopt_standard_logging, describe_text, make_logger
from pgsoftproxy.ops.metrics import Metrics, RefusedBecause
from pgsoftproxy.ops.reporter import REPEAT_SECONDS, Reporter
from pgsoftproxy.rewrite.plan import Kind, Outcome, StatementPlan, Warned

SECRET = b"SELECT * FROM users WHERE deleted_at IS NOT NULL AND email = 'bob@example.org'"
READ = StatementPlan(Kind.SELECT, Outcome.REWRITTEN, guarded=("app.users",), names_column=True)


ALICE, SUPPORT = Who("alice", "shop"), Who("support", "shop")


class Bench:
    """A reporter with a clock to turn and its log to read."""

    def __init__(self, *, literals: bool = False) -> None:
        self.now = 0.0
        self.out = io.StringIO()
        logger = make_logger("json", "info", self.out)
        self.metrics = Metrics()
        self.reporter = Reporter(self.metrics, logger, literals=literals, clock=lambda: self.now)

    @property
    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]


def test_json_line_begins_with_time_level_and_event() -> None:
    out = io.StringIO()
    make_logger("json", "info", out).info("listening", port=6543)
    line = json.loads(out.getvalue())
    assert list(line) == ["time", "level", "event", "port"]
    assert (line["level"], line["event"], line["port"]) == ("info", "listening", 6543)
    assert line["time"].endswith("Z")


def test_text_line_is_for_people_and_has_no_colour_in_a_file() -> None:
    out = io.StringIO()
    make_logger("text", "info", out).warning("draining", sessions=2)
    assert "draining" in out.getvalue()
    assert "sessions=2" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_traceback_is_one_json_line() -> None:
    out = io.StringIO()
    logger = make_logger("json", "info", out)
    try:
        raise ValueError("boom")
    except ValueError:
        logger.exception("session_crashed")
    line = json.loads(out.getvalue())
    assert "ValueError: boom" in line["exception"]


def test_less_severe_events_are_left_out() -> None:
    out = io.StringIO()
    logger = make_logger("json", "warning", out)
    logger.info("reloaded")
    logger.warning("drain_forced")
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["drain_forced"]


def test_reader_that_went_away_is_no_error() -> None:
    out = io.StringIO()
    logger = make_logger("json", "info", out)
    out.close()
    logger.info("listening")


def test_what_libraries_log_comes_out_in_the_same_form() -> None:
    out = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        adopt_standard_logging(make_logger("json", "info", out))
        logging.getLogger("asyncio").error("slow callback %d", 7)
        logging.getLogger("asyncio").info("nothing")
    finally:
        root.handlers[:], root.level = before
    assert [(e["event"], e["source"], e["said"]) for e in map(json.loads, out.getvalue().splitlines())] == [
        ("library_message", "asyncio", "slow callback 7")
    ]


def test_once_counts_what_it_suppressed() -> None:
    now = 0.0
    once = Once(10.0, lambda: now)
    assert [once.allows("a"), once.allows("a"), once.allows("a"), once.allows("b")] == [0, None, None, 0]
    now = 10.0
    assert once.allows("a") == 2


def test_once_forgets_the_oldest_beyond_its_bound() -> None:
    once = Once(float("inf"), lambda: 0.0, most=2)
    assert [once.allows(key) for key in "abcb"] == [0, 0, 0, None]
    assert once.allows("a") == 0


def test_fingerprint_stands_for_the_text() -> None:
    assert describe_text(SECRET, literals=True) == {"sql": SECRET.decode()}
    assert list(describe_text(SECRET, literals=False)) == ["fingerprint"]
    assert describe_text(SECRET, literals=False) == describe_text(SECRET, literals=False)
    assert describe_text(SECRET, literals=False) != describe_text(SECRET + b" ", literals=False)


def test_bug_is_told_by_its_place_without_its_words() -> None:
    bench, open_bench = Bench(), Bench(literals=True)
    try:
        raise ValueError(SECRET.decode())
    except ValueError as error:
        bench.reporter.session_crashed(error, "alice", "shop")
        open_bench.reporter.session_crashed(error, "alice", "shop")
    assert "test_bug_is_told_by_its_place" in str(bench.events[0]["exception"])
    assert "builtins.ValueError" in str(bench.events[0]["exception"])
    assert "bob@" not in bench.out.getvalue()
    assert f"ValueError: {SECRET.decode()}" in str(open_bench.events[0]["exception"])
    assert bench.metrics.figures.session_crashes == 1


def test_text_that_names_a_deletion_column_is_hinted_at_once() -> None:
    bench = Bench()
    for _ in range(3):
        bench.reporter.hinted(READ, SECRET)
        bench.now += 1000
    assert [event["event"] for event in bench.events] == ["statement_names_a_deletion_column"]
    assert bench.events[0]["tables"] == ["app.users"]
    assert "bob@" not in bench.out.getvalue()


def test_text_that_runs_past_the_proxy_is_warned_of_once() -> None:
    bench = Bench()
    warnings = (Warned("existing", "it names app.users"), Warned("opaque", "EXECUTE"))
    for _ in range(2):
        bench.reporter.hinted(StatementPlan(Kind.SELECT, warnings=warnings), SECRET)
    assert [event["event"] for event in bench.events] == ["statement_runs_past_the_proxy"] * 2
    assert [(event["class"], event["reason"]) for event in bench.events] == [
        ("existing", "it names app.users"),
        ("opaque", "EXECUTE"),
    ]
    assert "bob@" not in bench.out.getvalue()


def test_hint_shows_the_text_where_the_operator_asked_for_it() -> None:
    bench = Bench(literals=True)
    bench.reporter.hinted(READ, SECRET)
    assert bench.events[0]["sql"] == SECRET.decode()


@pytest.mark.parametrize(
    ("sqlstate", "message", "shown"),
    [
        ("0A000", 'TRUNCATE of protected table "app.users" is refused', True),
        ("42601", "syntax error at or near \"'bob@example.org'\"", False),
    ],
)
def test_refusal_is_logged_in_our_words_only(sqlstate: str, message: str, shown: bool) -> None:
    bench = Bench()
    plan = StatementPlan(Kind.TRUNCATE, Outcome.REFUSED)
    bench.reporter.refused(Refusal(sqlstate, message), plan, ALICE)
    assert bench.events[0]["event"] == "statement_refused"
    assert (bench.events[0]["user"], bench.events[0]["database"]) == ("alice", "shop")
    assert (message in str(bench.events[0].get("reason"))) is shown


def test_burst_of_one_refusal_is_one_line_with_a_count() -> None:
    bench = Bench()
    plan = StatementPlan(Kind.TRUNCATE, Outcome.REFUSED)
    for _ in range(50):
        bench.reporter.refused(Refusal("0A000", "no"), plan, ALICE)
    bench.now = REPEAT_SECONDS
    bench.reporter.refused(Refusal("0A000", "no"), plan, ALICE)
    assert [event.get("suppressed") for event in bench.events] == [None, 49]


def test_each_use_of_another_visibility_is_logged_and_counted() -> None:
    bench = Bench()
    for _ in range(2):
        bench.reporter.bypass(StatementPlan(Kind.SELECT, bypass=VisibilityMode.DELETED), SUPPORT)
    assert [(e["event"], e["visibility"], e["role"]) for e in bench.events] == [
        ("visibility_used", "deleted", "support")
    ] * 2
    assert bench.metrics.visibility_uses["deleted", "support"] == 2


def test_each_hard_delete_is_logged_and_counted() -> None:
    bench = Bench()
    for kind in (Kind.DELETE, Kind.DELETE, Kind.TRUNCATE):
        bench.reporter.hard_delete(StatementPlan(kind, hard=True), Who("dpo", "shop"))
    assert [(e["event"], e["kind"], e["role"]) for e in bench.events] == [
        ("hard_delete", kind, "dpo") for kind in ("delete", "delete", "truncate")
    ]
    assert bench.metrics.hard_deletes["delete", "dpo"] == 2


def test_catalog_events_are_counted_and_news_is_logged() -> None:
    bench = Bench()
    bench.reporter.catalog_refreshed("shop", 0.01, changed=True)
    bench.reporter.catalog_refreshed("shop", 0.01, changed=False)
    bench.reporter.catalog_failed("shop", "gone")
    bench.reporter.catalog_failed("shop", "gone")
    assert [event["event"] for event in bench.events] == ["catalog_refreshed", "catalog_cannot_be_read"]
    assert dict(bench.metrics.catalog_reads) == {("changed",): 1, ("unchanged",): 1, ("failed",): 2}


def test_policy_problem_is_logged_when_it_is_new() -> None:
    bench = Bench()
    old, new = Problem("f:1", "no table a"), Problem("f:2", "no table b")
    bench.reporter.policy_compiled("shop", (old,))
    bench.reporter.policy_compiled("shop", (old, new))
    assert [event["problem"] for event in bench.events] == ["f:1: no table a", "f:2: no table b"]
    assert bench.metrics.policy_problems == {"shop": 2}
    bench.reporter.database_forgotten("shop")
    assert bench.metrics.policy_problems == {}


def test_refused_connections_are_counted_each_and_logged_as_a_burst() -> None:
    bench = Bench()
    for _ in range(5):
        bench.reporter.connection_refused(RefusedBecause.UPSTREAM, UpstreamUnavailable("not now"))
    assert [(e["event"], e["why"], e["sqlstate"]) for e in bench.events] == [
        ("connection_refused", "upstream", "57P03")
    ]
    assert bench.metrics.connections_refused[("upstream",)] == 5
