"""What the configuration says of statements that show, or keep, rows past the rewriter: one choice for each class.

Values only. Must not know how a statement is recognised (`rewrite` does), nor what is protected.
"""

from dataclasses import dataclass
from enum import Enum

from pgsoftproxy.model.routines import Action


class Views(Enum):
    """What is done with a read of a view over protected tables whose own definition does not guard them."""

    EXPAND = "expand"
    REFUSE = "refuse"


class StatementClass(Enum):
    """A class of statements, with its key in `[statements]` as value.

    MATERIALIZED_VIEWS: reads of what was there at a refresh. COPY_TO_SERVER: COPY TO a file or program.
    STATISTICS: reads of histograms. PUBLICATIONS, REPLICATION: changes of rows, as they are written.
    FOREIGN_TABLES: the making of what may lead back into the database past the proxy. SESSION_STATE, NAMED_STATEMENTS:
    what a session keeps beyond its transaction, and what a pooler may then hand to another client.
    """

    MATERIALIZED_VIEWS = "materialized_views"
    COPY_TO_SERVER = "copy_to_server"
    STATISTICS = "statistics"
    PUBLICATIONS = "publications"
    REPLICATION = "replication"
    FOREIGN_TABLES = "foreign_tables"
    SESSION_STATE = "session_state"
    NAMED_STATEMENTS = "named_statements"


@dataclass(frozen=True, slots=True)
class StatementRules:
    """The `[statements]` of the configuration."""

    views: Views = Views.EXPAND
    materialized_views: Action = Action.REFUSE
    copy_to_server: Action = Action.REFUSE
    statistics: Action = Action.REFUSE
    publications: Action = Action.REFUSE
    replication: Action = Action.REFUSE
    foreign_tables: Action = Action.REFUSE
    session_state: Action = Action.ALLOW
    named_statements: Action = Action.ALLOW

    def action(self, kind: StatementClass) -> Action:
        """Return what is done with one class."""
        return {
            StatementClass.MATERIALIZED_VIEWS: self.materialized_views,
            StatementClass.COPY_TO_SERVER: self.copy_to_server,
            StatementClass.STATISTICS: self.statistics,
            StatementClass.PUBLICATIONS: self.publications,
            StatementClass.REPLICATION: self.replication,
            StatementClass.FOREIGN_TABLES: self.foreign_tables,
            StatementClass.SESSION_STATE: self.session_state,
            StatementClass.NAMED_STATEMENTS: self.named_statements,
        }[kind]
