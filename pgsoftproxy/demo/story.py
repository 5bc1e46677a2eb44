"""What the demo shows, step by step; every step checks that what it shows is what was promised.

Must not know how the server and the proxy were started.
"""

from pgsoftproxy.demo.family import Family
from pgsoftproxy.demo.telling import Metrics, Telling

COUNT = "SELECT count(*) FROM customers"
DELETE = "DELETE FROM customers WHERE id = 42"
ORDERS = """\
SELECT o.id, o.status, c.name
FROM orders o JOIN customers c ON c.id = o.customer_id
WHERE o.customer_id = 42 ORDER BY o.id"""
ORDERS_LEFT = ORDERS.replace("JOIN", "LEFT JOIN")
RAW = """\
SELECT id, name, deleted_at::timestamptz(0), deleted_by
FROM customers WHERE id = 42"""
DELETE_PRODUCT = "DELETE FROM products WHERE sku = %s\nRETURNING id, sku, deleted_at"
UPSERT = """\
INSERT INTO products (sku, title, price)
VALUES ('SKU-0007', 'New clock', 19.90)
ON CONFLICT (sku) DO UPDATE SET price = excluded.price
RETURNING id > 200 AS new_row, title, price"""
PRICE = "SELECT price::text FROM products WHERE sku = 'SKU-0007'"
RAW_PRODUCTS = "SELECT count(*) FROM products WHERE sku = 'SKU-0007'"

BY_SUPPORT = {"visibility": "all", "role": "support"}

METRICS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("customers deleted softly", "pgsoftproxy_soft_deleted_rows_total", {"table": "public.customers"}),
    ("products deleted softly", "pgsoftproxy_soft_deleted_rows_total", {"table": "public.products"}),
    ("statements on customers guarded", "pgsoftproxy_guarded_reads_total", {"table": "public.customers"}),
    ("statements rewritten", "pgsoftproxy_statements_total", {"outcome": "rewritten"}),
    ("statements refused", "pgsoftproxy_statements_total", {"outcome": "refused"}),
    ("uses of visibility `all` by support", "pgsoftproxy_visibility_uses_total", BY_SUPPORT),
    ("plans found in the cache", "pgsoftproxy_plan_cache_hits_total", {}),
)


class Story:
    """Tell the demo on a screen."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._screen = telling.screen
        self._cast = telling.cast

    def tell(self) -> None:
        """Run all steps; DemoFailed at the first that does not show what it should."""
        before = self._cast.metrics()
        family = Family(self._telling)
        steps = (
            ("An application deletes a customer, as ever", self._delete),
            ("The customer is gone: from counts, joins and further deletes", self._gone),
            ("What PostgreSQL received", self._rewritten),
            ("The row is still there (a direct connection, past the proxy)", self._still_there),
            ("A role that may sees deleted rows; the others may not", self._visibility),
            ("What would destroy rows is refused", self._refused),
            ("A deleted key is free again: an upsert", self._upsert),
            ("Rows that refer to it: the database learns what their keys mean", family.migrate),
            ("A parent takes its children with it", family.delete),
            ("And they come back", family.restore),
        )
        for number, (title, step) in enumerate(steps, 1):
            self._screen.step(number, title)
            step()
        self._screen.step(len(steps) + 1, "The metrics that moved")
        self._metrics(before, self._cast.metrics())

    def _delete(self) -> None:
        before = self._telling.quiet(self._cast.shop, COUNT).value
        self._telling.same("customers before", before, 1000)
        answer = self._telling.run(self._cast.shop, DELETE)
        self._telling.same("the answer to the DELETE", answer.tag, "DELETE 1")
        self._screen.check("the same answer as from PostgreSQL itself")

    def _gone(self) -> None:
        shop = self._cast.shop
        self._telling.same("customers left", self._telling.run(shop, COUNT).value, 999)
        self._telling.same("orders joined to the customer", len(self._telling.run(shop, ORDERS).rows), 0)
        rows = self._telling.run(shop, ORDERS_LEFT).rows
        names = [row[2] for row in rows]
        self._telling.same("names in the outer join", names, [None, None, None])
        again = self._telling.run(shop, DELETE)
        self._telling.same("a second DELETE", again.tag, "DELETE 0")
        self._screen.check("not one statement of the application was changed")

    def _rewritten(self) -> None:
        shop = self._cast.shop
        self._screen.say("As the server's own pg_stat_activity reports it, for a delete and for the join:")
        deleted = self._telling.received(shop, DELETE)
        self._telling.true(
            "the DELETE reached the server as an UPDATE", deleted.startswith("UPDATE"), deleted
        )
        joined = self._telling.received(shop, ORDERS_LEFT)
        self._telling.true(
            "the read reached the server guarded", joined.count("deleted_at IS NULL") == 2, joined
        )
        self._screen.check("no deparser: the application's own words, with guards put in")

    def _still_there(self) -> None:
        answer = self._telling.run(self._cast.direct, RAW)
        self._telling.same("raw rows", len(answer.rows), 1)
        self._telling.true(
            "the row has the time of its deletion", answer.rows[0][2] is not None, str(answer.rows[0])
        )
        self._telling.same("who deleted it", answer.rows[0][3], "shop")
        self._telling.same("raw customers", self._telling.quiet(self._cast.direct, COUNT).value, 1000)
        self._screen.check("stamped with when, by whom, and a deletion_id")

    def _visibility(self) -> None:
        wish = "SET pgsoftproxy.visibility = 'all'"
        self._telling.sqlstate(self._telling.run(self._cast.shop, wish), "42501")
        self._telling.same("the answer to SET", self._telling.run(self._cast.support, wish).tag, "SET")
        rows = self._telling.run(self._cast.support, ORDERS).rows
        self._telling.same("orders with their customer", len(rows), 3)
        self._telling.quiet(self._cast.support, "RESET pgsoftproxy.visibility")
        self._telling.same("and after RESET", len(self._telling.quiet(self._cast.support, ORDERS).rows), 0)
        self._screen.check("allowed per role in the configuration, logged and counted at each use")

    def _refused(self) -> None:
        self._telling.sqlstate(self._telling.run(self._cast.shop, "TRUNCATE customers CASCADE"), "0A000")
        self._telling.same("raw customers", self._telling.quiet(self._cast.direct, COUNT).value, 1000)
        self._screen.check("nothing was lost")

    def _upsert(self) -> None:
        shop = self._cast.shop
        deleted = self._telling.run(shop, DELETE_PRODUCT, "SKU-0007")
        self._telling.same("RETURNING shows the row as it was", deleted.rows, ((7, "SKU-0007", None),))
        first = self._telling.run(shop, UPSERT)
        self._telling.same(
            "a new row, not the deleted one", (first.tag, first.rows[0][0]), ("INSERT 0 1", True)
        )
        self._telling.quiet(shop, UPSERT.replace("19.90", "24.90"))
        self._telling.same("the price after a second upsert", self._telling.quiet(shop, PRICE).value, "24.90")
        self._telling.same(
            "raw rows of that SKU", self._telling.quiet(self._cast.direct, RAW_PRODUCTS).value, 2
        )
        self._screen.check("the deleted row neither stopped the insert nor came back")

    def _metrics(self, before: Metrics, after: Metrics) -> None:
        rows = []
        for name, metric, labels in METRICS:
            old, new = _total(before, metric, labels), _total(after, metric, labels)
            self._telling.true(
                f"the metric of {name} should grow", new > old, f"{metric}: {old:g}, then {new:g}"
            )
            rows.append((name, old, new))
        self._screen.table(("metric", "before", "after"), rows)
        soft = _total(after, METRICS[0][1], METRICS[0][2]) - _total(before, METRICS[0][1], METRICS[0][2])
        self._telling.same("customers counted as deleted", soft, 1.0)
        self._screen.check("scraped from the proxy's own /metrics")


def _total(metrics: Metrics, name: str, labels: dict[str, str]) -> float:
    wanted = set(labels.items())
    return sum(value for (metric, found), value in metrics.items() if metric == name and wanted <= found)
