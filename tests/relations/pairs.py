"""Random pairs for the race: something that makes a parent go, or come back, beside something that refers to it.

Each pair has rows of its own: all of them have its number. Follows from the seed alone, but for who wins.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from random import Random

STAMPS = "deleted_at timestamptz, deleted_by text, deletion_id uuid"
CHILDREN = ("owned", "held", "loose", "parts")
SCHEMA = f"""
CREATE TABLE parents (id int PRIMARY KEY, v int NOT NULL DEFAULT 0, {STAMPS});
CREATE TABLE owned (id int PRIMARY KEY, parent int NOT NULL REFERENCES parents ON DELETE CASCADE, {STAMPS});
CREATE TABLE held (id int PRIMARY KEY, parent int NOT NULL REFERENCES parents, {STAMPS});
CREATE TABLE loose (id int PRIMARY KEY, parent int REFERENCES parents ON DELETE SET NULL, {STAMPS});
CREATE TABLE parts (id int PRIMARY KEY, parent int NOT NULL REFERENCES owned ON DELETE CASCADE, {STAMPS});
CREATE INDEX ON owned (parent); CREATE INDEX ON held (parent);
CREATE INDEX ON loose (parent); CREATE INDEX ON parts (parent);
INSERT INTO parents VALUES (0); INSERT INTO owned VALUES (0, 0)
"""
"""Row 0 is a parent that stays. `parts` are two levels below `parents`."""

RC, RR, SERIALIZABLE = "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"
LEVELS = ((RC, RC), (RC, RC), (SERIALIZABLE, SERIALIZABLE), (RC, RR), (RC, SERIALIZABLE))
"""Of the parent's side and of the child's: those beside which no live row is left under a deleted one."""

PAUSE_MS = 3.0
TAKEN_BACK = 0.2
"""The share that remains of the children that `pgsoftproxy restore` brings back: each reads the catalog."""
TAKE_BACK, IN_SQL = "take back", "in SQL"
SLOW_MS = {TAKE_BACK: 500.0, IN_SQL: 40.0}
"""How much later the other side may begin, so that either can win."""
COPY = "copy"

PARENT_DIRECT = {"delete": "UPDATE parents SET deleted_at = now() WHERE id = {n} AND deleted_at IS NULL"}
PARENT_PROXIED = {
    "delete": "DELETE FROM parents WHERE id = {n}",
    "merge": "MERGE INTO parents AS p USING (VALUES ({n})) AS s (n) ON p.id = s.n WHEN MATCHED THEN DELETE",
    "with": "WITH gone AS (DELETE FROM parents WHERE id = {n} RETURNING 1) SELECT * FROM gone",
}
REVIVE = "/* pgsoftproxy: visibility=all */ UPDATE parents SET deleted_at = NULL WHERE id = {n}"
BUSY = "UPDATE parents SET v = v + 1 WHERE id = {n}"
NEW = {
    "insert": "INSERT INTO {t} (id, parent) VALUES ({n}, {n})",
    "select": "INSERT INTO {t} (id, parent) SELECT {n}, p.id FROM {p} AS p WHERE p.id = {n} AND p.deleted_at IS NULL",
    COPY: "COPY {t} (id, parent) FROM STDIN",
}
"""What makes a child of parent n."""
MOVED = {
    "move": "UPDATE {t} SET parent = {n} WHERE id = {n}",
    "upsert": "INSERT INTO {t} (id, parent) VALUES ({n}, {n}) ON CONFLICT (id) DO UPDATE SET parent = EXCLUDED.parent",
    "merge": (
        "MERGE INTO {t} AS t USING (VALUES ({n})) AS s (n) ON t.id = s.n WHEN MATCHED THEN UPDATE SET parent = s.n "
        "WHEN NOT MATCHED THEN INSERT (id, parent) VALUES (s.n, s.n)"
    ),
}
"""What makes child n, of parent 0, a child of parent n."""
BACK = {
    "restore": "/* pgsoftproxy: visibility=all */ UPDATE {t} SET deleted_at = NULL, deletion_id = NULL WHERE id = {n}",
    IN_SQL: "SELECT rows FROM pgsoftproxy.restore('public.{t}', key => '{n}') WHERE rows > 0",
    TAKE_BACK: "",
}
"""What brings deleted child n of parent n back."""


class Before(Enum):
    """What child n is before."""

    NOTHING = 1
    ELSEWHERE = 2
    DELETED = 3


@dataclass(frozen=True, slots=True)
class Side:
    """One transaction: its name and statements, of which the last counts, and how long it waits before and after."""

    name: str
    statements: tuple[str, ...]
    proxied: bool
    level: str
    before_ms: float
    after_ms: float


@dataclass(frozen=True, slots=True)
class Pair:
    """Two transactions that begin together, and what is there before."""

    number: int
    table: str
    parent: Side
    child: Side
    before: Before
    revives: bool

    @property
    def deletion(self) -> str:
        """Return the id of the deletion in which child n was deleted before."""
        return f"00000000-0000-0000-0000-{self.number:012}"

    def rows(self) -> Iterator[str]:
        """Yield the statements that make its rows."""
        n = self.number
        yield f"INSERT INTO parents (id, deleted_at) VALUES ({n}, {'now()' if self.revives else 'NULL'})"
        if self.table == "parts":
            yield f"INSERT INTO owned (id, parent) VALUES ({n}, {n})"
        if self.before is Before.ELSEWHERE:
            yield f"INSERT INTO {self.table} (id, parent) VALUES ({n}, 0)"
        if self.before is Before.DELETED:
            yield (
                f"INSERT INTO {self.table} (id, parent, deleted_at, deletion_id) "
                f"VALUES ({n}, {n}, now(), '{self.deletion}')"
            )


def random_pairs(seed: int, count: int) -> Sequence[Pair]:
    """Return pairs 1 to `count`."""
    random = Random(f"{seed} pairs")  # noqa: S311 (a test that can be run again)
    return [_pair(random, number) for number in range(1, count + 1)]


def _pair(random: Random, number: int) -> Pair:
    revives = random.random() < 0.1
    table = random.choice(CHILDREN[:3] if revives else CHILDREN)
    before = random.choice(
        (Before.NOTHING, Before.NOTHING, Before.ELSEWHERE, Before.ELSEWHERE, Before.DELETED)
    )
    forms = {Before.NOTHING: NEW, Before.ELSEWHERE: MOVED, Before.DELETED: BACK}[before]
    name = random.choice(list(forms))
    if name == TAKE_BACK and random.random() > TAKEN_BACK:
        name = "restore"
    levels = (RC, RC) if name == TAKE_BACK else random.choice(LEVELS)
    text = forms[name].format(t=table, p="owned" if table == "parts" else "parents", n=number)
    child = _side(random, name, (f"SELECT 1 FROM parents WHERE id = {number}", text), levels[1])
    parent = _parent(random, number, levels[0], revives)
    if name in SLOW_MS:
        parent = replace(parent, before_ms=random.uniform(0, SLOW_MS[name]))
    return Pair(number, table, parent, child, before, revives)


def _parent(random: Random, number: int, level: str, revives: bool) -> Side:
    side = _side(random, "revive", (BUSY.format(n=number), REVIVE.format(n=number)), level)
    if revives:
        return side
    forms = PARENT_PROXIED if side.proxied else PARENT_DIRECT
    name = random.choice(list(forms))
    statements = (*side.statements[:-1], forms[name].format(n=number))
    return Side(name, statements, side.proxied, level, side.before_ms, side.after_ms)


def _side(random: Random, name: str, statements: tuple[str, str], level: str) -> Side:
    """Return a transaction of both statements, or of the second alone."""
    first = 0 if random.random() < 0.3 else 1
    pauses = (random.choice((0.0, random.uniform(0, PAUSE_MS))) for _ in range(2))
    return Side(name, statements[first:], random.random() < 0.5, level, *pauses)
