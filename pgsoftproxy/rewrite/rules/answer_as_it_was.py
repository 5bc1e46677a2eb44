"""RETURNING of a softened DELETE: give the row as it was before it was stamped.

From PostgreSQL 18 on every column of the target becomes `old.column`, which is exact. Before, there is no way
to name the old row in an UPDATE; but it was live, so its deletion column was NULL (or false) and, by the
rule that bookkeeping belongs to the proxy, so were `deleted_by` and `deletion_id`.
"""

from dataclasses import dataclass, replace

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.catalog import Column
from pgsoftproxy.model.policy import ColumnKind, Protection
from pgsoftproxy.rewrite.edits import CLAUSE
from pgsoftproxy.rewrite.hiding import NOTHING, columns_below
from pgsoftproxy.rewrite.predicates import is_live, quote_identifier
from pgsoftproxy.rewrite.returning import (
    figure_name,
    lacks,
    old_and_new,
    other_sources,
    refuse_hidden_or_taken_apart,
    source_names,
)
from pgsoftproxy.rewrite.scope import SYSTEM_COLUMNS, Reference
from pgsoftproxy.rewrite.tokens import AFTER_WHERE, COMMA
from pgsoftproxy.rewrite.tree import Node, strings
from pgsoftproxy.rewrite.work import Work

MOVING = SYSTEM_COLUMNS - {"tableoid"}
"""System columns that an UPDATE changes."""


@dataclass(frozen=True, slots=True)
class _Answer:
    work: Work
    reference: Reference
    protection: Protection
    old: str | None
    new: str | None
    merging: bool = False

    @property
    def name(self) -> str:
        return self.reference.alias or str(self.reference.node["relname"])

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.work.surroundings.columns_of(self.protection)

    @property
    def stamped(self) -> frozenset[str]:
        """Columns whose value the UPDATE changes."""
        names = (self.protection.column, self.protection.deleted_by, self.protection.deletion_id)
        return frozenset(name for name in names if name is not None)


@dataclass(frozen=True, slots=True)
class _Visit:
    """One node; `hidden` are names that a FROM list between the node and the RETURNING list has taken."""

    node: object
    parent: str
    in_query: bool
    hidden: frozenset[str] = NOTHING


def answer_as_it_was(work: Work, reference: Reference, protection: Protection) -> None:
    """Edit the RETURNING list of a DELETE that becomes an UPDATE."""
    clause = reference.owner.get("returningClause")
    if clause is None:
        return
    old, new = old_and_new(work, reference.owner)
    answer = _Answer(work, reference, protection, old, new)
    for item in clause["exprs"]:
        _answer_item(answer, item["ResTarget"])


def answer_merge(work: Work, reference: Reference, protection: Protection) -> None:
    """Edit the RETURNING list of a MERGE some of whose actions are softened DELETEs.

    Only they stamp a row, so a stamp in the new row tells what the action was. OLD is what it was before either way;
    NEW is NULL for a row that was deleted.
    """
    clause = reference.owner.get("returningClause")
    if clause is None:
        return
    old, new = old_and_new(work, reference.owner)
    refuse_hidden_or_taken_apart(clause, {name for name in (old, new) if name is not None})
    answer = _Answer(work, reference, protection, None, new, merging=True)
    for item in clause["exprs"]:
        _answer_item(answer, item["ResTarget"])


def _answer_item(answer: _Answer, item: Node) -> None:
    value = item["val"]
    changed = False
    hidden = {id(column): names for column, names in columns_below(value)}
    stack = [_Visit(value, "ResTarget", in_query=False)]
    while stack:
        visit = stack.pop()
        if isinstance(visit.node, list):
            stack.extend(_Visit(child, visit.parent, visit.in_query) for child in visit.node)
        elif isinstance(visit.node, dict):
            for key, child in visit.node.items():
                if key == "ColumnRef":
                    there = replace(visit, hidden=hidden[id(child)])
                    text = _replacement(answer, strings(child["fields"]), there)
                    if text is not None:
                        _replace(answer.work, child, text)
                        changed = True
                elif key == "MergeSupportFunc":
                    _replace_action(answer, child)
                    changed = True
                elif isinstance(child, dict | list):
                    parent = key if key[:1].isupper() else visit.parent
                    stack.append(_Visit(child, parent, visit.in_query or key == "SelectStmt"))
    if changed and "name" not in item:
        name = figure_name(value)
        if name is not None:
            tokens = answer.work.tokens
            end = tokens.find(tokens.at(int(item.get("location", 0))), AFTER_WHERE | {COMMA})
            answer.work.edits.insert(tokens.ends[end - 1], f" AS {quote_identifier(name)}", CLAUSE)


def _replace_action(answer: _Answer, call: Node) -> None:
    tokens = answer.work.tokens
    first = tokens.at(int(call.get("location", 0)))
    last = tokens.closing(first + 1)
    text = f"(CASE WHEN {_stamped_row(answer)} THEN 'DELETE' ELSE merge_action() END)"
    answer.work.edits.replace(tokens.starts[first], tokens.ends[last], text)


def _stamped_row(answer: _Answer) -> str:
    """Return the predicate that a row of a MERGE's result was softly deleted by it."""
    column = f"{answer.work.qualifier(answer.reference)}.{quote_identifier(answer.protection.column)}"
    return f"merge_action() = 'UPDATE' AND NOT ({is_live(column, answer.protection)})"


def _replace(work: Work, column: Node, text: str) -> None:
    tokens = work.tokens
    first = tokens.at(int(column.get("location", 0)))
    work.edits.replace(tokens.starts[first], tokens.ends[tokens.qualified_end(first)], text)


def _replacement(answer: _Answer, fields: list[str], visit: _Visit) -> str | None:
    relation = answer.protection.relation
    qualifier, last = fields[:-1], fields[-1]
    if not qualifier:
        if last == "*":
            return None if visit.in_query else _everything(answer)
        if relation.column(last) is not None or last in SYSTEM_COLUMNS:
            if visit.in_query:
                _refuse_if_stamped(answer, last)
                return None
            return _column(answer, last) if _is_targets_own(answer, last) else None
        if last in visit.hidden:
            return None
        if visit.in_query and last in {answer.name, answer.old, answer.new}:
            raise _unclear(answer, last)  # the row of the target, or a column of a source of the sub-select
        return _row(answer, visit) if last == answer.name else _new_row(answer, last)
    if qualifier[-1] in visit.hidden:
        return None
    if answer.new is not None and qualifier == [answer.new]:
        return _of_new(answer, last, visit)
    if answer.old is not None and qualifier == [answer.old]:
        return None
    if qualifier[-1] != answer.name or not _is_target(answer, qualifier):
        return None
    if last != "*":
        return _column(answer, last)
    return _columns(answer) if visit.parent in {"ResTarget", "RowExpr"} else _row(answer, visit)


def _is_target(answer: _Answer, qualifier: list[str]) -> bool:
    node = answer.reference.node
    if answer.reference.alias is not None:
        return len(qualifier) == 1
    return len(qualifier) == 1 or qualifier[-2] == node.get("schemaname", answer.protection.relation.schema)


def _column(answer: _Answer, name: str) -> str | None:
    if answer.old is not None:
        return f"{quote_identifier(answer.old)}.{quote_identifier(name)}"
    if name in MOVING:
        raise StatementRefused(
            f'system column "{name}" in RETURNING of a DELETE on protected table "{answer.protection.label}"',
            hint="The row stays and gets a new version; leave the column out, or read it before.",
        )
    return f"({_was(answer, name)})" if name in answer.stamped else None


def _was(answer: _Answer, name: str) -> str:
    protection = answer.protection
    column = protection.relation.column(name)
    assert column is not None
    if answer.merging:
        was = _unstamped(answer, name)
        value = f"{answer.work.qualifier(answer.reference)}.{quote_identifier(name)}"
        return f"CASE WHEN {_stamped_row(answer)} THEN {was} ELSE {value} END"
    return _unstamped(answer, name)


def _unstamped(answer: _Answer, name: str) -> str:
    protection = answer.protection
    column = protection.relation.column(name)
    assert column is not None
    if name == protection.column and protection.kind is ColumnKind.BOOLEAN:
        if protection.nullable:
            raise StatementRefused(
                f'deletion column "{name}" of table "{protection.label}" may be NULL or false: RETURNING cannot tell',
                hint=f'ALTER TABLE ... ALTER COLUMN "{name}" SET NOT NULL, or leave the column out.',
            )
        return "false"
    return f"NULL::{column.type_name}"


def _columns(answer: _Answer) -> str:
    if answer.old is not None:
        return f"{quote_identifier(answer.old)}.*"
    qualifier = answer.work.qualifier(answer.reference)
    parts = []
    for column in answer.columns:
        name = quote_identifier(column.name)
        stamped = column.name in answer.stamped
        parts.append(f"{_was(answer, column.name)} AS {name}" if stamped else f"{qualifier}.{name}")
    return ", ".join(parts)


def _row(answer: _Answer, visit: _Visit) -> str | None:
    relation = answer.protection.relation
    if answer.old is not None and visit.parent != "A_Indirection":
        return quote_identifier(answer.old)
    if answer.old is not None:
        # PostgreSQL 18 reads a field of OLD taken as a whole, `(old).x`, from the new row.
        columns = ", ".join(
            f"{quote_identifier(answer.old)}.{quote_identifier(c.name)}" for c in answer.columns
        )
        return f"ROW({columns})::{quote_identifier(relation.schema)}.{quote_identifier(relation.name)}"
    qualifier = answer.work.qualifier(answer.reference)
    values = [
        _was(answer, column.name)
        if column.name in answer.stamped
        else f"{qualifier}.{quote_identifier(column.name)}"
        for column in answer.columns
    ]
    return f"ROW({', '.join(values)})::{quote_identifier(relation.schema)}.{quote_identifier(relation.name)}"


def _everything(answer: _Answer) -> str:
    owner = answer.reference.owner
    if answer.merging:  # the source's columns come first
        return ", ".join(
            [*(f"{name}.*" for name in source_names(answer.work, owner["sourceRelation"])), _columns(answer)]
        )
    parts = [_columns(answer)]
    for item in other_sources(owner):
        parts.extend(f"{name}.*" for name in source_names(answer.work, item))
    return ", ".join(parts)


def _new_row(answer: _Answer, name: str) -> str | None:
    relation = answer.protection.relation
    if answer.new is None or name != answer.new:
        return quote_identifier(answer.old) if answer.old is not None and name == answer.old else None
    if answer.merging:
        return f"({_unless_stamped(answer, quote_identifier(name), 'NULL')})"
    return f"NULL::{quote_identifier(relation.schema)}.{quote_identifier(relation.name)}"


def _of_new(answer: _Answer, name: str, visit: _Visit) -> str:
    # A DELETE has no new row: all its columns are NULL.
    relation = answer.protection.relation
    if answer.merging:
        return _of_new_merged(answer, name, visit)
    if name == "*":
        if visit.parent not in {"ResTarget", "RowExpr"}:
            return f"NULL::{quote_identifier(relation.schema)}.{quote_identifier(relation.name)}"
        return ", ".join(f"NULL::{c.type_name} AS {quote_identifier(c.name)}" for c in answer.columns)
    column = relation.column(name)
    if column is None:
        raise StatementRefused(
            f'column "{name}" of the new row in RETURNING of a DELETE on "{answer.protection.label}"',
            hint="A DELETE has no new row; leave it out.",
        )
    return f"(NULL::{column.type_name})"


def _of_new_merged(answer: _Answer, name: str, visit: _Visit) -> str:
    assert answer.new is not None
    new = quote_identifier(answer.new)
    if name != "*":
        column = answer.protection.relation.column(name)
        null = "NULL" if column is None else f"NULL::{column.type_name}"
        return f"({_unless_stamped(answer, f'{new}.{quote_identifier(name)}', null)})"
    if visit.parent not in {"ResTarget", "RowExpr"}:
        return f"({_unless_stamped(answer, new, 'NULL')})"
    parts = []
    for column in answer.columns:
        own = quote_identifier(column.name)
        value = _unless_stamped(answer, f"{new}.{own}", f"NULL::{column.type_name}")
        parts.append(f"{value} AS {own}" if visit.parent == "ResTarget" else value)
    return ", ".join(parts)


def _unless_stamped(answer: _Answer, value: str, instead: str) -> str:
    return f"CASE WHEN {_stamped_row(answer)} THEN {instead} ELSE {value} END"


def _refuse_if_stamped(answer: _Answer, name: str) -> None:
    if name in answer.stamped or name in MOVING:
        raise _unclear(answer, name)


def _unclear(answer: _Answer, name: str) -> StatementRefused:
    return StatementRefused(
        f'unqualified column "{name}" in a sub-select of RETURNING, DELETE on "{answer.protection.label}"',
        hint="Qualify the column with its table or alias.",
    )


def _is_targets_own(answer: _Answer, name: str) -> bool:
    """Tell whether an unqualified column can only be the target's.

    Another source may have it too, where PostgreSQL says 42702, or may be the only one to have it. What is not
    stamped stays as it is then; what is stamped is refused.
    """
    if all(lacks(answer.work, item, name) for item in other_sources(answer.reference.owner)):
        return True
    if name in answer.stamped or name in MOVING:
        raise StatementRefused(
            f'unqualified column "{name}" in RETURNING beside another source, DELETE on "{answer.protection.label}"',
            hint="Qualify the column with its table or alias.",
        )
    return False
