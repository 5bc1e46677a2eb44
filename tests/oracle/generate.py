"""Random statements over tests/cases/schema.sql, typed so that nearly all of them run.

Pure: a seed in, statements out, the same for ever. What two servers may answer differently without being wrong
(ties under LIMIT, the time, physical order) is not generated. Knows names and types, nothing of what is protected.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from tests.oracle.cases import Case, Message

INT, TEXT, BOOL, TIME = "int", "text", "bool", "time"

TABLES: dict[str, dict[str, str]] = {
    "users": {
        "id": INT,
        "email": TEXT,
        "name": TEXT,
        "city": TEXT,
        "age": INT,
        "manager_id": INT,
        "deleted_at": TIME,
    },
    "orders": {"id": INT, "user_id": INT, "status": TEXT, "note": TEXT, "deleted_at": TIME},
    "items": {"id": INT, "order_id": INT, "sku": TEXT, "qty": INT, "deleted_at": TIME},
    "logs": {"id": INT, "user_id": INT, "message": TEXT, "at": TIME},
    "tasks": {"id": INT, "title": TEXT, "is_deleted": BOOL},
    "memos": {"id": INT, "body": TEXT, "gone": BOOL},
    "measures": {"id": INT, "value": INT, "label": TEXT, "deleted_at": TIME},
    "measures_2025": {"id": INT, "value": INT, "label": TEXT, "deleted_at": TIME},
    "animals": {"id": INT, "name": TEXT, "deleted_at": TIME},
    "dogs": {"id": INT, "name": TEXT, "deleted_at": TIME, "breed": TEXT},
    "accounts": {"id": INT, "handle": TEXT, "balance": INT, "deleted_at": TIME},
    "node": {"node": INT, "parent": INT, "label": TEXT, "deleted_at": TIME},
    "relics": {"id": INT, "label": TEXT, "deleted_at": TIME},
    '"Weird Name"': {'"Id"': INT, '"Quoted ""Col"': TEXT, '"select"': INT, '"Deleted At"': TIME},
    "public.users": {"id": INT, "email": TEXT, "name": TEXT, "deleted_at": TIME},
    "user_names": {"id": INT, "name": TEXT},
}
VIEWS = frozenset({"user_names"})
KEYS_OF = {"node": "node", '"Weird Name"': '"Id"'}
DELETABLE = (
    "orders",
    "items",
    "logs",
    "tasks",
    "memos",
    "measures",
    "animals",
    "dogs",
    "accounts",
    "node",
    "relics",
)
UPDATABLE = {
    "users": "name", "orders": "note", "items": "sku", "logs": "message", "tasks": "title", "memos": "body",
    "measures": "label", "animals": "name", "node": "label", '"Weird Name"': '"Quoted ""Col"',
}  # fmt: skip
INSERTABLE = {"logs": "message", "tasks": "title", "memos": "body", "node": "label", "relics": "label"}
MOST_TABLES = 6
"""In one statement, sub-selects included: cross joins of more would take minutes."""
CTE_NAMES = ("users", "orders", "tasks", "c1", "c2", "_sd1", "logs")


@dataclass(frozen=True, slots=True)
class Source:
    """One entry of a FROM list: what its columns are called and what types they have."""

    alias: str
    columns: dict[str, str]
    table: bool = False
    """Whether whole-row and system-column references work."""


Scope = tuple[Source, ...]


class Generator:
    """Build one statement after another from a random source."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.count = 0
        self.budget = 0
        self.ctes: dict[str, dict[str, str]] = {}

    def statement(self) -> str:
        """Return a statement of any kind."""
        self.count = 0
        self.budget = MOST_TABLES
        self.ctes = {}
        makers: list[Callable[[], str]] = [self.query] * 6 + [
            self.delete,
            self.delete,
            self.update,
            self.insert,
        ]
        return self.random.choice(makers)()

    def query(self) -> str:
        """Return a SELECT, perhaps with a WITH."""
        text = self.with_clause() if self.chance(0.3) else ""
        return text + self.set_operation(3)

    def delete(self) -> str:
        """Return a DELETE, perhaps with USING and RETURNING."""
        prefix = self.with_clause() if self.chance(0.2) else ""
        table = self.random.choice(DELETABLE)
        target, head = self.target(table)
        scope: Scope = (target,)
        if self.chance(0.4):
            using, sources = self.from_item(2, ())
            head += f" USING {using}"
            scope = (target, *sources)
        where = f" WHERE {self.boolean(scope, 2)}" if self.chance(0.9) else ""
        # Of several joined rows that match one target row, any may be returned: then only its own columns.
        returned = self.columns((target,), 1) if self.chance(0.5) else ""
        return f"{prefix}DELETE FROM {head}{where}{f' RETURNING {returned}' if returned else ''}"

    def update(self) -> str:
        """Return an UPDATE whose new value does not depend on which of several joined rows is taken."""
        prefix = self.with_clause() if self.chance(0.2) else ""
        table = self.random.choice(list(UPDATABLE))
        target, head = self.target(table)
        scope: Scope = (target,)
        value = self.text((target,), 2)
        source = ""
        if self.chance(0.4):
            item, sources = self.from_item(2, ())
            source = f" FROM {item}"
            scope = (target, *sources)
        where = f" WHERE {self.boolean(scope, 2)}" if self.chance(0.9) else ""
        returned = f" RETURNING {self.columns((target,), 1)}" if self.chance(0.4) else ""
        return f"{prefix}UPDATE {head} SET {UPDATABLE[table]} = {value}{source}{where}{returned}"

    def insert(self) -> str:
        """Return an INSERT ... SELECT of fresh keys."""
        prefix = self.with_clause() if self.chance(0.2) else ""
        table = self.random.choice(list(INSERTABLE))
        key = KEYS_OF.get(table, "id")
        item, sources = self.from_item(2, ())
        value = self.text(sources, 1)
        where = f" WHERE {self.boolean(sources, 2)}" if self.chance(0.7) else ""
        inner = f"SELECT coalesce({value}, 'none') AS v FROM {item}{where} ORDER BY 1"
        returned = f" RETURNING {key}, {INSERTABLE[table]}" if self.chance(0.4) else ""
        rows = f"SELECT 50000 + row_number() OVER (ORDER BY s.v), s.v FROM ({inner}) s"
        return f"{prefix}INSERT INTO {table} ({key}, {INSERTABLE[table]}) {rows}{returned}"

    def target(self, table: str) -> tuple[Source, str]:
        """Return a DML target and how it is written."""
        name = f"app.{table}" if table in self.ctes or self.chance(0.3) else table
        if self.chance(0.6):
            alias = self.alias()
            return Source(
                alias, TABLES[table], table=True
            ), f"{name} {self.random.choice(['AS ', ''])}{alias}"
        return Source(table, TABLES[table], table=True), name

    def with_clause(self) -> str:
        """Return a WITH of one or two queries, whose names may shadow tables."""
        parts = []
        names = self.random.sample(CTE_NAMES, self.random.randint(1, 2))
        for name in names:
            body, columns = self.sub_select(2, ())
            parts.append(
                f"{name} AS {self.random.choice(['', '', 'MATERIALIZED ', 'NOT MATERIALIZED '])}({body})"
            )
            self.ctes[name] = columns
        return f"WITH {', '.join(parts)} "

    def set_operation(self, depth: int) -> str:
        """Return a SELECT, or several under UNION, EXCEPT or INTERSECT, ordered if it is cut."""
        if not self.chance(0.2):
            body, columns = self.sub_select(depth, ())
            if self.chance(0.2):
                places = ", ".join(str(number) for number in range(1, len(columns) + 1))
                return f"SELECT * FROM ({body}) final ORDER BY {places} LIMIT {self.random.randint(1, 9)}"
            return body
        arms = []
        for _ in range(self.random.randint(2, 3)):
            item, sources = self.from_item(2, ())
            where = f" WHERE {self.boolean(sources, 1)}" if self.chance(0.6) else ""
            arms.append(f"SELECT {self.integer(sources, 1)}, {self.text(sources, 1)} FROM {item}{where}")
        text = arms[0]
        for arm in arms[1:]:
            operator = self.random.choice(["UNION", "UNION ALL", "EXCEPT", "INTERSECT", "EXCEPT ALL"])
            text += f" {operator} ({arm})" if self.chance(0.4) else f" {operator} {arm}"
        return text

    def sub_select(self, depth: int, outer: Scope) -> tuple[str, dict[str, str]]:
        """Return a SELECT and the columns it gives; `outer` may be referred to."""
        items: list[str] = []
        sources: Scope = ()
        for _ in range(1 if self.chance(0.7) else 2):
            item, more = self.from_item(depth, (*outer, *sources))
            items.append(item)
            sources = (*sources, *more)
        scope = (*outer, *sources)
        where = f" WHERE {self.boolean(scope, depth - 1)}" if self.chance(0.45) else ""
        if self.chance(0.25):
            return self.grouped(sources, f"{', '.join(items)}{where}")
        columns: dict[str, str] = {}
        listed = []
        for number in range(self.random.randint(1, 3)):
            kind = self.random.choice([INT, TEXT, INT, BOOL])
            columns[f"x{number}"] = kind
            listed.append(f"{self.expression(kind, scope, depth - 1)} AS x{number}")
        distinct = "DISTINCT " if self.chance(0.15) else ""
        return f"SELECT {distinct}{', '.join(listed)} FROM {', '.join(items)}{where}", columns

    def grouped(self, sources: Scope, rest: str) -> tuple[str, dict[str, str]]:
        """Return a SELECT with GROUP BY; `rest` is its FROM and WHERE, `sources` what it may aggregate."""
        column = self.column(TEXT, sources) or self.column(INT, sources) or self.column(BOOL, sources)
        key = f"coalesce({column}::text, 'none')"
        having = f" HAVING count(*) > {self.random.randint(0, 2)}" if self.chance(0.3) else ""
        grouping = self.random.choice([key, key, f"ROLLUP ({key})", f"GROUPING SETS (({key}), ())"])
        number = self.column(INT, sources)
        total = f"sum({number})" if number and self.chance(0.5) else "count(*)"
        text = f"SELECT {key} AS k, {total}::bigint AS n FROM {rest} GROUP BY {grouping}{having}"
        return text, {"k": TEXT, "n": INT}

    def from_item(self, depth: int, outer: Scope) -> tuple[str, Scope]:
        """Return one item of a FROM list with what it brings into scope."""
        pick = self.random.random() if self.budget > 0 else 1.0
        if depth > 0 and pick < 0.45:
            return self.join(depth - 1, outer)
        if depth > 0 and pick < 0.6:
            lateral = bool(outer) and self.chance(0.5)
            body, columns = self.sub_select(depth - 1, outer if lateral else ())
            alias = self.alias()
            return f"{'LATERAL ' if lateral else ''}({body}) AS {alias}", (Source(alias, columns),)
        if pick > 0.93:
            alias = self.alias()
            return f"generate_series(1, {self.random.randint(1, 3)}) AS {alias} (g)", (
                Source(alias, {"g": INT}),
            )
        return self.table()

    def table(self) -> tuple[str, Scope]:
        """Return a reference to a table, a view or a CTE."""
        self.budget -= 1
        if self.ctes and self.chance(0.4):
            name = self.random.choice(list(self.ctes))
            alias = self.alias()
            return f"{name} AS {alias}", (Source(alias, self.ctes[name]),)
        name = self.random.choice(list(TABLES))
        columns = TABLES[name]
        alias = self.alias()
        written = name if "." in name else f"app.{name}" if name in self.ctes or self.chance(0.2) else name
        if name in VIEWS:
            return f"{written} {alias}", (Source(alias, columns),)
        if self.chance(0.1):
            written = f"ONLY {written}" if self.chance(0.5) else f"ONLY ({written})"
        if self.chance(0.1):
            return f"{written} AS {alias} TABLESAMPLE SYSTEM (100)", (Source(alias, columns, table=True),)
        return f"{written} {self.random.choice(['AS ', ''])}{alias}", (Source(alias, columns, table=True),)

    def join(self, depth: int, outer: Scope) -> tuple[str, Scope]:
        """Return a join of two items, perhaps in parentheses, perhaps under an alias of its own."""
        left, left_scope = self.from_item(depth, outer)
        kind = self.random.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", "LEFT JOIN"])
        # Only the right side of an inner or left join may refer to the left one.
        right, right_scope = self.from_item(
            depth, (*outer, *left_scope) if kind in ("JOIN", "LEFT JOIN") else ()
        )
        scope = (*left_scope, *right_scope)
        if kind == "CROSS JOIN":
            text = f"{left} CROSS JOIN {right}"
        elif kind == "FULL JOIN" or self.chance(0.6):
            one, other = self.column(INT, left_scope), self.column(INT, right_scope)
            text = (
                f"{left} {kind} {right} ON {one} = {other}" if one and other else f"{left} CROSS JOIN {right}"
            )
        else:
            text = f"{left} {kind} {right} ON {self.boolean(scope, depth)}"
        if self.chance(0.15):
            alias = self.alias()
            names: dict[str, str] = {}
            for source in scope:
                names.update({f"y{len(names) + n}": kind for n, kind in enumerate(source.columns.values())})
            if not any(source.table for source in scope):
                return f"({text}) AS {alias} ({', '.join(names)})", (Source(alias, names),)
        return (f"({text})", scope) if self.chance(0.5) or outer else (text, scope)

    def columns(self, scope: Scope, depth: int) -> str:
        """Return a select list."""
        kinds = [self.random.choice([INT, TEXT, BOOL, TIME]) for _ in range(self.random.randint(1, 4))]
        return ", ".join(self.expression(kind, scope, depth) for kind in kinds)

    def expression(self, kind: str, scope: Scope, depth: int) -> str:
        """Return an expression of a type."""
        makers = {INT: self.integer, TEXT: self.text, BOOL: self.boolean, TIME: self.time}
        return makers[kind](scope, depth)

    def integer(self, scope: Scope, depth: int) -> str:
        """Return an expression of type bigint, more or less."""
        if depth > 0 and self.chance(0.25):
            body, columns = self.sub_select(depth - 1, scope)
            column = next((name for name, kind in columns.items() if kind == INT), None)
            return f"(SELECT {f'max(s.{column})' if column else 'count(*)'} FROM ({body}) s)"
        if self.chance(0.15):
            return (
                f"({self.integer(scope, depth - 1)} {self.random.choice('+-*')} {self.random.randint(1, 4)})"
            )
        if self.chance(0.1):
            return f"length({self.text(scope, depth - 1)})"
        return self.column(INT, scope) or str(self.random.randint(0, 1000))

    def text(self, scope: Scope, depth: int) -> str:
        """Return an expression of type text."""
        tables = [source.alias for source in scope if source.table]
        if tables and self.chance(0.12):
            alias = self.random.choice(tables)
            return self.random.choice(
                [f"{alias}::text", f"to_jsonb({alias})::text", f"{alias}.tableoid::regclass::text"]
            )
        if depth > 0 and self.chance(0.15):
            body, columns = self.sub_select(depth - 1, scope)
            name = self.random.choice(list(columns))
            return f"(SELECT string_agg(s.{name}::text, ',' ORDER BY s.{name}::text) FROM ({body}) s)"
        if self.chance(0.15):
            return f"{self.random.choice(['upper', 'reverse', 'md5'])}({self.text(scope, depth - 1)})"
        if self.chance(0.1):
            return f"CASE WHEN {self.boolean(scope, depth - 1)} THEN {self.text(scope, 0)} ELSE 'else' END"
        return self.column(TEXT, scope) or self.random.choice(["'Ada'", "'it''s'", "$$--$$", "E'\\''"])

    def boolean(self, scope: Scope, depth: int) -> str:
        """Return a condition."""
        pick = self.random.random()
        if depth > 0 and pick < 0.2:
            word = self.random.choice(["AND", "OR", "OR"])
            return f"{self.boolean(scope, depth - 1)} {word} {self.boolean(scope, depth - 1)}"
        if depth > 0 and pick < 0.27:
            return f"NOT ({self.boolean(scope, depth - 1)})"
        if depth > 0 and pick < 0.5:
            body, columns = self.sub_select(depth - 1, scope)
            column = next((name for name, kind in columns.items() if kind == INT), None)
            if column is None or pick < 0.37:
                return f"{self.random.choice(['', 'NOT '])}EXISTS ({body})"
            operator = self.random.choice(["IN", "NOT IN", "= ANY", "> ALL"])
            return f"{self.integer(scope, 0)} {operator} (SELECT s.{column} FROM ({body}) s)"
        if pick < 0.6:
            return f"{self.text(scope, depth - 1)} {self.random.choice(['<>', '<', 'IS DISTINCT FROM'])} 'M'"
        if pick < 0.7:
            return f"{self.time(scope, 0)} IS {self.random.choice(['', 'NOT '])}NULL"
        if pick < 0.75 and self.column(BOOL, scope):
            return f"{self.column(BOOL, scope)} IS NOT TRUE"
        return f"{self.integer(scope, depth - 1)} {self.random.choice(['<', '>', '=', '<>'])} {self.integer(scope, 0)}"

    def time(self, scope: Scope, depth: int) -> str:
        """Return an expression of type timestamptz: most often a deletion column."""
        return self.column(TIME, scope) or "'2026-01-01 00:00:00+00'::timestamptz"

    def column(self, kind: str, scope: Scope) -> str | None:
        """Return a column of a type that is in scope, if there is one."""
        found = [f"{s.alias}.{name}" for s in scope for name, known in s.columns.items() if known == kind]
        return self.random.choice(found) if found else None

    def alias(self) -> str:
        """Return a name that no other source of the statement has; some of them are tables elsewhere."""
        self.count += 1
        return f"{self.random.choice(['t', 'q', 'r'])}{self.count}"

    def chance(self, probability: float) -> bool:
        """Return true with a probability."""
        return self.random.random() < probability


def generated_cases(seed: int) -> Iterator[Case]:
    """Yield cases without end; the n-th of a seed is always the same."""
    number = 0
    while True:
        number += 1
        # A source of its own for each: one case can be made again without those before it.
        sql = Generator(Random(f"{seed}/{number}")).statement()  # noqa: S311 - not for secrets
        directives = {"path": "app, public", "origins": "ignored" if "user_names" in sql else "equal"}
        yield Case("generated", f"seed {seed}, number {number}", number, (Message(sql),), directives)
