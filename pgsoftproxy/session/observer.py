"""Who is told what happened in sessions: metrics and logs implement this.

A contract only. An observer must not raise, block, or keep SQL literals.
"""

from typing import Protocol

from pgsoftproxy.errors import Refusal
from pgsoftproxy.kernel import Cell
from pgsoftproxy.model.who import Who
from pgsoftproxy.rewrite.plan import StatementPlan


class Observer(Protocol):
    """Listen to the sessions of a process."""

    def statement(self, plan: StatementPlan, role: str, outcome_tag_rows: int | None) -> None:
        """Note one statement whose reply completed, or that was refused.

        `outcome_tag_rows` is the count in its command tag, given where `plan.deletes` names a table.
        """

    def cells(self, plans: tuple[StatementPlan, ...]) -> tuple[Cell, ...] | None:
        """Return what to count up for plain statements instead of telling of each; None: they must be told."""

    def error(self, sqlstate: str) -> None:
        """Note an ErrorResponse that goes to a client."""

    def refused(self, refusal: Refusal, plan: StatementPlan, who: Who) -> None:
        """Note that a refusal of the proxy's own goes to a client."""

    def bypass(self, plan: StatementPlan, who: Who) -> None:
        """Note a completed statement that saw other rows than the live ones: those of `plan.bypass`."""

    def hard_delete(self, plan: StatementPlan, who: Who) -> None:
        """Note a completed statement that physically removed rows of protected tables."""

    def restored(self, plan: StatementPlan, who: Who) -> None:
        """Note a completed statement that called what brings rows back: the deletion `plan.restores`."""

    def hinted(self, plan: StatementPlan, text: bytes) -> None:
        """Note a text that names a deletion column, or one with warnings."""
