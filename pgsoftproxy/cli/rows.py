"""Commands about single rows and deletions, `restore` and `history`: their arguments alone."""

from typing import Annotated

import typer

from pgsoftproxy.cli.options import Config, Database, Json, Overrides, failures

Dsn = Annotated[
    str | None,
    typer.Option("--dsn", help="Connect as a role that may read and update the tables; default control.dsn."),
]
TABLE = typer.Argument(metavar="[TABLE]", help="As schema.name; without a schema it is public.")
KEY = typer.Argument(metavar="[KEY]...", help="A value for each column of its primary key.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("restore")(_restore)
    app.command("history")(_history)


def _restore(
    config: Config,
    table: Annotated[str | None, TABLE] = None,
    key: Annotated[list[str] | None, KEY] = None,
    overrides: Overrides = None,
    database: Database = None,
    dsn: Dsn = None,
    deletions: Annotated[
        list[str] | None,
        typer.Option("--deletion", metavar="ID", help="Rows with this deletion_id; repeatable."),
    ] = None,
    where: Annotated[
        str | None, typer.Option("--where", metavar="SQL", help="Rows of TABLE for which this is true.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Rows deleted at that time or later.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Rows deleted before.")] = None,
    with_parents: Annotated[
        bool, typer.Option("--with-parents", help="Bring back the deleted parents of these rows as well.")
    ] = False,
    skip: Annotated[
        bool, typer.Option("--skip", help="Leave out what is in conflict, and what would hang below it.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do it, tell what came of it, and roll it back.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    lock_timeout: Annotated[
        float, typer.Option("--lock-timeout", min=0.01, help="Seconds to wait for a lock.")
    ] = 5.0,
    as_json: Json = False,
) -> None:
    """Bring deleted rows back, with what the same deletion took below them; parents first.

    All that is given must hold. A key that is taken or a parent that is still deleted: nothing comes back.
    """
    from pgsoftproxy.cli.restore import Output, Target, load_settings, run_restore
    from pgsoftproxy.model.restore import Selection, Terms

    selection = Selection(table, tuple(key or ()), where, tuple(deletions or ()), since, until)
    terms = Terms(with_parents=with_parents, skip=skip, dry_run=dry_run, lock_timeout=lock_timeout)
    with failures():
        settings = load_settings(config, overrides or ())
        output = Output(yes=yes, as_json=as_json)
        raise typer.Exit(run_restore(settings, Target(database, dsn), (selection, terms), output))


def _history(
    config: Config,
    table: Annotated[
        str, typer.Argument(metavar="TABLE", help="As schema.name; without a schema it is public.")
    ],
    key: Annotated[
        list[str], typer.Argument(metavar="KEY...", help="A value for each column of its primary key.")
    ],
    overrides: Overrides = None,
    database: Database = None,
    dsn: Dsn = None,
    as_json: Json = False,
) -> None:
    """Tell when, by whom and with what a row was deleted, and who brought it back before."""
    from pgsoftproxy.cli.history import history
    from pgsoftproxy.cli.restore import Target, load_settings

    with failures():
        settings = load_settings(config, overrides or ())
        raise typer.Exit(history(settings, Target(database, dsn), (table, key), as_json=as_json))
