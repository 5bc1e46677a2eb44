"""Plans with their literals left open: made from the plan of one text, filled for every other text of its shape.

Knows shapes, edits and which constants are free; must not know how a plan is made, nor where templates are kept.
"""

from dataclasses import dataclass

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.rewrite.constants import free_constants
from pgsoftproxy.rewrite.plan import Edit, Forward, Plan, Refused, Rewritten, StatementPlan
from pgsoftproxy.rewrite.shapes import is_comment, literal_spans
from pgsoftproxy.rewrite.tokens import Tokens
from pgsoftproxy.rewrite.tree import parse


@dataclass(frozen=True, slots=True)
class Template:
    """A plan that holds for every text of a shape whose literals at `pins` are the same.

    `parts` are what is sent: its texts, and between two of them room for a free literal. `edits` stand each behind
    so many free literals, at places that do not count these. `forward` where the client's own bytes are sent.
    """

    statements: tuple[StatementPlan, ...]
    free: tuple[int, ...]
    pins: tuple[int, ...]
    forward: Forward | None = None
    parts: tuple[str, ...] = ()
    edits: tuple[tuple[int, Edit], ...] = ()

    def fill(self, literals: list[str]) -> Plan:
        """Return the plan of the text with these literals."""
        if self.forward is not None:
            return self.forward
        free = [literals[place] for place in self.free] if self.pins else literals
        parts = list(self.parts)
        parts[1::2] = free
        edits: list[Edit] = []
        passed = shift = 0
        for before, edit in self.edits:
            while passed < before:
                shift += len(free[passed])
                passed += 1
            edits.append(Edit(edit.start + shift, edit.end + shift, edit.text))
        return Rewritten(self.statements, "".join(parts), tuple(edits))


def make_template(sql: str, plan: Plan) -> Template | None:
    """Return the template of a text that has a shape; None where its plan may depend on every literal."""
    if isinstance(plan, Refused) or not plan.cacheable:
        return None
    if any(statement.effects or statement.refusal is not None for statement in plan.statements):
        return None
    try:
        constants = free_constants(parse(sql))
    except StatementRefused:
        return None
    if constants is None:
        return None
    places = set(constants) if sql.isascii() else set(map(Tokens(sql).characters, constants))
    edits = plan.edits if isinstance(plan, Rewritten) else ()
    spans = list(literal_spans(sql))
    free: list[int] = []
    pins: list[int] = []
    for number, (begin, end) in enumerate(spans):
        rewritten = any(edit.start < end and begin < edit.end for edit in edits)
        is_constant = begin in places or _sign(sql, begin) in places
        is_free = not rewritten and (is_constant or is_comment(sql[begin:end]))
        (free if is_free else pins).append(number)
    if not free:
        return None
    if isinstance(plan, Forward):
        return Template(plan.statements, tuple(free), tuple(pins), plan)
    parts, placed = _opened(sql, plan.edits, [spans[number] for number in free])
    return Template(plan.statements, tuple(free), tuple(pins), None, parts, placed)


def _sign(sql: str, begin: int) -> int:
    """Return where the parser places a number that is negated: at the sign, if that is what stands before it."""
    while begin > 0 and sql[begin - 1] in " \t\n\r\f":
        begin -= 1
    return begin - 1 if sql[begin - 1 : begin] == "-" else -1


def _opened(
    sql: str, edits: tuple[Edit, ...], free: list[tuple[int, int]]
) -> tuple[tuple[str, ...], tuple[tuple[int, Edit], ...]]:
    """Return the rewritten text around the free literals, and the edits with how many of these stand before each."""
    parts: list[str] = []
    placed: list[tuple[int, Edit]] = []
    todo = list(reversed(edits))
    at = left_out = 0
    for number, (begin, end) in enumerate([*free, (len(sql), len(sql))]):
        text = ""
        while todo and todo[-1].end <= begin:
            edit = todo.pop()
            text += sql[at : edit.start] + edit.text
            at = edit.end
            placed.append((number, Edit(edit.start - left_out, edit.end - left_out, edit.text)))
        parts += [text + sql[at:begin], ""]
        left_out += end - begin
        at = end
    return tuple(parts[:-1]), tuple(placed)
