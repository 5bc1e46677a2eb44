"""Write the body of a function or procedure anew, so that it meets live rows only and removes none. Pure.

Each statement becomes what the proxy would have sent for it; all else stays as its author wrote it. What comes out is
read again: where that does not prove it clean, or a place cannot be told for sure, there is no answer.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.context import Context
from pgsoftproxy.model.evidence import Signature
from pgsoftproxy.model.policy import Policy, Truncate
from pgsoftproxy.model.routines import Routine
from pgsoftproxy.rewrite.conduct import UNKNOWN, Deed, conduct_of
from pgsoftproxy.rewrite.edits import apply_edits
from pgsoftproxy.rewrite.plan import Edit, Forward, Rewritten
from pgsoftproxy.rewrite.plpgsql import Text, read_texts
from pgsoftproxy.rewrite.predicates import quote_literal
from pgsoftproxy.rewrite.rewriter import rewrite
from pgsoftproxy.rewrite.verify import PRINTED

SELECT = "SELECT"


def routine_anew(
    routine: Routine, definition: str, signature: Signature | None, policy: Policy
) -> str | None:
    """Return the CREATE OR REPLACE of a routine, given its definition as the server prints it; None if unknown how."""
    able = _softening(policy)
    if not routine.body:
        edits = _edits(definition, able, PRINTED)
        return apply_edits(definition, edits) if edits else None
    body = routine.body
    new = (
        _code(body, signature or Signature(), able)
        if routine.language == "plpgsql"
        else _edits(body, able, UNKNOWN)
    )
    if not new:
        return None
    text = apply_edits(body, new)
    left = {one.deed for one in conduct_of(replace(routine, body=text), signature, policy)}
    at = definition.rfind(body)
    quoted = definition[at - 1 : at] == "$" == definition[at + len(body) : at + len(body) + 1]
    if left & {Deed.MEETS, Deed.REMOVES} or at < 0 or not quoted:
        return None
    return definition[:at] + text + definition[at + len(body) :]


def _softening(policy: Policy) -> Policy:
    """Return the policy by which a TRUNCATE, too, becomes a soft deletion, whatever the database lacks by now."""
    protections = {oid: replace(one, truncate=Truncate.SOFT) for oid, one in policy.protections.items()}
    return replace(policy, protections=protections, unready={})


def _edits(sql: str, policy: Policy, context: Context) -> tuple[Edit, ...] | None:
    """Return what guards a text: nothing where it is right already, None where the proxy would refuse it."""
    plan = rewrite(sql, policy, context)
    if isinstance(plan, Forward):
        return ()
    if isinstance(plan, Rewritten) and not any(one.refusal for one in plan.statements):
        return plan.edits
    return None


def _code(body: str, signature: Signature, policy: Policy) -> tuple[Edit, ...] | None:
    """Return the edits of a PL/pgSQL body."""
    texts = read_texts(body, signature)
    found: set[tuple[int, int, str]] = set()
    for text, times in Counter(texts or ()).items():
        try:
            edits = _of_text(text, policy)
        except StatementRefused:
            return None
        if edits == ():
            continue
        places = list(_places(text.query, body))
        if edits is None or len(places) != times:
            return None  # it stands in a comment or a string too
        for place in places:
            for edit in edits:
                if not _is_verbatim(edit, text.query, body, place):
                    return None
                found.add((edit.start + place, edit.end + place, edit.text))
    return tuple(Edit(*one) for one in sorted(found)) if texts is not None else None


def _of_text(text: Text, policy: Policy) -> tuple[Edit, ...] | None:
    if text.dynamic:
        literal = text.literal
        if literal is None or text.query.strip() != quote_literal(literal):
            return ()
        inner = _edits(literal, policy, UNKNOWN)
        if not inner:
            return inner
        at = text.query.index("'")
        end = at + len(text.query.strip())
        return (Edit(at, end, quote_literal(apply_edits(literal, inner))),)
    sql, skipped = text.runnable()
    edits = _edits(sql, policy, UNKNOWN)
    if edits is None or any(edit.start < skipped[0] for edit in edits):
        return None
    shift = skipped[1] - skipped[0]
    return tuple(Edit(edit.start + shift, edit.end + shift, edit.text) for edit in edits)


def _places(query: str, body: str) -> Iterator[int]:
    """Yield where a query stands in a body. Its INTO is blank in it, and its SELECT may be a PERFORM there."""
    pattern = "".join("." if char == " " else re.escape(char) for char in query)
    if query.startswith(SELECT):
        performs = f"(?=PERFORM{pattern.removeprefix(SELECT)})"
        longer = len("PERFORM") - len(SELECT)
        yield from (
            found.start() + longer for found in re.finditer(performs, body, re.DOTALL | re.IGNORECASE)
        )
    yield from (found.start() for found in re.finditer(f"(?={pattern})", body, re.DOTALL))


def _is_verbatim(edit: Edit, query: str, body: str, place: int) -> bool:
    around = slice(max(edit.start - 1, 0), edit.end)
    return query[around] == body[around.start + place : around.stop + place]
