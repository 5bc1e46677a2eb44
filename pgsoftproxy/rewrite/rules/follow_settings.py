"""SET, RESET, SHOW, set_config: what they change of the session, and what they may not change."""

from collections.abc import Iterator

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.context import (
    NO_ROLE,
    UNCERTAIN_PATH,
    UNKNOWN_USER,
    Context,
    DeleteMode,
    SearchPath,
    VisibilityMode,
)
from pgsoftproxy.model.effects import Effect, ResetsAll, SetsVariable, Variable
from pgsoftproxy.model.encodings import UNKNOWN_CODEC, codec_of
from pgsoftproxy.model.parsing import (
    format_visibility,
    parse_delete_mode,
    parse_search_path,
    parse_visibility,
)
from pgsoftproxy.rewrite.body_settings import REPLICATION_ROLE
from pgsoftproxy.rewrite.tree import Node, constant, strings

PREFIX = "pgsoftproxy."
HOLDING = {"CreateFunctionStmt": "options", "AlterFunctionStmt": "actions"}
"""Where a statement holds SETs that are carried out with each call."""
_TRACKED = {variable.value: variable for variable in Variable}
_SET, _DEFAULT, _RESET = "VAR_SET_VALUE", "VAR_SET_DEFAULT", "VAR_RESET"


def follow_set(statement: Node, context: Context) -> tuple[Effect, ...]:
    """Return the effects of a SET or RESET; raises StatementRefused for what a session may not change."""
    kind, name = statement["kind"], str(statement.get("name", "")).lower()
    if kind == "VAR_RESET_ALL":
        return (ResetsAll(),)
    value = None if kind in {_DEFAULT, _RESET} else [constant(node) for node in statement.get("args", [])]
    judge_setting(statement, context)
    variable = _TRACKED.get(name)
    if variable is None:
        if name.startswith(PREFIX):
            raise StatementRefused(f'unrecognized configuration parameter "{name}"', sqlstate="42704")
        return ()
    local = bool(statement.get("is_local"))
    if kind == "VAR_SET_CURRENT":
        return (SetsVariable(variable, context.values.value(variable), local),)
    if value is None:
        return (SetsVariable(variable, None, local),)
    if variable is Variable.SEARCH_PATH:
        schemas = tuple(str(argument) for argument in value if argument)
        return (SetsVariable(variable, SearchPath(schemas), local),)
    text = str(value[0]) if value else ""
    if variable in {Variable.USER, Variable.SESSION_USER}:
        return (SetsVariable(variable, _role(variable, text), local),)
    if variable is Variable.ENCODING:
        return (SetsVariable(variable, codec_of(text) or UNKNOWN_CODEC, local),)
    return (SetsVariable(variable, read_value(variable, text, context), local),)


def judge_held_settings(tag: str, statement: Node, context: Context) -> None:
    """Judge the SETs that ALTER ROLE, DATABASE and SYSTEM hold, and CREATE and ALTER of a function or procedure."""
    if "setstmt" in statement:
        judge_setting(statement["setstmt"], context)
    for item in statement.get(HOLDING.get(tag, ""), ()):
        held = item["DefElem"].get("arg", {})
        if "VariableSetStmt" in held:
            judge_setting(held["VariableSetStmt"], context)


def judge_setting(statement: Node, context: Context) -> None:
    """Refuse a SET or RESET of what must stay as it is."""
    kind = statement["kind"]
    if kind in {_SET, _DEFAULT, _RESET}:
        values = [constant(node) for node in statement.get("args", [])] if kind == _SET else None
        _refuse_unsafe(str(statement.get("name", "")).lower(), values, context)


def read_value(variable: Variable, text: str, context: Context) -> object:
    """Read and authorize a value of one of this project's own variables.

    Raises StatementRefused: 22023 for a value that is none, 42501 where the role may not.
    """
    try:
        if variable is Variable.DELETE:
            mode = parse_delete_mode(text)
            if mode is DeleteMode.HARD and not context.grant.hard_delete:
                raise _denied(context, "delete physically", "hard_delete = true")
            return mode
        visibility = parse_visibility(text)
    except ValueError as error:
        raise StatementRefused(str(error), sqlstate="22023") from None
    allowed = context.grant.visibility | {VisibilityMode.LIVE}
    if visibility.mode not in allowed:
        raise _denied(context, f"see rows under visibility {visibility.mode.value}", "visibility = [...]")
    return visibility


def _denied(context: Context, what: str, key: str) -> StatementRefused:
    return StatementRefused(
        f'permission denied: role "{context.role}" may not {what}',
        hint=f"Grant it in the proxy's configuration: [roles.{context.role}] {key}",
        sqlstate="42501",
    )


def _refuse_unsafe(name: str, value: list[str | bool | None] | None, context: Context) -> None:
    words = ["" if item is None else str(item).lower() for item in value] if value else []
    if (
        name == "standard_conforming_strings"
        and words
        and words[0] not in {"on", "true", "yes", "1", "t", "y"}
    ):
        raise StatementRefused(
            "standard_conforming_strings must stay on",
            hint="The proxy reads string constants as the SQL standard does; use E'' for escapes.",
        )
    if name == "client_encoding" and words and codec_of(words[0]) is None:
        raise StatementRefused(
            f'client encoding "{words[0]}" is not supported by the proxy',
            hint="Use UTF8, SQL_ASCII or LATIN1.",
        )
    if name == REPLICATION_ROLE:
        require_disarming(context)


def require_disarming(context: Context, what: str = "") -> None:
    """Refuse a change of session_replication_role to a role that may not delete physically."""
    if not context.grant.hard_delete:
        raise StatementRefused(
            f"{what}session_replication_role cannot be changed: it turns off the triggers that protect deleted rows",
            hint=f"Grant it in the proxy's configuration: [roles.{context.role}] hard_delete = true",
            sqlstate="42501",
        )


def show_value(name: str, context: Context) -> str | None:
    """Return the value that SHOW of one of this project's variables prints; None for any other."""
    lowered = name.lower()
    if lowered == Variable.VISIBILITY.value:
        return format_visibility(context.values.visibility)
    if lowered == Variable.DELETE.value:
        return context.values.delete.value
    return None


def follow_set_config(statement: Node, calls: list[Node], context: Context) -> tuple[Effect, ...]:
    """Return the effects of set_config calls in a statement.

    Only `SELECT set_config(constants)` and nothing else is certain to run, once; elsewhere a change of
    search_path leaves the path unknown until it is set again.
    """
    return tuple(_follow_calls(_is_plain_select(statement), calls, context)) if calls else ()


def _follow_calls(plain: bool, calls: list[Node], context: Context) -> Iterator[Effect]:
    for call in calls:
        if strings(call["funcname"])[-1] != "set_config":
            continue
        arguments = [constant(node) for node in call.get("args", [])]
        if len(arguments) != 3 or not isinstance(arguments[0], str):
            # Any setting: pg_dump takes the name from pg_settings.
            yield SetsVariable(Variable.SEARCH_PATH, UNCERTAIN_PATH)
            yield SetsVariable(Variable.USER, UNKNOWN_USER)
            yield SetsVariable(Variable.ENCODING, UNKNOWN_CODEC)
            continue
        name, value, local = arguments[0].lower(), arguments[1], arguments[2]
        if name.startswith(PREFIX):
            raise StatementRefused(
                f'"{name}" cannot be changed with set_config', hint=f"Use SET {name} = '...'."
            )
        if name in {"standard_conforming_strings", "client_encoding", REPLICATION_ROLE}:
            _refuse_unsafe(name, [value], context)
            if value is None:
                raise StatementRefused(f'"{name}" cannot be set to what the proxy cannot read')
            if name == Variable.ENCODING.value:
                sure = plain and isinstance(local, bool)
                codec = codec_of(str(value)) if sure else None
                yield SetsVariable(Variable.ENCODING, codec or UNKNOWN_CODEC, local is True)
        elif name == "search_path":
            yield _path_effect(plain, value, local)
        elif name in {"role", "session_authorization"}:
            yield _user_effect(_TRACKED[name], plain, (value, local))


def _path_effect(plain: bool, value: str | bool | None, local: str | bool | None) -> SetsVariable:
    if not plain or not isinstance(value, str) or not isinstance(local, bool):
        return SetsVariable(Variable.SEARCH_PATH, UNCERTAIN_PATH)
    try:
        return SetsVariable(Variable.SEARCH_PATH, SearchPath(parse_search_path(value)), local)
    except ValueError:
        return SetsVariable(Variable.SEARCH_PATH, UNCERTAIN_PATH)


def _role(variable: Variable, text: str) -> str:
    return NO_ROLE if variable is Variable.USER and text == "none" else text


def _user_effect(
    variable: Variable, plain: bool, given: tuple[str | bool | None, str | bool | None]
) -> SetsVariable:
    value, local = given
    if not plain or not isinstance(value, str) or not isinstance(local, bool):
        return SetsVariable(Variable.USER, UNKNOWN_USER)
    return SetsVariable(variable, _role(variable, value), local)


def _is_plain_select(statement: Node) -> bool:
    select = statement.get("SelectStmt", {})
    if set(select) - {"targetList", "limitOption", "op"}:
        return False
    targets = [target["ResTarget"]["val"] for target in select.get("targetList", [])]
    return len(targets) == 1 and "FuncCall" in targets[0]
