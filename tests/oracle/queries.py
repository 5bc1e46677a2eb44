"""Random SELECTs: FROM items, joins, sub-selects, expressions, each typed so that it runs.

What two servers may answer differently without being wrong (ties under LIMIT, the time, physical order) is not
generated. Knows names and types, nothing of what is protected.
"""

from random import Random

from tests.oracle.vocabulary import (
    BOOL,
    INT,
    MOST_TABLES,
    RENAMED,
    TABLES,
    TEXT,
    TIME,
    VIEWS,
    Scope,
    Source,
)


class Queries:
    """Build queries from a random source; one object for one statement at a time."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.count = 0
        self.budget = MOST_TABLES
        self.ctes: dict[str, dict[str, str]] = {}

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
        if name in RENAMED and self.chance(0.15):
            renamed = RENAMED[name]
            columns = {new: kind for new, kind in renamed if kind}
            return f"{written} AS {alias} ({', '.join(new for new, _ in renamed)})", (Source(alias, columns),)
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
        elif self.chance(0.3) and all(
            sum("id" in s.columns for s in side) == 1 for side in (left_scope, right_scope)
        ):
            text = f"{left} {kind} {right} USING (id)"
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
        if depth > 0 and self.chance(0.1):
            body, columns = self.sub_select(depth - 1, scope)
            return f"cardinality(ARRAY(SELECT s.{next(iter(columns))} FROM ({body}) s))"
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
