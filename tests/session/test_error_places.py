"""Where an error points to: into the client's own text, as without the proxy, whatever was sent in its place."""

from collections.abc import Iterator

import pytest

from pgsoftproxy.wire import frontend
from tests.fix_servers import Database
from tests.fix_shop import temporary_database
from tests.playbook import SYNC
from tests.servers import Server
from tests.session.real import Line, Through
from tests.session.test_real_server import TABLES, policy

FUNCTIONS = """
    CREATE FUNCTION wrong_inside(int) RETURNS int LANGUAGE plpgsql AS
        $$ BEGIN PERFORM 'ä', nothing_there($1); RETURN 1; END $$;
    CREATE FUNCTION wrong_text(int) RETURNS int LANGUAGE plpgsql AS
        $$ BEGIN EXECUTE 'SELECT ''ü'', nothing'; RETURN 1; END $$;
    CREATE FUNCTION wrong_value(int) RETURNS int LANGUAGE sql AS $$ SELECT $1 / 0 $$;
    CREATE VIEW plain_view AS SELECT id, 1 / (id - 1) AS part FROM plain;
    INSERT INTO plain VALUES (1), (2);
"""

TEXTS = (
    "SELECT nothing FROM app.items",
    "SELECT 'äöü€😀', nothing FROM app.items",
    "SELECT 'äöü€😀', id AS \"é\" FROM app.items WHERE nothing = 1",
    "/* 😀 */ SELECT id FROM app.items -- ü\n WHERE\n\t'ä' = nothing",
    "SELECT id FROM app.items WHERE id = 'x'",
    "SELECT id FROM app.items WHERE id = 1 AND id = 'x' OR nothing",
    "SELECT id FROM app.items WHERE deleted_at IS NULL AND nothing",
    "SELECT id FROM app.items ORDER BY nothing",
    "SELECT id FROM app.items LIMIT 'x'",
    "SELECT id FROM app.items GROUP BY id HAVING nothing",
    "SELECT deleted_at FROM app.items GROUP BY id HAVING max(nothing) > 1",
    "SELECT 1 FROM app.items, app.items",
    "SELECT a.id FROM app.items a, app.items b WHERE id = 1",
    "SELECT * FROM app.items a LEFT JOIN app.items b ON a.id = b.nothing",
    "SELECT * FROM app.items a FULL JOIN app.items b ON a.id = b.id WHERE a.nothing",
    "SELECT * FROM app.items a JOIN app.items b USING (nothing)",
    "SELECT s.nothing FROM (SELECT 'ä', id FROM app.items) s",
    "SELECT * FROM plain WHERE id IN (SELECT nothing FROM app.items)",
    "SELECT * FROM plain WHERE EXISTS (SELECT 1 FROM app.items WHERE id = plain.id) AND nothing",
    "SELECT id FROM app.items UNION SELECT 'x' FROM app.items",
    "SELECT id FROM app.items UNION ALL SELECT id, 1 FROM app.items",
    "WITH w AS (SELECT id FROM app.items) SELECT 'ö', nothing FROM w",
    "WITH w AS (DELETE FROM app.items RETURNING id) SELECT 'ö', nothing FROM w",
    "SELECT sum(id) OVER (ORDER BY nothing) FROM app.items",
    "SELECT l.* FROM app.items i, LATERAL (SELECT i.nothing) l",
    "DELETE FROM app.items WHERE nothing = 1",
    "DELETE FROM app.items AS i WHERE 'ä' = i.nothing",
    "DELETE FROM app.items USING plain WHERE plain.nothing = 1",
    "DELETE FROM app.items WHERE id = 1 RETURNING 'ü', nothing",
    "DELETE FROM app.items RETURNING id, 'x'::int",
    "UPDATE app.items SET id = 'x' WHERE id = 1",
    "UPDATE app.items SET nothing = 1",
    "UPDATE app.items SET id = 1 FROM plain WHERE plain.id = app.items.id AND nothing",
    "UPDATE plain SET id = (SELECT nothing FROM app.items)",
    "INSERT INTO plain SELECT nothing FROM app.items",
    "INSERT INTO app.items (nothing) VALUES (1)",
    "INSERT INTO app.items VALUES (1) ON CONFLICT (id) DO UPDATE SET id = excluded.nothing",
    "INSERT INTO app.items VALUES (1) ON CONFLICT (nothing) DO NOTHING",
    "MERGE INTO app.items i USING plain p ON i.id = p.id WHEN MATCHED AND 'ä' = nothing THEN DELETE",
    "MERGE INTO app.items i USING plain p ON i.id = p.id WHEN NOT MATCHED THEN INSERT (id) VALUES ('ä'::int)",
    "COPY (SELECT 'ä', nothing FROM app.items) TO STDOUT",
    "EXPLAIN SELECT nothing FROM app.items",
    "EXPLAIN (COSTS OFF) DELETE FROM app.items WHERE nothing",
    "PREPARE x AS SELECT 'ä', nothing FROM app.items",
    "PREPARE x AS DELETE FROM app.items WHERE nothing",
    "DECLARE c CURSOR WITH HOLD FOR SELECT nothing FROM app.items",
    "CREATE TABLE made AS SELECT 'ä', nothing FROM app.items",
    "SELECT nothing INTO made FROM app.items",
    "CREATE VIEW made AS SELECT 'ä', nothing FROM app.items",
    "SELECT id FROM app.items WHERE WHERE",
    "SELECT id, FROM app.items",
    "DELETE FROM app.items WHERE id = 1 id",
    "SELECT id FROM app.items; SELECT 'ä' FROM app.items; DELETE FROM app.items; SELECT nothing FROM app.items",
    "DELETE FROM app.items WHERE id = 99; SELECT 1/0; SELECT nothing",
    "DELETE FROM app.items WHERE id = 98; SELECT 'é', wrong_inside(1) FROM app.items; SELECT 1",
    "DELETE FROM app.items WHERE id = 99; SELECT id FROM app.items WHERE id = 'x'",
    "SELECT 'ä'; SELECT id FROM app.items; SELECT id id id",
    "SELECT wrong_inside(id) FROM app.items",
    "SELECT 'ö', wrong_text(id) FROM app.items WHERE id = 1",
    "SELECT wrong_value(id) FROM app.items",
    "DELETE FROM app.items WHERE wrong_inside(id) = 1",
    "DELETE FROM app.items WHERE wrong_text(id) = 1",
    "UPDATE app.items SET id = wrong_value(id)",
    "SELECT part, app.items.id FROM plain_view, app.items",
    "SELECT nothing, part FROM plain_view, app.items",
    "DELETE FROM app.items USING plain_view WHERE part = 1 AND nothing",
)


@pytest.fixture(scope="module")
def lines(server: Server) -> Iterator[tuple[Line, Line]]:
    """Give a connection to the server and one through a session."""
    with temporary_database(server, TABLES + FUNCTIONS) as name:
        database = Database(server, name)
        with Line(database) as direct, Through(database, policy(database)) as through:
            yield direct, through


@pytest.mark.parametrize("text", TEXTS)
def test_an_error_in_a_rewritten_statement_is_told_as_without_the_proxy(
    lines: tuple[Line, Line], text: str
) -> None:
    answers = []
    for line in lines:
        line.ask(frontend.query(b"BEGIN"))
        simple = [one.told for one in line.ask(frontend.query(text.encode())) if one.kind in "EZ"]
        line.ask(frontend.query(b"ROLLBACK; BEGIN"))
        frames = frontend.parse(b"", text.encode()), frontend.bind(b"", b""), frontend.execute(b""), SYNC
        extended = [one.told for one in line.ask(*frames) if one.kind in "EZ"]
        line.ask(frontend.query(b"ROLLBACK"))
        answers.append((simple, extended))
    assert answers[1] == answers[0]
    assert answers[0][0][0][0] == "E"


def test_an_error_of_a_statement_prepared_earlier_points_into_its_own_text(lines: tuple[Line, Line]) -> None:
    answers = []
    for line in lines:
        line.ask(frontend.query(b"DEALLOCATE ALL"))
        line.ask(frontend.query(b"ALTER TABLE app.items ADD extra int"))
        text = "SELECT 'ä', id FROM app.items WHERE id = 1 AND extra = 'ü'::text::int"
        line.ask(frontend.parse(b"by_message", text.encode()), SYNC)
        line.ask(frontend.query(b"ALTER TABLE app.items DROP extra"))
        use = frontend.bind(b"", b"by_message"), frontend.execute(b""), SYNC
        answers.append([one.told for one in line.ask(*use)])
    assert answers[1] == answers[0]
    assert [kind for kind, _ in answers[0]] == ["E", "Z"]
