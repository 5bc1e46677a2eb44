"""Leading comments `/* pgsoftproxy: visibility=all */`: another visibility or delete mode for one statement."""

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.context import Context
from pgsoftproxy.model.effects import SetsVariable, Variable
from pgsoftproxy.rewrite.rules.follow_settings import read_value
from pgsoftproxy.rewrite.tokens import Tokens

INTRODUCTION = "pgsoftproxy:"
_KEYS = {"visibility": Variable.VISIBILITY, "delete": Variable.DELETE}


def read_directives(tokens: Tokens, first: int, context: Context) -> Context:
    """Return the context of the statement whose first token is `first`, with its leading comments obeyed.

    Raises StatementRefused: 22023 for what it cannot read, 42501 where the role may not.
    """
    start = tokens.ends[first - 1] if first > 0 else 0
    end = tokens.starts[first]
    for comment_start, comment_end in tokens.comments:
        if not start <= comment_start < end:
            continue
        text = tokens.sql[comment_start:comment_end]
        body = text[2:].strip() if text.startswith("--") else text[2:-2].strip()
        if body.lower().startswith(INTRODUCTION):
            context = _obey(body[len(INTRODUCTION) :], context)
    return context


def _obey(body: str, context: Context) -> Context:
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
        context = context.after(SetsVariable(variable, read_value(variable, value, context), local=True))
    return context
