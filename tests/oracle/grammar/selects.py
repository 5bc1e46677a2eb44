"""Random queries: plain, grouped, windowed, DISTINCT, under set operations, with WITH, cut by LIMIT.

What two servers may answer differently without being wrong is not made: what is cut, numbered or aggregated in an
order has an order that leaves only equal rows undecided.
"""

from collections.abc import Callable
from dataclasses import replace

from tests.oracle.grammar.sources import Sources
from tests.oracle.grammar.vocabulary import (
    BOOL,
    CTE_NAMES,
    DATE,
    INT,
    NUM,
    TABLES,
    TEXT,
    TIME,
    VIEWS,
    Made,
    Scope,
    Source,
)  # fmt: skip

SORTED = (INT, TEXT, BOOL, TIME, NUM, DATE)
ARMS = ("UNION", "UNION ALL", "EXCEPT", "EXCEPT ALL", "INTERSECT", "INTERSECT ALL")
FRAMES = (
    "ROWS BETWEEN 1 PRECEDING AND CURRENT ROW", "ROWS UNBOUNDED PRECEDING",
    "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW",
    "GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING", "RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
    "ROWS BETWEEN (SELECT count(*) FROM app.memos) PRECEDING AND CURRENT ROW",
    "ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING EXCLUDE TIES",
)  # fmt: skip
WINDOWED = {
    INT: ("row_number()", "rank()", "dense_rank()", "count(*)", "sum(s.{i})", "ntile(2)"),
    TEXT: (
        "lag(s.{t})",
        "lead(s.{t}, 1, 'none')",
        "first_value(s.{t})",
        "last_value(s.{t})",
        "nth_value(s.{t}, 2)",
    ),
}


class Selects(Sources):
    """Build SELECTs whose columns are of wanted types."""

    def sub_select(self, depth: int, outer: Scope, kinds: tuple[str, ...] = ()) -> Made:
        """Return a query whose columns x0, x1, ... have these types, or any."""
        wanted = kinds or tuple(self.pick(SORTED) for _ in range(self.random.randint(1, 3)))
        if self.relations <= 0:
            return self.bare(depth, outer, wanted)
        makers: list[tuple[float, Callable[[int, Scope, tuple[str, ...]], Made]]] = [
            (56, self.plain), (14, self.grouped), (7, self.windowed), (5, self.distinct_on), (2, self.values),
        ]  # fmt: skip
        if depth > 0:
            makers += [(10, self.set_operation), (6, self.with_inside)]
        made = self.weighted(makers)(depth, outer, wanted)
        return self.cut(made) if self.chance(0.08) else made

    def cut(self, made: Made) -> Made:
        """Return the first rows of a query by an order over all its columns."""
        self.use("ORDER BY with LIMIT")
        places = ", ".join(
            f"{n + 1}{self.pick(('', ' DESC', ' NULLS FIRST'))}" for n in range(len(made.columns))
        )
        tail = self.pick(
            (
                f"LIMIT {self.random.randint(0, 6)}",
                f"OFFSET 1 LIMIT {self.random.randint(1, 6)}",
                f"FETCH FIRST {self.random.randint(1, 5)} ROWS ONLY",
                "FETCH FIRST 2 ROWS WITH TIES",
                "LIMIT (SELECT count(*) FROM app.tasks)",
            )
        )
        return Made(f"SELECT * FROM ({made.text}) AS {self.alias()} ORDER BY {places} {tail}", made.columns)

    def listed(self, kinds: tuple[str, ...], scope: Scope, depth: int) -> str:
        """Return a select list whose columns are called x0, x1, ..."""
        parts = (f"{self.item(kind, scope, depth)} AS x{n}" for n, kind in enumerate(kinds))
        return ", ".join(parts)

    def item(self, kind: str, scope: Scope, depth: int) -> str:
        """Return an expression for a select list."""
        text = self.expression(kind, scope, depth)
        # Which scale a set operation announces hangs on which of its arms the planner could leave out.
        return f"({text} + 0)" if self.combining and kind == NUM else text

    def where(self, scope: Scope, depth: int) -> str:
        """Return a WHERE clause, or none."""
        return f" WHERE {self.boolean(scope, depth)}" if self.chance(0.5) else ""

    def plain(self, depth: int, outer: Scope, kinds: tuple[str, ...]) -> Made:
        """Return a SELECT of expressions."""
        items, sources = self.from_list(depth, outer)
        scope = self.inside(outer, sources)
        distinct = ""
        if self.chance(0.08):
            self.use("DISTINCT")
            distinct = "DISTINCT "
        text = f"SELECT {distinct}{self.listed(kinds, scope, depth - 1)} FROM {items}{self.where(scope, depth - 1)}"
        return Made(text, _named(kinds))

    def bare(self, depth: int, outer: Scope, kinds: tuple[str, ...]) -> Made:
        """Return a SELECT without FROM."""
        self.use("SELECT without FROM")
        return Made(f"SELECT {self.listed(kinds, outer, 0)}{self.where(outer, 0)}", _named(kinds))

    def values(self, depth: int, outer: Scope, kinds: tuple[str, ...]) -> Made:
        """Return VALUES, with expressions in them."""
        self.use("VALUES")
        rows = [
            f"({', '.join(self.expression(kind, outer, min(depth, 1)) for kind in kinds)})"
            for _ in range(self.random.randint(1, 3))
        ]
        names = ", ".join(_named(kinds))
        return Made(f"SELECT * FROM (VALUES {', '.join(rows)}) AS {self.alias()} ({names})", _named(kinds))

    def grouped(self, depth: int, outer: Scope, kinds: tuple[str, ...]) -> Made:
        """Return a SELECT with GROUP BY; what it lists are keys and aggregates."""
        items, sources = self.from_list(depth, outer)
        scope = self.inside(outer, sources)
        where = self.where(scope, depth - 1)
        # Not by the whole row of what USING merged: where that is nulled by an outer join, the planner of 18 fails
        # ("wrong varnullingrels"), with a predicate written by hand in ON as well.
        keyed = tuple(source for source in sources if not (source.alias and source.covers))
        # As a number or text by a cast, so that no grouping key is a place in the select list.
        keys = [
            f"({self.expression(kind, keyed, 0)})::text" for kind in (TEXT, INT)[: self.random.randint(1, 2)]
        ]
        columns = [f"{self.aggregate(kind, sources, keys)} AS x{n}" for n, kind in enumerate(kinds)]
        having = ""
        if self.chance(0.25):
            self.use("HAVING")
            condition = self.pick(
                (f"count(*) > {self.random.randint(0, 2)}", f"every({self.boolean(sources, 0)})")
            )
            having = f" HAVING {condition}"
        text = f"SELECT {', '.join(columns)} FROM {items}{where} {self.grouping(keys)}{having}"
        return Made(text, _named(kinds))

    def grouping(self, keys: list[str]) -> str:
        """Return a GROUP BY clause over the keys."""
        together = ", ".join(keys)
        form = self.weighted([(5, "GROUP BY"), (1, "ROLLUP"), (1, "CUBE"), (1, "GROUPING SETS")])
        self.use(form)
        if form == "GROUP BY":
            return f"GROUP BY {together}"
        if form == "GROUPING SETS":
            return f"GROUP BY GROUPING SETS (({together}), ({keys[0]}), ())"
        return f"GROUP BY {self.pick(('', 'DISTINCT '))}{form} ({together})"

    def aggregate(self, kind: str, scope: Scope, keys: list[str]) -> str:
        """Return an aggregate, or a key where one has the type."""
        only = ""
        if self.chance(0.15):
            self.use("aggregate FILTER")
            only = f" FILTER (WHERE {self.boolean(scope, 1)})"
        if kind == INT:
            forms = ["count(*){f}", "sum({i})::bigint", "max({i}){f}::bigint", "count(DISTINCT {i}){f}"]
            form = self.pick([*forms, "coalesce(sum({i}){f}, 0)::bigint"])
            return form.replace("{i}", self.integer(scope, 1)).replace("{f}", only)
        if kind == TEXT:
            if self.chance(0.5):
                return self.pick(keys)
            self.use("ordered aggregate")
            inner = f"({self.text(scope, 1)})"
            form = self.pick(
                (
                    "string_agg({t}, ',' ORDER BY {t}){f}",
                    "(array_agg({t} ORDER BY {t} DESC){f})::text",
                    "jsonb_agg({t} ORDER BY {t}){f}::text",
                    "percentile_disc(0.5) WITHIN GROUP (ORDER BY {t}){f}",
                    "string_agg(DISTINCT {t}, ';' ORDER BY {t}){f}",
                )
            )
            return form.replace("{t}", inner).replace("{f}", only)
        if kind == BOOL:
            return f"{self.pick(('bool_and', 'bool_or'))}({self.boolean(scope, 1)}){only}"
        if kind in (NUM, TIME, DATE):
            return f"{self.pick(('max', 'min'))}({self.expression(kind, scope, 1)}){only}"
        return (
            f"(array_agg({self.expression(kind, scope, 0)} ORDER BY 1))[1]" if keys else self.constant(kind)
        )

    def windowed(self, depth: int, outer: Scope, kinds: tuple[str, ...]) -> Made:
        """Return a SELECT with window functions, over rows that only equal ones can change places in."""
        self.use("window function")
        inner = self.sub_select(max(0, depth - 1), outer, (INT, TEXT, *kinds))
        order = ", ".join(f"s.x{n}{self.pick(('', ' DESC', ' NULLS FIRST'))}" for n in range(2 + len(kinds)))
        partition = self.pick(("", "PARTITION BY s.x1 ", "PARTITION BY s.x0 % 2 "))
        frame = ""
        if self.chance(0.5):
            self.use("window frame")
            frame = f" {self.pick(FRAMES)}"
        window, clause = f"({partition}ORDER BY {order}{frame})", ""
        if self.chance(0.3):
            self.use("WINDOW clause")
            window, clause = "w", f" WINDOW w AS {window}"
        columns = []
        for number, kind in enumerate(kinds):
            forms = WINDOWED.get(kind)
            call = self.pick(forms).format(i="x0", t="x1") if forms else f"first_value(s.x{number + 2})"
            cast = f"::{kind}" if kind == INT else ""
            columns.append(f"({call} OVER {window}){cast} AS x{number}")
        return Made(f"SELECT {', '.join(columns)} FROM ({inner.text}) AS s{clause}", _named(kinds))

    def distinct_on(self, depth: int, outer: Scope, kinds: tuple[str, ...]) -> Made:
        """Return a SELECT DISTINCT ON whose order decides which row stays."""
        self.use("DISTINCT ON")
        inner = self.sub_select(max(0, depth - 1), outer, kinds)
        places = ", ".join(f"s.x{n}" for n in range(len(kinds)))
        return Made(f"SELECT DISTINCT ON (s.x0) * FROM ({inner.text}) AS s ORDER BY {places}", _named(kinds))

    def set_operation(self, depth: int, outer: Scope, kinds: tuple[str, ...]) -> Made:
        """Return two or three arms under UNION, EXCEPT or INTERSECT."""
        self.combining += 1
        arms = [self.arm(depth - 1, outer, kinds) for _ in range(self.random.randint(2, 3))]
        self.combining -= 1
        text = arms[0]
        for arm in arms[1:]:
            operator = self.pick(ARMS)
            self.use(operator)
            text += f" {operator} {arm}"
        if self.chance(0.2):
            self.use("set operation with ORDER BY and LIMIT")
            places = ", ".join(str(n + 1) for n in range(len(kinds)))
            text += f" ORDER BY {places} LIMIT {self.random.randint(1, 8)}"
        return Made(text, _named(kinds))

    def arm(self, depth: int, outer: Scope, kinds: tuple[str, ...]) -> str:
        """Return an arm of a set operation; in parentheses it may be any query."""
        if self.chance(0.4):
            self.use("set operation arm in parentheses")
            return f"({self.sub_select(depth, outer, kinds).text})"
        return self.plain(depth, outer, kinds).text

    def with_inside(self, depth: int, outer: Scope, kinds: tuple[str, ...]) -> Made:
        """Return a query with a WITH of its own, whose names end with it."""
        self.use("WITH in a sub-select")
        before = dict(self.ctes)
        name = self.pick(CTE_NAMES)
        made = self.sub_select(depth - 1, outer)
        if name in before:
            self.use("WITH that shadows a WITH")
        self.ctes[name] = made.columns
        inner = self.sub_select(depth - 1, outer, kinds)
        self.ctes = before
        return Made(f"WITH {name} AS ({made.text}) {enclosed(inner.text)}", inner.columns)

    def recursive(self, outer: Scope) -> tuple[str, dict[str, str]]:
        """Return the body of a recursive CTE called `walk`, and its columns."""
        self.use("WITH RECURSIVE")
        start = self.sub_select(1, outer, (INT, TEXT))
        step, key, parent = self.pick(
            (
                ("app.node", "node", "parent"),
                ("app.users", "id", "manager_id"),
                ("app.items", "id", "order_id"),
            )
        )
        self.relations -= 1
        union = self.pick(("UNION", "UNION ALL"))
        body = f"SELECT s.{key}::bigint, w.x1 || '.', w.x2 + 1 FROM {step} AS s JOIN walk AS w ON s.{parent} = w.x0"
        text = f"SELECT a.x0::bigint, a.x1::text, 1 FROM ({start.text}) AS a {union} {body} WHERE w.x2 < 4"
        return text, {"x0": INT, "x1": TEXT, "x2": INT}

    def top_level(self) -> tuple[str, bool]:
        """Return a whole query, and whether the order of its rows is settled."""
        roll = self.random.random()
        if roll < 0.03:
            self.use("TABLE")
            table, _ = self.table_alone()
            return f"TABLE {table}", False
        if roll < 0.16:
            self.use("star in the select list")
            items, scope = self.from_list(self.pick((3, 4)), ())
            stars = ["*", *(f"{source.alias}.*" for source in scope if source.alias)]
            return f"SELECT {self.pick(stars)} FROM {items}{self.where(scope, 2)}", False
        if roll < 0.20:
            return self.locking(), False
        if roll < 0.23:
            return self.by_key(), False
        made = self.sub_select(self.pick((3, 4)), ())
        if self.chance(0.25):
            self.use("ORDER BY at the top")
            places = ", ".join(f"{n + 1}" for n in range(len(made.columns)))
            return f"SELECT * FROM ({made.text}) AS top ORDER BY {places}", True
        return made.text, False

    def locking(self) -> str:
        """Return a SELECT that locks rows."""
        self.use("FOR UPDATE or SHARE")
        items, scope = self.joined_tables()
        strength = self.pick(("UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE"))
        of = f" OF {scope[0].alias}" if self.chance(0.5) else ""
        how = self.pick(("", " NOWAIT", " SKIP LOCKED"))
        return f"SELECT {self.listed((INT, TEXT), scope, 1)} FROM {items}{self.where(scope, 1)} FOR {strength}{of}{how}"

    def joined_tables(self) -> tuple[str, Scope]:
        """Return one or two tables, joined so that both can be locked."""
        one, scope = self.plain_table()
        if self.chance(0.5):
            return one, scope
        other, more = self.plain_table()
        both = (*scope, *more)
        left, right = self.column(INT, scope, both), self.column(INT, more, both)
        return f"{one} JOIN {other} ON {left or '1'} = {right or '1'}", (*scope, *more)

    def by_key(self) -> str:
        """Return a grouped SELECT that may name every column because it groups by the primary key."""
        self.use("GROUP BY a primary key")
        key = self.pick((("users", "id", "name"), ("orders", "id", "note"), ("relics", "id", "label")))
        self.relations -= 1
        item, more = self.from_item(2, ())
        scope = tuple(replace(known, crowded=True) for known in (Source("g", {key[1]: INT}), *more))
        columns = f"g.{key[1]}, g.{key[2]}, {self.aggregate(INT, scope, ['g.' + key[2]])} AS n"
        on = f"g.{key[1]} = {self.column(INT, scope[1:]) or '1'}"
        join = f"{self.pick(('', 'LEFT '))}JOIN {item} ON {on}"
        return f"SELECT {columns} FROM app.{key[0]} AS g {join} GROUP BY g.{key[1]}"

    def table_alone(self) -> tuple[str, Scope]:
        """Return a relation as TABLE takes it."""
        self.relations -= 1
        if self.chance(0.2):
            self.use("view")
            return self.relation(self.pick(VIEWS)), ()
        return self.relation(self.pick(TABLES)), ()

    def plain_table(self) -> tuple[str, Scope]:
        """Return a table with an alias and nothing else."""
        self.relations -= 1
        table, alias = self.pick(TABLES), self.alias()
        return f"{self.relation(table)} AS {alias}", (Source(alias, table.columns, table=True),)


def _named(kinds: tuple[str, ...]) -> dict[str, str]:
    return {f"x{number}": kind for number, kind in enumerate(kinds)}


def enclosed(text: str) -> str:
    """Return a query as it may stand after a WITH: inside another one if it has a WITH of its own."""
    return f"SELECT * FROM ({text}) AS inner_with" if text.startswith("WITH ") else text
