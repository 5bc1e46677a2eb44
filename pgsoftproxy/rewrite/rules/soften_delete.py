"""DELETE: stamp the rows instead of removing them, and answer as the DELETE would have."""

from pgsoftproxy.model.context import VisibilityMode
from pgsoftproxy.model.policy import Protection
from pgsoftproxy.rewrite.edits import ASSIGNMENT
from pgsoftproxy.rewrite.predicates import deletion_values, is_live, is_seen, quote_identifier
from pgsoftproxy.rewrite.rules.answer_as_it_was import answer_as_it_was
from pgsoftproxy.rewrite.rules.hide_deleted_rows import has_current_of
from pgsoftproxy.rewrite.scope import Reference
from pgsoftproxy.rewrite.tokens import Uncertain
from pgsoftproxy.rewrite.work import Extent, Work


def soften_delete(work: Work, reference: Reference, protection: Protection) -> None:
    """Turn a DELETE into an UPDATE of its live rows, or keep it where physical deletion was asked for."""
    work.note_guard(protection)
    qualifier = work.qualifier(reference)
    column = f"{qualifier}.{quote_identifier(protection.column)}"
    extent = work.extent(reference)
    if work.surroundings.hard:
        visibility = work.surroundings.values.visibility
        if visibility.mode is VisibilityMode.AS_OF:
            predicate: str | None = is_live(column, protection)
        else:
            predicate = is_seen(column, f"{qualifier}.", protection, visibility)
    else:
        work.judge_ready(protection)
        _retarget(work, reference, extent)
        # No predicate can stand beside CURRENT OF, and the row may have been deleted since it was fetched.
        values = deletion_values(protection, qualifier if has_current_of(reference) else None)
        work.edits.insert(work.tokens.ends[extent.last], f" SET {values}", ASSIGNMENT)
        answer_as_it_was(work, reference, protection)
        predicate = is_live(column, protection)
    if predicate is not None and not has_current_of(reference):
        work.add_predicate(reference.owner, extent.last + 1, predicate)


def _retarget(work: Work, reference: Reference, extent: Extent) -> None:
    # DELETE FROM t USING a  ->  UPDATE t FROM a; a comment between the words (a planner hint) stays.
    tokens = work.tokens
    source, verb = extent.first - 1, extent.first - 2
    if tokens.name(source) != "FROM" or tokens.name(verb) != "DELETE_P":
        raise Uncertain
    work.edits.replace(tokens.starts[verb], tokens.ends[verb], "UPDATE")
    between = tokens.sql[tokens.ends[verb] : tokens.starts[source]]
    if between.isspace():
        work.edits.replace(tokens.ends[verb], tokens.ends[source], "")
    else:
        work.edits.replace(tokens.starts[source], tokens.ends[source], "")
    if "usingClause" in reference.owner:
        using = extent.last + 1
        if tokens.name(using) != "USING":
            raise Uncertain
        work.edits.replace(tokens.starts[using], tokens.ends[using], "FROM")
