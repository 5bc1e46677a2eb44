"""Rewriters with one thing broken each, for the mutation test. Knows the rewriter's insides; runs nothing."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import pytest

from pgsoftproxy.model.catalog import Relation
from pgsoftproxy.rewrite import predicates, query, rewriter, scope
from pgsoftproxy.rewrite.edits import EditList
from pgsoftproxy.rewrite.kinds import MAKING
from pgsoftproxy.rewrite.plan import Kind, StatementPlan
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.rules import (
    answer_as_it_was,
    copy_out,
    expand_view,
    guard_update,
    guard_upsert,
    hide_deleted_rows,
    judge_unprotected,
    revive_row,
    soften_delete,
    soften_merge,
    soften_truncate,
    stand_in,
)
from pgsoftproxy.rewrite.rules.expand_view import ViewJudgement
from pgsoftproxy.rewrite.scope import Findings, Reference
from pgsoftproxy.rewrite.tree import Node
from pgsoftproxy.rewrite.work import Work

Patch = pytest.MonkeyPatch
RULES = (hide_deleted_rows, soften_delete, guard_update, guard_upsert, copy_out, soften_merge)
LIVE_USERS = (
    predicates,
    hide_deleted_rows,
    soften_delete,
    guard_update,
    guard_upsert,
    answer_as_it_was,
    revive_row,
    soften_truncate,
)
SEEN_USERS = (predicates, hide_deleted_rows, soften_delete, guard_update, copy_out)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One broken rewriter: what is wrong with it, how to break it, and from which server version that matters."""

    name: str
    apply: Callable[[Patch], None]
    since: int = 0


def nothing(*_: object, **__: object) -> None:
    """Do nothing, in place of a rule."""


def idle(rule: str) -> Mutant:
    """Return a mutant one of whose rules does nothing."""
    return Mutant(f"{rule} does nothing", lambda patch: patch.setattr(query, rule, nothing))


def replaced(modules: Collection[Any], name: str, value: object) -> Callable[[Patch], None]:
    """Return how to put a value in place of a function in all modules that imported it by name."""

    def apply(patch: Patch) -> None:
        for module in modules:
            patch.setattr(module, name, value, raising=False)

    return apply


def constant(text: str | None) -> Callable[..., str | None]:
    """Return a function that always gives one text."""
    return lambda *_, **__: text


def inverse(*args: Any, original: Callable[..., str] = predicates.is_live) -> str:
    """Give the predicate of the rows that should not be seen."""
    return f"NOT ({original(*args)})"


def unqualified(column: str, *args: Any, original: Callable[..., str] = predicates.is_live) -> str:
    """Give the predicate on whichever column of that name is found."""
    return original(column.rpartition(".")[2], *args)


def edited(change: Callable[[str], str]) -> Callable[[Patch], None]:
    """Return how to change the text of every edit."""
    insert, replace = EditList.insert, EditList.replace

    def apply(patch: Patch) -> None:
        def changed_insert(self: EditList, at: int, text: str, *rest: int) -> None:
            insert(self, at, change(text), *rest)

        def changed_replace(self: EditList, start: int, end: int, text: str) -> None:
            replace(self, start, end, change(text))

        patch.setattr(EditList, "insert", changed_insert)
        patch.setattr(EditList, "replace", changed_replace)

    return apply


def words(old: str, new: str) -> Callable[[Patch], None]:
    """Return how to write other words in every edit."""
    return edited(lambda text: text.replace(old, new))


def shifted(by: int) -> Callable[[Patch], None]:
    """Return how to put every insertion somewhere else."""
    insert = EditList.insert

    def apply(patch: Patch) -> None:
        def moved(self: EditList, at: int, *rest: Any) -> None:
            insert(self, max(0, at + by), *rest)

        patch.setattr(EditList, "insert", moved)

    return apply


def dropped(place: int) -> Callable[[Patch], None]:
    """Return how to lose one edit of each statement, counted from the first or the last."""
    edits = EditList.edits

    def apply(patch: Patch) -> None:
        def fewer(self: EditList, sql: str) -> Any:
            kept = list(edits(self, sql))
            if kept:
                del kept[place]
            return tuple(kept)

        patch.setattr(EditList, "edits", fewer)

    return apply


def found(keep: Callable[[Reference], bool]) -> Callable[[Patch], None]:
    """Return how to overlook references."""
    original = scope.find

    def find(statement: Node, names: Collection[str]) -> Findings:
        findings = original(statement, names)
        findings.references = [one for one in findings.references if keep(one)]
        return findings

    return replaced((rewriter, query), "find", find)


def without_scopes(patch: Patch) -> None:
    """Let a CTE be visible nowhere, so that its name is the table's."""
    patch.setattr(
        scope._Walker, "_with", lambda self, clause, scope: _below(self, clause, scope, frozenset())
    )


def scopes_for_all(patch: Patch) -> None:
    """Let every CTE be visible in every part of its WITH, as if RECURSIVE were always there."""

    def everywhere(self: Any, clause: Node, within: Any) -> Any:
        return _below(self, clause, within, {item["CommonTableExpr"]["ctename"] for item in clause["ctes"]})

    patch.setattr(scope._Walker, "_with", everywhere)


def _below(walker: Any, clause: Node, within: Any, names: Collection[str]) -> Any:
    inside = within._replace(ctes=within.ctes.union(names))
    walker.stack.extend((item["CommonTableExpr"], inside) for item in clause["ctes"])
    return inside


def qualified_as_cte(patch: Patch) -> None:
    """Let a name with a schema mean a CTE too."""
    report = scope._Walker._report

    def careless(self: Any, reference: Reference, ctes: frozenset[str]) -> None:
        if reference.node["relname"] not in ctes:
            report(self, reference, ctes)

    patch.setattr(scope._Walker, "_report", careless)


def shadowed_targets(patch: Patch) -> None:
    """Let a CTE hide the target of a DELETE or UPDATE."""
    patch.setattr(scope._Walker, "_query", _query_with_hidden_target)


def _query_with_hidden_target(self: Any, key: str, value: Node, node: Node, within: Any) -> None:
    use = scope.TARGETS.get(key)
    names = {item["CommonTableExpr"]["ctename"] for item in value.get("withClause", {}).get("ctes", [])}
    if use is not None:
        self._report(Reference(use, value["relation"], key, value), within.ctes.union(names))
    self.stack.append((value, scope._Scope(within.ctes, key, value)))


def expands_without_guard(patch: Patch) -> None:
    """Put a view's definition in its place as it stands."""

    def careless(work: Work, reference: Reference, relation: Relation, _: Callable[[str], str]) -> None:
        expand_view.expand_view(work, reference, relation, lambda definition: definition)

    patch.setattr(query, "expand_view", careless)


def judges_views(judgement: ViewJudgement) -> Callable[[Patch], None]:
    """Return how to judge every view alike."""
    return lambda patch: patch.setattr(query, "judge_view", lambda *_: judgement)


def leaves_what_is_stored(asked: query.Query, tokens: Any) -> query.Result:
    """Rewrite nothing in a CREATE."""
    if any(tag in asked.statement for tag in MAKING):
        return query.Result(StatementPlan(Kind.DDL), EditList())
    return query.rewrite_query(asked, tokens)


def resolves_nothing(patch: Patch) -> None:
    """Know no relation of the policy; the checker asks the same function."""
    patch.setattr(Surroundings, "named", lambda self, name, schema: None)


def resolves_by_any_schema(patch: Patch) -> None:
    """Take a relation of that name from whatever schema it is in."""
    original = Surroundings.named
    patch.setattr(Surroundings, "named", lambda self, name, _: original(self, name, "app"))


def wheres_unwritten(patch: Patch) -> None:
    """Write no WHERE clause at all."""
    patch.setattr(Work, "finish", nothing)


def answers_old_as_new(patch: Patch) -> None:
    """Take the row after the stamp for the row as it was."""
    patch.setattr(answer_as_it_was, "_replacement", nothing)


def revives_as_it_was(patch: Patch) -> None:
    """Keep every value of a deleted row that is brought back."""
    assigned = revive_row.Meeting.assigned

    def kept(self: revive_row.Meeting, column: str, value: str) -> str:
        return assigned(self, column, value).replace(" excluded.", f" {self.qualifier}.")

    patch.setattr(revive_row.Meeting, "assigned", kept)


def revives_with_set(patch: Patch) -> None:
    """Leave the client's own assignments as they are, so that they hold for deleted rows too."""
    patch.setattr(revive_row, "_wrap", nothing)
    patch.setattr(revive_row, "_wrap_query", nothing)


def revives_what_was_named(patch: Patch) -> None:
    """Write no assignment of a column that the client did not name."""
    patch.setattr(
        revive_row, "_kept", lambda meeting, column: f"{column.name} = {meeting.qualifier}.{column.name}"
    )


MUTANTS = [
    *(idle(module.__name__.rpartition(".")[2]) for module in RULES),
    Mutant("answer_as_it_was does nothing", replaced([soften_delete], "answer_as_it_was", nothing)),
    Mutant("answer_merge does nothing", replaced([soften_merge], "answer_merge", nothing), since=170000),
    Mutant("answer_as_it_was gives the stamped row", answers_old_as_new),
    Mutant("expand_view does nothing", lambda patch: patch.setattr(query, "expand_view", nothing)),
    Mutant("expand_view leaves the definition unguarded", expands_without_guard),
    Mutant("judge_view takes every view for one that guards itself", judges_views(ViewJudgement())),
    Mutant(
        "no view may be written to", replaced([judge_unprotected], "writes_as_it_stands", lambda *_: False)
    ),
    Mutant("what is stored is not rewritten", replaced([rewriter], "rewrite_query", leaves_what_is_stored)),
    Mutant("is_live is always true", replaced(LIVE_USERS, "is_live", constant("true"))),
    Mutant("is_live is its opposite", replaced(LIVE_USERS, "is_live", inverse)),
    Mutant("is_live names the column without its table", replaced(LIVE_USERS, "is_live", unqualified)),
    Mutant("is_seen is always true", replaced(SEEN_USERS, "is_seen", constant("true"))),
    Mutant("is_seen sees every row", replaced(SEEN_USERS, "is_seen", constant(None))),
    Mutant(
        "deletion_values stamps nothing but the id",
        replaced([soften_delete], "deletion_values", constant("id = id")),
    ),
    Mutant(
        "deletion_values leaves who and which deletion out",
        replaced([soften_delete], "deletion_values", constant("deleted_at = pg_catalog.now()")),
    ),
    Mutant(
        "deletion_values makes one id a row",
        words("(SELECT pg_catalog.gen_random_uuid())", "pg_catalog.gen_random_uuid()"),
    ),
    Mutant("deletion_values stamps the role of the moment", words("SESSION_USER", "'someone else'")),
    Mutant(
        "deletion_values stamps another time",
        words("pg_catalog.now()", "pg_catalog.now() - interval '1 day'"),
    ),
    Mutant(
        "target_predicate is missing",
        replaced([guard_update, soften_merge], "target_predicate", constant(None)),
    ),
    Mutant(
        "deletion_column overlooks the alias list",
        replaced(
            [hide_deleted_rows], "deletion_column", lambda _work, _reference, protection: protection.column
        ),
    ),
    Mutant(
        "has_current_of sees it everywhere",
        replaced([hide_deleted_rows, soften_delete, guard_update], "has_current_of", lambda _: True),
    ),
    Mutant(
        "has_current_of never sees it",
        replaced([hide_deleted_rows, soften_delete, guard_update], "has_current_of", lambda _: False),
    ),
    Mutant(
        "spell_out_table_command does nothing",
        replaced([hide_deleted_rows], "spell_out_table_command", nothing),
    ),
    Mutant("soften_truncate does nothing", replaced([stand_in], "soften_truncate", nothing)),
    Mutant("soften_truncate forgets ONLY", words("UPDATE ONLY ", "UPDATE ")),
    Mutant(
        "soften_truncate makes one id a table",
        words("(SELECT id FROM pgsoftproxy_deletion)", "(SELECT gen_random_uuid())"),
    ),
    Mutant("retarget leaves DELETE FROM as it is", replaced([soften_delete], "_retarget", nothing)),
    Mutant("the guard of an upsert is missing", replaced([guard_upsert], "_guard_update", nothing)),
    Mutant(
        "the guard of an upsert's inference is missing", replaced([guard_upsert], "_guard_target", nothing)
    ),
    Mutant("revive_row does nothing", replaced([guard_upsert], "revive_row", nothing)),
    Mutant("revive_row keeps what the deleted row held", revives_as_it_was),
    Mutant("revive_row assigns the client's values to a deleted row", revives_with_set),
    Mutant("revive_row leaves the other columns alone", revives_what_was_named),
    Mutant(
        "answer_as_inserted does nothing",
        replaced([guard_upsert], "answer_as_inserted", nothing),
        since=180000,
    ),
    Mutant(
        "the guard of a MERGE's clause is missing",
        replaced([soften_merge], "_guard_clause", nothing),
        since=170000,
    ),
    Mutant("guards are joined from the left", words(" JOIN (SELECT)", " LEFT JOIN (SELECT)")),
    Mutant("guards are one condition of several", words("AND (", "OR (")),
    Mutant("guards test the opposite", words("IS NULL", "IS NOT NULL")),
    Mutant("flags are guarded by the opposite", words("NOT flags", "flags")),
    Mutant("guards lose their parens", words("AND (", "AND ")),
    Mutant("a DELETE stays a DELETE", edited(lambda text: {"UPDATE": "DELETE FROM"}.get(text, text))),
    Mutant("a MERGE's DELETE stays one", words("UPDATE SET deleted_at = pg_catalog.now()", "DELETE")),
    Mutant("COPY sends the rows of children too", words("FROM ONLY", "FROM")),
    Mutant(
        "COPY sends deleted rows",
        edited(lambda text: text.split(" WHERE ")[0] + ")" if "FROM ONLY" in text else text),
    ),
    Mutant("no WHERE is written", wheres_unwritten),
    Mutant("edits come one character late", shifted(1)),
    Mutant("edits come one character early", shifted(-1)),
    Mutant("the first edit is lost", dropped(0)),
    Mutant("the last edit is lost", dropped(-1)),
    Mutant("find overlooks every reference", found(lambda _: False)),
    Mutant("find overlooks direct items of FROM", found(lambda one: not one.direct)),
    Mutant(
        "find overlooks what stands in join trees",
        found(lambda one: one.direct or one.use is not scope.Use.READ),
    ),
    Mutant(
        "find overlooks targets",
        found(lambda one: one.owner_tag not in scope.TARGETS or one.use is scope.Use.READ),
    ),
    Mutant("find overlooks COPY", found(lambda one: one.use is not scope.Use.NAMED)),
    Mutant("find knows no CTE", without_scopes),
    Mutant("find lets every CTE be seen everywhere", scopes_for_all),
    Mutant("find takes a qualified name for a CTE", qualified_as_cte),
    Mutant("find lets a CTE hide a target", shadowed_targets),
    Mutant("resolve knows no protected table", resolves_nothing),
    Mutant("resolve takes any schema", resolves_by_any_schema),
]
