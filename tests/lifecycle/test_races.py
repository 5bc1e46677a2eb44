"""Restores beside deletions, insertions and other restores: no live row is left under a deleted one."""

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random

import psycopg
from psycopg import errors

from pgsoftproxy.errors import RestoreFailed
from pgsoftproxy.model.restore import Selection
from tests.fix_servers import Database
from tests.relations.twins import equip, take_back

STAMPS = "deleted_at timestamptz, deleted_by text, deletion_id uuid"
SCHEMA = f"""
CREATE TABLE a (id int PRIMARY KEY, {STAMPS});
CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE, {STAMPS});
CREATE TABLE c (id serial PRIMARY KEY, b int REFERENCES b ON DELETE CASCADE, {STAMPS});
INSERT INTO a SELECT generate_series(1, 3); INSERT INTO b SELECT n, 1 + n % 3 FROM generate_series(1, 9) AS n;
INSERT INTO c (b) SELECT 1 + n % 9 FROM generate_series(1, 30) AS n
"""
ROUNDS = 15
REFUSED = (errors.ForeignKeyViolation, errors.DeadlockDetected)


def work(dsn: str, seed: int) -> Counter[str]:
    random = Random(seed)  # noqa: S311 (a test that can be run again)
    done: Counter[str] = Counter()
    with psycopg.connect(dsn, autocommit=True) as connection:
        for _ in range(ROUNDS):
            table, key = random.choice((("a", random.randint(1, 3)), ("b", random.randint(1, 9))))
            try:
                if seed % 2:
                    report = asyncio.run(take_back(dsn, Selection(f"public.{table}", key=(str(key),))))
                    done["restored"] += report.rows if report.done else 0
                else:
                    delete = (
                        "SET deleted_at = now(), deletion_id = gen_random_uuid() WHERE deleted_at IS NULL"
                    )
                    cursor = connection.execute(f"UPDATE {table} {delete} AND id = {key}".encode())
                    done["deleted"] += cursor.rowcount
                    connection.execute("INSERT INTO c (b) VALUES (%s)", (random.randint(1, 9),))
            except REFUSED:
                done["refused"] += 1
            except RestoreFailed as error:
                assert error.sqlstate in {"40P01", "23503"}, error.message
                done["refused"] += 1
    return done


def test_no_live_row_is_left_under_a_deleted_one(database: Database) -> None:
    database.execute(SCHEMA)
    equip(database.dsn)
    with ThreadPoolExecutor(4) as pool:
        done = sum(pool.map(work, [database.dsn] * 4, range(4)), Counter[str]())
    assert done["restored"] > 0 and done["deleted"] > 0
    for child, parent in (("b", "a"), ("c", "b")):
        orphans = database.execute(
            f"SELECT count(*) FROM {child} AS c JOIN {parent} AS p ON c.{parent} = p.id "
            "WHERE c.deleted_at IS NULL AND p.deleted_at IS NOT NULL"
        )
        assert orphans == [(0,)]
