"""What the tree says of itself: the JSON schema, and the key tables of docs/configuration.md.

Both are files in the repository; a test fails if they differ from what is printed here.
"""

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pgsoftproxy.settings.explain import must_be
from pgsoftproxy.settings.lines import join_key
from pgsoftproxy.settings.tree import Settings

_NAMES = {"tables": "schema.table", "keys": "schema.table.key", "databases": "NAME", "roles": "NAME"}


def json_schema() -> str:
    """Return the JSON schema of the configuration file."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Settings.model_json_schema(),
        "title": "pgsoftproxy.toml",
    }
    return json.dumps(schema, indent=2) + "\n"


def key_tables() -> str:
    """Return a Markdown section for each section of the file, with a row for each key."""
    parts: list[str] = []
    for section, model in sections(Settings, ()):
        lines = [f"### `[{section}]`", "", (model.__doc__ or "").strip(), ""]
        lines += ["| key | default | must be | what |", "|---|---|---|---|"]
        lines += [
            f"| `{name}` | {_default(field)} | {must_be(field, 'a table')} | {field.description} |"
            for name, field in model.model_fields.items()
            if not _is_section(field)
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def sections(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the name and model of every section with keys of its own, in the order of the tree."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        below = (*path, name)
        if get_origin(inner) is Mapping and name in _NAMES:
            inner = get_args(inner)[1]
            below = (*below, _NAMES[name])
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            if any(not _is_section(field) for field in inner.model_fields.values()):
                yield join_key(below), inner
            yield from sections(inner, below)


def _is_section(field: FieldInfo) -> bool:
    inner = field.annotation
    if get_origin(inner) is Mapping:
        inner = get_args(inner)[1]
    return isinstance(inner, type) and issubclass(inner, BaseModel)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default: Any = field.get_default(call_default_factory=True)
    if default is None:
        return "none"
    if isinstance(default, Enum):
        default = default.value
    return f"`{json.dumps(list(default) if isinstance(default, frozenset) else default)}`"
