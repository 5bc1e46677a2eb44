"""One unit of random work: a statement, how it is sent, and what is looked at afterwards.

A unit leaves nothing behind: what writes is rolled back, what is prepared is closed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.oracle.client import Step
from tests.oracle.compare import Origins
from tests.oracle.grammar.vocabulary import KEYED, OTHER_PATH, PLAIN_PATH, TABLES
from tests.oracle.grammar.writes import Writes

KEYWORD = re.compile(r"\b(SELECT|FROM|WHERE|JOIN|ON|AND|UPDATE|SET|INTO|USING|RETURNING|AS) ")
PARAMETER = re.compile(r"\$(\d+)(?=::)")
COMMENTS = (
    "/* users */", "/* it's /* nested \" */ $$ */", "-- FROM orders; it's\n", "--\n", "/* pgsoftproxy */", "\n\t", "  ",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unit:
    """What is sent to both sides, one after another, and how strictly the answers are compared.

    `steps` are messages of the protocol; `statement` is the SQL they are about; the same seed, number and
    version of the server always make the same unit.
    """

    seed: int
    number: int
    statement: str
    steps: tuple[Step, ...]
    constructs: frozenset[str]
    ordered: bool
    origins: Origins


class Units(Writes):
    """Build units."""

    enclosed = False
    """Whether the statement stands in a transaction with others."""

    def made(self, seed: int, number: int) -> Unit:
        """Return the unit; one object makes one."""
        prepared = self.chance(0.25)
        self.parameters = [] if prepared else None
        before, after = self.surroundings()
        self.enclosed = bool(before)
        writes = self.chance(0.36)
        if writes and self.chance(0.04):
            return self.positioned(seed, number)
        if writes:
            statement, ordered = self.write(), False
        else:
            statement, ordered = self.query()
        statement = self.disguised(self.renumbered(statement))
        if prepared:
            steps = self.with_parameters(statement, number)
        else:
            steps = self.plainly(statement, number, writes, ordered)
        steps = [*before, *steps, *(("query", self.state(table)) for table in sorted(self.written)), *after]
        if self.written or before or any(step[1].startswith("DECLARE") for step in steps if len(step) > 1):
            steps = [
                ("query", self.pick(("BEGIN", "begin", "START TRANSACTION"))),
                *steps,
                ("query", "ROLLBACK"),
            ]
        return Unit(seed, number, statement, tuple(steps), frozenset(self.used), ordered, self.origins())

    def positioned(self, seed: int, number: int) -> Unit:
        """Return a unit that writes where a cursor stands."""
        self.use("WHERE CURRENT OF")
        self.parameters = None
        table, target, _ = self.target(KEYED)
        condition = self.boolean((target,), 1) if self.chance(0.3) else "true"
        where = self.limited(table, target, condition)
        place = target.alias if target.alias == table.name else f"AS {target.alias}"
        name = table.qualified if target.alias == table.name else f"{table.qualified} {place}"
        self.relations = 0
        declare = f"DECLARE c CURSOR FOR SELECT * FROM {name} WHERE {where} ORDER BY {table.key} FOR UPDATE"
        action = self.pick((f"DELETE FROM {name}", f"UPDATE {name} SET {self.assigned(table, (target,))}"))
        action += f" WHERE CURRENT OF c{self.returning('UPDATE RETURNING', (target,))}"
        texts = [
            "BEGIN",
            declare,
            f"FETCH {self.pick((1, 1, 1, 2))} FROM c",
            action,
            self.state(table.state),
            "ROLLBACK",
        ]
        steps = tuple[Step, ...](("query", text) for text in texts)
        return Unit(seed, number, action, steps, frozenset(self.used), False, Origins.EQUAL_OR_NONE)

    def surroundings(self) -> tuple[list[Step], list[Step]]:
        """Return what goes before and after the statement in its transaction."""
        if self.chance(0.06):
            self.use("SET LOCAL search_path")
            self.public_first = True
            return [("query", f"SET LOCAL search_path = {OTHER_PATH}")], []
        if self.chance(0.06):
            self.use("SAVEPOINT and ROLLBACK TO")
            everything = " UNION ALL ".join(
                f"SELECT count(*) FROM {table.qualified}" for table in TABLES[:8] if not table.root
            )
            return [("query", "SAVEPOINT s")], [("query", "ROLLBACK TO s"), ("query", everything)]
        return [], []

    def state(self, relation: str) -> str:
        """Return a batch that shows a relation's live rows and whether its deleted ones are still there."""
        return f"SELECT oracle.kept('{relation}'); SELECT * FROM {relation} ORDER BY 1"

    def origins(self) -> Origins:
        """Return what the columns' origins may be: both differences are documented."""
        if self.used & {
            "view",
            "CREATE TABLE AS",
            "CREATE VIEW",
        }:  # each side hands out its own oid for a new table
            return Origins.IGNORED
        if self.used & {"DELETE RETURNING", "MERGE RETURNING", "WITH that writes"}:
            return Origins.EQUAL_OR_NONE
        return Origins.EQUAL

    def disguised(self, statement: str) -> str:
        """Return the statement with comments, line breaks and lower-case keywords put in."""
        if self.chance(0.85):
            return statement
        self.use("comments and spaces")
        places = [found.end() for found in KEYWORD.finditer(statement)]
        for place in sorted(self.random.sample(places, min(3, len(places))), reverse=True):
            statement = f"{statement[:place]}{self.pick(COMMENTS)} {statement[place:]}"
        if self.chance(0.3):
            statement = KEYWORD.sub(lambda found: found[0].lower(), statement)
        return statement

    def renumbered(self, statement: str) -> str:
        """Return the statement with its parameters counted from one: parts that were made may have been left out."""
        if not self.parameters:
            return statement
        order: dict[str, int] = {}
        text = PARAMETER.sub(lambda found: f"${order.setdefault(found[1], len(order) + 1)}", statement)
        self.parameters = [self.parameters[int(old) - 1] for old in order]
        return text

    def with_parameters(self, statement: str, number: int) -> list[Step]:
        """Return the steps of a statement with parameters."""
        values = tuple(self.parameters or ())
        makers: list[tuple[float, Callable[[str, int, tuple[str, ...]], list[Step]]]] = [
            (4, self.extended), (3, self.named), (2, self.sql_prepared),
        ]  # fmt: skip
        return self.weighted(makers)(statement, number, values)

    def extended(self, statement: str, number: int, values: tuple[str, ...]) -> list[Step]:
        """Return Parse to Sync of an unnamed statement."""
        self.use("extended protocol")
        bind = "bind"
        if self.chance(0.25):
            self.use("binary results")
            bind = "bind binary"
        steps: list[Step] = [("parse", "", statement)]
        if self.chance(0.5):
            steps.append(("describe", "S", ""))
        steps += [(bind, "", "", *values), ("describe", "P", ""), ("execute", "", "0")]
        if self.chance(0.2):
            self.use("pipeline")
            steps = [
                *_pipelined("SELECT count(*) FROM users"),
                *steps,
                *_pipelined("SELECT max(id) FROM app.tasks"),
            ]
        return [*steps, ("sync",)]

    def named(self, statement: str, number: int, values: tuple[str, ...]) -> list[Step]:
        """Return a named statement, bound twice, then closed."""
        self.use("named prepared statement")
        name = f"p{number}"
        once: list[Step] = [("bind", "", name, *values), ("describe", "P", ""), ("execute", "", "0")]
        steps: list[Step] = [("parse", name, statement), *once]
        # The twin has an order of a user who is not there: the server looks again at what one transaction writes twice.
        # A key that was deleted is free for the twin alone.
        settled = self.written.isdisjoint({"app.orders"}) and self.used.isdisjoint(
            {"INSERT", "ON CONFLICT", "MERGE"}
        )
        twice = self.written and settled and self.chance(0.3)
        if twice:
            self.use("run twice in a transaction")
        if twice or not self.written:
            if self.chance(0.5):
                steps.append(("sync",))
            steps += once
        return [*steps, ("sync",), ("close", "S", name), ("sync",)]

    def sql_prepared(self, statement: str, number: int, values: tuple[str, ...]) -> list[Step]:
        """Return PREPARE, EXECUTE and DEALLOCATE."""
        self.use("PREPARE and EXECUTE")
        quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
        arguments = f" ({quoted})" if values else ""
        prepare = f"PREPARE p{number} AS {statement}"
        execute = f"EXECUTE p{number}{arguments}"
        if self.chance(0.3):
            return [("query", f"{prepare}; {execute}; DEALLOCATE p{number}")]
        return [("query", prepare), ("query", execute), ("query", "DEALLOCATE ALL")]

    def plainly(self, statement: str, number: int, writes: bool, ordered: bool) -> list[Step]:
        """Return the steps of a statement without parameters."""
        roll = self.random.random()
        if roll < 0.2:
            return self.extended(statement, number, ())
        if roll < 0.26 and self.copied(statement, writes):
            return [("query", self.copy(statement))]
        if roll < 0.33 and not writes and not self.written:
            return self.cursor(statement, number, ordered)
        if roll < 0.38 and ordered:
            self.use("portal in parts")
            run: Step = ("execute", "q", "2")
            return [
                ("parse", "", statement),
                ("bind", "q", ""),
                ("describe", "P", "q"),
                run,
                run,
                run,
                ("sync",),
            ]
        if roll < 0.44:
            self.use("batch of statements")
            return [("query", f"SELECT count(*) FROM users; {statement}; SELECT count(*) FROM app.orders")]
        if roll < 0.48 and not writes and not self.enclosed and not self.written:
            self.use("CREATE VIEW")
            view = f"CREATE TEMP VIEW made{number} AS {statement}"
            return [
                ("query", "BEGIN"),
                ("query", view),
                ("query", f"SELECT * FROM made{number}"),
                ("query", "ROLLBACK"),
            ]
        if roll < 0.51 and not writes and not self.enclosed:
            self.use("CREATE TABLE AS")
            made = f"CREATE TEMP TABLE made{number} ON COMMIT DROP AS {statement}"
            return [("query", f"BEGIN; {made}; SELECT * FROM made{number}"), ("query", "ROLLBACK")]
        self.use("simple protocol")
        return [("query", statement)]

    def copied(self, statement: str, writes: bool) -> bool:
        """Tell whether COPY takes the statement."""
        return not writes or ("RETURNING" in statement.upper() and not statement.startswith("MERGE"))

    def copy(self, statement: str) -> str:
        """Return a COPY to the client, of the statement or of a table."""
        options = self.pick(("", "", " WITH (FORMAT csv, HEADER)", " (FORMAT binary)", " WITH (NULL 'nil')"))
        if self.chance(0.3):
            self.use("COPY table")
            table = self.pick([known for known in TABLES if known.name != "measures"])
            names = [name for name in table.columns if name not in ("tax", "gross")]
            columns = f" ({', '.join(self.random.sample(names, 2))})" if self.chance(0.4) else ""
            self.ctes = {}
            return f"COPY {self.relation(table)}{columns} TO STDOUT{options}"
        self.use("COPY query")
        return f"COPY ({statement}\n) TO STDOUT{options}"

    def cursor(self, statement: str, number: int, ordered: bool) -> list[Step]:
        """Return DECLARE, FETCH and CLOSE."""
        self.use("cursor")
        kind = self.pick(("CURSOR", "NO SCROLL CURSOR", "CURSOR WITHOUT HOLD"))
        fetch = self.pick(("FETCH 3 FROM", "FETCH FROM", "FETCH ALL FROM")) if ordered else "FETCH ALL FROM"
        declare = f"DECLARE c{number} {kind} FOR {statement}"
        return [("query", declare), ("query", f"{fetch} c{number}"), ("query", f"CLOSE c{number}")]


def unit(seed: int, number: int, version: int) -> Unit:
    """Return the unit of a seed and number for a major version of the server."""
    return Units(Random(f"{seed}/{number}"), version).made(seed, number)  # noqa: S311 - not for secrets


def _pipelined(text: str) -> list[Step]:
    return [("parse", "", text), ("bind", "", ""), ("describe", "P", ""), ("execute", "", "0")]


PATH = PLAIN_PATH
