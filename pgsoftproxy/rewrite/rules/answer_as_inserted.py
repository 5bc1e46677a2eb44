"""RETURNING of an upsert that revives: a row that was brought back is answered as one that was inserted.

Its columns are those of the new row already. What tells an INSERT from an UPDATE is OLD, which is NULL for a new
row, and xmax, which is 0 for it. Only from PostgreSQL 18 on, which has OLD, can the two be told apart.
"""

from dataclasses import dataclass

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.policy import Protection
from pgsoftproxy.rewrite.edits import CLAUSE
from pgsoftproxy.rewrite.hiding import columns_below
from pgsoftproxy.rewrite.predicates import is_live, quote_identifier
from pgsoftproxy.rewrite.returning import figure_name, old_and_new, refuse_hidden_or_taken_apart
from pgsoftproxy.rewrite.scope import Reference
from pgsoftproxy.rewrite.tokens import AFTER_WHERE, COMMA
from pgsoftproxy.rewrite.tree import Node, strings, walk
from pgsoftproxy.rewrite.work import Work

ZERO = "'0'::pg_catalog.xid"


@dataclass(frozen=True, slots=True)
class _Answer:
    work: Work
    reference: Reference
    protection: Protection
    old: str | None
    new: str | None


def answer_as_inserted(work: Work, reference: Reference, protection: Protection) -> None:
    """Edit the RETURNING list of an upsert that may revive a row."""
    clause = reference.owner.get("returningClause")
    if clause is None:
        return
    old, new = old_and_new(work, reference.owner)
    if old is not None:
        refuse_hidden_or_taken_apart(clause, {old})
    answer = _Answer(work, reference, protection, old, new)
    for item in clause["exprs"]:
        target = item["ResTarget"]
        own = target["val"].get("ColumnRef")
        nested = any("SubLink" in node for node in walk(target["val"]))
        changed = [
            _edit(answer, column, column is own, nested)
            for column, hidden in columns_below(target["val"])
            if not hidden.intersection(strings(column["fields"])[:-1])
        ]
        if any(changed) and "name" not in target:
            name = figure_name(target["val"])
            if name is not None:
                tokens = work.tokens
                end = tokens.find(tokens.at(int(target.get("location", 0))), AFTER_WHERE | {COMMA})
                work.edits.insert(tokens.ends[end - 1], f" AS {quote_identifier(name)}", CLAUSE)


def _edit(answer: _Answer, column: Node, alone: bool, nested: bool) -> bool:
    """Edit one column reference; tell whether its expression may have lost the name of its column.

    `alone`: it is the whole expression. `nested`: there are sub-selects in the expression.
    """
    names = strings(column["fields"])
    if answer.old is not None and names[0] == answer.old:
        if names[-1] == "*":
            if not alone:
                raise _refusal(answer, "OLD.* inside an expression", "Name the columns one by one.")
            _replace(answer, column, _all_old(answer))
            return False
        _replace(answer, column, f"({_unless_revived(answer, _dotted(names), _null(answer, names[-1]))})")
        return True
    if names[-1] != "xmax" or not _is_of_target(answer, names[:-1]):
        return False
    if answer.old is None or (nested and len(names) == 1):
        hint = "A revived row is an updated one to the server: xmax does not tell what was inserted."
        raise _refusal(answer, "xmax", hint)
    _replace(answer, column, f"({_unless_revived(answer, _dotted(names), ZERO)})")
    return True


def _is_of_target(answer: _Answer, qualifier: list[str]) -> bool:
    node = answer.reference.node
    return not qualifier or qualifier[-1] in {answer.reference.alias or node["relname"], answer.new}


def _refusal(answer: _Answer, what: str, hint: str) -> StatementRefused:
    label = answer.protection.label
    message = f'{what} in RETURNING of an upsert on table "{label}", which revives deleted rows'
    return StatementRefused(message, hint=hint)


def _unless_revived(answer: _Answer, value: str, instead: str) -> str:
    assert answer.old is not None
    column = f"{quote_identifier(answer.old)}.{quote_identifier(answer.protection.column)}"
    return f"CASE WHEN {is_live(column, answer.protection)} THEN {value} ELSE {instead} END"


def _all_old(answer: _Answer) -> str:
    assert answer.old is not None
    columns = answer.work.surroundings.columns_of(answer.protection)
    values = (_unless_revived(answer, _dotted([answer.old, c.name]), _null(answer, c.name)) for c in columns)
    pairs = zip(values, columns, strict=True)
    return ", ".join(f"{value} AS {quote_identifier(column.name)}" for value, column in pairs)


def _null(answer: _Answer, name: str) -> str:
    # With its type, whose modifier RowDescription tells.
    column = answer.protection.relation.column(name)
    return "NULL" if column is None else f"NULL::{column.type_name}"


def _dotted(names: list[str]) -> str:
    return ".".join(map(quote_identifier, names))


def _replace(answer: _Answer, column: Node, text: str) -> None:
    tokens = answer.work.tokens
    first = tokens.at(int(column.get("location", 0)))
    answer.work.edits.replace(tokens.starts[first], tokens.ends[tokens.qualified_end(first)], text)
