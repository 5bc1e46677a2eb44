"""COPY table TO: copy a query over the columns that COPY would have sent."""

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.catalog import RelationKind
from pgsoftproxy.model.policy import Protection
from pgsoftproxy.model.statements import StatementClass
from pgsoftproxy.rewrite.plan import Warned
from pgsoftproxy.rewrite.predicates import is_seen, quote_identifier
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.rules.apply_choice import apply_choice
from pgsoftproxy.rewrite.scope import Reference
from pgsoftproxy.rewrite.tokens import LPAREN
from pgsoftproxy.rewrite.tree import Node, strings, tagged
from pgsoftproxy.rewrite.work import Work


def copy_out(work: Work, reference: Reference, protection: Protection, copy: Node) -> None:
    """Turn `COPY t [(columns)] TO` into `COPY (SELECT columns FROM ONLY t WHERE ...) TO`.

    COPY of a table never sends generated columns nor the rows of its children.
    """
    relation = protection.relation
    if relation.kind is RelationKind.PARTITIONED:
        raise StatementRefused(
            f'cannot copy from partitioned table "{relation.name}"',
            sqlstate="42809",
            hint="Try the COPY (SELECT ...) TO variant.",
        )
    work.note_guard(protection)
    tokens = work.tokens
    first = tokens.at(reference.location)
    name_last = tokens.qualified_end(first)
    last = tokens.closing(name_last + 1) if tokens.name(name_last + 1) == LPAREN else name_last
    if tokens.name(first - 1) == "BINARY" or {"USING", "DELIMITERS"} & set(tokens.names[last:]):
        raise StatementRefused(
            f'COPY of protected table "{protection.label}" in the syntax before PostgreSQL 7.3',
            hint="Write the options as in COPY ... TO STDOUT WITH (FORMAT binary, DELIMITER ',').",
        )
    name = work.qualifier(reference)
    columns = _columns(work, protection, copy)
    column = f"{name}.{quote_identifier(protection.column)}"
    predicate = is_seen(column, f"{name}.", protection, work.surroundings.values.visibility)
    where = f" WHERE {predicate}" if predicate is not None else ""
    listed = ", ".join(map(quote_identifier, columns))
    # A zero-column COPY has no query form: SELECT without a list sends the same empty rows.
    query = f"(SELECT {listed} FROM ONLY {name}{where})"
    work.edits.replace(tokens.starts[first], tokens.ends[last], query)


def _columns(work: Work, protection: Protection, copy: Node) -> list[str]:
    if "attlist" not in copy:
        return [column.name for column in work.surroundings.columns_of(protection) if not column.generated]
    relation = protection.relation
    names = strings(copy["attlist"])
    for number, name in enumerate(names):
        if name in names[:number]:
            raise StatementRefused(f'column "{name}" specified more than once', sqlstate="42701")
        column = relation.column(name)
        if column is None and work.surroundings.values.stale:
            continue  # it may be new
        if column is None:
            message = f'column "{name}" of relation "{relation.name}" does not exist'
            raise StatementRefused(message, sqlstate="42703")
        if column.generated:
            raise StatementRefused(f'column "{name}" is a generated column', sqlstate="42P10")
    return names


def judge_copy(statement: Node, label: str, surroundings: Surroundings) -> tuple[Warned, ...]:
    """Judge COPY ... TO a file or program of the server, where the rows leave unseen. Raises StatementRefused.

    Where it may pass, it is rewritten as COPY TO STDOUT is.
    """
    tag, copy = tagged(statement)
    if tag != "CopyStmt" or copy.get("is_from") or not ("filename" in copy or copy.get("is_program")):
        return ()
    return apply_choice(
        StatementClass.COPY_TO_SERVER,
        surroundings,
        f'COPY of protected table "{label}" to a file or program of the server',
        "Use COPY ... TO STDOUT.",
    )
