"""Put the configuration together: file, then environment, then flags, each above the one before.

Reads one file, the one that `control.dsn_file` names, and what it is handed; must not read the process environment or
the command line itself.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pgsoftproxy.errors import ConfigError
from pgsoftproxy.settings import lines
from pgsoftproxy.settings.explain import problems
from pgsoftproxy.settings.origins import Origins
from pgsoftproxy.settings.tree import Settings

PREFIX = "PGSOFTPROXY_"
_AT_LINE = re.compile(r" \(at line (\d+), column (\d+)\)$")


def load(path: str | Path, environ: Mapping[str, str], overrides: Sequence[str] = ()) -> Settings:
    """Load settings from a TOML file, `PGSOFTPROXY_SECTION__KEY` variables and `section.key=value` overrides.

    Raises ConfigError with one `origin: reason` line for each problem. A variable without a double underscore
    is not ours: Kubernetes sets PGSOFTPROXY_PORT and the like for a Service of that name.
    """
    return load_text(read(path), path, environ, overrides)


def load_text(
    text: str, path: str | Path, environ: Mapping[str, str], overrides: Sequence[str] = ()
) -> Settings:
    """Load settings as `load` does, from the text that the file had."""
    data = _parse(text, path)
    names: dict[lines.Path, str] = {}
    for variable, value in sorted(environ.items()):
        if variable.startswith(PREFIX) and "__" in variable:
            key = tuple(_fold(part) for part in variable.removeprefix(PREFIX).split("__"))
            _put(data, names, key, (variable, value))
    for override in overrides:
        key, value = _split(override)
        _put(data, names, key, (f"--set {lines.join_key(key)}", value))
    origins = Origins(str(path), lines.key_lines(text), names)
    _take_secret(data, names, origins)
    try:
        return Settings.model_validate(data, context=origins)
    except ValidationError as error:
        raise ConfigError(problems(error, origins)) from None


def _take_secret(data: Mapping[str, Any], names: dict[lines.Path, str], origins: Origins) -> None:
    """Put the text of `control.dsn_file` in place of `control.dsn`, with that file as its origin."""
    control = data.get("control")
    file = control.get("dsn_file") if isinstance(control, dict) else None
    if not isinstance(control, dict) or not isinstance(file, str):
        return  # the tree says what is wrong with it
    origin = origins.of(("control", "dsn_file"))
    if "dsn" in control:
        raise ConfigError((f"{origin}: control.dsn_file: cannot stand beside control.dsn",))
    try:
        control["dsn"] = read(file).strip()
    except ConfigError as error:
        raise ConfigError(tuple(f"{origin}: control.dsn_file: {line}" for line in error.problems)) from None
    names["control", "dsn"] = file


def read(path: str | Path) -> str:
    """Return the text of a file. Raises ConfigError."""
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError((f"{path}: cannot be read: {error.strerror or error}",)) from None
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError((f"{path}:{line}: is not UTF-8",)) from None


def _parse(text: str, path: str | Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        match = _AT_LINE.search(message)
        if match is not None:
            line, reason = match[1], f"column {match[2]}: {message[: match.start()]}"
        else:  # "(at end of document)"
            line, reason = str(text.rstrip("\n").count("\n") + 1), message
        raise ConfigError((f"{path}:{line}: {reason}",)) from None
    except RecursionError:
        raise ConfigError((f"{path}:1: is nested too deeply",)) from None


def _fold(part: str) -> str:
    # By custom variables are in capitals; a name that is not wholly so is taken as it is.
    return part.lower() if part.isupper() else part


def _split(override: str) -> tuple[tuple[str, ...], str]:
    match = lines.KEY.match(override)
    if match is None or override[match.end() : match.end() + 1] != "=":
        key = override.partition("=")[0]  # the value may be a secret
        raise ConfigError((f"--set {key}: must be section.key=value",))
    return lines.split_key(match.group()), override[match.end() + 1 :]


def _put(
    data: dict[str, Any], names: dict[lines.Path, str], key: tuple[str, ...], source: tuple[str, str]
) -> None:
    """Set one key from a variable or flag; `source` is its name and its text."""
    name, text = source
    node = data
    for depth, part in enumerate(key[:-1], start=1):
        inner = node.get(part)
        if not isinstance(inner, dict):
            if part in node:
                names[key[:depth]] = name
            inner = node[part] = {}
        node = inner
    _merge(node, key[-1], _value(text))
    names[key] = name


def _merge(node: dict[str, Any], key: str, value: Any) -> None:
    old = node.get(key)
    if isinstance(old, dict) and isinstance(value, dict):
        for inner, item in value.items():
            _merge(old, inner, item)
    else:
        node[key] = value


def _value(text: str) -> Any:
    """Read a boolean, number, array, table or quoted string as TOML does; else it is the text itself."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    value = parsed["value"]
    plain = isinstance(value, bool | int | float | list | dict | str)
    return value if plain and len(parsed) == 1 else text
