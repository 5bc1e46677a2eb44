"""UPDATE: leave deleted rows alone."""

from pgsoftproxy.model.context import VisibilityMode
from pgsoftproxy.model.policy import Protection
from pgsoftproxy.rewrite.predicates import is_live, is_seen, quote_identifier
from pgsoftproxy.rewrite.rules.hide_deleted_rows import has_current_of
from pgsoftproxy.rewrite.scope import Reference
from pgsoftproxy.rewrite.work import Work


def guard_update(work: Work, reference: Reference, protection: Protection) -> None:
    """Restrict an UPDATE to live rows; a role that may restore updates whatever it sees."""
    work.note_guard(protection)
    if has_current_of(reference):
        return  # the cursor is filtered
    predicate = target_predicate(work, reference, protection)
    if predicate is not None:
        anchor = work.extent(reference).last + 1
        work.add_predicate(reference.owner, anchor, predicate)


def target_predicate(work: Work, reference: Reference, protection: Protection) -> str | None:
    """Return the predicate on the rows of an UPDATE's target; None where every row may be changed."""
    surroundings = work.surroundings
    mode = surroundings.visibility(protection)
    qualifier = work.qualifier(reference)
    column = f"{qualifier}.{quote_identifier(protection.column)}"
    if surroundings.may_restore and mode in {VisibilityMode.ALL, VisibilityMode.DELETED}:
        return is_seen(column, f"{qualifier}.", protection, surroundings.values.visibility)
    return is_live(column, protection)
