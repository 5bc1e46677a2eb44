"""The audit log: lines in a file that is moved away, cannot be written, or is shared."""

import io
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pgsoftproxy.ops.logs import make_logger
from pgsoftproxy.ops.metrics import Figures
from pgsoftproxy.ops.trail import LOG, Trail

NOW = datetime(2026, 11, 23, 12, 0, 0, 5, UTC)


class Bench:
    """A trail with its log."""

    def __init__(self, target: str) -> None:
        self.log = io.StringIO()
        self.figures = Figures()
        self.trail = Trail(target, self.figures, make_logger("json", "info", self.log), lambda: NOW)

    @property
    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


def lines(path: Path) -> list[dict[str, object]]:
    """Return what a file holds, each line of which is an object."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_says_when_what_and_who(tmp_path: Path) -> None:
    bench = Bench(str(tmp_path / "audit"))
    bench.trail.write("hard_delete", user="é\n\udcff", tables=["app.users"])
    assert lines(tmp_path / "audit") == [
        {
            "time": "2026-11-23T12:00:00.000005Z",
            "event": "hard_delete",
            "user": "é\n\udcff",
            "tables": ["app.users"],
        }
    ]
    assert os.stat(tmp_path / "audit").st_mode & 0o007 == 0


def test_two_who_write_add_to_one_file_and_to_what_it_had(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    path.write_text('{"event": "old"}\n')
    first, second = Bench(str(path)), Bench(str(path))
    for _ in range(3):
        first.trail.write("one")
        second.trail.write("other")
    assert [line["event"] for line in lines(path)] == ["old", *["one", "other"] * 3]


def test_a_file_that_was_moved_away_gets_no_more_lines_once_it_is_opened_anew(tmp_path: Path) -> None:
    path, moved = tmp_path / "audit", tmp_path / "audit.1"
    bench = Bench(str(path))
    bench.trail.write("one")
    path.rename(moved)
    bench.trail.write("two")
    bench.trail.reopen()
    bench.trail.write("three")
    assert [[line["event"] for line in lines(file)] for file in (moved, path)] == [["one", "two"], ["three"]]
    bench.trail.reopen(str(tmp_path / "other"))
    bench.trail.write("four")
    assert len(lines(tmp_path / "other")) == 1 and len(lines(path)) == 1
    bench.trail.reopen("")
    bench.trail.write("five")
    assert len(lines(tmp_path / "other")) == 1
    bench.trail.close()


def test_a_file_that_cannot_be_opened_is_told_of_once_and_every_line_is_counted(tmp_path: Path) -> None:
    folder = tmp_path / "missing"
    bench = Bench(str(folder / "audit"))
    for _ in range(3):
        bench.trail.write("one")
    assert [(event["event"], event["level"]) for event in bench.events] == [
        ("audit_log_cannot_be_written", "error")
    ]
    assert bench.figures.audit_lines_lost == 3
    folder.mkdir()
    bench.trail.write("two")
    assert [line["event"] for line in lines(folder / "audit")] == ["two"]
    assert bench.events[1]["event"] == "audit_log_is_written_again"
    assert bench.events[1]["lost"] == 3


def test_a_full_disk_stops_nobody() -> None:
    bench = Bench("/dev/full")
    for _ in range(2):
        bench.trail.write("one")
    assert [event["reason"] for event in bench.events] == ["No space left on device"]
    assert bench.figures.audit_lines_lost == 2


def test_a_pipe_that_nobody_reads_stops_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    bench = Bench(str(tmp_path / "pipe"))
    bench.trail.write("one")
    assert bench.figures.audit_lines_lost == 1
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    bench.trail.write("two")
    assert json.loads(os.read(reader, 4096))["event"] == "two"
    while bench.figures.audit_lines_lost == 1:
        bench.trail.write("more", text="x" * 1000)
    os.read(reader, 1 << 20)
    bench.trail.write("last")
    assert json.loads(os.read(reader, 1 << 20).splitlines()[-1])["event"] == "last"
    os.close(reader)


@pytest.mark.parametrize("target", [LOG, ""])
def test_lines_go_to_the_log_or_nowhere(target: str) -> None:
    bench = Bench(target)
    bench.trail.write("hard_delete", user="dpo")
    told = [(event["event"], event["of"], event["user"]) for event in bench.events]
    assert told == ([("audit", "hard_delete", "dpo")] if target else [])
