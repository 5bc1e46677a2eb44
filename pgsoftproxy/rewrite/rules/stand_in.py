"""Statements in whose place another is sent as a whole: SHOW of the proxy's own variables, TRUNCATE that is soft."""

from dataclasses import dataclass

from pgsoftproxy.rewrite.plan import Retag
from pgsoftproxy.rewrite.predicates import quote_identifier, quote_literal
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.rules.follow_settings import show_value
from pgsoftproxy.rewrite.rules.soften_truncate import soften_truncate
from pgsoftproxy.rewrite.tree import Node


@dataclass(frozen=True, slots=True)
class StandIn:
    """What is sent, how it is answered, and the tables whose rows it stamps."""

    sql: str
    retag: Retag
    tables: tuple[str, ...] = ()

    @property
    def deletes(self) -> str | None:
        """Return the table whose rows the command tag counts, if it is one alone."""
        return self.tables[0] if len(self.tables) == 1 else None


def stand_in(tag: str, statement: Node, surroundings: Surroundings) -> StandIn | None:
    """Return what is sent in place of a statement, None if nothing is. Raises StatementRefused."""
    match tag:
        case "VariableShowStmt":
            name = statement["name"]
            value = show_value(name, surroundings.context)
            if value is None:
                return None
            # The server knows the variable only once it was set, so the proxy answers with a query of its own.
            sql = f"SELECT {quote_literal(value)}::pg_catalog.text AS {quote_identifier(name.lower())}"
            return StandIn(sql, Retag("SELECT", "SHOW", drop_count=True))
        case "TruncateStmt":
            softened = soften_truncate(statement, surroundings)
            if softened is None:
                return None
            return StandIn(softened.sql, Retag("UPDATE", "TRUNCATE TABLE", drop_count=True), softened.tables)
        case _:
            return None
