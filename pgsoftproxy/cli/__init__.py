"""The command line: subcommands, their arguments and exit codes; the work is done below.

Exit codes: 0 done; 1 refused or failed, or `audit` found something; 2 wrong configuration or usage, nothing
started; 3 the control connection cannot be opened or read; 4 there is no such row. Rooms are imported inside the
commands, so that `--help` costs nothing.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from pgsoftproxy import __version__
from pgsoftproxy.cli import rows
from pgsoftproxy.cli.exits import FAILED, WRONG
from pgsoftproxy.cli.options import Config, Json, Overrides, failures

app = typer.Typer(
    name="pgsoftproxy",
    help="A PostgreSQL proxy that makes soft delete unforgettable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback with local variables could print a password
)

KINDS_HELP = "Only steps of this kind (schema, column, index, unique, trigger, revoke, ...); repeatable."


rows.register(app)


def main() -> None:
    """Run the command line; the console script's entry point."""
    app()


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"pgsoftproxy {__version__}")
        raise typer.Exit


@app.command("version")
def _version() -> None:
    """Print the version."""
    typer.echo(f"pgsoftproxy {__version__}")


@app.command("run")
def _run(
    config: Config,
    overrides: Overrides = None,
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="HOST:PORT", help="Sets listen.host and listen.port.")
    ] = None,
    upstream: Annotated[
        str | None, typer.Option("--upstream", metavar="HOST:PORT", help="Sets upstream.host and .port.")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", metavar="HOST:PORT", help="Sets metrics.host and .port.")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option("--log-format", metavar="text|json", help="Sets logs.format.")
    ] = None,
    pid_file: Annotated[
        Path | None, typer.Option("--pid-file", help="Write the process id here, for `reload`.")
    ] = None,
) -> None:
    """Run the proxy until SIGTERM or SIGINT; SIGHUP reads the configuration again."""
    from pgsoftproxy.cli.process import run

    given = {"listen": listen, "upstream": upstream, "metrics": metrics}
    flags = [flag for section, address in given.items() for flag in _address(section, address)]
    if log_format is not None:
        flags.append(f"logs.format={log_format}")
    with failures():
        run(config, os.environ, (*flags, *(overrides or ())), pid_file)


@app.command("reload")
def _reload(
    pid_file: Annotated[
        Path | None, typer.Option("--pid-file", help="The file that `run --pid-file` wrote.")
    ] = None,
    pid: Annotated[int | None, typer.Option("--pid", min=2, help="The proxy's process id.")] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds to wait for the outcome, with --pid-file.")
    ] = 60.0,
) -> None:
    """Have a running proxy read its configuration again (SIGHUP).

    A bad file changes nothing there. With --pid-file this waits and tells what came of it; with --pid the proxy's own
    log does.
    """
    from pgsoftproxy.cli.process import reload, reload_by_file

    if (pid is None) == (pid_file is None):
        raise typer.BadParameter("give one of --pid-file and --pid")
    try:
        if pid_file is not None:
            outcome = reload_by_file(pid_file, timeout)
            if outcome.problems:
                typer.echo("\n".join(outcome.problems), err=True)
                raise typer.Exit(WRONG)
            typer.echo(f"process {outcome.pid} has reloaded")
        elif pid is not None:
            reload(pid)
            typer.echo(f"asked process {pid} to reload; its log says what came of it")
    except OSError as error:
        typer.echo(f"not reloaded: {error.strerror or error}", err=True)
        raise typer.Exit(FAILED) from None


@app.command("check-config")
def _check_config(
    config: Config,
    overrides: Overrides = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Check the file alone, without a database.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the configuration, and that the databases have what it names. Starts nothing."""
    from pgsoftproxy.cli.check import check

    raise typer.Exit(check(config, overrides or (), offline=offline, as_json=as_json))


@app.command("rewrite")
def _rewrite(
    config: Config,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="The text, or - to read it from standard input.")],
    overrides: Overrides = None,
    database: Annotated[
        str | None, typer.Option("--database", "-d", help="The database; default that of control.dsn.")
    ] = None,
    user: Annotated[str, typer.Option("--user", "-U", help="The role whose grants apply.")] = "",
    visibility: Annotated[
        str, typer.Option("--visibility", help="As in SET pgsoftproxy.visibility.")
    ] = "live",
    as_json: Json = False,
) -> None:
    """Print what would be sent to the server for a text. Sends nothing."""
    from pgsoftproxy.cli.rewrite import Request, rewrite

    text = sys.stdin.read() if sql == "-" else sql
    with failures():
        request = Request(text, database, user, visibility)
        raise typer.Exit(rewrite(config, overrides or (), request, as_json=as_json))


@app.command("migrate")
def _migrate(
    config: Config,
    overrides: Overrides = None,
    database: Annotated[
        str | None, typer.Option("--database", "-d", help="The database; default that of control.dsn.")
    ] = None,
    dsn: Annotated[
        str | None,
        typer.Option(
            "--dsn",
            envvar="PGSOFTPROXY_MIGRATE_DSN",
            help="Connect as a role that owns the tables; default control.dsn.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "--plan", help="Show the plan and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Run the plan without asking.")] = False,
    down: Annotated[bool, typer.Option("--down", help="Take back what was done before.")] = False,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="KIND", help=KINDS_HELP)] = None,
    skip: Annotated[
        list[str] | None, typer.Option("--skip", metavar="KIND", help="Leave a kind of step out; repeatable.")
    ] = None,
    rls: Annotated[
        bool, typer.Option("--rls", help="With row-level security for direct connections.")
    ] = False,
    views: Annotated[bool, typer.Option("--views", help="With a view live_... of each table.")] = False,
    exclusions: Annotated[
        bool, typer.Option("--exclusions", help="With exclusion constraints, which are rebuilt under a lock.")
    ] = False,
    stored: Annotated[
        bool, typer.Option("--stored", help="With stored views that show deleted rows: they keep them out.")
    ] = False,
    lock_timeout: Annotated[
        float, typer.Option("--lock-timeout", min=0.01, help="Seconds that one attempt waits for a lock.")
    ] = 2.0,
    attempts: Annotated[int, typer.Option("--attempts", min=1, help="Attempts to get a lock.")] = 50,
    write: Annotated[
        str | None,
        typer.Option("--write", metavar="sql|alembic|django", help="Write a migration file, run nothing."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file for --write.")] = None,
    as_json: Json = False,
) -> None:
    """Give the database what soft deletion needs, step by step, while it is in use.

    Shows the plan first. Cut short, it goes on from there the next time.
    """
    from pgsoftproxy.cli.migrate import Order, Output, migrate

    asked = {"rls": rls, "view": views, "exclusion": exclusions, "stored": stored}
    order = Order(
        database,
        dsn,
        down=down,
        only=tuple(only or ()),
        skip=tuple(skip or ()),
        optional=tuple(kind for kind, wanted in asked.items() if wanted),
        lock_timeout=lock_timeout,
        attempts=attempts,
    )
    with failures():
        how = Output(as_json=as_json, dry_run=dry_run, yes=yes, write=write, file=output)
        raise typer.Exit(migrate(config, overrides or (), order, how))


@app.command("audit")
def _audit(
    config: Config,
    overrides: Overrides = None,
    database: Annotated[
        str | None, typer.Option("--database", "-d", help="One database; default all of the configuration.")
    ] = None,
    as_json: Json = False,
    sarif: Annotated[bool, typer.Option("--sarif", help="Print SARIF 2.1.0.")] = False,
    metrics: Annotated[bool, typer.Option("--metrics", help="Print the figures as Prometheus text.")] = False,
    fail_on: Annotated[
        str, typer.Option("--fail-on", metavar="error|warning|note|never", help="Exit with 1 from here on.")
    ] = "error",
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", metavar="ID[:OBJECT]", help="Pass over; repeatable.")
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Count deleted rows: reads every table.")] = False,
) -> None:
    """Find every way in which deleted rows can leak or be destroyed past the proxy. Changes nothing."""
    from pgsoftproxy.cli.audit import Request, run
    from pgsoftproxy.cli.show_audit import Form

    chosen = [
        form
        for form, wanted in ((Form.JSON, as_json), (Form.SARIF, sarif), (Form.METRICS, metrics))
        if wanted
    ]
    if len(chosen) > 1:
        raise typer.BadParameter("give one of --json, --sarif and --metrics")
    form = chosen[0] if chosen else Form.TEXT
    with failures():
        request = Request(database, tuple(ignore or ()), fail_on, exact, form)
        raise typer.Exit(run(config, overrides or (), request))


@app.command("demo")
def _demo(
    serve: Annotated[bool, typer.Option("--serve", help="Stay up and print the connection string.")] = False,
) -> None:
    """Show a soft delete from end to end, on a PostgreSQL of its own."""
    from pgsoftproxy.demo import main as demo

    raise typer.Exit(demo(serve))


def _address(section: str, given: str | None) -> list[str]:
    if given is None:
        return []
    host, colon, port = given.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")  # an IPv6 address
    if not (colon and host and port.isdecimal()):
        raise typer.BadParameter(f"--{section} takes HOST:PORT, got {given!r}")
    return [f'{section}.host="{host}"', f"{section}.port={int(port)}"]
