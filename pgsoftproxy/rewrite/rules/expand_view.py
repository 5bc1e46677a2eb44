"""Views over protected tables: read the view's own definition, rewritten, in the view's place."""

from collections.abc import Callable
from dataclasses import dataclass

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.catalog import Relation, RelationKind
from pgsoftproxy.model.context import EVERYTHING, VisibilityMode
from pgsoftproxy.model.statements import StatementClass, Views
from pgsoftproxy.rewrite.hiding import columns_below
from pgsoftproxy.rewrite.plan import Warned
from pgsoftproxy.rewrite.predicates import quote_identifier
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.rules.apply_choice import apply_choice
from pgsoftproxy.rewrite.rules.hide_deleted_rows import spell_out_table_command
from pgsoftproxy.rewrite.scope import Reference, column_names
from pgsoftproxy.rewrite.tokens import LPAREN, STAR
from pgsoftproxy.rewrite.verify import is_guarded, reads_as_it_stands
from pgsoftproxy.rewrite.work import Work


@dataclass(frozen=True, slots=True)
class ViewJudgement:
    """What becomes of a read of a view, and what is to be told of it: see the fields of StatementPlan."""

    expanded: bool = False
    warnings: tuple[Warned, ...] = ()
    bypass: VisibilityMode | None = None


def judge_view(relation: Relation, surroundings: Surroundings) -> ViewJudgement:
    """Judge a read of a view or materialized view over protected tables. Raises StatementRefused."""
    label = surroundings.policy.exposing[relation.oid]
    if relation.kind is RelationKind.MATVIEW:
        return _judge_materialized(relation, label, surroundings)
    if reads_as_it_stands(relation, surroundings):
        return ViewJudgement()
    if surroundings.policy.statements.views is Views.REFUSE:
        raise StatementRefused(
            f'view "{relation.label}" shows rows of protected table "{label}"',
            hint=f'Create it anew through the proxy, which guards it, or query "{label}" itself. '
            'The configuration may say otherwise: [statements] views = "expand".',
        )
    return ViewJudgement(expanded=True)


def _judge_materialized(relation: Relation, label: str, surroundings: Surroundings) -> ViewJudgement:
    if surroundings.values.visibility == EVERYTHING:
        return ViewJudgement(bypass=VisibilityMode.ALL)
    live = (
        "what was live" if is_guarded(relation, surroundings.policy) else "what was there, deleted rows too,"
    )
    warnings = apply_choice(
        StatementClass.MATERIALIZED_VIEWS,
        surroundings,
        f'materialized view "{relation.label}" holds rows of protected table "{label}"',
        f"It keeps {live} when it was refreshed; query the tables themselves.",
    )
    return ViewJudgement(warnings=warnings)


def expand_view(
    work: Work, reference: Reference, relation: Relation, rewritten: Callable[[str], str]
) -> None:
    """Put the definition of a view in place of its name; `rewritten` guards the definition's own reads.

    The definition comes from the catalog with every name qualified, and with the view's column names. Its tables
    are then read with the rights of the role itself, not of the view's owner: an error is possible, a leak is not.
    """
    if not relation.definition:
        raise StatementRefused(
            f'the definition of view "{relation.label}" over "{_source(work, relation)}" is not known now',
            hint="Its tables are locked by DDL of another session; try again.",
        )
    extent = work.extent(reference)
    text = f"({rewritten(relation.definition.rstrip().removesuffix(';'))})"
    if reference.alias is None:
        text += f" AS {quote_identifier(relation.name)}"
    tokens = work.tokens
    last = extent.name_last
    if tokens.name(last + 1) == STAR or (reference.only and tokens.name(extent.first + 1) == LPAREN):
        last += 1
    work.edits.replace(tokens.starts[extent.first], tokens.ends[last], text)
    spell_out_table_command(work, reference, extent.first)
    _rename_columns(work, reference, relation)


def _rename_columns(work: Work, reference: Reference, relation: Relation) -> None:
    """Let columns that are qualified with the view's schema, and the view's row as a whole, keep their meaning."""
    name = reference.alias or relation.name
    row_type = f"{quote_identifier(relation.schema)}.{quote_identifier(relation.name)}"
    tokens = work.tokens
    for column, hidden in columns_below(reference.owner, frozenset({name}), reference.node):
        if name in hidden:
            continue
        names = column_names(column)
        whole = names == [name] and relation.column(name) is None
        qualified = reference.alias is None and names[-3:-1] == [relation.schema, relation.name]
        if not whole and not qualified:
            continue
        first = tokens.at(int(column.get("location", 0)))
        last = tokens.qualified_end(first)
        if whole:
            # The cast alone would make a row of NULLs of the NULL that an outer join gives for no row. It stands
            # in ELSE because a CASE without a name of its own is called after that.
            row = quote_identifier(name)
            text = f"(CASE WHEN {row} IS NOT DISTINCT FROM NULL THEN NULL ELSE {row}::{row_type} END)"
            work.edits.replace(tokens.starts[first], tokens.ends[last], text)
        else:
            work.edits.replace(
                tokens.starts[first], tokens.starts[last], f"{quote_identifier(relation.name)}."
            )


def _source(work: Work, relation: Relation) -> str:
    return work.surroundings.policy.exposing[relation.oid]
