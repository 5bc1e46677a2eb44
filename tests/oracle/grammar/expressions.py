"""Random expressions, each of a type, so that they run: columns, operators, functions and sub-links."""

from tests.oracle.grammar.draw import Draw
from tests.oracle.grammar.vocabulary import (
    BOOL,
    DATE,
    INT,
    INTS,
    JSON,
    NUM,
    OTHER,
    TEXT,
    TEXTS,
    TIME,
    TRAPS,
    Scope,
    Source,
)  # fmt: skip

COMPARED = ("=", "<>", "<", ">", "<=", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM")
CONSTANTS = {
    INT: ("0", "1", "2", "3", "5", "20", "101", "1000"),
    TEXT: ("Ada", "it''s", "--", "paid", "pen", "M", "/* users", "$$", "login", ""),
    BOOL: ("true", "false"),
    TIME: ("2026-01-01 10:00:00+00", "2026-02-01 00:00:00+00", "infinity"),
    NUM: ("0.5", "10.50", "100"),
    DATE: ("2026-01-03", "2025-06-01"),
    JSON: ('{"w": 1}', "[1, 2]", "null"),
    INTS: ("{1,2}", "{}"),
    TEXTS: ("{red,blue}", "{}"),
}
COMPARABLE = frozenset((INT, TEXT, TIME, NUM, DATE, BOOL))
KINDS = (INT, TEXT, INT, TEXT, BOOL, TIME, NUM, DATE, JSON, INTS, TEXTS)


class Expressions(Draw):
    """Build expressions over a scope; `depth` bounds how deep they nest."""

    def expression(self, kind: str, scope: Scope, depth: int) -> str:
        """Return an expression of a type."""
        if depth > 0 and self.chance(0.10):
            return self.scalar_link(kind, scope, depth - 1)
        if depth > 0 and self.chance(0.10):
            return self.conditional(kind, scope, depth - 1)
        match kind:
            case "bigint":
                return self.integer(scope, depth)
            case "text":
                return self.text(scope, depth)
            case "boolean":
                return self.boolean(scope, depth)
            case "numeric":
                return self.numeric(scope, depth)
            case "jsonb":
                return self.json(scope, depth)
            case "int[]" | "text[]":
                return self.array(kind, scope, depth)
        return self.column(kind, scope) or self.constant(kind)

    def integer(self, scope: Scope, depth: int) -> str:
        """Return a whole number."""
        roll = self.random.random()
        if depth > 0 and roll < 0.12:
            return f"({self.integer(scope, depth - 1)} {self.pick('+-*')} {self.constant(INT)})"
        if depth > 0 and roll < 0.18:
            return f"length({self.text(scope, depth - 1)})"
        if depth > 0 and roll < 0.22:
            array = self.array(self.pick((INTS, TEXTS)), scope, depth - 1)
            return f"cardinality({array})"
        if depth > 0 and roll < 0.24:
            self.use("user-defined function")
            return f"app.twice(least({self.integer(scope, depth - 1)}, 99)::int)"
        if roll < 0.28 and (trap := self.trap(scope)):
            return trap
        if depth > 0 and roll < 0.31:
            self.use("COALESCE, NULLIF, GREATEST")
            one, other = self.integer(scope, depth - 1), self.constant(INT)
            return f"{self.pick(('coalesce', 'nullif', 'greatest', 'least'))}({one}, {other})"
        return self.column(INT, scope) or self.constant(INT)

    def trap(self, scope: Scope) -> str | None:
        """Return an expression that fails on deleted rows, if the scope has a column for it."""
        found = [
            template.replace("{c}", f"{source.alias}.{name}")
            for source in scope
            if source.table
            for name, template in TRAPS.items()
            if name in source.columns
        ]
        if not found:
            return None
        self.use("expression that fails on a deleted row")
        return self.pick(found)

    def text(self, scope: Scope, depth: int) -> str:
        """Return a text."""
        roll = self.random.random()
        if roll < 0.06 and (tables := [source.alias for source in scope if source.table]):
            alias = self.pick(tables)
            if self.chance(0.4):
                self.use("system column tableoid")
                return f"{alias}.tableoid::regclass::text"
            self.use("whole row")
            return self.pick((f"{alias}::text", f"to_jsonb({alias})::text", f"row_to_json({alias})::text"))
        if roll < 0.09 and (named := [source.alias for source in scope if source.alias]):
            self.use("whole row of any source")
            return f"({self.pick(named)})::text"
        if roll < 0.13 and (column := self.column(TEXT, scope)):
            self.use("expression that fails on a deleted row")
            return f"CASE WHEN left({column}, 6) = 'CANARY' THEN ({column})::int::text ELSE {column} END"
        if depth > 0 and roll < 0.22:
            function = self.pick(("upper", "reverse", "md5", "btrim", "quote_literal"))
            return f"{function}({self.text(scope, depth - 1)})"
        if depth > 0 and roll < 0.27:
            return f"({self.text(scope, depth - 1)} || {self.text(scope, 0)})"
        if depth > 0 and roll < 0.33:
            self.use("cast")
            inner = self.expression(self.pick(KINDS), scope, depth - 1)
            return self.pick((f"CAST({inner} AS text)", f"({inner})::text", f"({inner})::varchar(9)::text"))
        if depth > 0 and roll < 0.35:
            self.use("json path")
            return f"{self.json(scope, depth - 1)} ->> 'w'"
        return self.column(TEXT, scope) or self.constant(TEXT)

    def numeric(self, scope: Scope, depth: int) -> str:
        """Return an exact number."""
        if depth > 0 and self.chance(0.2):
            return f"round({self.numeric(scope, depth - 1)} * 2, 1)"
        return self.column(NUM, scope) or self.constant(NUM)

    def json(self, scope: Scope, depth: int) -> str:
        """Return a jsonb."""
        if depth > 0 and self.chance(0.3):
            self.use("json constructor")
            return f"jsonb_build_object('a', {self.integer(scope, 0)}, 'b', {self.text(scope, 0)})"
        return self.column(JSON, scope) or self.constant(JSON)

    def array(self, kind: str, scope: Scope, depth: int) -> str:
        """Return an array of whole numbers or of texts."""
        element = INT if kind == INTS else TEXT
        if depth > 0 and self.chance(0.3):
            self.use("sub-link ARRAY")
            made = self.sub_select(depth - 1, scope, (element,))
            # Sorted: the order in which a sub-select gives its rows is nobody's promise.
            return f"ARRAY(SELECT s.x0 FROM ({made.text}) AS s ORDER BY 1)::{kind}"
        if self.chance(0.4):
            self.use("ARRAY constructor")
            return f"ARRAY[{self.expression(element, scope, 0)}, {self.constant(element)}]::{kind}"
        return self.column(kind, scope) or self.constant(kind)

    def boolean(self, scope: Scope, depth: int) -> str:
        """Return a condition."""
        return f"({self.bare_condition(scope, depth)})"

    def bare_condition(self, scope: Scope, depth: int) -> str:
        """Return a condition without parentheses."""
        roll = self.random.random()
        if depth > 0 and roll < 0.20:
            word = self.pick(("AND", "OR", "OR"))
            return f"{self.boolean(scope, depth - 1)} {word} {self.boolean(scope, depth - 1)}"
        if depth > 0 and roll < 0.26:
            return f"NOT {self.boolean(scope, depth - 1)}"
        if depth > 0 and roll < 0.42:
            return self.condition_link(scope, depth - 1)
        if roll < 0.50:
            kind = self.pick((TIME, TIME, TEXT, INT))
            return f"{self.expression(kind, scope, 0)} IS {self.pick(('', 'NOT '))}NULL"
        if roll < 0.54 and (flag := self.column(BOOL, scope)):
            return f"{flag} IS {self.pick(('NOT TRUE', 'TRUE', 'NOT FALSE', 'UNKNOWN'))}"
        if roll < 0.58:
            self.use("LIKE, BETWEEN, IN list")
            return self.pick(
                (
                    f"{self.text(scope, 0)} LIKE {self.pick(('%a%', '_e%', 'p%')).join(chr(39) * 2)}",
                    f"{self.integer(scope, 0)} BETWEEN {self.constant(INT)} AND {self.integer(scope, 0)}",
                    f"{self.integer(scope, 0)} IN ({self.constant(INT)}, {self.constant(INT)}, 4)",
                )
            )
        if depth > 0 and roll < 0.61 and scope:
            self.use("row comparison")
            operator = self.pick(("=", "<", ">=", "IS DISTINCT FROM"))
            left = f"({self.integer(scope, 0)}, {self.text(scope, 0)})"
            return f"{left} {operator} ({self.constant(INT)}, {self.constant(TEXT)})"
        known = [kind for source in scope for kind in source.columns.values() if kind in COMPARABLE]
        kind = self.pick(known) if known else INT
        left = self.expression(kind, scope, max(0, depth - 1))
        return f"{left} {self.pick(COMPARED)} {self.expression(kind, scope, 0)}"

    def conditional(self, kind: str, scope: Scope, depth: int) -> str:
        """Return a CASE."""
        self.use("CASE")
        when = f"WHEN {self.boolean(scope, depth)} THEN {self.expression(kind, scope, 0)}"
        return f"CASE {when} ELSE {self.constant(kind)} END"

    def condition_link(self, scope: Scope, depth: int) -> str:
        """Return a condition with a sub-select."""
        link = self.pick(("sub-link EXISTS", "sub-link EXISTS", "sub-link IN", "sub-link NOT IN", "sub-link ANY",
                          "sub-link ALL", "sub-link row IN"))  # fmt: skip
        self.use(link)
        if link == "sub-link EXISTS":
            return f"{self.pick(('', 'NOT '))}EXISTS ({self.sub_select(depth, scope).text})"
        if link == "sub-link row IN":
            made = self.sub_select(depth, scope, (INT, TEXT))
            left = f"({self.integer(scope, 0)}, {self.text(scope, 0)})"
            return f"{left} {self.pick(('IN', 'NOT IN', '= ANY'))} ({made.text})"
        kind = self.pick((INT, INT, TEXT))
        inner = self.sub_select(depth, scope, (kind,)).text
        left = self.expression(kind, scope, 0)
        if link in ("sub-link IN", "sub-link NOT IN"):
            return f"{left} {link.removeprefix('sub-link ')} ({inner})"
        return f"{left} {self.pick(('=', '<', '>', '<>'))} {link.removeprefix('sub-link ')} ({inner})"

    def scalar_link(self, kind: str, scope: Scope, depth: int) -> str:
        """Return a sub-select in the place of a value: it gives one row or none."""
        self.use("sub-link scalar")
        made = self.sub_select(depth, scope, (kind,))
        if self.chance(0.5):
            return f"(SELECT s.x0 FROM ({made.text}) AS s ORDER BY 1 LIMIT 1)"
        if kind in (INT, TEXT, NUM, TIME, DATE):
            return f"(SELECT {self.pick(('max', 'min'))}(s.x0) FROM ({made.text}) AS s)"
        if kind == BOOL:
            return f"(SELECT {self.pick(('bool_or', 'every'))}(s.x0) FROM ({made.text}) AS s)"
        return f"(SELECT s.x0 FROM ({made.text}) AS s ORDER BY s.x0 DESC NULLS LAST LIMIT 1)"

    def constant(self, kind: str) -> str:
        """Return a literal, or a parameter where the statement is prepared."""
        value = self.pick(CONSTANTS[kind])
        if self.parameters is not None and self.chance(0.6):
            self.use("parameter")
            self.parameters.append(value.replace("''", "'"))
            return f"${len(self.parameters)}::{kind}"
        if kind == INT:
            return value
        if kind == TEXT and self.chance(0.2):
            self.use("dollar-quoted or escaped string")
            plain = value.replace("''", "'")
            return f"$q${plain}$q$::text" if self.chance(0.5) else f"E'{value}\\t'::text"
        return f"'{value}'::{kind}" if kind != TEXT or self.chance(0.5) else f"text '{value}'"

    def column(self, kind: str, scope: Scope, visible: Scope = ()) -> str | None:
        """Return a column of a type that is in scope, if there is one; qualified where it must be.

        `visible` is the whole scope where the column is to come from a part of it.
        """
        assert kind != OTHER
        found = [
            (source, name) for source in scope for name, known in source.columns.items() if known == kind
        ]
        if not found:
            return None
        source, name = self.pick(found)
        if not source.alias:
            return self.merged(source, name, visible or scope)
        if (
            not source.crowded
            and self.chance(0.2)
            and sum(name in other.columns for other in visible or scope) == 1
        ):
            self.use("unqualified column")
            return self.spell(name)
        return f"{source.alias}.{self.spell(name)}"

    def merged(self, source: Source, name: str, scope: Scope) -> str:
        """Return a column that a USING has merged, or one of those that it was merged from."""
        owners = [other.alias for other in scope if other is not source and name in other.columns]
        if source.covers.issuperset(owners):
            self.use("merged column")
            return name
        return f"{self.pick(sorted(source.covers))}.{name}"
