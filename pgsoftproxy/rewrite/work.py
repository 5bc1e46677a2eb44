"""The state of one statement's rewriting that the rules share: tokens, edits, WHERE clauses to write, findings.

Rules put their wishes here; `Work.finish` writes the WHERE clauses, each once however many rules add to it.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.context import VisibilityMode
from pgsoftproxy.model.policy import Protection
from pgsoftproxy.rewrite.edits import CLAUSE, EditList
from pgsoftproxy.rewrite.plan import ErrorTranslation, Warned
from pgsoftproxy.rewrite.predicates import quote_identifier
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.scope import Findings, Reference
from pgsoftproxy.rewrite.tokens import AFTER_FROM, AFTER_WHERE, LPAREN, RPAREN, STAR, Tokens, Uncertain
from pgsoftproxy.rewrite.tree import Node


class Extent(NamedTuple):
    """The tokens of one FROM item or target: `first` through `last`, its bare name ending at `name_last`."""

    first: int
    name_first: int
    name_last: int
    last: int


def refuse_unready(surroundings: Surroundings, protection: Protection) -> None:
    """Refuse a soft deletion where the database would not do to referring rows what their keys say."""
    missing = surroundings.policy.unready.get(protection.relation.oid)
    if missing is not None:
        raise StatementRefused(
            f'rows refer to table "{protection.label}", and the database lacks {missing}, by which deleting '
            "softly does to them what their foreign keys say",
            hint='Run "pgsoftproxy migrate", or configure relations = "parent_only" to leave such rows alone.',
        )


@dataclass(slots=True)
class _Where:
    owner: Node
    anchor: int
    predicates: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Work:
    """One attempt at one statement.

    `joins_only`: no WHERE form for reads, for texts whose ends are unsure. `depth`: how many views the text is in.
    """

    tokens: Tokens
    surroundings: Surroundings
    findings: Findings
    edits: EditList
    joins_only: bool = False
    depth: int = 0
    guarded: list[str] = field(default_factory=list)
    observed: list[str] = field(default_factory=list)
    warnings: list[Warned] = field(default_factory=list)
    by_hand: list[str] = field(default_factory=list)
    columns: set[str] = field(default_factory=set)
    translations: list[ErrorTranslation] = field(default_factory=list)
    deletes: str | None = None
    bypass: VisibilityMode | None = None
    guards: int = 0
    _wheres: dict[int, _Where] = field(default_factory=dict)

    def judge_ready(self, protection: Protection) -> None:
        """Refuse a soft deletion where the database would not do to referring rows what their keys say."""
        refuse_unready(self.surroundings, protection)

    def extent(self, reference: Reference) -> Extent:
        """Return the tokens that a reference takes, with ONLY, alias, column list and TABLESAMPLE."""
        tokens = self.tokens
        name_first = first = tokens.at(reference.location)
        name_last = last = tokens.qualified_end(name_first)
        if reference.only:
            first -= 1
            if tokens.name(first) == LPAREN:
                first -= 1
                last += 1
            if tokens.name(first) != "ONLY" or (last > name_last and tokens.name(last) != RPAREN):
                raise Uncertain
        elif tokens.name(last + 1) == STAR:
            last += 1
        last = self._alias_end(reference, last)
        return Extent(first, name_first, name_last, self._sample_end(last) if reference.sampled else last)

    def _alias_end(self, reference: Reference, last: int) -> int:
        alias = reference.node.get("alias")
        if alias is None:
            return last
        tokens = self.tokens
        last += 2 if tokens.name(last + 1) == "AS" else 1
        last = tokens.identifier_end(last)
        return tokens.closing(last + 1) if "colnames" in alias else last

    def _sample_end(self, last: int) -> int:
        tokens = self.tokens
        if tokens.name(last + 1) != "TABLESAMPLE":
            raise Uncertain
        last = tokens.closing(tokens.qualified_end(last + 2) + 1)
        return tokens.closing(last + 2) if tokens.name(last + 1) == "REPEATABLE" else last

    def qualifier(self, reference: Reference) -> str:
        """Return how the statement can qualify a column of the reference: alias, or the name as the parser read it.

        Not as written: an over-long name repeated would be reported as truncated twice.
        """
        if reference.alias is not None:
            return quote_identifier(reference.alias)
        node = reference.node
        names = [node[key] for key in ("catalogname", "schemaname", "relname") if key in node]
        return ".".join(map(quote_identifier, names))

    def add_predicate(self, owner: Node, anchor: int, predicate: str) -> None:
        """Have a predicate ANDed in front of the owner's WHERE; `anchor` is a token index before that clause."""
        self._wheres.setdefault(id(owner), _Where(owner, anchor)).predicates.append(predicate)

    def guard_name(self) -> str:
        """Return a fresh alias that occurs nowhere in the text."""
        self.guards += 1
        return f"{self.tokens.guard_prefix}{self.guards}"

    def note_guard(self, protection: Protection) -> None:
        """Remember that a table's rows were filtered, or with what visibility they were not."""
        if protection.label not in self.guarded:
            self.guarded.append(protection.label)
        mode = self.surroundings.visibility(protection)
        if mode is not VisibilityMode.LIVE:
            self.bypass = mode

    def finish(self) -> None:
        """Write the WHERE clauses. Raises Uncertain where an end cannot be told."""
        for where in self._wheres.values():
            predicate = " AND ".join(where.predicates)
            tokens = self.tokens
            index = tokens.find(where.anchor, AFTER_FROM)
            if "whereClause" not in where.owner:
                if tokens.name(index) == "WHERE":
                    raise Uncertain
                self.edits.insert(tokens.ends[index - 1], f" WHERE {predicate}", CLAUSE)
                continue
            if tokens.name(index) != "WHERE":
                raise Uncertain
            end = tokens.find(index + 1, AFTER_WHERE)
            # The closing paren stands right behind a token, so no trailing `--` can swallow it.
            self.edits.insert(tokens.starts[index + 1], f"{predicate} AND (", CLAUSE)
            self.edits.insert(tokens.ends[end - 1], ")", CLAUSE)
