"""The steps of the demo about rows that refer to each other: deleted with their parent, and brought back with it."""

import json

from pgsoftproxy.demo.telling import Telling

DELETE_LINE = "DELETE FROM invoice_lines WHERE id = 22"
DELETE_INVOICE = "DELETE FROM invoices WHERE id = 7"
LINES = "SELECT id, title FROM invoice_lines WHERE invoice_id = 7 ORDER BY id"
GRANT = "GRANT EXECUTE ON FUNCTION pgsoftproxy.restore TO support"
RESTORE = "SELECT table_name, rows FROM pgsoftproxy.restore('invoices', '7')"
LEDGER = "SELECT DISTINCT by_role FROM pgsoftproxy.ledger"
SHOWN_TABLES = ("public.invoices", "public.invoice_lines")


class Family:
    """Tell of invoices and their lines, which refer to them ON DELETE CASCADE."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling

    def migrate(self) -> None:
        """Let the database act on its keys."""
        telling = self._telling
        refused = telling.run(telling.cast.shop, DELETE_INVOICE)
        telling.sqlstate(refused, "0A000")
        plan, *events = telling.command("migrate", "--yes", "--json").splitlines()
        steps = json.loads(plan)["steps"]
        done = [json.loads(line)["step"] for line in events if json.loads(line)["event"] == "done"]
        telling.same("the steps that were done", done, [step["id"] for step in steps])
        shown = [(step["table"], step["title"]) for step in steps if step["table"] in SHOWN_TABLES]
        equipped = {table for table, title in shown if title.endswith(" triggers")}
        telling.same("the tables that got triggers", equipped, set(SHOWN_TABLES))
        telling.true("each step should have a way back", all(step["down"] for step in steps), plan)
        telling.screen.table(("table", "step"), shown)
        telling.screen.say(f"... and {len(steps) - len(shown)} more steps, each with its way back.")
        telling.cast.reload()
        telling.screen.check("triggers do to live rows what the foreign keys say")

    def delete(self) -> None:
        """Delete one child by itself, then the parent with the others."""
        telling, shop = self._telling, self._telling.cast.shop
        telling.same("the answer to the DELETE", telling.run(shop, DELETE_LINE).tag, "DELETE 1")
        telling.same("the answer to the DELETE", telling.run(shop, DELETE_INVOICE).tag, "DELETE 1")
        telling.same("lines left", len(telling.run(shop, LINES).rows), 0)
        raw = telling.quiet(telling.cast.direct, LINES)
        telling.same("raw lines", len(raw.rows), 3)
        told = telling.command("history", "invoice_lines", "21")
        telling.screen.say(told.rstrip())
        telling.true("history should tell who did it", "by shop, in deletion" in told, told)
        telling.true("history should tell with what", "it went with public.invoices id=7" in told, told)
        telling.true("history should count what it took", "2 of public.invoice_lines" in told, told)
        telling.screen.check("one statement, one tag, one deletion: when, by whom, with what")

    def restore(self) -> None:
        """Bring the deletion back, and nothing else."""
        telling, cast = self._telling, self._telling.cast
        telling.sqlstate(telling.run(cast.shop, RESTORE), "42501")
        telling.same("the answer to GRANT", telling.run(cast.direct, GRANT).tag, "GRANT")
        rows = telling.run(cast.support, RESTORE).rows
        telling.same("what came back", rows, (("public.invoices", 1), ("public.invoice_lines", 2)))
        lines = telling.run(cast.shop, LINES).rows
        telling.same("the lines that came back", [row[0] for row in lines], [21, 23])
        telling.same("who restored", telling.quiet(cast.direct, LEDGER).value, "support")
        telling.screen.check("that deletion and nothing else: line 22 was deleted before, by itself")
