"""The server's plan of a rewritten query is that of the same query written by hand with the predicate.

Same tree, same indexes, same conditions, and a cost within one per cent, on tables of some 10,000s of rows.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from pgsoftproxy.db.introspect import load_catalog
from pgsoftproxy.model.context import Context, SearchPath, Values, Variables
from pgsoftproxy.model.policy import Policy, TableRule, compile_policy
from pgsoftproxy.rewrite.plan import Rewritten
from pgsoftproxy.rewrite.rewriter import rewrite
from tests.servers import Server, execute

TOLERANCE = 0.01
DEAD = "CASE WHEN i % 7 = 0 THEN timestamptz '2026-01-01' END"
SCHEMA = f"""
CREATE SCHEMA app;
CREATE TABLE app.users (id int PRIMARY KEY, email text, city text, age int, manager_id int, deleted_at timestamptz);
INSERT INTO app.users
    SELECT i, 'u' || i || '@example.com', 'city' || i % 200, i % 80, i / 10, {DEAD} FROM generate_series(1, 20000) i;
CREATE UNIQUE INDEX users_email_live ON app.users (email) WHERE deleted_at IS NULL;
CREATE INDEX users_city_live ON app.users (city) WHERE deleted_at IS NULL;
CREATE TABLE app.stores (id int PRIMARY KEY, region_id int, title text, deleted_at timestamptz);
INSERT INTO app.stores SELECT i, i % 20, 'store' || i, {DEAD} FROM generate_series(1, 500) i;
CREATE TABLE app.regions (id int PRIMARY KEY, title text, deleted_at timestamptz);
INSERT INTO app.regions SELECT i, 'region' || i, {DEAD} FROM generate_series(0, 19) i;
CREATE TABLE app.orders (
    id int PRIMARY KEY, user_id int, store_id int, status text, total numeric, placed_on date, deleted_at timestamptz);
INSERT INTO app.orders
    SELECT i, i % 20000, i % 500, CASE i % 4 WHEN 0 THEN 'new' ELSE 'paid' END, i % 1000,
        date '2026-01-01' + i % 300, {DEAD}
    FROM generate_series(1, 50000) i;
CREATE INDEX orders_user_live ON app.orders (user_id) WHERE deleted_at IS NULL;
CREATE INDEX orders_placed_live ON app.orders (placed_on, id) WHERE deleted_at IS NULL;
CREATE TABLE app.products (id int PRIMARY KEY, title text, price numeric, deleted_at timestamptz);
INSERT INTO app.products SELECT i, 'product' || i, i % 90, {DEAD} FROM generate_series(1, 5000) i;
CREATE TABLE app.items (id int PRIMARY KEY, order_id int, product_id int, qty int, deleted_at timestamptz);
INSERT INTO app.items SELECT i, i % 50000, i % 5000, i % 9, {DEAD} FROM generate_series(1, 60000) i;
CREATE INDEX items_order ON app.items (order_id);
CREATE TABLE app.payments (id int PRIMARY KEY, order_id int, amount numeric, deleted_at timestamptz);
INSERT INTO app.payments SELECT i, i, i % 1000, {DEAD} FROM generate_series(1, 40000) i;
CREATE INDEX payments_order_live ON app.payments (order_id) WHERE deleted_at IS NULL;
CREATE TABLE app.parcels (id int PRIMARY KEY, order_id int, weight int, deleted_at timestamptz);
INSERT INTO app.parcels SELECT i, i, i % 50, {DEAD} FROM generate_series(1, 30000) i;
CREATE INDEX parcels_order ON app.parcels (order_id);
CREATE TABLE app.flags (id int PRIMARY KEY, user_id int, name text, gone boolean NOT NULL);
INSERT INTO app.flags SELECT i, i % 20000, 'flag' || i % 10, i % 7 = 0 FROM generate_series(1, 20000) i;
CREATE INDEX flags_user_live ON app.flags (user_id) WHERE NOT gone;
CREATE TABLE app.measures (id int, day date, value int, deleted_at timestamptz) PARTITION BY RANGE (day);
CREATE TABLE app.measures_1 PARTITION OF app.measures FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
CREATE TABLE app.measures_2 PARTITION OF app.measures FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
INSERT INTO app.measures SELECT i, date '2026-01-01' + i % 360, i % 100, {DEAD} FROM generate_series(1, 20000) i;
CREATE INDEX measures_day_live ON app.measures (day) WHERE deleted_at IS NULL;
"""

EIGHT = """
SELECT u.email, p.title, r.title FROM users u
JOIN orders o ON o.user_id = u.id JOIN items i ON i.order_id = o.id JOIN products p ON p.id = i.product_id
JOIN payments y ON y.order_id = o.id JOIN parcels c ON c.order_id = o.id
JOIN stores s ON s.id = o.store_id JOIN regions r ON r.id = s.region_id
WHERE u.city = 'city7' AND p.price > 10"""
EIGHT_LIVE = " AND ".join(f"{alias}.deleted_at IS NULL" for alias in "uoipycsr")
LEFT_EIGHT = """
SELECT u.id, p.title, r.title FROM users u
LEFT JOIN orders o ON o.user_id = u.id{o} LEFT JOIN items i ON i.order_id = o.id{i}
LEFT JOIN products p ON p.id = i.product_id{p} LEFT JOIN payments y ON y.order_id = o.id{y}
LEFT JOIN parcels c ON c.order_id = o.id{c} LEFT JOIN stores s ON s.id = o.store_id{s}
LEFT JOIN regions r ON r.id = s.region_id{r} WHERE u.city = 'city7'"""


def live(alias: str) -> str:
    """Return a sub-select of the live rows of one table, as one would write it by hand where no WHERE will do."""
    table = {"u": "users", "o": "orders", "p": "payments"}[alias]
    return f"(SELECT * FROM {table} {alias} WHERE {alias}.deleted_at IS NULL) {alias}"


QUERIES = {
    "one row by its key": (
        "SELECT * FROM users WHERE id = 77",
        "SELECT * FROM users WHERE id = 77 AND deleted_at IS NULL",
    ),
    "one row by a unique index of live rows": (
        "SELECT id FROM users WHERE email = 'u77@example.com'",
        "SELECT id FROM users WHERE email = 'u77@example.com' AND deleted_at IS NULL",
    ),
    "some rows by an index of live rows": (
        "SELECT id, email FROM users u WHERE u.city = 'city3' OR u.city = 'city4'",
        "SELECT id, email FROM users u WHERE (u.city = 'city3' OR u.city = 'city4') AND u.deleted_at IS NULL",
    ),
    "a scan of the whole table": (
        "SELECT * FROM orders",
        "SELECT * FROM orders WHERE deleted_at IS NULL",
    ),
    "the newest few by an index of live rows": (
        "SELECT id FROM orders ORDER BY placed_on DESC, id DESC LIMIT 20",
        "SELECT id FROM orders WHERE deleted_at IS NULL ORDER BY placed_on DESC, id DESC LIMIT 20",
    ),
    "an index-only scan": (
        "SELECT placed_on, id FROM orders WHERE placed_on BETWEEN '2026-02-01' AND '2026-02-03'",
        "SELECT placed_on, id FROM orders "
        "WHERE placed_on BETWEEN '2026-02-01' AND '2026-02-03' AND deleted_at IS NULL",
    ),
    "a count": ("SELECT count(*) FROM items", "SELECT count(*) FROM items WHERE deleted_at IS NULL"),
    "aggregates by group": (
        "SELECT status, count(*), sum(total) FROM orders GROUP BY status HAVING count(*) > 5",
        "SELECT status, count(*), sum(total) FROM orders WHERE deleted_at IS NULL GROUP BY status HAVING count(*) > 5",
    ),
    "grouping sets": (
        "SELECT status, store_id, sum(total) FROM orders GROUP BY ROLLUP (status, store_id)",
        "SELECT status, store_id, sum(total) FROM orders WHERE deleted_at IS NULL GROUP BY ROLLUP (status, store_id)",
    ),
    "groups of a key on which the other columns depend": (
        "SELECT u.id, u.email, count(o.id) FROM users u JOIN orders o ON o.user_id = u.id GROUP BY u.id",
        "SELECT u.id, u.email, count(o.id) FROM users u JOIN orders o ON o.user_id = u.id "
        "WHERE u.deleted_at IS NULL AND o.deleted_at IS NULL GROUP BY u.id",
    ),
    "DISTINCT ON": (
        "SELECT DISTINCT ON (user_id) user_id, placed_on FROM orders ORDER BY user_id, placed_on DESC",
        "SELECT DISTINCT ON (user_id) user_id, placed_on FROM orders WHERE deleted_at IS NULL "
        "ORDER BY user_id, placed_on DESC",
    ),
    "a comma join": (
        "SELECT u.email, o.total FROM users u, orders o WHERE o.user_id = u.id AND u.city = 'city9'",
        "SELECT u.email, o.total FROM users u, orders o WHERE o.user_id = u.id AND u.city = 'city9' "
        "AND u.deleted_at IS NULL AND o.deleted_at IS NULL",
    ),
    "an inner join": (
        "SELECT u.email, o.total FROM users u JOIN orders o ON o.user_id = u.id WHERE o.total > 990",
        "SELECT u.email, o.total FROM users u JOIN orders o ON o.user_id = u.id "
        "WHERE o.total > 990 AND u.deleted_at IS NULL AND o.deleted_at IS NULL",
    ),
    "a left join": (
        "SELECT o.id, u.email FROM orders o LEFT JOIN users u ON u.id = o.user_id WHERE o.placed_on = '2026-03-01'",
        "SELECT o.id, u.email FROM orders o LEFT JOIN users u ON u.id = o.user_id AND u.deleted_at IS NULL "
        "WHERE o.placed_on = '2026-03-01' AND o.deleted_at IS NULL",
    ),
    "a left join that finds who has none": (
        "SELECT u.id FROM users u LEFT JOIN orders o ON o.user_id = u.id WHERE o.id IS NULL",
        "SELECT u.id FROM users u LEFT JOIN orders o ON o.user_id = u.id AND o.deleted_at IS NULL "
        "WHERE o.id IS NULL AND u.deleted_at IS NULL",
    ),
    "a right join": (
        "SELECT o.id, u.email FROM users u RIGHT JOIN orders o ON u.id = o.user_id",
        "SELECT o.id, u.email FROM users u RIGHT JOIN orders o ON u.id = o.user_id AND u.deleted_at IS NULL "
        "WHERE o.deleted_at IS NULL",
    ),
    "a full join": (
        "SELECT o.id, p.id FROM orders o FULL JOIN payments p ON p.order_id = o.id",
        f"SELECT o.id, p.id FROM {live('o')} FULL JOIN {live('p')} ON p.order_id = o.id",
    ),
    "a full join by USING beside a left join": (
        "SELECT id, u.email FROM orders o FULL JOIN payments p USING (id) LEFT JOIN users u USING (id)",
        f"SELECT id, u.email FROM {live('o')} FULL JOIN {live('p')} USING (id) LEFT JOIN {live('u')} USING (id)",
    ),
    "a self-join": (
        "SELECT a.id, b.email FROM users a JOIN users b ON b.id = a.manager_id WHERE a.city = 'city5'",
        "SELECT a.id, b.email FROM users a JOIN users b ON b.id = a.manager_id "
        "WHERE a.city = 'city5' AND a.deleted_at IS NULL AND b.deleted_at IS NULL",
    ),
    "a join of eight tables": (EIGHT, f"{EIGHT} AND {EIGHT_LIVE}"),
    "a comma join of eight tables": (
        "SELECT count(*) FROM users u, orders o, items i, products p, payments y, parcels c, stores s, regions r "
        "WHERE o.user_id = u.id AND i.order_id = o.id AND p.id = i.product_id AND y.order_id = o.id "
        "AND c.order_id = o.id AND s.id = o.store_id AND r.id = s.region_id AND u.city = 'city8'",
        "SELECT count(*) FROM users u, orders o, items i, products p, payments y, parcels c, stores s, regions r "
        "WHERE o.user_id = u.id AND i.order_id = o.id AND p.id = i.product_id AND y.order_id = o.id "
        f"AND c.order_id = o.id AND s.id = o.store_id AND r.id = s.region_id AND u.city = 'city8' AND {EIGHT_LIVE}",
    ),
    "a left join of eight tables": (
        LEFT_EIGHT.format(**dict.fromkeys("oipycsr", "")),
        LEFT_EIGHT.format(**{alias: f" AND {alias}.deleted_at IS NULL" for alias in "oipycsr"})
        + " AND u.deleted_at IS NULL",
    ),
    "a join of ten tables, more than the planner reorders": (
        EIGHT.replace("WHERE", "JOIN users m ON m.id = u.manager_id JOIN flags f ON f.user_id = u.id WHERE"),
        EIGHT.replace("WHERE", "JOIN users m ON m.id = u.manager_id JOIN flags f ON f.user_id = u.id WHERE")
        + f" AND {EIGHT_LIVE} AND m.deleted_at IS NULL AND NOT f.gone",
    ),
    "a window": (
        "SELECT id, rank() OVER (PARTITION BY user_id ORDER BY total DESC) FROM orders",
        "SELECT id, rank() OVER (PARTITION BY user_id ORDER BY total DESC) FROM orders WHERE deleted_at IS NULL",
    ),
    "the first of each window": (
        "SELECT * FROM (SELECT id, row_number() OVER (PARTITION BY user_id ORDER BY id) AS n FROM orders) x "
        "WHERE n = 1",
        "SELECT * FROM (SELECT id, row_number() OVER (PARTITION BY user_id ORDER BY id) AS n FROM orders "
        "WHERE deleted_at IS NULL) x WHERE n = 1",
    ),
    "a lateral sub-select": (
        "SELECT u.id, x.total FROM users u, LATERAL "
        "(SELECT o.total FROM orders o WHERE o.user_id = u.id ORDER BY o.total DESC LIMIT 1) x WHERE u.city = 'city1'",
        "SELECT u.id, x.total FROM users u, LATERAL (SELECT o.total FROM orders o WHERE o.user_id = u.id "
        "AND o.deleted_at IS NULL ORDER BY o.total DESC LIMIT 1) x WHERE u.city = 'city1' AND u.deleted_at IS NULL",
    ),
    "a left lateral join": (
        "SELECT u.id, x.n FROM users u LEFT JOIN LATERAL "
        "(SELECT count(*) AS n FROM orders o WHERE o.user_id = u.id) x ON true WHERE u.age = 30",
        "SELECT u.id, x.n FROM users u LEFT JOIN LATERAL (SELECT count(*) AS n FROM orders o "
        "WHERE o.user_id = u.id AND o.deleted_at IS NULL) x ON true WHERE u.age = 30 AND u.deleted_at IS NULL",
    ),
    "EXISTS": (
        "SELECT id FROM users u WHERE EXISTS (SELECT FROM orders o WHERE o.user_id = u.id AND o.status = 'new')",
        "SELECT id FROM users u WHERE EXISTS (SELECT FROM orders o WHERE o.user_id = u.id AND o.status = 'new' "
        "AND o.deleted_at IS NULL) AND u.deleted_at IS NULL",
    ),
    "NOT EXISTS": (
        "SELECT id FROM users u WHERE NOT EXISTS (SELECT FROM orders o WHERE o.user_id = u.id)",
        "SELECT id FROM users u WHERE NOT EXISTS (SELECT FROM orders o WHERE o.user_id = u.id "
        "AND o.deleted_at IS NULL) AND u.deleted_at IS NULL",
    ),
    "IN a sub-select": (
        "SELECT email FROM users WHERE id IN (SELECT user_id FROM orders WHERE total > 995)",
        "SELECT email FROM users WHERE id IN (SELECT user_id FROM orders WHERE total > 995 AND deleted_at IS NULL) "
        "AND deleted_at IS NULL",
    ),
    "NOT IN a sub-select": (
        "SELECT email FROM users WHERE id NOT IN (SELECT manager_id FROM users WHERE city = 'city2')",
        "SELECT email FROM users WHERE id NOT IN (SELECT manager_id FROM users WHERE city = 'city2' "
        "AND deleted_at IS NULL) AND deleted_at IS NULL",
    ),
    "a scalar sub-link in the target list": (
        "SELECT u.id, (SELECT max(o.total) FROM orders o WHERE o.user_id = u.id) FROM users u WHERE u.id < 50",
        "SELECT u.id, (SELECT max(o.total) FROM orders o WHERE o.user_id = u.id AND o.deleted_at IS NULL) "
        "FROM users u WHERE u.id < 50 AND u.deleted_at IS NULL",
    ),
    "the greatest by an index of live rows": (
        "SELECT max(placed_on) FROM orders",
        "SELECT max(placed_on) FROM orders WHERE deleted_at IS NULL",
    ),
    "UNION ALL": (
        "SELECT id FROM orders WHERE total = 1 UNION ALL SELECT id FROM payments WHERE amount = 1 ORDER BY 1",
        "SELECT id FROM orders WHERE total = 1 AND deleted_at IS NULL "
        "UNION ALL SELECT id FROM payments WHERE amount = 1 AND deleted_at IS NULL ORDER BY 1",
    ),
    "EXCEPT": (
        "SELECT id FROM orders EXCEPT SELECT order_id FROM payments",
        "SELECT id FROM orders WHERE deleted_at IS NULL "
        "EXCEPT SELECT order_id FROM payments WHERE deleted_at IS NULL",
    ),
    "a CTE": (
        "WITH big AS (SELECT * FROM orders WHERE total > 990) "
        "SELECT u.email FROM big JOIN users u ON u.id = big.user_id",
        "WITH big AS (SELECT * FROM orders WHERE total > 990 AND deleted_at IS NULL) "
        "SELECT u.email FROM big JOIN users u ON u.id = big.user_id WHERE u.deleted_at IS NULL",
    ),
    "a recursive CTE": (
        "WITH RECURSIVE up AS (SELECT id, manager_id FROM users WHERE id = 15001 "
        "UNION ALL SELECT u.id, u.manager_id FROM up JOIN users u ON u.id = up.manager_id) SELECT id FROM up",
        "WITH RECURSIVE up AS (SELECT id, manager_id FROM users WHERE id = 15001 AND deleted_at IS NULL "
        "UNION ALL SELECT u.id, u.manager_id FROM up JOIN users u ON u.id = up.manager_id "
        "WHERE u.deleted_at IS NULL) SELECT id FROM up",
    ),
    "a boolean deletion column with its index": (
        "SELECT f.name FROM flags f WHERE f.user_id = 123",
        "SELECT f.name FROM flags f WHERE f.user_id = 123 AND NOT f.gone",
    ),
    "a partitioned table of which one partition is read": (
        "SELECT * FROM measures WHERE day = '2026-02-03'",
        "SELECT * FROM measures WHERE day = '2026-02-03' AND deleted_at IS NULL",
    ),
    "a partitioned table in a left join": (
        "SELECT o.id, m.value FROM orders o LEFT JOIN measures m ON m.day = o.placed_on WHERE o.id = 9",
        "SELECT o.id, m.value FROM orders o LEFT JOIN measures m ON m.day = o.placed_on AND m.deleted_at IS NULL "
        "WHERE o.id = 9 AND o.deleted_at IS NULL",
    ),
    "a locking read": (
        "SELECT id FROM orders WHERE user_id = 5 ORDER BY id FOR UPDATE",
        "SELECT id FROM orders WHERE user_id = 5 AND deleted_at IS NULL ORDER BY id FOR UPDATE",
    ),
    "a locking read of one side of a join": (
        "SELECT o.id FROM orders o JOIN users u ON u.id = o.user_id WHERE u.city = 'city4' FOR UPDATE OF o",
        "SELECT o.id FROM orders o JOIN users u ON u.id = o.user_id WHERE u.city = 'city4' "
        "AND u.deleted_at IS NULL AND o.deleted_at IS NULL FOR UPDATE OF o",
    ),
    "DELETE by key": (
        "DELETE FROM orders WHERE id = 5",
        "UPDATE orders SET deleted_at = now() WHERE id = 5 AND deleted_at IS NULL",
    ),
    "DELETE by an index of live rows": (
        "DELETE FROM orders WHERE user_id = 5",
        "UPDATE orders SET deleted_at = now() WHERE user_id = 5 AND deleted_at IS NULL",
    ),
    "DELETE USING": (
        "DELETE FROM orders o USING users u WHERE u.id = o.user_id AND u.city = 'city6'",
        "UPDATE orders o SET deleted_at = now() FROM users u WHERE u.id = o.user_id AND u.city = 'city6' "
        "AND u.deleted_at IS NULL AND o.deleted_at IS NULL",
    ),
    "UPDATE by an index of live rows": (
        "UPDATE users SET age = age + 1 WHERE city = 'city6'",
        "UPDATE users SET age = age + 1 WHERE city = 'city6' AND deleted_at IS NULL",
    ),
    "UPDATE from a join": (
        "UPDATE orders o SET status = 'gift' FROM users u JOIN flags f ON f.user_id = u.id "
        "WHERE u.id = o.user_id AND f.name = 'flag3' AND u.city = 'city3'",
        "UPDATE orders o SET status = 'gift' FROM users u JOIN flags f ON f.user_id = u.id WHERE u.id = o.user_id "
        "AND f.name = 'flag3' AND u.city = 'city3' AND o.deleted_at IS NULL AND u.deleted_at IS NULL AND NOT f.gone",
    ),
    "MERGE": (
        "MERGE INTO payments p USING orders o ON p.order_id = o.id AND o.status = 'new' WHEN MATCHED THEN DELETE",
        "MERGE INTO payments p USING (SELECT * FROM orders o WHERE o.deleted_at IS NULL) o ON p.order_id = o.id "
        "AND o.status = 'new' AND p.deleted_at IS NULL WHEN MATCHED THEN UPDATE SET deleted_at = now()",
    ),
    "INSERT from a SELECT": (
        "INSERT INTO payments SELECT id + 100000, id, total FROM orders WHERE store_id = 3",
        "INSERT INTO payments SELECT id + 100000, id, total FROM orders WHERE store_id = 3 AND deleted_at IS NULL",
    ),
}


@pytest.fixture(scope="module")
def shop(server: Server) -> Iterator[tuple[str, Policy]]:
    """Give a database with rows and statistics, and the policy compiled from its catalog."""
    name = f"plans_{uuid4().hex[:12]}"
    execute(server.dsn(), f"CREATE DATABASE {name}")
    dsn = server.dsn(name)
    execute(dsn, SCHEMA)
    execute(dsn, "VACUUM ANALYZE")
    rules = [TableRule("app.*"), TableRule("app.flags", column="gone")]
    policy, problems = compile_policy(rules, {}, asyncio.run(load_catalog(dsn, None)))
    assert problems == ()
    yield dsn, policy
    execute(server.dsn(), f"DROP DATABASE {name} WITH (FORCE)")


def explained(dsn: str, sql: str) -> dict[str, Any]:
    """Return the server's plan of a query."""
    with psycopg.connect(dsn, options="-c search_path=app") as connection:
        row = connection.execute(f"EXPLAIN (FORMAT JSON) {sql}".encode()).fetchone()
    assert row is not None
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def conjuncts(condition: str) -> list[str]:
    """Return the terms of a condition as EXPLAIN prints it, `((a) AND (b))`, in alphabetical order."""
    return sorted(re.sub(r"^\(+|\)+$", "", term) for term in condition.split(" AND "))


ESTIMATES = frozenset({"Startup Cost", "Total Cost", "Plan Rows", "Plan Width"})


def shape(plan: dict[str, Any]) -> dict[str, Any]:
    """Return a plan without its estimates, conditions as sets of terms, and sub-plans without their numbers."""
    kept: dict[str, Any] = {}
    for key, value in plan.items():
        if key == "Plans":
            kept[key] = [shape(child) for child in value]
        elif key.endswith(("Cond", "Filter")):
            kept[key] = conjuncts(value)
        elif key not in ESTIMATES:
            kept[key] = re.sub(r" \d+\b", "", value) if key == "Subplan Name" else value
    return kept


def lines(tree: dict[str, Any], depth: int = 0) -> list[str]:
    """Return a plan's shape as indented lines, for the difference that a failure shows."""
    fields = ", ".join(f"{key}={value}" for key, value in sorted(tree.items()) if key != "Plans")
    children = [line for child in tree.get("Plans", []) for line in lines(child, depth + 1)]
    return ["  " * depth + fields, *children]


def test_at_least_thirty_queries_are_compared() -> None:
    assert len(QUERIES) >= 30


@pytest.mark.parametrize("name", QUERIES)
def test_a_rewritten_query_is_planned_like_one_written_by_hand(shop: tuple[str, Policy], name: str) -> None:
    dsn, policy = shop
    sql, by_hand = QUERIES[name]
    plan = rewrite(sql, policy, Context(Variables.at_start(Values("app", SearchPath(("app",))))))
    assert isinstance(plan, Rewritten), plan
    ours, theirs = explained(dsn, plan.sql), explained(dsn, by_hand)
    assert lines(shape(ours)) == lines(shape(theirs)), plan.sql
    costs = ours["Total Cost"], theirs["Total Cost"]
    assert costs[0] == pytest.approx(costs[1], rel=TOLERANCE), json.dumps([ours, theirs])


def test_the_comparison_would_notice_a_missing_predicate(shop: tuple[str, Policy]) -> None:
    dsn, _ = shop
    same = [
        name
        for name, (sql, by_hand) in QUERIES.items()
        if lines(shape(explained(dsn, sql))) == lines(shape(explained(dsn, by_hand)))
    ]
    assert same == []
