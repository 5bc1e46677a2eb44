"""What is wrong with a configuration, in one line a problem: pydantic's errors in the words of this project.

Must not print a secret: a value is shown only if its key holds none, and credentials in it are masked.
"""

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pgsoftproxy.settings.kinds import Must
from pgsoftproxy.settings.lines import Path, join_key
from pgsoftproxy.settings.origins import Origins
from pgsoftproxy.settings.tree import Settings

SECRETS = frozenset({("control", "dsn")})
_SHOWN = 60
_CREDENTIALS = re.compile(r"://[^/\s]*@|(?i:password)\s*=\s*\S+")


def problems(error: ValidationError, origins: Origins) -> tuple[str, ...]:
    """Return one `origin: reason` line for each thing that is wrong, in the order of the file."""
    found: dict[Path, tuple[Path, str]] = {}
    for detail in error.errors(include_url=False):
        path, field, owner = _locate(detail["loc"])
        key = tuple(part for part in path if isinstance(part, str))
        # A union reports each of its arms: the one that looked into a list knows the line of the element.
        if key not in found or len(path) > len(found[key][0]):
            found[key] = (path, _reason(detail, path, field, owner))
    lines = sorted(found.values(), key=lambda item: origins.line(item[0]))
    return tuple(f"{origins.of(path)}: {reason}" for path, reason in lines)


def _locate(loc: tuple[int | str, ...]) -> tuple[Path, FieldInfo | None, type[BaseModel]]:
    """Follow a pydantic location through the tree: the key path, its field, and the section it is in."""
    model: type[BaseModel] = Settings
    path: Path = ()
    parts = list(loc)
    while parts:
        part = str(parts.pop(0))
        path = (*path, part)
        field = model.model_fields.get(part)
        if field is None:
            return path, None, model
        inner = field.annotation
        if get_origin(inner) is Mapping:
            if not parts:
                return path, field, model
            path = (*path, str(parts.pop(0)))
            if parts == ["[key]"]:
                return path, field, model
            inner = get_args(inner)[1]
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return (*path, *(part for part in parts if isinstance(part, int))), field, model
        model = inner
    return path, None, model


def _reason(detail: ErrorDetails, path: Path, field: FieldInfo | None, owner: type[BaseModel]) -> str:
    section, key = path[:-1], str(path[-1])
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown(section, key, detail["input"], owner)
    if kind == "missing":
        if not section:
            return f'section [{key}] is missing: it needs the key "dsn"'
        return f'[{join_key(section)}] key "{key}" is missing'
    if kind in ("model_type", "model_attributes_type", "mapping_type", "dict_type"):
        return f"[{join_key(path)}] must be a table{_got(detail['input'], path)}"
    if detail["loc"][-1] == "[key]":
        return f"[{join_key(path)}] {detail['msg'].removeprefix('Value error, ')}"
    named = tuple(part for part in path if isinstance(part, str))
    return f"{join_key(named)}: must be {must_be(field, detail['msg'])}{_got(detail['input'], path)}"


def must_be(field: FieldInfo | None, otherwise: str) -> str:
    """Return what the value of a field must be, in words that follow "must be"."""
    return next((item.be for item in _metadata(field) if isinstance(item, Must)), otherwise)


def _metadata(field: FieldInfo | None) -> list[Any]:
    """Return a field's metadata; that of `Annotated[...] | None` stands one level down."""
    if field is None:
        return []
    nested = [item for arg in get_args(field.annotation) for item in getattr(arg, "__metadata__", ())]
    return [*field.metadata, *nested]


def _unknown(section: Path, key: str, value: object, owner: type[BaseModel]) -> str:
    close = get_close_matches(key, owner.model_fields, n=1, cutoff=0.5)
    hint = f' (did you mean "{close[0]}"?)' if close else ""
    if isinstance(value, Mapping) and section and section[-2:-1] == ("tables",):
        name = f"{section[-1]}.{key}"
        hint = f" (a table's name is one quoted key: [{join_key((*section[:-1], name))}])"
    if not section:
        what = "section" if isinstance(value, Mapping) else "key"
        return f'unknown {what} "{key}"{hint}'
    return f'[{join_key(section)}] unknown key "{key}"{hint}'


def _got(value: object, path: Path) -> str:
    if path[:2] in SECRETS:
        return ""
    if isinstance(value, Mapping):
        return ", got a table"
    shown = _CREDENTIALS.sub("***", json.dumps(value, default=str, ensure_ascii=False))
    return f", got {shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '...'}"
