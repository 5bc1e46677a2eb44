"""Routines as they are read from real servers."""

import asyncio

from pgsoftproxy.db.introspect import load_catalog
from pgsoftproxy.model.catalog import Catalog
from pgsoftproxy.model.reach import ViewCalls, calling
from pgsoftproxy.model.routines import Routine
from tests.fix_servers import Database

SCHEMA = """
CREATE SCHEMA app;
CREATE TABLE app.users (id int);
"""
QUOTED = "CREATE FUNCTION app.total() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM app.users'"
ATOMIC = """
CREATE FUNCTION app.inner_total() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM app.users; END;
CREATE FUNCTION app.outer_total() RETURNS bigint LANGUAGE sql RETURN app.inner_total() + 1;
CREATE FUNCTION app.exported() RETURNS xml LANGUAGE sql RETURN query_to_xml('SELECT 1', true, false, '');
"""


def catalog_of(database: Database) -> Catalog:
    return asyncio.run(load_catalog(database.server.dsn(database.name)))


def named(database: Database, name: str) -> Routine:
    (routine,) = catalog_of(database).routines_by_name[name]
    return routine


def test_functions_and_procedures_come_with_their_bodies(database: Database) -> None:
    database.execute(SCHEMA)
    database.execute(QUOTED)
    database.execute("CREATE PROCEDURE app.clear() LANGUAGE plpgsql AS 'BEGIN DELETE FROM app.users; END'")
    found = {routine.label: routine for routine in catalog_of(database).routines.values()}
    assert set(found) == {"app.total", "app.clear"}
    assert (found["app.total"].language, found["app.total"].body) == ("sql", "SELECT count(*) FROM app.users")
    assert found["app.clear"].body == "BEGIN DELETE FROM app.users; END"
    assert (found["app.total"].reads, found["app.total"].calls, found["app.total"].runs_text) == (
        (),
        (),
        None,
    )


def test_bodies_that_the_server_has_parsed_come_with_what_they_depend_on(database: Database) -> None:
    database.execute(SCHEMA)
    database.execute(ATOMIC)
    inner, outer = named(database, "inner_total"), named(database, "outer_total")
    assert inner.reads == (("app", "users"),)
    assert (outer.reads, outer.calls) == ((), (inner.oid,))
    assert (inner.runs_text, named(database, "exported").runs_text) == (None, "query_to_xml")


def test_aggregates_and_defaults_of_arguments_call_functions_too(database: Database) -> None:
    database.execute(SCHEMA)
    database.execute(QUOTED)
    database.execute("CREATE FUNCTION app.step(a int, b int) RETURNS int LANGUAGE sql AS 'SELECT a'")
    database.execute("CREATE AGGREGATE app.fold(int) (sfunc = app.step, stype = int)")
    database.execute(
        "CREATE FUNCTION app.kept(a bigint DEFAULT app.total()) RETURNS bigint LANGUAGE sql AS 'SELECT a'"
    )
    assert named(database, "fold").calls == (named(database, "step").oid,)
    assert named(database, "kept").calls == (named(database, "total").oid,)


def test_views_come_with_the_functions_that_they_call(database: Database) -> None:
    database.execute(SCHEMA)
    database.execute(QUOTED)
    database.execute("CREATE VIEW app.summary AS SELECT app.total() AS n")
    database.execute("CREATE VIEW app.export AS SELECT query_to_xml('SELECT 1', true, false, '')")
    catalog = catalog_of(database)
    view, export = catalog.find("app", "summary"), catalog.find("app", "export")
    assert view is not None and export is not None
    (total,) = catalog.routines_by_name["total"]
    assert view.calls == (total.oid,)
    found = calling(catalog)
    assert found == {view.oid: ViewCalls((total.oid,)), export.oid: ViewCalls((), "query_to_xml")}


def test_functions_of_triggers_and_in_c_are_left_out(database: Database) -> None:
    database.execute("CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'")
    database.execute("CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'")
    database.execute("CREATE FUNCTION low(text) RETURNS text LANGUAGE internal AS 'lower'")
    assert dict(catalog_of(database).routines) == {}


def test_functions_that_a_column_of_a_row_may_call_are_known(database: Database) -> None:
    database.execute(SCHEMA)
    database.execute(
        "CREATE FUNCTION app.label(u app.users) RETURNS text LANGUAGE sql AS 'SELECT $1.id::text'"
    )
    database.execute("CREATE FUNCTION app.twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2'")
    database.execute("CREATE FUNCTION app.pair(app.users, int) RETURNS int LANGUAGE sql AS 'SELECT $2'")
    assert catalog_of(database).row_routines == {"label"}


def test_two_thousand_functions_are_read_at_once(database: Database) -> None:
    database.execute("""
        DO $$ BEGIN FOR i IN 1..2000 LOOP
            EXECUTE format('CREATE FUNCTION f%s(a int) RETURNS int LANGUAGE sql AS ''SELECT a + %s''', i, i);
        END LOOP; END $$
    """)
    routines = catalog_of(database).routines
    assert len(routines) == 2000
    assert {routine.body for routine in routines.values()} == {f"SELECT a + {i}" for i in range(1, 2001)}
