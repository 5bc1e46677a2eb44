"""SQL of single steps of a migration, composed with the driver's own identifiers. Must not know what needs doing."""

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import sql

from pgsoftproxy.db.link_sql import is_deleted, is_live, joined, table
from pgsoftproxy.db.schema_queries import STEPS_TABLE
from pgsoftproxy.db.trigger_texts import TABLES
from pgsoftproxy.model.catalog import Relation
from pgsoftproxy.model.policy import Protection
from pgsoftproxy.model.steps import Lock, Statement

OWN_TABLES = TABLES + STEPS_TABLE
HISTORY_TABLES = ("journal", "ledger")


@dataclass(frozen=True, slots=True)
class NewIndex:
    """An index to be built; `body` is what follows USING in its definition, without WHERE."""

    relation: Relation
    name: str
    body: str
    predicate: str | None = None
    unique: bool = False
    tablespace: str | None = None


def name_of(relation: Relation) -> str:
    """Return a relation's qualified and quoted name."""
    return table(relation).as_string(None)


def add_column(relation: Relation, column: str, type_name: str) -> Statement:
    """Add a column without a default: no row is touched."""
    return Statement(
        _text("ALTER TABLE {} ADD COLUMN {} {}", table(relation), _name(column), sql.SQL(type_name)),
        Lock.ACCESS_EXCLUSIVE,
    )


def drop_column(relation: Relation, column: str) -> tuple[Statement, ...]:
    """Drop a column that holds nothing; fail if it holds something."""
    held = (
        "DO $pgsoftproxy$ BEGIN\n"
        "  IF EXISTS (SELECT FROM {on} WHERE {column} IS NOT NULL) THEN\n"
        "    RAISE EXCEPTION USING ERRCODE = '55000', MESSAGE = {message},\n"
        "      HINT = 'Purge or restore the deleted rows first: without the column they would be live again.';\n"
        "  END IF;\nEND $pgsoftproxy$"
    )
    message = f'column "{column}" of table "{relation.label}" holds values'
    return (
        Statement(
            _text("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", table(relation)), Lock.SHARE_ROW_EXCLUSIVE
        ),
        Statement(
            _text(held, on=table(relation), column=_name(column), message=sql.Literal(message)),
            Lock.ACCESS_SHARE,
        ),
        Statement(
            _text("ALTER TABLE {} DROP COLUMN IF EXISTS {}", table(relation), _name(column)),
            Lock.ACCESS_EXCLUSIVE,
        ),
    )


def columns_body(columns: Iterable[str], method: str = "btree") -> str:
    """Return the body of an index on plain columns."""
    return _text("{} ({})", sql.SQL(method), joined(_name(column) for column in columns))


def live_predicate(protection: Protection, further: str | None = None) -> str:
    """Return the predicate of a partial index on live rows, AND a further one as the catalog prints it."""
    live = is_live_bare(protection)
    return f"{live} AND ({further})" if further is not None else live


def is_live_bare(protection: Protection) -> str:
    """Return the predicate "this row is live", with the column alone."""
    return _unqualified(is_live("t", protection))


def is_deleted_bare(protection: Protection) -> str:
    """Return the predicate "this row is deleted", with the column alone."""
    return _unqualified(is_deleted("t", protection))


def is_set(column: str) -> str:
    """Return the predicate "this column holds something"."""
    return _text("{} IS NOT NULL", _name(column))


def create_index(new: NewIndex, *, only: bool = False) -> Statement:
    """Build an index while writes go on; `only` makes that of a partitioned table, without those of partitions."""
    text = _text(
        "CREATE {unique}INDEX {concurrently}{name} ON {only}{on} USING {body}{tablespace}{where}",
        unique=sql.SQL("UNIQUE " if new.unique else ""),
        concurrently=sql.SQL("" if only else "CONCURRENTLY "),
        name=_name(new.name),
        only=sql.SQL("ONLY " if only else ""),
        on=table(new.relation),
        body=sql.SQL(new.body),
        tablespace=sql.SQL(" TABLESPACE {}").format(_name(new.tablespace)) if new.tablespace else sql.SQL(""),
        where=sql.SQL(f" WHERE {new.predicate}" if new.predicate else ""),
    )
    if only:
        return Statement(text, Lock.SHARE)
    cleanup = drop_index(new.relation.schema, new.name).sql
    return Statement(text, Lock.SHARE_UPDATE_EXCLUSIVE, in_transaction=False, cleanup=cleanup)


def drop_index(schema: str, name: str, *, concurrently: bool = True) -> Statement:
    """Drop an index if it is there; one of a partitioned table cannot be dropped concurrently."""
    if concurrently:
        text = _text("DROP INDEX CONCURRENTLY IF EXISTS {}", sql.Identifier(schema, name))
        return Statement(text, Lock.SHARE_UPDATE_EXCLUSIVE, in_transaction=False)
    return Statement(_text("DROP INDEX IF EXISTS {}", sql.Identifier(schema, name)), Lock.ACCESS_EXCLUSIVE)


def attach_index(parent: NewIndex, child: NewIndex) -> Statement:
    """Make a partition's index part of that of the partitioned table."""
    names = (sql.Identifier(index.relation.schema, index.name) for index in (parent, child))
    return Statement(_text("ALTER INDEX {} ATTACH PARTITION {}", *names), Lock.SHARE_UPDATE_EXCLUSIVE)


def rename_index(schema: str, name: str, wanted: str) -> Statement:
    """Rename an index; its table is not locked."""
    text = _text("ALTER INDEX {} RENAME TO {}", sql.Identifier(schema, name), _name(wanted))
    return Statement(text)


def comment_on_index(schema: str, name: str, comment: str) -> Statement:
    """Put a comment on an index."""
    return Statement(_text("COMMENT ON INDEX {} IS {}", sql.Identifier(schema, name), sql.Literal(comment)))


def drop_constraint(relation: Relation, name: str) -> Statement:
    """Drop a constraint, with its index if it has one."""
    return Statement(
        _text("ALTER TABLE {} DROP CONSTRAINT {}", table(relation), _name(name)), Lock.ACCESS_EXCLUSIVE
    )


def add_constraint(relation: Relation, name: str, definition: str) -> Statement:
    """Add a constraint by its definition, as the catalog prints it."""
    text = _text("ALTER TABLE {} ADD CONSTRAINT {} {}", table(relation), _name(name), sql.SQL(definition))
    return Statement(text, Lock.ACCESS_EXCLUSIVE)


def constraint_from_index(relation: Relation, name: str, index: str) -> Statement:
    """Make a unique index into a constraint; it takes the constraint's name."""
    text = _text(
        "ALTER TABLE {} ADD CONSTRAINT {} UNIQUE USING INDEX {}", table(relation), _name(name), _name(index)
    )
    return Statement(text, Lock.ACCESS_EXCLUSIVE)


def comment_on_constraint(relation: Relation, name: str, comment: str) -> Statement:
    """Put a comment on a constraint."""
    return _comment_on("CONSTRAINT", relation, name, comment)


def comment_on_trigger(relation: Relation, name: str, comment: str) -> Statement:
    """Put a comment on a trigger."""
    return _comment_on("TRIGGER", relation, name, comment)


def drop_trigger(relation: Relation, name: str) -> Statement:
    """Drop a trigger if it is there."""
    return Statement(
        _text("DROP TRIGGER IF EXISTS {} ON {}", _name(name), table(relation)), Lock.ACCESS_EXCLUSIVE
    )


def drop_function(name: str, arguments: str) -> Statement:
    """Drop a function of schema pgsoftproxy, if it is there."""
    return Statement(
        _text("DROP FUNCTION IF EXISTS {}({})", sql.Identifier("pgsoftproxy", name), sql.SQL(arguments))
    )


def revoke(relation: Relation, privileges: Iterable[str], role: str) -> Statement:
    """Take privileges on a table from a role, and from those that it gave them to."""
    return Statement(
        _text("REVOKE {} ON TABLE {} FROM {} CASCADE", _listed(privileges), table(relation), _role(role)),
        Lock.ACCESS_SHARE,
    )


def grant(relation: Relation, privileges: Iterable[str], role: str, *, grantable: bool) -> Statement:
    """Give privileges on a table to a role."""
    option = sql.SQL(" WITH GRANT OPTION" if grantable else "")
    return Statement(
        _text("GRANT {} ON TABLE {} TO {}{}", _listed(privileges), table(relation), _role(role), option),
        Lock.ACCESS_SHARE,
    )


def drop_schema(*, history: bool) -> tuple[Statement, ...]:
    """Drop schema pgsoftproxy with its tables; where `history` is kept, all but that."""
    tables = ["queue", "steps", *(() if history else HISTORY_TABLES)]
    dropped = [
        Statement(f"DROP TABLE IF EXISTS pgsoftproxy.{name}", Lock.ACCESS_EXCLUSIVE) for name in tables
    ]
    return (*dropped, *(() if history else (Statement("DROP SCHEMA IF EXISTS pgsoftproxy"),)))


def _comment_on(kind: str, relation: Relation, name: str, comment: str) -> Statement:
    form = f"COMMENT ON {kind} {{}} ON {{}} IS {{}}"
    text = _text(form, _name(name), table(relation), sql.Literal(comment))
    return Statement(text, Lock.SHARE_UPDATE_EXCLUSIVE)


def _listed(privileges: Iterable[str]) -> sql.Composable:
    return sql.SQL(", ".join(privileges))


def _role(name: str) -> sql.Composable:
    return _name(name) if name else sql.SQL("PUBLIC")


def _unqualified(predicate: sql.Composable) -> str:
    return predicate.as_string(None).replace('"t".', "", 1)


def _name(name: str) -> sql.Identifier:
    return sql.Identifier(name)


def _text(form: str, *parts: sql.Composable, **named: sql.Composable) -> str:
    return sql.SQL(form).format(*parts, **named).as_string(None)
