"""Random items of a FROM list: tables in all spellings, joins of all kinds, sub-selects, functions."""

from dataclasses import replace

from tests.oracle.grammar.expressions import Expressions
from tests.oracle.grammar.vocabulary import (
    INT,
    JSON,
    OTHER,
    RENAMED,
    TABLES,
    TEXT,
    TEXTS,
    VIEWS,
    Scope,
    Source,
    Table,
)  # fmt: skip

JOINS = ("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", "LEFT JOIN", "INNER JOIN")


class Sources(Expressions):
    """Build items of a FROM list; each comes with what it brings into scope."""

    public_first = False
    """Whether the search_path looks into `public` before `app`."""

    def from_list(self, depth: int, outer: Scope) -> tuple[str, Scope]:
        """Return a FROM list."""
        item, scope = self.from_item(depth, outer)
        while self.chance(0.2) and self.crossed > 0 and self.relations > 0:
            self.use("comma join")
            self.crossed -= 1
            other, more = self.from_item(depth - 1, outer, scope)
            item, scope = f"{item}, {other}", (*scope, *more)
        return item, scope

    def from_item(self, depth: int, outer: Scope, beside: Scope = ()) -> tuple[str, Scope]:
        """Return one item; LATERAL lets it refer to what stands beside it."""
        roll = self.random.random()
        if self.relations <= 0:
            return self.series()
        # Unqualified, a name could mean what stands beside it and may not be referred to.
        seen = tuple(replace(source, crowded=True) for source in beside)
        if depth > 0 and roll < 0.36:
            return self.join(depth - 1, outer, beside)
        if depth > 0 and roll < 0.50:
            self.use("sub-select in FROM")
            alias = self.alias()
            word = ""
            if beside and self.chance(0.5):
                self.use("LATERAL sub-select")
                word, outer = "LATERAL ", self.inside(outer, seen)
            made = self.sub_select(depth - 1, outer)
            return f"{word}({made.text}) AS {alias}", (Source(alias, made.columns),)
        if roll > 0.95:
            return self.function(tuple(replace(known, crowded=True) for known in self.inside(outer, beside)))
        return self.table(outer)

    def series(self) -> tuple[str, Scope]:
        """Return an item that names no relation."""
        alias = self.alias()
        self.use("function in FROM")
        return f"generate_series(1, {self.random.randint(1, 3)}) AS {alias} (g)", (Source(alias, {"g": INT}),)

    def function(self, scope: Scope) -> tuple[str, Scope]:
        """Return a function in FROM, of one kind or another."""
        alias = self.alias()
        json, texts = self.column(JSON, scope), self.column(TEXTS, scope)
        roll = self.random.random()
        if roll < 0.2 and self.has("JSON_TABLE"):
            self.use("JSON_TABLE")
            fields = "COLUMNS (n FOR ORDINALITY, w text PATH '$.w', m bigint PATH '$.w')"
            # No deeper: a comparison of strings in there has no collation, and 17 and 18 fail when they come to it.
            item = f"JSON_TABLE({json or self.constant(JSON)}, '$' {fields}) AS {alias}"
            return item, (Source(alias, {"n": INT, "w": TEXT, "m": INT}),)
        if roll < 0.5:
            self.use("ROWS FROM")
            inner = f"generate_series(1, 2), unnest({texts or self.array(TEXTS, scope, 1)})"
            item = f"ROWS FROM ({inner}) WITH ORDINALITY AS {alias} (a, b, n)"
            return item, (Source(alias, {"a": INT, "b": TEXT, "n": INT}),)
        if roll < 0.8:
            self.use("unnest")
            item = f"unnest({texts or self.array(TEXTS, scope, 1)}) AS {alias} (u)"
            return item, (Source(alias, {"u": TEXT}),)
        return self.series()

    def table(self, outer: Scope) -> tuple[str, Scope]:
        """Return a reference to a table, a view or a CTE."""
        self.relations -= 1
        if self.ctes and self.chance(0.4):
            name = self.pick(list(self.ctes))
            alias = self.alias(outer)
            self.use("CTE reference")
            return f"{self.spell(name)} AS {alias}", (Source(alias, self.ctes[name]),)
        table = self.pick(VIEWS) if self.chance(0.12) else self.pick(TABLES)
        if table.view:
            self.use("view")
        if not table.view and self.chance(0.12) and table.name in RENAMED and table.schema == "app":
            return self.renamed(table)
        written = self.relation(table)
        if table.view and self.chance(0.8):
            alias = self.alias(outer)
            return f"{written} {alias}", (Source(alias, table.columns),)
        if not table.view and self.chance(0.1):
            self.use("ONLY")
            written = f"ONLY {written}" if self.chance(0.5) else f"ONLY ({written})"
        elif not table.view and self.chance(0.04):
            self.use("star that asks for children")
            written += " *"
        if self.relations > 0 and self.chance(0.08) and table.name not in self.named_bare:
            # Known by its own name: it may be there once only.
            self.named_bare.add(table.name)
            self.use("table without an alias")
            return written, (Source(table.name, table.columns, table=not table.view),)
        alias = self.alias(outer)
        written += f" {self.pick(('AS ', ''))}{self.spell(alias)}"
        if not table.view and self.chance(0.05):
            self.use("TABLESAMPLE")
            method = self.pick(
                ("SYSTEM (100)", "BERNOULLI (100)", "BERNOULLI (100) REPEATABLE (7)", "SYSTEM (0)")
            )
            written += f" TABLESAMPLE {method}"
        return written, (Source(alias, table.columns, table=not table.view),)

    def renamed(self, table: Table) -> tuple[str, Scope]:
        """Return a table under an alias with a list of columns."""
        self.use("alias with column list")
        names = RENAMED[table.name]
        kinds = list(table.columns.values())
        rest = list(table.columns)[len(names) :]
        columns = dict(zip((*names, *rest), kinds, strict=True))
        if len(columns) < len(kinds):  # two columns of one name: leave them alone
            doubled = {name for name in rest if name in names}
            columns = {name: OTHER if name in doubled else kind for name, kind in columns.items()}
        alias = self.alias()
        return f"{self.relation(table)} AS {alias} ({', '.join(names)})", (Source(alias, columns),)

    def relation(self, table: Table) -> str:
        """Return a relation's name, with its schema where it must be and sometimes where it need not."""
        name, schema = self.spell(table.name), self.spell(table.schema)
        found = table.schema == "app" or (table.schema == "public" and table.name not in ("users", "tasks"))
        if self.public_first and table.name in ("users", "tasks"):
            found = table.schema == "public"
        if found and table.name not in self.ctes and not self.chance(0.15):
            return name
        if table.name in self.ctes:
            self.use("qualified name past a CTE")
        self.use("qualified name")
        if self.chance(0.04):
            self.use("name with a database")
            return f"oracle_full.{schema}.{name}"
        return f"{schema}.{name}"

    def join(self, depth: int, outer: Scope, beside: Scope) -> tuple[str, Scope]:
        """Return a join of two items, perhaps in parentheses, perhaps under an alias of its own."""
        self.nesting += 1
        self.use(f"join at depth {min(4, self.nesting)}")
        left, left_scope = self.from_item(depth, outer, beside)
        kind = self.pick(JOINS)
        # Only the right side of an inner or left join may refer to the left one.
        sideways = kind in ("JOIN", "LEFT JOIN", "INNER JOIN")
        right, right_scope = self.from_item(depth, outer, (*beside, *left_scope) if sideways else beside)
        if kind == "CROSS JOIN" and self.crossed <= 0:
            kind = "JOIN"
        self.use(kind.replace("INNER ", ""))
        self.nesting -= 1
        joined, merged = self.condition(kind, (left, left_scope), (right, right_scope))
        scope = (*left_scope, *right_scope)
        if self.chance(0.10):
            names = {
                f"y{n}": known
                for n, known in enumerate(k for s in scope if s.alias for k in s.columns.values())
            }
            alias = self.alias()
            if len(names) < 30 and not any(source.covers for source in (*scope, *merged)):
                self.use("alias of a join with column list")
                return f"({joined}) AS {alias} ({', '.join(names)})", (Source(alias, names),)
        if self.chance(0.5):
            self.use("join in parentheses")
            joined = f"({joined})"
        return joined, (*scope, *merged)

    def condition(self, kind: str, one: tuple[str, Scope], other: tuple[str, Scope]) -> tuple[str, Scope]:
        """Return the join of two items by ON, USING, NATURAL or nothing, and the columns that USING merges."""
        (left, left_scope), (right, right_scope) = one, other
        if kind == "CROSS JOIN":
            self.crossed -= 1
            return f"{left} CROSS JOIN {right}", ()
        shared = self.shared(left_scope, right_scope)
        if shared and self.chance(0.35):
            self.use("USING")
            covered = frozenset(s.alias for s in (*left_scope, *right_scope) if shared[0] in s.columns)
            text = f"{left} {kind} {right} USING ({', '.join(shared)})"
            if self.chance(0.3):
                self.use("USING with an alias")
                alias = self.alias()
                return f"{text} AS {alias}", (Source(alias, dict.fromkeys(shared, INT), covers=covered),)
            return text, (Source("", dict.fromkeys(shared, INT), covers=covered),)
        if self.chance(0.06) and not self.entangled(left_scope, right_scope):
            self.use("NATURAL")
            return f"{left} NATURAL {kind} {right}", (Source("", {}, covers=frozenset(".")),)
        both = (*left_scope, *right_scope)
        a, b = self.column(INT, left_scope, both), self.column(INT, right_scope, both)
        equal = f"{a} = {b}" if a and b and a != b else None
        if kind == "FULL JOIN" or (equal and self.chance(0.75)):
            # A full join takes conditions that can be hashed or merged only.
            return f"{left} {kind} {right} ON {equal or 'true'}", ()
        self.crossed -= 1
        if self.crossed < 0:
            return f"{left} {kind} {right} ON {equal or 'false'}", ()
        return f"{left} {kind} {right} ON {self.boolean(both, 1)}", ()

    def shared(self, left: Scope, right: Scope) -> list[str]:
        """Return a column of whole numbers that each side has exactly once."""
        sides = [[name for source in side for name in source.columns] for side in (left, right)]
        whole = {n for s in left for n, k in s.columns.items() if k == INT} & {
            n for s in right for n, k in s.columns.items() if k == INT
        }
        return [name for name in sorted(whole) if all(side.count(name) == 1 for side in sides)][:1]

    def entangled(self, left: Scope, right: Scope) -> bool:
        """Tell whether a NATURAL join would meet columns of one name and two types, or one name twice."""
        sides = [[pair for source in side for pair in source.columns.items()] for side in (left, right)]
        names = [[name for name, _ in side] for side in sides]
        if any(len(set(side)) < len(side) for side in names):
            return True
        ours, theirs = dict(sides[0]), dict(sides[1])
        return any(ours[name] != theirs[name] for name in ours.keys() & theirs.keys())
