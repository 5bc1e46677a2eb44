"""Random schemas with foreign keys of every kind, and random statements on them. Follows from the seed alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

ACTIONS = ("CASCADE", "CASCADE", "CASCADE", "RESTRICT", "NO ACTION", "NO ACTION", "SET NULL", "SET DEFAULT")
DEFERRALS = ("DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED")
STAMPS = "deleted_at timestamptz, deleted_by text, deletion_id uuid"
DEFAULT_KEY = 1


@dataclass(frozen=True, slots=True)
class Key:
    """One foreign key: its column, the table it refers to, what DELETE does along it."""

    column: str
    references: int
    action: str
    deferral: str = ""

    def definition(self, table: int) -> str:
        """Return the constraint of a table as DDL."""
        return (
            f"ALTER TABLE t{table} ADD CONSTRAINT t{table}_{self.column} FOREIGN KEY ({self.column}) "
            f"REFERENCES t{self.references} ON DELETE {self.action} {self.deferral}"
        )


@dataclass(frozen=True, slots=True)
class Schema:
    """Tables t0, t1, ... by the keys that each has; every table has an integer key `id` and a value `v`."""

    tables: tuple[tuple[Key, ...], ...]

    def ddl(self, *, soft: bool) -> Iterator[str]:
        """Yield what creates it, for soft deletion or for the twin."""
        for number, keys in enumerate(self.tables):
            columns = [
                f"{key.column} int" + (f" DEFAULT {DEFAULT_KEY}" if key.action == "SET DEFAULT" else "")
                for key in keys
            ]
            yield f"CREATE TABLE t{number} ({', '.join(['id int PRIMARY KEY', *columns, 'v int'])})"
            if soft:
                stamps = ", ".join(f"ADD COLUMN {stamp}" for stamp in STAMPS.split(", "))
                yield f"ALTER TABLE t{number} {stamps}"
            yield from (f"CREATE INDEX ON t{number} ({key.column})" for key in keys)
        for number, keys in enumerate(self.tables):
            yield from (key.definition(number) for key in keys)

    def read(self) -> str:
        """Return a query that shows all of every table but the stamps: an array of rows for each."""
        arrays = (
            f"ARRAY(SELECT ({', '.join(['id', *(key.column for key in keys), 'v'])})::text FROM t{number} ORDER BY id)"
            for number, keys in enumerate(self.tables)
        )
        return f"SELECT {', '.join(arrays)}"


def random_schema(random: Random) -> Schema:
    """Return a schema of 2 to 12 tables; about a third of the keys may close a cycle."""
    count = random.choice((2, 3, 4, 5, 6, 8, 10, 12))
    tables = []
    for number in range(count):
        keys = []
        for place in range(random.randint(0 if number == 0 else 1, 3)):
            anywhere = number == 0 or random.random() < 0.35
            references = random.randrange(count) if anywhere else random.randrange(number)
            action = random.choice(ACTIONS)
            wait = action == "NO ACTION" and random.random() < 0.4
            keys.append(Key(f"r{place}", references, action, random.choice(DEFERRALS) if wait else ""))
        tables.append(tuple(keys))
    return Schema(tuple(tables))


class Statements:
    """Random statements on a schema; what follows does not depend on how the server answered."""

    def __init__(self, schema: Schema, random: Random) -> None:
        self._schema = schema
        self._random = random
        self._highest = [0] * len(schema.tables)
        self._fill = 2 * len(schema.tables)

    def take(self, count: int) -> Iterator[str]:
        """Yield some statements, inserts first."""
        for number in range(count):
            yield self._one(number)

    def _one(self, number: int) -> str:
        random = self._random
        table = random.randrange(len(self._schema.tables))
        keys = self._schema.tables[table]
        roll = random.random()
        if number < self._fill or roll < 0.4:
            return self._insert(table, number)
        if roll < 0.55 and keys:
            key = random.choice(keys)
            return (
                f"UPDATE t{table} SET {key.column} = {self._key(key.references)} WHERE {self._where(table)}"
            )
        if roll < 0.6 and keys:
            mode = random.choice(("DEFERRED", "IMMEDIATE"))
            return f"SET CONSTRAINTS ALL {mode}"
        return f"DELETE FROM t{table} WHERE {self._where(table)}"

    def _insert(self, table: int, value: int) -> str:
        keys = self._schema.tables[table]
        self._highest[table] += 1
        columns = ["id", *(key.column for key in keys), "v"]
        values = [str(self._highest[table]), *(self._key(key.references) for key in keys), str(value)]
        return f"INSERT INTO t{table} ({', '.join(columns)}) VALUES ({', '.join(values)})"

    def _key(self, table: int) -> str:
        highest = self._highest[table]
        if not highest or self._random.random() < 0.2:
            return "NULL"
        return str(self._random.randint(1, highest + (self._random.random() < 0.05)))

    def _where(self, table: int) -> str:
        highest = max(1, self._highest[table])
        if self._random.random() < 0.1:
            return f"id <= {self._random.randint(1, highest)}"
        picked = {self._random.randint(1, highest) for _ in range(self._random.choice((1, 1, 1, 2, 4)))}
        return f"id IN ({', '.join(map(str, sorted(picked)))})"
