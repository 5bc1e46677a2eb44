"""Reads: guard one reference of a protected table, in WHERE, in ON, by the zero-column join, or by LATERAL.

The forms and their reasons: docs/decisions/0001-zero-column-join.md.
"""

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.policy import Protection
from pgsoftproxy.rewrite.edits import CLAUSE
from pgsoftproxy.rewrite.predicates import is_seen, quote_identifier
from pgsoftproxy.rewrite.scope import Place, Reference
from pgsoftproxy.rewrite.tree import strings
from pgsoftproxy.rewrite.work import Extent, Work


def hide_deleted_rows(work: Work, reference: Reference, protection: Protection) -> None:
    """Let a reference yield only the rows that the visibility in effect shows."""
    work.note_guard(protection)
    qualifier = work.qualifier(reference)
    column = f"{qualifier}.{quote_identifier(deletion_column(work, reference, protection))}"
    predicate = is_seen(column, f"{qualifier}.", protection, work.surroundings.values.visibility)
    if predicate is None:
        return
    extent = work.extent(reference)
    if not work.joins_only and _spare_join(work, reference, extent, predicate):
        return
    tokens = work.tokens
    guard = work.guard_name()
    end = tokens.ends[extent.last]
    if reference.direct and work.findings.bare_system_column:
        # Inside a join an unqualified ctid would no longer be found.
        work.edits.insert(end, f", LATERAL (SELECT WHERE {predicate}) AS {guard}")
        return
    spell_out_table_command(work, reference, extent.first)
    work.edits.insert(tokens.starts[extent.first], "(")
    work.edits.insert(end, f" JOIN (SELECT) AS {guard} ON {predicate})")


def _spare_join(work: Work, reference: Reference, extent: Extent, predicate: str) -> bool:
    """Write the predicate into WHERE or ON, where it costs the server least; tell whether there was a place."""
    tokens, place = work.tokens, reference.place
    if place is Place.WHERE and not has_current_of(reference):
        spell_out_table_command(work, reference, extent.first)
        # Inside a join the end of the FROM list is sure from its start only: there may be parens around it.
        anchor = extent.last + 1 if reference.direct else tokens.from_before(extent.first)
        work.add_predicate(reference.owner, anchor, predicate)
        return True
    behind = extent.last + 1
    if place is Place.ON and tokens.name(behind) == "ON":
        work.edits.insert(tokens.starts[behind + 1], f"{predicate} AND ", CLAUSE)
        return True
    return False


def deletion_column(work: Work, reference: Reference, protection: Protection) -> str:
    """Return the deletion column's name as the statement sees it, through a column-alias list if there is one."""
    alias = reference.node.get("alias", {})
    if "colnames" not in alias:
        return protection.column
    columns = [column.name for column in work.surroundings.columns_of(protection)]
    aliases = strings(alias["colnames"])
    names = [*aliases, *columns[len(aliases) :]]
    name = names[columns.index(protection.column)]
    if names.count(name) > 1:
        raise StatementRefused(
            f'column alias list of table "{protection.label}" makes the name of its deletion column ambiguous',
            hint=f'Leave the name "{name}" to one column only.',
        )
    return name


def has_current_of(reference: Reference) -> bool:
    """Tell whether the owner's WHERE is CURRENT OF, to which nothing can be added."""
    return "CurrentOfExpr" in reference.owner.get("whereClause", {})


def spell_out_table_command(work: Work, reference: Reference, first: int) -> None:
    """Write `TABLE t` as `SELECT * FROM t`: its target list has no place in the text."""
    targets = reference.owner.get("targetList")
    if reference.owner_tag != "SelectStmt" or not targets or work.tokens.name(first - 1) != "TABLE":
        return
    if targets[0].get("ResTarget", {}).get("location") == -1:
        tokens = work.tokens
        work.edits.replace(tokens.starts[first - 1], tokens.ends[first - 1], "SELECT * FROM")
