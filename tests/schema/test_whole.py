"""From every hole at once to none: what `audit` finds, `migrate` mends, is left to decide; and the application.

The application's statements answer as on a twin: the same tables, never migrated, where DELETE removes.
"""

import json
from collections.abc import Callable

import psycopg
import pytest

from pgsoftproxy.schema.audit.checks import BY_ID
from tests.fix_proxy import RunningProxy
from tests.fix_servers import Database, create_database, drop_database
from tests.schema.auditing import command, findings, pairs
from tests.schema.holes import HOLES, RULES, SOUND
from tests.schema.planting import Plot, psql

UNMET = '[tables."other.nowhere"]\n'
STATEMENTS = """
INSERT INTO app.people (email, name) VALUES ('a', 'Ann')
INSERT INTO app.people (email) VALUES ('a') ON CONFLICT DO NOTHING
INSERT INTO app.people (email) VALUES ('a') ON CONFLICT (email) DO NOTHING
INSERT INTO app.people AS p (email) VALUES ('a') ON CONFLICT (email) DO UPDATE SET visits = p.visits + 1
INSERT INTO app.people (email) VALUES ('a') ON CONFLICT ON CONSTRAINT people_email DO UPDATE SET visits = 9
INSERT INTO app.people (email) VALUES ('a') ON CONFLICT ON CONSTRAINT people_email DO NOTHING
INSERT INTO app.people (name) VALUES ('ANN') ON CONFLICT (lower(name)) DO NOTHING
INSERT INTO app.letters SELECT 1, id FROM app.people WHERE email = 'a'
DELETE FROM app.people WHERE email = 'a'
DELETE FROM app.letters
INSERT INTO app.people (email, name) VALUES ('a', 'Ann')
INSERT INTO app.people (email) VALUES ('b') ON CONFLICT ON CONSTRAINT people_email DO NOTHING
INSERT INTO app.people (email) VALUES ('a')
SELECT email, visits FROM app.people ORDER BY email
INSERT INTO app.users (id, email, code) VALUES (1, 'a@x', 'A'), (2, 'b@x', 'B'), (3, 'c@x', NULL) RETURNING id, email
INSERT INTO app.users (id, email) VALUES (4, 'a@x')
INSERT INTO app.orders (id, user_id, total, during) VALUES (1, 1, 10, '[1,3)'), (2, 2, 20, '[3,5)'), (3, 2, 0, '[5,7)')
INSERT INTO app.orders (id, user_id, during) VALUES (4, 1, '[2,4)')
INSERT INTO app.orders (id, user_id) VALUES (4, 99)
INSERT INTO other.avatars VALUES (1), (2)
INSERT INTO other.badges VALUES (1, 'A')
SELECT other.count_users(), other.atomic(), (other.first_user()).id
SELECT u.id, o.total FROM app.users u LEFT JOIN app.orders o ON o.user_id = u.id ORDER BY 1, 2
UPDATE app.users SET email = upper(email) WHERE id = 2 RETURNING id, email
CALL other.touch(2)
INSERT INTO app.orders (id, user_id, total) VALUES (5, 1, 10) ON CONFLICT (total) DO UPDATE SET user_id = 3 RETURNING id
INSERT INTO app.orders (id, user_id, total) VALUES (5, 3, 10) ON CONFLICT ON CONSTRAINT orders_total_key DO NOTHING
INSERT INTO app.orders (id, total) VALUES (5, 10) ON CONFLICT ON CONSTRAINT orders_total_key DO UPDATE SET user_id = 1
INSERT INTO app.orders (id, during) VALUES (5, '[1,2)') ON CONFLICT ON CONSTRAINT always_apart DO NOTHING
DELETE FROM app.users WHERE id = 1
DELETE FROM app.users WHERE id = 2 RETURNING id, email
DELETE FROM app.users WHERE id = 2
SELECT id, user_id, total FROM app.orders ORDER BY id
SELECT user_id FROM other.avatars ORDER BY 1
INSERT INTO app.orders (id, user_id) VALUES (6, 2)
INSERT INTO app.orders (id, user_id, total, during) VALUES (6, 3, 20, '[3,5)') RETURNING id
INSERT INTO app.orders (id, user_id, total) VALUES (7, 3, 20) ON CONFLICT (total) DO UPDATE SET total = 21 RETURNING id
INSERT INTO app.orders (id, total) VALUES (7, 0) ON CONFLICT ON CONSTRAINT orders_total_key DO NOTHING RETURNING id
DELETE FROM app.orders o USING app.users u WHERE u.id = o.user_id AND u.id = 3 RETURNING o.id, o.total
WITH gone AS (DELETE FROM app.orders WHERE id = 7 RETURNING id) SELECT count(*) FROM gone
SELECT count(*), sum(total) FROM app.orders
SELECT id, email FROM app.live_users ORDER BY 1
SELECT id, email FROM other.everybody ORDER BY 1
SELECT email, id FROM other.above_that ORDER BY 1, 2
SELECT * FROM other.by_name() ORDER BY 1
SELECT other.count_users(), other.atomic(), other.everywhere(3)
SELECT other.everywhere(2)
INSERT INTO other.settings VALUES ('1', 'x')
SELECT value FROM other.settings WHERE name = '1'
DELETE FROM other.settings WHERE name = '1'
SELECT id FROM app.orders ORDER BY id
INSERT INTO app.users (id, email) VALUES (5, 'b@x')
CALL other.forget(5)
SELECT count(*) FROM other.audit_log
INSERT INTO app.events (id, day) VALUES (1, '2026-01-01'), (2, '2026-01-02')
UPDATE app.events SET day = '2026-01-03' WHERE id = 1 RETURNING *
DELETE FROM app.events WHERE id = 1 RETURNING id
MERGE INTO app.events e USING (VALUES (2), (9)) AS s (id) ON e.id = s.id WHEN MATCHED THEN DELETE
SELECT id FROM app.events
DELETE FROM other.badges
SELECT other.cleanup(1)
SELECT count(*) FROM app.users
CALL other.empty()
SELECT (SELECT count(*) FROM app.orders), EXISTS (SELECT FROM app.users)
"""
"""Nothing here puts a primary key to use again, which deleted rows keep."""


@pytest.fixture
def twin(database: Database) -> Database:
    """Give a database with the same tables and routines, without rules: those are dropped on the other side."""
    made = create_database(database.server, f"{database.name}_twin")
    left_out = {"guard-missing", "links-missing", "index-missing", "role-may-delete", "role-owns"}
    left_out |= {check for check in BY_ID if check.startswith(("rule-", "publication-"))}
    planted = [hole for hole in HOLES if hole.check not in left_out]
    made.execute(";\n".join([SOUND, *(hole.before for hole in HOLES)]))
    for hole in planted:
        if hole.ddl and "pgsoftproxy" not in hole.ddl:
            made.execute(hole.ddl)
    return made


def test_every_kind_of_hole_is_planted() -> None:
    assert {hole.check for hole in HOLES} == set(BY_ID)


def test_audit_finds_every_hole_and_after_migrate_and_what_it_prints_it_is_clean_and_the_application_runs(
    plot: Plot, twin: Database, start_proxy: Callable[..., RunningProxy]
) -> None:
    plot.plant(*HOLES)
    rules = decided(plot)
    code, out = command(plot.migration, "--fail-on", "note", "--json")
    (report,) = json.loads(out)["databases"]
    assert (code, report["findings"]) == (0, [])
    assert {one["reason"] for one in report["accepted"]} == {"we know"}
    proxy = start_proxy(
        plot.migration.database, rules, defaults={"relations": "require"}, routines={"existing": "allow"}
    )
    ours, theirs = answers(proxy.dsn()), answers(twin.dsn)
    assert [pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1]] == []
    drop_database(twin)


def decided(plot: Plot) -> str:
    """Take what the audit prints into the configuration, migrate, run the SQL that it prints then, accept the rest."""
    migration = plot.migration
    wanted = {(hole.check, plot.filled(hole.object)): hole.mended_by for hole in HOLES}
    told = findings(migration)
    found = {(one["check"], one["object"]): one for one in told}
    assert len(told) == len(found), "each is told once"
    mended_also = {hole.also: "migrate" for hole in HOLES if hole.also}
    assert {pair: one["by"] for pair, one in found.items()} == wanted | mended_also
    sections = (one["mend"] for one in found.values() if one["by"] == "configuration")
    rules = "\n".join([RULES, *(hole.rules for hole in HOLES), *sections, ""]).replace(UNMET, "")
    migration.configure(rules)
    migration.run("--exclusions", "--stored")
    assert migration.ids("--exclusions", "--stored") == []
    left = {(one["check"], one["object"]): one for one in findings(migration)}
    decisions = {pair for pair, by in wanted.items() if by in {"sql", "hand"} and pair[0] != "rule-unmet"}
    assert set(left) == decisions
    psql(migration.database, "\n".join(one["mend"] for one in left.values() if one["by"] == "sql"))
    by_hand = {pair for pair, one in left.items() if one["by"] == "hand"}
    assert pairs(migration) == by_hand
    accepted = "".join(f'"{check}:{name}" = "we know"\n' for check, name in by_hand)
    migration.configure(f"{rules}[audit.accept]\n{accepted}")
    return rules


def answers(dsn: str) -> list[tuple[str, object]]:
    """Return each statement with what it was answered."""
    found: list[tuple[str, object]] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in STATEMENTS.strip().splitlines():
            try:
                cursor = connection.execute(statement.encode())
            except psycopg.Error as error:
                found.append((statement, error.sqlstate or str(error)))
                continue
            rows = cursor.fetchall() if cursor.description else None
            found.append((statement, (cursor.statusmessage, rows)))
    return found
