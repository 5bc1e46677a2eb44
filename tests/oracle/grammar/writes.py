"""Random INSERT, UPDATE, DELETE and MERGE statements whose effect is settled.

Keys that are written are new or those of live rows: a key that a deleted row holds is where the proxy may differ
from a twin. Of several joined rows that match one target row any may be taken, so what is set or returned then
depends on the target alone, or on a source that has one row for each key.
"""

from collections.abc import Callable
from dataclasses import replace

from tests.oracle.grammar.selects import Selects, enclosed
from tests.oracle.grammar.vocabulary import (
    CTE_NAMES,
    INT,
    KEYED,
    TEXT,
    WRITABLE,
    Made,
    Scope,
    Source,
    Table,
)  # fmt: skip

FRESH = 50000
"""Keys from here on are nobody's."""


class Writes(Selects):
    """Build statements that change rows; the relations they touch are collected in `written`."""

    def write(self) -> str:
        """Return a statement that writes, perhaps under a WITH."""
        makers: list[tuple[float, Callable[[], str]]] = [
            (9, self.delete), (7, self.update), (4, self.insert), (4, self.upsert), (5, self.merge),
        ]  # fmt: skip
        maker = self.weighted(makers)
        prefix = self.with_clause(maker != self.merge) if self.chance(0.2) else ""
        return prefix + maker()

    def query(self) -> tuple[str, bool]:
        """Return a query, perhaps under a WITH, and whether the order of its rows is settled."""
        prefix = self.with_clause() if self.chance(0.22) else ""
        text, ordered = self.top_level()
        return prefix + (enclosed(text) if prefix else text), ordered

    def with_clause(self, may_recur: bool = True) -> str:
        """Return a WITH whose names may shadow tables and whose queries may write."""
        parts: list[str] = []
        recursive = may_recur and self.chance(0.2)
        for name in self.random.sample(CTE_NAMES, self.random.randint(1, 2)):
            self.use("WITH")
            made = self.written_rows() if self.chance(0.18) else self.sub_select(2, ())
            if name not in ("c1", "c2", "_sd1"):
                self.use("WITH that shadows a table")
            kept = self.pick(("", "", "MATERIALIZED ", "NOT MATERIALIZED "))
            names = ""
            if self.chance(0.15):
                self.use("WITH with column names")
                names = f" ({', '.join(made.columns)})"
            parts.append(f"{self.spell(name)}{names} AS {kept}({made.text})")
            self.ctes[name] = made.columns
        if recursive:
            text, columns = self.recursive(())
            names = ", ".join(columns)
            parts.append(f"walk ({names}) AS ({text})")
            self.ctes["walk"] = columns
        return f"WITH {'RECURSIVE ' if recursive else ''}{', '.join(parts)} "

    def written_rows(self) -> Made:
        """Return a statement that writes and gives rows, for a WITH."""
        self.use("WITH that writes")
        table, target, head = self.target(KEYED)
        columns = {"x0": INT, "x1": TEXT}
        returned = f"RETURNING {self.integer((target,), 0)} AS x0, {self.text((target,), 0)} AS x1"
        if self.chance(0.6):
            where = self.limited(table, target, self.boolean((target,), 1))
            return Made(f"DELETE FROM {head} WHERE {where} {returned}", columns)
        changed = f"UPDATE {head} SET {table.note} = 'changed' WHERE {self.boolean((target,), 1)}"
        return Made(f"{changed} {returned}", columns)

    def delete(self) -> str:
        """Return a DELETE, perhaps with USING and RETURNING."""
        self.use("DELETE")
        table, target, head = self.target(WRITABLE)
        scope: Scope = (target,)
        using, unique = "", ""
        if self.chance(0.45):
            item, scope, unique = self.beside(target, "DELETE USING")
            using = f" USING {item}"
        where = self.boolean(scope, 2)
        where = f"{unique} AND ({where})" if unique else where
        text = f"DELETE FROM {head}{using}"
        if table.only or unique or self.chance(0.93):
            text += f" WHERE {self.limited(table, target, where)}"
        return text + self.returning(
            "DELETE RETURNING",
            scope if unique else (replace(target, crowded=using != ""),),
            unique != "" or not using,
        )

    def update(self) -> str:
        """Return an UPDATE, perhaps with FROM and RETURNING."""
        self.use("UPDATE")
        table, target, head = self.target(WRITABLE)
        scope: Scope = (target,)
        source, unique = "", ""
        if self.chance(0.45):
            item, scope, unique = self.beside(target, "UPDATE FROM")
            source = f" FROM {item}"
        values: Scope = scope if unique else (replace(target, crowded=source != ""),)
        where = f"{unique} AND ({self.boolean(scope, 2)})" if unique else self.boolean(scope, 2)
        text = f"UPDATE {head} SET {self.assigned(table, values)}{source}"
        if unique or self.chance(0.9):
            text += f" WHERE {where}"
        return text + self.returning("UPDATE RETURNING", values, unique != "" or not source)

    def assigned(self, table: Table, scope: Scope) -> str:
        """Return what an UPDATE sets: never a key."""
        value = f"coalesce({self.text(scope, 2)}, 'none')"
        note = self.spell(table.note)
        if table.full_key not in ("", "-") or table.name == "gadgets":
            value = f"{note} || '!'"
        roll = self.random.random()
        if roll < 0.15:
            self.use("UPDATE of several columns at once")
            return f"({note}) = (SELECT {value})" if self.chance(0.5) else f"({note}) = ROW ({value})"
        if roll < 0.6 and "day" in table.columns and not table.root:
            self.use("UPDATE that moves rows between partitions")
            return f"day = day + 365, {note} = {value}"
        if roll < 0.5 and table.name in ("relics", "node", "logs", "memos"):
            self.use("UPDATE to DEFAULT")
            return f"{note} = DEFAULT"
        return f"{note} = {value}"

    def insert(self) -> str:
        """Return an INSERT of rows with new keys."""
        self.use("INSERT")
        table = self.pick(
            [known for known in self.untouched(KEYED) if not known.root or "day" in known.columns]
        )
        columns, values = self.filled(table, "s.k", "s.v")
        if self.chance(0.3):
            self.use("INSERT VALUES")
            rows = []
            for number in range(self.random.randint(1, 3)):
                _, row = self.filled(table, str(FRESH + number), f"coalesce({self.text((), 1)}, 'v')")
                rows.append(f"({row})")
            source = f"VALUES {', '.join(rows)}"
        else:
            self.use("INSERT SELECT")
            source = f"SELECT {values} FROM ({self.numbered(FRESH)}) AS s"
        self.written.add(table.state)
        head, target = self.relation(table), Source(table.name, table.columns, table=True)
        if self.chance(0.3):
            alias = self.alias()
            head, target = f"{head} AS {alias}", Source(alias, table.columns, table=True)
        text = f"INSERT INTO {head} ({columns}) {source}"
        return text + self.returning("INSERT RETURNING", (target,))

    def upsert(self) -> str:
        """Return an INSERT ... ON CONFLICT: its rows never meet each other, and live rows sometimes."""
        self.use("ON CONFLICT")
        fitting = [
            known for known in self.untouched(KEYED) if known.full_key != "-" and "day" not in known.columns
        ]
        several = [known for known in fitting if known.qualified in ("app.users", "app.accounts")]
        table = self.pick(several if several and self.chance(0.4) else fitting)
        live = ", ".join(f"({value})" for value in self.random.sample(table.live, min(2, len(table.live))))
        rows = f"SELECT k, 'up' || k AS v FROM (VALUES {live}, ({FRESH}), ({FRESH + 1})) AS f (k)"
        target = f"({self.spell(table.key)})"
        columns, values = self.filled(table, "s.k", "s.v")
        if table.qualified == "app.users" and self.chance(0.7):
            self.use("ON CONFLICT of a partial unique index")
            rows, target = _by_text("bob@example.com"), "(email) WHERE deleted_at IS NULL"
            columns, values = "id, email, name", "s.k, s.v, 'up'"
        elif table.name == "accounts" and self.chance(0.6):
            rows, target = _by_text("alpha"), "(handle)"
            if self.chance(0.4):
                self.use("ON CONFLICT ON CONSTRAINT")
                target = "ON CONSTRAINT accounts_handle_key"
        elif self.chance(0.06):
            target = ""
        self.written.add(table.state)
        alias = self.alias()
        own = Source(alias, table.columns, table=True, crowded=True)
        text = f"INSERT INTO {self.relation(table)} AS {alias} ({columns}) SELECT {values} FROM ({rows}) AS s"
        text += f" ON CONFLICT {target} DO {self.on_conflict(table, own, target)}"
        return text + self.returning("INSERT RETURNING", (own,))

    def on_conflict(self, table: Table, own: Source, target: str) -> str:
        """Return the action of an ON CONFLICT."""
        if not target or self.chance(0.3):
            self.use("DO NOTHING")
            return "NOTHING"
        self.use("DO UPDATE")
        note = "balance" if table.name == "accounts" else "name" if "email" in table.columns else table.note
        value = f"excluded.{note}" if self.chance(0.5) else f"{own.alias}.{note}"
        where = ""
        if self.chance(0.4):
            self.use("DO UPDATE WHERE")
            where = f" WHERE {self.boolean((own,), 1)}"
        return f"UPDATE SET {self.spell(note)} = {value}{where}"

    def merge(self) -> str:
        """Return a MERGE in which no row of the target is met twice."""
        self.use("MERGE")
        table, target, head = self.target(KEYED)
        key = f"{target.alias}.{table.key}"
        made = self.sub_select(2, (), (INT,))
        extra = ", ".join(f"({value})" for value in self.random.sample(table.live, 1))
        source = f"SELECT m.x0 AS k, min('m' || m.x0) AS v FROM ({made.text}) AS m WHERE m.x0 IS NOT NULL GROUP BY 1"
        source += f" UNION SELECT k, 'live' FROM (VALUES {extra}) AS f (k)" if self.chance(0.3) else ""
        source = f"SELECT k, min(v) AS v FROM ({source}) AS d GROUP BY k"
        scope = (target, Source("s", {"k": INT, "v": TEXT}))
        actions = self.matched(table, target, scope)
        if self.chance(0.5):
            self.use("MERGE INSERT")
            columns, values = self.filled(table, f"{FRESH} + s.k % 1000", "s.v")
            if self.has("MERGE RETURNING") and self.chance(0.3):
                actions.append(
                    f"WHEN NOT MATCHED BY TARGET AND s.k > 0 THEN INSERT ({columns}) VALUES ({values})"
                )
            else:
                actions.append(f"WHEN NOT MATCHED AND s.k > 0 THEN INSERT ({columns}) VALUES ({values})")
        if self.has("MERGE BY SOURCE") and self.chance(0.4):
            self.use("MERGE BY SOURCE")
            condition = self.limited(table, target, self.boolean((target,), 1))
            action = self.pick(("DELETE", f"UPDATE SET {table.note} = 'left'", "DO NOTHING"))
            actions.append(f"WHEN NOT MATCHED BY SOURCE AND {condition} THEN {action}")
        text = f"MERGE INTO {head} USING ({source}) AS s ON {key} = s.k {' '.join(actions)}"
        if not self.has("MERGE RETURNING") or self.chance(0.5):
            return text
        self.use("MERGE RETURNING")
        return f"{text} RETURNING {self.pick(('merge_action(), ', ''))}{self.listed((INT, TEXT), scope, 0)}"

    def matched(self, table: Table, target: Source, scope: Scope) -> list[str]:
        """Return one or two actions on matched rows, of which only the last may be without a condition."""
        actions: list[str] = []
        update = f"UPDATE SET {table.note} = {target.alias}.{table.note} || s.v"
        for action in self.random.sample(["DELETE", update, "DO NOTHING"], self.random.randint(1, 2)):
            condition = self.boolean(scope, 1)
            if action == "DELETE":
                self.use("MERGE DELETE")
                condition = self.limited(table, target, condition)
            actions.append(f"WHEN MATCHED AND ({condition}) THEN {action}")
        return actions

    def target(self, tables: tuple[Table, ...]) -> tuple[Table, Source, str]:
        """Return a table to write to, as a source and as it is written."""
        table = self.pick(self.untouched(tables))
        self.written |= {table.state}
        if table.view:
            self.use("write through a view")
        self.relations -= 1
        name = self.relation(table)
        if self.chance(0.08) and not table.children and not table.view:
            self.use("write to ONLY")
            name = f"ONLY {name}"
        if self.chance(0.7):
            alias = self.alias()
            return (
                table,
                Source(alias, table.columns, table=not table.view),
                f"{name} {self.pick(('AS ', ''))}{alias}",
            )
        self.use("write without an alias")
        self.named_bare.add(table.name)
        return table, Source(table.name, table.columns, table=not table.view), name

    def untouched(self, tables: tuple[Table, ...]) -> list[Table]:
        """Return the tables that no WITH writes to: what becomes of a row that is written twice is nobody's promise."""
        return [table for table in tables if self.family(table).isdisjoint(self.written)]

    def family(self, table: Table) -> set[str]:
        """Return the relations that a write to a table may change."""
        if table.name in ("animals", "dogs", "puppies"):
            return {"app.animals", "app.dogs", "app.puppies"}
        return {table.state}

    def limited(self, table: Table, target: Source, condition: str) -> str:
        """Return a condition that spares rows which others refer to."""
        return f"{table.only.replace('{t}', target.alias)} AND ({condition})" if table.only else condition

    def beside(self, target: Source, construct: str) -> tuple[str, Scope, str]:
        """Return what USING or FROM adds, all in scope, and the condition that makes its row the only one."""
        self.use(construct)
        if (mine := self.column(INT, (replace(target, crowded=True),))) and self.chance(0.4):
            self.use("join by a key in a write")
            self.relations -= 1
            table, alias = self.pick([known for known in KEYED if known.full_key != "-"]), self.alias()
            if "day" not in table.columns:
                source = Source(alias, table.columns, table=True)
                return f"{self.relation(table)} AS {alias}", (target, source), f"{mine} = {alias}.{table.key}"
        item, sources = self.from_list(2, ())
        return item, (target, *sources), ""

    def numbered(self, first: int) -> str:
        """Return a query of new keys k and texts v."""
        made = self.sub_select(2, (), (TEXT,))
        number = f"{first} + row_number() OVER (ORDER BY d.x0)"
        rows = f"SELECT DISTINCT x0 FROM ({made.text}) AS e"
        return f"SELECT {number} AS k, coalesce(d.x0, 'none') AS v FROM ({rows}) AS d"

    def filled(self, table: Table, key: str, value: str) -> tuple[str, str]:
        """Return the columns that an INSERT names and their values."""
        unique = f"left({value}, 99)" if table.full_key in ("", "-") else value
        columns = [self.spell(table.key), self.spell(table.note), *table.also]
        values = [key, unique, *(text.replace("{key}", f"({key})") for text in table.also.values())]
        return ", ".join(columns), ", ".join(values)

    def returning(self, construct: str, scope: Scope, alone: bool = True) -> str:
        """Return a RETURNING clause, or none; `alone` where `*` shows nothing but this scope."""
        if self.chance(0.4):
            return ""
        self.use(construct)
        roll = self.random.random()
        alias = scope[0].alias
        if roll < 0.12 and alone:
            self.use("RETURNING *")
            return " RETURNING *"
        if roll < 0.24:
            self.use("RETURNING t.*")
            return f" RETURNING {alias}.*"
        if roll < 0.45 and self.has("RETURNING old and new"):
            self.use("RETURNING old and new")
            column = self.pick([name for name, kind in scope[0].columns.items() if kind])
            if self.chance(0.3):
                return f" RETURNING WITH (OLD AS o, NEW AS n) o.{column} AS a, n.{column} AS b"
            return f" RETURNING old.{column}, {alias}.{column}, new.{column} AS c"
        if roll < 0.6:
            self.use("sub-link in RETURNING")
            return f" RETURNING {self.integer(scope, 0)} AS a, {self.scalar_link(INT, scope, 1)} AS b"
        kinds = tuple(self.pick((INT, TEXT, TEXT)) for _ in range(self.random.randint(1, 3)))
        return f" RETURNING {self.listed(kinds, scope, 1)}"


def _by_text(live: str) -> str:
    """Return rows of new keys k with a text v that a live row has and one that none has."""
    rows = f"(VALUES ('{live}'), ('new@x')) AS f (t)"
    return f"SELECT {FRESH} + row_number() OVER (ORDER BY t) AS k, t AS v FROM {rows}"
