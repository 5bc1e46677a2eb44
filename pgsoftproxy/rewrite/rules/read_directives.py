"""Leading comments `/* pgsoftproxy: visibility=all */`: another visibility or delete mode for one statement."""

from collections.abc import Iterator

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.context import Context
from pgsoftproxy.model.effects import SetsVariable, Variable
from pgsoftproxy.rewrite.rules.follow_settings import read_value
from pgsoftproxy.rewrite.tokens import Tokens

INTRODUCTION = "pgsoftproxy:"
_KEYS = {"visibility": Variable.VISIBILITY, "delete": Variable.DELETE}


def read_directives(tokens: Tokens, first: int, context: Context) -> tuple[SetsVariable, ...]:
    """Return what the comments that lead the statement whose first token is `first` set for it alone.

    Raises StatementRefused: 22023 for what it cannot read, 42501 where the role may not.
    """
    start = tokens.ends[first - 1] if first > 0 else 0
    end = tokens.starts[first]
    found: list[SetsVariable] = []
    for comment_start, comment_end in tokens.comments:
        if not start <= comment_start < end:
            continue
        text = tokens.sql[comment_start:comment_end]
        body = text[2:].strip() if text.startswith("--") else text[2:-2].strip()
        if body.lower().startswith(INTRODUCTION):
            found.extend(_read(body[len(INTRODUCTION) :], context))
    return tuple(found)


def _read(body: str, context: Context) -> Iterator[SetsVariable]:
    for item in body.split(";"):
        key, equals, value = item.partition("=")
        variable = _KEYS.get(key.strip().lower())
        if variable is None or not equals:
            raise StatementRefused(
                f'invalid directive in comment: "{item.strip()}"',
                hint="Write visibility=live|all|deleted|as_of <timestamp>, or delete=soft|hard.",
                sqlstate="22023",
            )
        value = value.strip().strip("'")
        yield SetsVariable(variable, read_value(variable, value, context), local=True)
