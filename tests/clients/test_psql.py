"""psql through the proxy, its own meta commands included, against psql on a direct connection."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.clients.shop import Shop, Target
from tests.clients.terminal import DEADLINE, ENVIRONMENT, terminal, wait_until_sleeping

UNPROTECTED = {
    "list relations": r"\d",
    "list tables with sizes": r"\dt+ app.*",
    "list databases": r"\l",
    "list functions": r"\df app.*",
    "list system functions": r"\df pg_catalog.to_char",
    "list schemas, roles, indexes, sequences": "\\dn+\n\\du\n\\di app.*\n\\ds app.*",
    "list privileges, settings, types": "\\dp app.*\n\\dconfig work_mem\n\\dT+ bool",
    "describe a protected table": "\\d app.users\n\\d+ app.orders",
    "describe what is not there": r"\d app.nothing",
    "source of a function": r"\sf app.twice",
    "expanded, aligned, null display": "\\x on\n\\pset null '(none)'\nTABLE app.notes LIMIT 1;\nSELECT NULL AS n;",
    "csv": "\\pset format csv\nSELECT id, note FROM app.notes ORDER BY id;",
    "several statements in one message": "SELECT 1 \\; SELECT 2 AS two \\; SELECT 3;",
    "empty statements": ";;\nSELECT;\n",
    "describe a result": "SELECT 1 AS a, 'x'::text AS b, now() AS c \\gdesc",
    "crosstab": "SELECT 1 AS r, 'a' AS c, 5 AS v UNION SELECT 2, 'b', 6 ORDER BY 1 \\crosstabview",
    "execute the result": "SELECT format('SELECT %s AS n', n) FROM generate_series(1, 3) AS n \\gexec",
    "variables from a result": "SELECT 42 AS answer \\gset\nSELECT :answer, :'answer';",
    "syntax error with its position": "SELECT 1,\n  2 FRM app.notes WHERE;",
    "missing relation with its position": "SELECT *\n  FROM app.nothing;",
    "missing column with a hint": "SELECT nte FROM app.notes;",
    "verbose error": "\\set VERBOSITY verbose\nSELECT 1/0;\n\\errverbose",
    "sqlstate only": "\\set VERBOSITY sqlstate\nSELECT 'x'::int;",
    "constraint error": "INSERT INTO app.notes VALUES (1, 'again');",
    "notice": "DO $$ BEGIN RAISE NOTICE 'hear %', 'this' USING HINT = 'and this'; END $$;",
    "warning outside a transaction": "COMMIT;\nSET LOCAL work_mem = '1MB';",
    "autocommit off": (
        "\\set AUTOCOMMIT off\nINSERT INTO app.notes VALUES (9, 'nine');\nROLLBACK;\n"
        "SELECT count(*) FROM app.notes;\nCOMMIT;"
    ),
    "on error rollback": (
        "\\set ON_ERROR_ROLLBACK on\nBEGIN;\nSELECT 1/0;\nSELECT 'goes on';\nCOMMIT;\nSELECT 1;"
    ),
    "failed transaction": "BEGIN;\nSELECT 1/0;\nSELECT 'refused';\nROLLBACK;\nSELECT 'again';",
    "savepoints": (
        "BEGIN;\nSAVEPOINT a;\nUPDATE app.notes SET note = 'x';\nROLLBACK TO a;\nRELEASE a;\nTABLE app.notes;\nEND;"
    ),
    "fetch count": "\\set FETCH_COUNT 2\nSELECT n FROM generate_series(1, 5) AS n;\nSELECT id FROM app.notes;",
    "prepared statement": "PREPARE p(int) AS SELECT $1 + 1;\nEXECUTE p(41);\nDEALLOCATE p;\nEXECUTE p(1);",
    "copy out and in": (
        "COPY app.notes TO STDOUT;\nCOPY app.notes (id, note) FROM STDIN;\n11\televen\n12\ttwelve\n\\.\n"
        "\\copy (SELECT * FROM app.notes WHERE id > 10 ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER)\n"
        "DELETE FROM app.notes WHERE id > 10;"
    ),
    "copy that fails": "COPY app.notes FROM STDIN;\nnot a number\tx\n\\.\nSELECT count(*) FROM app.notes;",
    "large objects": "SELECT lo_create(424242);\n\\lo_list\nSELECT lo_unlink(424242);",
    "watch until an error": (
        "\\t on\nSELECT 3 / (4 - nextval('app.ticks')) \\watch 0.01\nSELECT setval('app.ticks', 1, false);"
    ),
    "encodings": "\\encoding\nSET client_encoding = 'LATIN1';\nSELECT 'ä';\n",
    "settings that the server reports": "SET application_name = 'other';\nSET DateStyle = 'German';\nSHOW DateStyle;",
    "search path": "SET search_path = app;\n\\d notes\nSELECT twice(4);\n\\dt",
    "all DML on an unprotected table": (
        "INSERT INTO app.notes VALUES (21, 'a') RETURNING *;\nUPDATE app.notes SET note = 'b' WHERE id = 21;\n"
        "DELETE FROM app.notes WHERE id = 21;\nDELETE FROM app.notes WHERE id = 21 RETURNING id;"
    ),
    "create, fill, drop": (
        "CREATE TABLE app.temporary (a int, b text DEFAULT 'x');\nINSERT INTO app.temporary SELECT 1;\n"
        "\\d app.temporary\nALTER TABLE app.temporary ADD c date;\nTABLE app.temporary;\nDROP TABLE app.temporary;"
    ),
    "create table as, select into": (
        "CREATE TEMP TABLE a AS SELECT 1 AS x;\nSELECT x + 1 AS y INTO TEMP b FROM a;\nTABLE b;\nVACUUM app.notes;"
    ),
}

OF_PSQL_18 = {
    "bind": "SELECT $1::int + $2::int AS sum \\bind 40 2 \\g\nSELECT \\g",
    "watch with a count": "\\t on\nSELECT 'seen' \\watch c=3 i=0.01",
    "named prepared statements": (
        "SELECT $1::text \\parse s\n\\bind_named s hello \\g\n\\close_prepared s\n\\bind_named s x \\g"
    ),
    "pipeline with an error": (
        "\\startpipeline\nSELECT 1 \\bind \\sendpipeline\nSELECT 1/0 \\bind \\sendpipeline\n"
        "SELECT 2 \\bind \\sendpipeline\n\\syncpipeline\nSELECT 3 \\bind \\sendpipeline\n\\endpipeline"
    ),
}


def run(psql: Path, target: Target, script: str) -> bytes:
    """Run a script from standard input; return all that psql printed, messages in their places."""
    done = subprocess.run(
        [psql, "-X", "-d", target.conninfo, "-P", "pager=off"],
        input=script.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=ENVIRONMENT,
        timeout=DEADLINE,
    )
    return done.stdout


def both(psql: Path, shop: Shop, script: str) -> tuple[bytes, bytes]:
    """Return what psql prints through the proxy and on a direct connection of the same role."""
    through = run(psql, shop.proxied, script)
    return through, run(psql, shop.direct.as_user("ann"), script)


@pytest.fixture(autouse=True)
def ann_may_create_tables(shop: Shop) -> None:
    shop.execute("GRANT CREATE ON SCHEMA app TO ann")


@pytest.mark.parametrize("name", UNPROTECTED)
def test_output_is_that_of_a_direct_connection(psql: Path, shop: Shop, name: str) -> None:
    through, direct = both(psql, shop, UNPROTECTED[name])
    assert through == direct
    assert direct.strip() and b"invalid command" not in direct


@pytest.mark.parametrize("name", OF_PSQL_18)
def test_output_of_newer_commands_is_that_of_a_direct_connection(
    psql_18: Path, shop: Shop, name: str
) -> None:
    through, direct = both(psql_18, shop, OF_PSQL_18[name])
    assert through == direct
    assert direct.strip() and b"invalid command" not in direct and b"must be used" not in direct


def test_a_script_over_protected_tables_shows_live_rows_and_plain_tags(psql: Path, shop: Shop) -> None:
    script = """
        \\pset format unaligned
        SELECT id, name FROM app.users ORDER BY id;
        DELETE FROM app.users WHERE id = 2 RETURNING id, name, deleted_at;
        DELETE FROM app.users WHERE id = 2;
        DELETE FROM app.users WHERE id = 4;
        SELECT u.name, o.total FROM app.users u LEFT JOIN app.orders o ON o.user_id = u.id ORDER BY u.id;
        UPDATE app.users SET name = upper(name) \\; SELECT count(*) FROM app.users;
    """
    expected = """
Output format is unaligned.
id|name
1|Ada
2|Bob
3|Cyd
(3 rows)
id|name|deleted_at
2|Bob|
(1 row)
DELETE 1
DELETE 0
DELETE 0
name|total
Ada|10.50
Cyd|
(2 rows)
UPDATE 2
count
2
(1 row)
"""
    output = run(psql, shop.proxied, script)
    assert output.decode() == expected.lstrip()
    assert shop.is_deleted(2)
    assert shop.rows("SELECT name, deleted_by FROM app.users WHERE id = 2") == [("Bob", "ann")]


def test_copy_out_and_in_of_a_protected_table(psql: Path, shop: Shop, tmp_path: Path) -> None:
    out, back = tmp_path / "out.csv", tmp_path / "in.csv"
    back.write_text("7,gil@example.org,Gil\n8,hal@example.org,Hal\n")
    script = (
        f"\\copy app.users (id, name) TO '{out}' WITH (FORMAT csv)\n"
        f"\\copy app.users (id, email, name) FROM '{back}' WITH (FORMAT csv)\n"
        "COPY app.orders TO STDOUT;\n"
        "SELECT count(*) FROM app.users \\g (tuples_only=on format=unaligned)\n"
    )
    assert run(psql, shop.proxied, script).decode().splitlines() == [
        "COPY 3",
        "COPY 2",
        "1\t1\t10.50\t\\N",
        "3\t2\t30.00\t\\N",
        "4\t4\t40.00\t\\N",
        "5",
    ]
    assert out.read_text() == "1,Ada\n2,Bob\n3,Cyd\n"
    assert shop.rows("SELECT count(*) FROM app.users") == [(7,)]


def test_gexec_deletes_softly(psql: Path, shop: Shop) -> None:
    script = "SELECT format('DELETE FROM app.users WHERE id = %s', id) FROM app.users ORDER BY id \\gexec\n"
    assert run(psql, shop.proxied, script) == b"DELETE 1\n" * 3
    assert shop.rows("SELECT count(*), count(deleted_at) FROM app.users") == [(5, 5)]


def test_cursor_of_fetch_count_shows_live_rows(psql: Path, shop: Shop) -> None:
    script = "\\set FETCH_COUNT 1\n\\pset format unaligned\n\\t on\nSELECT name FROM app.users ORDER BY id;"
    assert run(psql, shop.proxied, script).decode().splitlines()[-3:] == ["Ada", "Bob", "Cyd"]


def test_error_position_in_a_rewritten_statement_is_that_of_the_clients_text(psql: Path, shop: Shop) -> None:
    script = (
        "SELECT u.id, o.nothing\n  FROM app.users u JOIN app.orders o ON o.user_id = u.id;\n"
        "SELECT count(*)\n  FROM app.users\n  WHERE id = 'x1' AND name = 'a';\n"
        "DELETE FROM app.users WHERE nme = 'x';\nUPDATE app.users SET nme = 'x';\n"
        "SELECT 'ä', 'ö' || name, nope FROM app.users;\n"
    )
    through, direct = both(psql, shop, script)
    assert through == direct
    assert direct.count(b"^") == 5


def test_refusal_is_an_error_and_the_session_goes_on(psql: Path, shop: Shop) -> None:
    script = (
        "\\set VERBOSITY verbose\n\\pset format unaligned\n\\t on\nTRUNCATE app.users;\nDROP TABLE app.orders;\n"
        "SELECT count(*) FROM app.users;\n"
    )
    lines = run(psql, shop.proxied, script).decode().splitlines()
    errors = [line for line in lines if line.startswith("ERROR")]
    assert [error[:15] for error in errors] == ["ERROR:  0A000: "] * 2
    assert "app.users" in errors[0] and "app.orders" in errors[1]
    assert sum(line.startswith("HINT:  ") for line in lines) == 2
    assert lines[-1] == "3"
    assert shop.rows("SELECT (SELECT count(*) FROM app.users), (SELECT count(*) FROM app.orders)") == [(5, 5)]


def test_visibility_in_psql(psql: Path, shop: Shop) -> None:
    script = """
        \\pset format unaligned
        \\t on
        SHOW pgsoftproxy.visibility;
        SET pgsoftproxy.visibility = 'all';
        SHOW pgsoftproxy.visibility;
        SELECT count(*) FROM app.users;
        BEGIN;
        SET LOCAL pgsoftproxy.visibility = 'deleted';
        SELECT count(*) FROM app.users;
        COMMIT;
        SELECT count(*) FROM app.users;
        RESET pgsoftproxy.visibility;
        SELECT count(*) FROM app.users;
        /* pgsoftproxy: visibility=deleted */ SELECT name FROM app.users ORDER BY id;
    """
    lines = run(psql, shop.proxied.as_user("support"), script).decode().splitlines()[1:]
    assert lines == [
        "live",
        "SET",
        "all",
        "5",
        "BEGIN",
        "SET",
        "2",
        "COMMIT",
        "5",
        "RESET",
        "3",
        "Dan",
        "Eve",
    ]


def test_ctrl_c_cancels_the_query_and_the_session_goes_on(psql: Path, shop: Shop) -> None:
    with terminal(psql, shop.proxied) as session:
        before = session.ask("SELECT pg_backend_pid() AS pid;")
        session.send("SELECT pg_sleep(60), 'to cancel';")
        wait_until_sleeping(shop, "to cancel")
        os.kill(session.process.pid, signal.SIGINT)
        output = session.wait_for_prompt()
        assert "ERROR:  canceling statement due to user request" in output
        after = session.ask("SELECT pg_backend_pid() AS pid;")
        assert re.findall(r"^ +\d+$", before, re.M) == re.findall(r"^ +\d+$", after, re.M) != []


def test_ctrl_c_in_a_rewritten_statement_cancels_it(psql: Path, shop: Shop) -> None:
    with terminal(psql, shop.proxied) as session:
        session.ask("BEGIN;")
        session.ask("DELETE FROM app.users WHERE id = 1;")
        session.send("DELETE FROM app.users WHERE pg_sleep(60) IS NOT NULL AND id = 2;")
        wait_until_sleeping(shop, "app.users")
        os.kill(session.process.pid, signal.SIGINT)
        assert "ERROR:  canceling statement due to user request" in session.wait_for_prompt()
        assert "current transaction is aborted" in session.ask("SELECT 1;")
        assert "ROLLBACK" in session.ask("COMMIT;")
    assert not shop.is_deleted(1)


def test_ctrl_c_ends_watch_and_the_session_goes_on(psql: Path, shop: Shop) -> None:
    with terminal(psql, shop.proxied) as session:
        session.send("SELECT count(*) || ' users live' FROM app.users \\watch 0.05")
        session.wait_for(b"3 users live")
        shop.execute("UPDATE app.users SET deleted_at = now() WHERE id = 1")
        session.wait_for(b"2 users live")
        os.kill(session.process.pid, signal.SIGINT)
        session.wait_for_prompt()
        assert "7" in session.ask("SELECT 3 + 4;")


def test_notification_reaches_a_listening_psql(psql: Path, shop: Shop) -> None:
    script = (
        "LISTEN mail;\nNOTIFY mail, 'to myself';\nSELECT pg_notify('mail', 'again');\nUNLISTEN mail;\n"
        "NOTIFY mail;\n"
    )
    through, direct = (re.sub(rb"PID \d+", b"PID n", output) for output in both(psql, shop, script))
    assert through == direct
    assert direct.count(b"Asynchronous notification") == 2


def test_notification_of_another_session_reaches_an_idle_psql(psql: Path, shop: Shop) -> None:
    with terminal(psql, shop.proxied) as session:
        session.ask("LISTEN mail;")
        shop.execute("NOTIFY mail, 'from outside'")
        seen = ""
        while 'notification "mail" with payload "from outside"' not in seen:
            seen += session.ask("SELECT 1;")
