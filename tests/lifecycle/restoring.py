"""Run `restore` and `history` on a test's database and look at its live rows."""

import json
from typing import Any

from tests.configured import Configured

STAMPS = ("deleted_at", "deleted_by", "deletion_id")
RULES = '[tables."public.*"]\ndeleted_by = "deleted_by"\ndeletion_id = "deletion_id"\n'
COLUMNS = "deleted_at timestamptz, deleted_by text, deletion_id uuid"
SHOP = f"""
CREATE TABLE users (id int PRIMARY KEY, email text, boss int REFERENCES users ON DELETE SET NULL, {COLUMNS});
CREATE UNIQUE INDEX users_email ON users (lower(email)) WHERE deleted_at IS NULL;
CREATE TABLE orders (
    id int PRIMARY KEY, user_id int REFERENCES users ON DELETE CASCADE,
    seller int DEFAULT 3 REFERENCES users ON DELETE SET DEFAULT, {COLUMNS});
CREATE TABLE items (shop int, id int, order_id int REFERENCES orders ON DELETE CASCADE, code text, {COLUMNS},
    PRIMARY KEY (shop, id));
CREATE UNIQUE INDEX items_code ON items (code) WHERE deleted_at IS NULL;
CREATE TABLE reviews (id int PRIMARY KEY, author int REFERENCES users ON DELETE SET NULL, {COLUMNS});
CREATE TABLE notes (id int PRIMARY KEY, item_shop int, item_id int, deleted_at timestamp(3),
    FOREIGN KEY (item_shop, item_id) REFERENCES items ON DELETE CASCADE);
INSERT INTO users VALUES (1, 'Ann', NULL), (2, 'bob', 1), (3, 'cy', 1);
INSERT INTO orders SELECT n, 1 + n % 2, 1 + n % 3 FROM generate_series(1, 6) AS n;
INSERT INTO items SELECT 1, n, 1 + n % 6, 'c' || n FROM generate_series(1, 12) AS n;
INSERT INTO reviews VALUES (1, 1), (2, 2), (3, NULL);
INSERT INTO notes SELECT n, 1, n FROM generate_series(1, 12) AS n;
"""


class Lifecycle(Configured):
    """A database with a configuration for it, whose rows are brought back."""

    def command(self, name: str, *arguments: str) -> tuple[int, str]:
        """Run a command; return its exit code and what it printed on standard output."""
        ended = self.invoke(name, *arguments)
        return ended.exit_code, ended.stdout + (ended.stderr if ended.exit_code == 2 else "")

    def restore(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Restore without asking; return the report."""
        ended, out = self.command("restore", "--yes", "--json", *arguments)
        assert ended == code, out
        report: dict[str, Any] = json.loads(out)
        return report

    def history(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Return the story of a row."""
        ended, out = self.command("history", "--json", *arguments)
        assert ended == code, out
        story: dict[str, Any] = json.loads(out)
        return story

    def live(self) -> dict[str, list[dict[str, Any]]]:
        """Return the live rows of every public table, whole, but for their stamps."""
        tables = self.database.execute(
            "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition "
            "AND relnamespace = 'public'::regnamespace ORDER BY 1"
        )
        found: dict[str, list[dict[str, Any]]] = {table: [] for (table,) in tables}
        whole = " UNION ALL ".join(f"SELECT '{table}', to_jsonb(t) FROM {table} AS t" for table in found)
        for table, row in self.database.execute(f"SELECT * FROM ({whole}) AS t (n, r) ORDER BY n, r::text"):
            if row.get("deleted_at") in (None, False):
                found[table].append({name: value for name, value in row.items() if name not in STAMPS})
        return found

    def delete(self, table: str, where: str, number: int = 1) -> str:
        """Delete rows softly, in a deletion of that number; return its id."""
        made = deletion(number)
        self.database.execute(
            f"UPDATE {table} SET deleted_at = now(), deleted_by = 'ann', deletion_id = '{made}' "
            f"WHERE deleted_at IS NULL AND {where}"
        )
        return made


def deletion(number: int) -> str:
    """Return a deletion id."""
    return f"00000000-0000-0000-0000-{number:012}"
