"""Options that several commands have, and how their expected failures end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from pgsoftproxy.cli.exits import UNREACHABLE, WRONG
from pgsoftproxy.errors import ConfigError, UpstreamUnavailable

Config = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="PGSOFTPROXY_CONFIG", help="The configuration file (TOML)."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one key, as in listen.port=6544; repeatable."),
]
Database = Annotated[
    str | None, typer.Option("--database", "-d", help="The database; default that of control.dsn.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@contextmanager
def failures() -> Iterator[None]:
    """Tell an expected failure in plain lines, and exit with its code."""
    try:
        yield
    except ConfigError as error:
        typer.echo("\n".join(error.problems), err=True)
        raise typer.Exit(WRONG) from None
    except UpstreamUnavailable as error:
        typer.echo(error.message, err=True)
        raise typer.Exit(UNREACHABLE) from None
