"""`history`: tell what is known of one row's deletions, for people or as JSON."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from enum import Enum
from typing import Any

import typer

from pgsoftproxy.cli.exits import DONE, NOTHING
from pgsoftproxy.cli.restore import Target, load_scope, told
from pgsoftproxy.db.connection import connect
from pgsoftproxy.db.history import tell
from pgsoftproxy.errors import RestoreFailed
from pgsoftproxy.model.history import Place, Stamps, State, Story
from pgsoftproxy.model.restore import Selection
from pgsoftproxy.settings import Settings


def history(settings: Settings, target: Target, row: tuple[str, Sequence[str]], *, as_json: bool) -> int:
    """Print the story of a row; return the exit code. Raises ConfigError and UpstreamUnavailable."""
    try:
        story = asyncio.run(_tell(settings, target, row))
    except RestoreFailed as error:
        return told(error, as_json=as_json)
    if as_json:
        typer.echo(json.dumps(asdict(story), default=_plain))
    else:
        typer.echo("\n".join(_lines(story)))
    return NOTHING if story.state is State.UNKNOWN else DONE


async def _tell(settings: Settings, target: Target, row: tuple[str, Sequence[str]]) -> Story:
    scope = await load_scope(settings, target)
    table, key = row
    [protection] = scope.asked_tables(Selection(table, tuple(key)))
    async with connect(target.dsn or settings.control.dsn, target.database) as connection:
        return await tell(connection, protection, key, scope.inner, scope.tables)


def _lines(story: Story) -> Iterator[str]:
    name = _row(story.place)
    match story.state:
        case State.UNKNOWN:
            yield f"{name}: there is no such row, and no trace of one"
        case State.GONE:
            yield f"{name}: there is no such row now"
        case State.LIVE:
            yield f"{name} is live"
        case State.DELETED:
            yield f"{name} was deleted"
    if story.deletion is not None:
        yield f"  {_stamps(story.deletion.stamps)}"
        if len(story.deletion.path) > 1:
            yield f"  it went with {' > '.join(_row(place) for place in story.deletion.path[:-1])}"
        for table, count in story.deletion.tables:
            yield f"  deleted by it: {count} of {table}"
    for emptied in story.emptied:
        yield f"{emptied.at:%Y-%m-%d %H:%M:%S%z}: deletion {emptied.deletion_id} emptied {emptied.link}"
        yield f"  it was {_key(emptied.was)}"
    for undone in story.undone:
        yield f"{undone.restored_at:%Y-%m-%d %H:%M:%S%z}: restored by {undone.restored_by}"
        yield f"  it had been deleted {_stamps(undone.stamps)}"


def _stamps(stamps: Stamps) -> str:
    parts = [f"at {stamps.at:%Y-%m-%d %H:%M:%S%z}" if stamps.at else "at a time that is not known"]
    parts.append(f"by {stamps.by}" if stamps.by else "by nobody that is known")
    if stamps.deletion_id:
        parts.append(f"in deletion {stamps.deletion_id}")
    return ", ".join(parts)


def _row(place: Place) -> str:
    return f"{place.table} {_key(place.key)}"


def _key(key: Any) -> str:
    return ", ".join(f"{name}={value}" for name, value in key.items())


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return value.isoformat() if isinstance(value, datetime) else str(value)
