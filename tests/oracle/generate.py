"""Random statements over tests/cases/schema.sql: a seed in, the same statements out for ever. Pure."""

from collections.abc import Callable, Iterator
from random import Random

from tests.oracle.cases import Case, Message
from tests.oracle.queries import Queries
from tests.oracle.vocabulary import (
    CTE_NAMES,
    DELETABLE,
    DELETABLE_IN_WITH,
    INSERTABLE,
    INT,
    KEYS_OF,
    MOST_TABLES,
    TABLES,
    TIME,
    UPDATABLE,
    Scope,
    Source,
)


class Generator(Queries):
    """Build one statement after another."""

    def statement(self) -> str:
        """Return a statement of any kind."""
        self.count = 0
        self.budget = MOST_TABLES
        self.ctes = {}
        writes = [self.delete, self.delete, self.update, self.insert, self.upsert, self.merge]
        makers: list[Callable[[], str]] = [self.query] * 8 + writes
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
        assigned = f"{UPDATABLE[table]} = coalesce({value}, 'none')"
        if self.chance(0.2):
            assigned = f"({UPDATABLE[table]}) = (SELECT coalesce({value}, 'none'))"
        return f"{prefix}UPDATE {head} SET {assigned}{source}{where}{returned}"

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

    def upsert(self) -> str:
        """Return an INSERT ... ON CONFLICT whose rows meet each other never and live rows sometimes."""
        item, sources = self.from_item(2, ())
        handles = (
            f"SELECT lower({self.text(sources, 1)}) AS v FROM {item} UNION SELECT 'alpha' UNION SELECT 'new'"
        )
        rows = f"SELECT 70000 + row_number() OVER (ORDER BY s.v), s.v, 7 FROM ({handles}) s WHERE s.v IS NOT NULL"
        where = f" WHERE {self.boolean((Source('accounts', TABLES['accounts'], table=True),), 1)}"
        action = self.random.choice(
            [
                "NOTHING",
                "UPDATE SET balance = excluded.balance",
                f"UPDATE SET balance = accounts.balance + 1{where}",
            ]
        )
        returned = " RETURNING handle, balance" if self.chance(0.5) else ""
        return f"INSERT INTO accounts (id, handle, balance) {rows} ON CONFLICT (handle) DO {action}{returned}"

    def merge(self) -> str:
        """Return a MERGE in which no row of the target is met twice."""
        table = self.random.choice(list(INSERTABLE))
        key, column = KEYS_OF.get(table, "id"), INSERTABLE[table]
        target = Source("target", TABLES[table], table=True)
        item, sources = self.from_item(2, ())
        source = f"SELECT DISTINCT {self.integer(sources, 1)} AS k, 'merged' AS v FROM {item}"
        actions: list[str] = []
        for action in self.random.sample(["DELETE", f"UPDATE SET {column} = s.v", "DO NOTHING"], 2):
            # Only the last may be without a condition: what follows it would be unreachable.
            condition = f" AND ({self.boolean((target,), 1)})" if not actions or self.chance(0.6) else ""
            actions.append(f"WHEN MATCHED{condition} THEN {action}")
        if self.chance(0.5):
            fresh = f"INSERT ({key}, {column}) VALUES (s.k + 80000, s.v)"
            actions.append(f"WHEN NOT MATCHED AND s.k IS NOT NULL THEN {fresh}")
        return f"MERGE INTO {table} AS target USING ({source}) s ON target.{key} = s.k {' '.join(actions)}"

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
        if self.chance(0.15):
            table = self.random.choice(DELETABLE_IN_WITH)
            where = f" WHERE {self.boolean((Source(table, TABLES[table], table=True),), 1)}"
            parts.append(f"gone AS (DELETE FROM {table}{where} RETURNING id AS x0, deleted_at AS x1)")
            self.ctes["gone"] = {"x0": INT, "x1": TIME}
        return f"WITH {', '.join(parts)} "


def generated_cases(seed: int) -> Iterator[Case]:
    """Yield cases without end; the n-th of a seed is always the same."""
    number = 0
    while True:
        number += 1
        # A source of its own for each: one case can be made again without those before it.
        sql = Generator(Random(f"{seed}/{number}")).statement()  # noqa: S311 - not for secrets
        directives = {
            "path": "app, public",
            "origins": "ignored" if "user_names" in sql else "equal",
            "expect": "any",
        }
        yield Case("generated", f"seed {seed}, number {number}", number, (Message(sql),), directives)
