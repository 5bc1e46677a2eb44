"""Two databases of one schema: one deletes softly, behind a proxy, with the triggers; the other removes."""

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from uuid import uuid4

import psycopg

from pgsoftproxy.db.connection import connect
from pgsoftproxy.db.introspect import load_catalog
from pgsoftproxy.db.trigger_texts import TABLES
from pgsoftproxy.db.triggers import definitions, key_index
from pgsoftproxy.lifecycle.restore import restore
from pgsoftproxy.model.links import KeyRule, find_links
from pgsoftproxy.model.policy import TableRule, compile_policy
from pgsoftproxy.model.restorable import Scope
from pgsoftproxy.model.restore import Report, Selection, Terms
from tests.fix_proxy import RunningProxy
from tests.relations.outcomes import Abandoned, Answer, Disagreement, Tally
from tests.relations.schemas import Schema, Statements, random_schema
from tests.servers import Server, execute

RULE = TableRule("public.*", deleted_by="deleted_by", deletion_id="deletion_id")
CONFIG = """
[roles.postgres]
visibility = ["live", "all"]
restore = true
[tables."public.*"]
deleted_by = "deleted_by"
deletion_id = "deletion_id"
"""
REQUIRE = {"defaults": {"relations": "require"}}
RESTORED = 0.1
"""The share of deletions that are made, taken back, and then made once more beside the twin."""
HELD = {"23503", "23001"}
IN_KEY_ORDER = "; ".join(
    f"ALTER DATABASE {{0}} SET {name} = off" for name in ("enable_seqscan", "enable_bitmapscan", "jit")
)
"""Where one key restricts and another cascades, the order in which rows are met decides whether a DELETE fails.

Before 18, a plan that is avoided and taken all the same has a cost for which the server would compile it.
"""
SEQUENCES = 10
"""Sequences on one schema: making it takes longer than they do."""

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(slots=True)
class Twins:
    """A connection through the proxy to the soft database, one past it, one to the twin, and what was sent so far."""

    schema: Schema
    seed: int
    soft: Connection
    owner: Connection
    twin: Connection
    dsn: str
    scope: Scope
    log: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    restored: int = 0

    def send(self, statement: str) -> Answer:
        """Send a statement to both; raise Disagreement unless the answers agree."""
        self.log.append(f"{statement};")
        self.tally.statements += 1
        answers = _answer(self.soft, statement), _answer(self.twin, statement)
        self.tally.refused += answers[1][0] in HELD
        if answers[0] != answers[1]:
            if not self._are_alike(statement, answers) and not self._are_alike_in_order(statement, answers):
                if self._keeps_its_key(answers):
                    raise Abandoned
                raise Disagreement(self.seed, self.schema, self.log, answers)
            self.tally.otherwise += 1
        return answers[1]

    def _are_alike(self, statement: str, answers: tuple[Answer, Answer]) -> bool:
        """Tell whether the two answers are one, or say the same of different keys."""
        soft, twin = answers
        alike = soft == twin or _names_absent_parent(soft, twin) or _name_one_key(soft, twin)
        return alike or self._violates_both(statement, answers)

    def _are_alike_in_order(self, statement: str, answers: tuple[Answer, Answer]) -> bool:
        """Tell whether both fail alike once the rows of both lie in one order: which is met first decides, too."""
        if self.open or statement == "COMMIT" or not {answers[0][0], answers[1][0]} <= HELD:
            return False
        self._put_in_order(f"public.t{number}" for number in range(len(self.schema.tables)))
        again = _answer(self.soft, statement), _answer(self.twin, statement)
        return {again[0][0], again[1][0]} <= HELD and self._are_alike(statement, again)

    def _violates_both(self, statement: str, answers: tuple[Answer, Answer]) -> bool:
        """Tell whether a statement violates the key that the soft database names as well as that of the twin.

        Of several rows that keys hold, joins and cascades decide which is met first. So the twin does without the
        keys that it names, one after the other, until it names that one. Of a transaction that has failed nothing can
        be asked.
        """
        soft, twin = answers
        if not {soft[0], twin[0]} <= HELD:
            return False
        if self.open or statement == "COMMIT":
            return True
        with self.twin.transaction(force_rollback=True):
            while twin != soft and twin[0] in HELD:
                self.twin.execute(
                    f"ALTER TABLE {twin[4]} DROP CONSTRAINT {twin[5]}; SAVEPOINT again".encode()
                )
                twin = _answer(self.twin, statement)
                self.twin.execute("ROLLBACK TO again")
        return twin == soft

    def _keeps_its_key(self, answers: tuple[Answer, Answer]) -> bool:
        """Tell whether a key that waited has found a deleted row of the same transaction without any parent.

        A row that is removed is not checked any more, one that is deleted softly is. All rows that stay are right: the
        twin says so.
        """
        soft, twin = answers
        if twin[0] != "ok" or soft[0] != "23503" or not _of_child(soft):
            return False
        table, column = str(soft[5]).split("_")
        key = next(key for key in self.schema.tables[int(table[1:])] if key.column == column)
        began = max((place for place, line in enumerate(self.log) if line == "BEGIN;"), default=len(self.log))
        known = {row[0] for row in self.owner.execute(f"SELECT id FROM t{key.references}".encode())}
        sent = [
            line for line in self.log[began:] if line.split()[:2] in (["INSERT", "INTO"], ["DELETE", "FROM"])
        ]
        inserted = [re.findall(r"\w+", line) for line in sent if line.startswith(f"INSERT INTO {table} ")]
        # INSERT INTO t4 id r0 r1 v VALUES 4 2 3 37
        values = [words[words.index("VALUES") + words.index(column) - 2] for words in inserted]
        absent = any(value != "NULL" and int(value) not in known for value in values)
        return bool(key.deferral) and absent and any(line.startswith("DELETE") for line in sent)

    def delete_and_restore(self, statement: str, *, by_root: bool, by_sql: bool) -> None:
        """Delete in the soft database alone and take it back; raise Disagreement unless all is as on the twin again."""
        how = f"{' by its root' if by_root else ''}{' in SQL' if by_sql else ''}"
        self.log.append(f"{statement}; -- and taken back{how}")
        before = self._deletions()
        touched: set[str] = set()
        if _answer(self.soft, statement)[0] != "ok":
            return
        for made in self._deletions() - before:
            table = f"public.{statement.split()[2]}" if by_root else None
            where = f"deletion_id = '{made}'" if by_root else None
            selection = Selection(table, where=where, deletions=() if by_root else (made,))
            report = asyncio.run(take_back(self.dsn, selection, self.scope, dry_run=by_sql))
            if report.done is by_sql or report.conflicts:
                raise Disagreement(self.seed, self.schema, self.log, (report, "a restore"))
            self.restored += report.rows
            if by_sql:
                self._restore_in_sql(made, table, report)
            touched.update(count.table for count in report.tables)
            touched.update(count.link.rpartition(".")[0] for count in report.links)
        self._put_in_order(touched)
        self.compare()

    def _put_in_order(self, tables: Iterable[str]) -> None:
        """Let the rows of both lie in the order of their keys.

        Where several keys hold rows, the server names the one that it meets first, and so do the triggers. In which
        order rows are met follows from where they lie, which a restore changes in the soft database alone.
        """
        for table in tables:
            for connection in (self.owner, self.twin):
                connection.execute(f"CLUSTER {table} USING {table.partition('.')[2]}_pkey".encode())

    def _restore_in_sql(self, made: str, table: str | None, report: Report) -> None:
        """Take a deletion back through the proxy; raise Disagreement unless it is what the command would have done."""
        query = "SELECT table_name, rows, asked, below, parents, put_back FROM pgsoftproxy.restore(%s, deletion => %s)"
        found = self.soft.execute(query, (table, made)).fetchall()
        told = [(row.table, row.rows, row.asked, row.below, row.parents) for row in report.tables]
        done = sum(link.put_back for link in report.links)
        answers = [row[:5] for row in found if row[1]], sum(row[5] for row in found)  # type: ignore[misc]
        if answers != (told, done):
            raise Disagreement(self.seed, self.schema, self.log, (found, report))

    def _deletions(self) -> set[str]:
        tables = (f"SELECT deletion_id::text FROM t{number}" for number in range(len(self.schema.tables)))
        query = f"SELECT * FROM ({' UNION '.join(tables)}) AS t (id) WHERE id IS NOT NULL"
        return {str(row[0]) for row in self.owner.execute(query.encode())}

    def compare(self) -> None:
        """Raise Disagreement unless both show the same rows."""
        query = self.schema.read().encode()
        soft, twin = (connection.execute(query).fetchall() for connection in (self.soft, self.twin))
        if soft != twin:
            raise Disagreement(self.seed, self.schema, self.log, (soft, twin))

    @property
    def failed(self) -> bool:
        """Tell whether the open transaction has failed."""
        return self.twin.info.transaction_status is psycopg.pq.TransactionStatus.INERROR

    @property
    def open(self) -> bool:
        """Tell whether a transaction is open."""
        return self.twin.info.transaction_status is not psycopg.pq.TransactionStatus.IDLE


def _names_absent_parent(soft: Answer, twin: Answer) -> bool:
    """Tell whether both say 23503, the soft database of a row without a parent: several keys are violated.

    The server's own keys come before the triggers there: a parent that never was is named before one that is deleted,
    and a default that is no key at once. A check that waits speaks for whichever row has the key by then.
    """
    return soft[0] == twin[0] == "23503" and _of_child(soft)


def _of_child(answer: Answer) -> bool:
    """Tell whether an answer speaks of a row without a parent."""
    return (answer[1] or "").startswith("insert or update on table")


def _name_one_key(soft: Answer, twin: Answer) -> bool:
    """Tell whether both say 23503 of one key, one of them of its parent and the other of its child.

    A default that is deleted in the same statement violates the key from both sides.
    """
    return soft[0] == twin[0] == "23503" and soft[3:] == twin[3:]


def _answer(connection: Connection, statement: str) -> Answer:
    try:
        cursor = connection.execute(statement.encode())
    except psycopg.Error as error:
        diag = error.diag
        where = (diag.schema_name, diag.table_name, diag.constraint_name)
        # Which of several rows is named follows from the plan: scans and joins meet them in different orders.
        detail = re.sub(r"=\(.*?\)", "=(...)", diag.message_detail or "")
        return error.sqlstate, diag.message_primary, detail, *where
    return "ok", cursor.statusmessage or ""


async def scope_of(dsn: str) -> Scope:
    """Return what may be restored in a database."""
    policy, _ = compile_policy([RULE], {}, await load_catalog(dsn))
    return Scope(policy, find_links(policy)[0])


async def take_back(
    dsn: str, selection: Selection, scope: Scope | None = None, *, dry_run: bool = False
) -> Report:
    """Restore over a direct connection."""
    known = scope or await scope_of(dsn)
    async with connect(dsn) as connection:
        return await restore(connection, known, (selection, Terms(dry_run=dry_run)), lambda _: None)


def run_sequence(twins: Twins, random: Random) -> None:
    """Run one random sequence, in transactions and outside, and compare as it goes; both end empty."""
    twins.log.clear()
    for statement in Statements(twins.schema, random).take(random.randint(25, 70)):
        if not twins.open and statement.startswith("DELETE") and random.random() < RESTORED:
            by_root, by_sql = random.random() < 0.5, random.random() < 0.5
            twins.delete_and_restore(statement, by_root=by_root, by_sql=by_sql)
        if not twins.open and random.random() < 0.15:
            twins.send("BEGIN")
        twins.send(statement)
        if twins.open and (twins.failed or random.random() < 0.3):
            twins.send(random.choice(("COMMIT", "COMMIT", "ROLLBACK")))
        if not twins.open and random.random() < 0.3:
            twins.compare()
    if twins.open:
        twins.send("COMMIT")
    twins.compare()


def equip(dsn: str, keys: Sequence[KeyRule] = (), rules: Sequence[TableRule] = (RULE,)) -> None:
    """Create what the links of a database need: functions, triggers, the indexes of parents."""
    catalog = asyncio.run(load_catalog(dsn))
    policy, _ = compile_policy(rules, {}, catalog)
    links, problems = find_links(policy, keys)
    assert not problems
    with psycopg.connect(dsn) as connection:
        connection.execute(TABLES.encode())
        for definition in definitions(policy, links):
            connection.execute(definition.create.encode())
        for index in {index for link in links if (index := key_index(link)) is not None}:
            connection.execute(index.replace(" CONCURRENTLY", "").encode())


@contextmanager
def twins_of(server: Server, proxy: RunningProxy, seed: int) -> Iterator[Twins]:
    """Make both databases with the schema of a seed, and drop them."""
    schema = random_schema(Random(seed))  # noqa: S311 (a test that can be run again)
    names = [f"relations_{side}_{uuid4().hex[:12]}" for side in ("soft", "twin")]
    for name, deletes_softly in zip(names, (True, False), strict=True):
        execute(server.dsn(), f"CREATE DATABASE {name}")
        execute(server.dsn(name), ";\n".join(schema.ddl(soft=deletes_softly)))
        execute(server.dsn(), IN_KEY_ORDER.format(name))
    equip(server.dsn(names[0]))
    try:
        with (
            psycopg.connect(proxy.dsn(names[0]), autocommit=True) as soft,
            psycopg.connect(server.dsn(names[0]), autocommit=True) as owner,
            psycopg.connect(server.dsn(names[1]), autocommit=True) as twin,
        ):
            dsn = server.dsn(names[0])
            yield Twins(schema, seed, soft, owner, twin, dsn, asyncio.run(scope_of(dsn)))
    finally:
        for name in names:
            execute(server.dsn(), f"DROP DATABASE {name} WITH (FORCE)")


def run_schema(server: Server, proxy: RunningProxy, seed: int, sequences: int = SEQUENCES) -> Tally:
    """Run the sequences of one seed; return how many statements both answered alike."""
    with twins_of(server, proxy, seed) as twins:
        tables = ", ".join(f"t{number}" for number in range(len(twins.schema.tables)))
        random = Random(f"{seed} sequences")  # noqa: S311 (likewise)
        for _ in range(sequences):
            try:
                run_sequence(twins, random)
            except Abandoned:
                twins.tally.abandoned += 1
                for connection in (twins.soft, twins.twin):
                    connection.rollback()
            for connection in (twins.owner, twins.twin):
                connection.execute(f"SET pgsoftproxy.delete = 'hard'; TRUNCATE {tables}".encode())
        return twins.tally
