-- # Names: quoting, folding, schemas, search_path, truncation, unicode.

-- case: an unqualified name that is public under the default path
SELECT * FROM users ORDER BY id

-- case: an unqualified name that is protected under another path
-- path: app, public
SELECT id FROM users ORDER BY id

-- case: an unqualified name behind a schema that has an unprotected one
-- path: public, app
SELECT id FROM users ORDER BY id

-- case: an unqualified name found only in the second schema of the path
-- path: public, app
SELECT id FROM orders ORDER BY id

-- case: a path that hides a protected table behind another
-- path: other, app
SELECT id, note FROM orders ORDER BY id

-- case: a path with schemas that do not exist
-- path: nowhere, app
SELECT id FROM users ORDER BY id

-- case: a quoted schema in the path
-- path: "Mixed Schema", app
SELECT * FROM users

-- case: a path with "$user"
-- path: "$user", app
SELECT count(*) FROM users

-- case: an empty path
-- path: ''
-- expect: error 42P01
SELECT * FROM users

-- case: a table in an unfolded schema
SELECT * FROM "Mixed Schema".users

-- case: upper case folds
SELECT ID, NAME FROM APP.USERS WHERE CITY = 'London' ORDER BY ID

-- case: mixed case folds
SELECT u.Id FROM App.Users U ORDER BY U.iD

-- case: quoted lower case is the same name
SELECT "users"."id" FROM "app"."users" ORDER BY "id"

-- case: quoted upper case is another name
-- expect: error 42P01
SELECT * FROM app."USERS"

-- case: a quoted schema in upper case is another schema
-- expect: error 42P01
SELECT * FROM "APP".users

-- case: a name with a space and mixed case
SELECT * FROM app."Weird Name" ORDER BY "Id"

-- case: a column name with a quote in it
SELECT "Quoted ""Col", w."select" FROM app."Weird Name" w WHERE w."Quoted ""Col" <> 'one' OR "Id" = 1 ORDER BY 1

-- case: the quoted name as a qualifier
SELECT "Weird Name"."Deleted At", "Weird Name".* FROM app."Weird Name" ORDER BY 2

-- case: a join with the quoted name
SELECT w."Id", u.name FROM app."Weird Name" w LEFT JOIN app.users u ON u.id = w."Id" ORDER BY 1

-- case: a name outside ASCII
SELECT "größe" FROM app."Überblick"

-- case: a name outside ASCII by unicode escapes
SELECT U&"gr\00F6\00DFe" FROM app.U&"\00DCberblick"

-- case: a plain name by unicode escapes
SELECT id FROM app.U&"\0075sers" ORDER BY id

-- case: unicode escapes with another escape character
SELECT id FROM app.U&"!0075sers" UESCAPE '!' ORDER BY id

-- case: six-digit unicode escapes
SELECT id FROM app.U&"\+000075sers" ORDER BY id

-- case: characters outside ASCII before a guarded name
SELECT 'ääääöööö€€€€😀😀' AS "Ünïcödé", u.id FROM app.users u WHERE u.name <> '😀' OR u.name IS NULL ORDER BY u.id

-- case: an unknown column after characters outside ASCII keeps its position
-- expect: error 42703
SELECT '😀ä€' AS x, u.nope FROM app.users u WHERE u.name <> '😀€'

-- case: an alias outside ASCII
SELECT "ü".id FROM app.users AS "ü" ORDER BY 1

-- case: a name of 63 bytes
SELECT * FROM app.abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_012345678

-- case: a longer name is cut to 63 bytes
SELECT * FROM app.abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_012345678_and_more

-- case: a longer quoted name is cut to 63 bytes
SELECT * FROM app."abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_012345678_and_more"

-- case: a delete from a longer name
DELETE FROM app.abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_012345678xxxxxxxx RETURNING id

-- case: a CTE whose long name is cut to the table's
-- path: app, public
WITH abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_012345678_cte AS (SELECT 5 AS id)
SELECT * FROM abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_012345678_table

-- case: a very long alias
SELECT aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.id
FROM app.users AS aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ORDER BY 1

-- case: a name with another database
-- expect: error 0A000
SELECT id FROM oracle_nowhere.app.users

-- case: an unprotected namesake by its schema
-- path: app
SELECT * FROM public.users ORDER BY id

-- case: both namesakes in one statement
SELECT a.id, p.id, p.deleted_at FROM app.users a FULL JOIN public.users p USING (id) ORDER BY 1, 2

-- case: an alias that is a protected table's name over an unprotected table
-- path: app, public
SELECT users.id FROM logs AS users ORDER BY 1

-- case: a catalog query by the table's name
SELECT relname, relkind FROM pg_class WHERE oid = 'app.users'::regclass

-- case: the catalog lists the columns
SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'app' AND table_name = 'users' ORDER BY ordinal_position

-- case: a catalog table named without its schema
SELECT count(*) > 10 FROM pg_class, app.users

-- case: a temp table that shadows a protected one
-- setup: CREATE TEMP TABLE users (id int, deleted_at timestamptz)
-- path: app, public
-- compare: status
SELECT * FROM pg_temp.users

-- case: search_path set in the transaction
SET LOCAL search_path = app
-- next
SELECT id FROM users ORDER BY id

-- case: search_path set for the session
SET search_path TO app, public
-- next
SELECT count(*) FROM users
-- next
RESET search_path
-- next
SELECT count(*) FROM users

-- case: search_path set by set_config
SELECT set_config('search_path', 'app', true)
-- next
SELECT count(*) FROM users

-- case: search_path set to default
SET search_path = app
-- next
SET search_path TO DEFAULT
-- next
SELECT count(*) FROM users

-- case: search_path set and rolled back to a savepoint
SAVEPOINT s
-- next
SET search_path = app
-- next
SELECT count(*) FROM users
-- next
ROLLBACK TO SAVEPOINT s
-- next
SELECT count(*) FROM users

-- case: search_path set by SET SCHEMA
SET SCHEMA 'app'
-- next
SELECT count(*), max(id) FROM users

-- case: search_path set to a quoted list in one string
SET search_path = 'app, public'
-- next
SELECT count(*) FROM public.users

-- case: search_path changed inside a batch
-- protocol: simple
SELECT count(*) FROM users; SET LOCAL search_path = app; SELECT count(*) FROM users; SET LOCAL search_path = public; SELECT count(*) FROM users

-- case: search_path that a failed statement set is not in force
-- protocol: simple
-- transaction: none
SET search_path = app; SELECT 1 / 0
-- next
SELECT count(*) FROM users

-- case: search_path committed by an implicit transaction
-- protocol: simple
-- transaction: none
SET search_path = app; SELECT 1
-- next
SELECT count(*) FROM users

-- case: a name with its own database
SELECT id FROM oracle_full.app.users WHERE oracle_full.app.users.id < 6 ORDER BY id
-- direct:
SELECT id FROM oracle_twin.app.users WHERE oracle_twin.app.users.id < 6 ORDER BY id

-- case: search_path set by its quoted name in upper case
SET "SEARCH_PATH" = app
-- next
SELECT count(*), max(id) FROM users

-- case: search_path set by set_config in upper case
SELECT set_config('Search_Path', 'app', false)
-- next
SELECT count(*), max(id) FROM users

-- case: search_path set through pg_settings
-- expect: refused 0A000
UPDATE pg_settings SET setting = 'app' WHERE name = 'search_path'

-- case: search_path set through a set_config whose name is computed leaves unqualified names in doubt
-- max-version: 17
-- expect: refused 0A000
SELECT set_config('search' || '_path', 'app', false)
-- next
SELECT count(*), max(id) FROM users

-- case: search_path set through a set_config whose name is computed is reported by the server
-- min-version: 18
SELECT set_config('search' || '_path', 'app', false)
-- next
SELECT count(*), max(id) FROM users

-- case: search_path set through a set_config whose value is computed leaves unqualified names in doubt
-- max-version: 17
-- expect: refused 0A000
SELECT set_config('search_path', 'a' || 'pp', false)
-- next
SELECT count(*), max(id) FROM users

-- case: search_path set through a set_config whose value is computed is reported by the server
-- min-version: 18
SELECT set_config('search_path', 'a' || 'pp', false)
-- next
SELECT count(*), max(id) FROM users

-- case: search_path set through a set_config whose name is a column leaves unqualified names in doubt
-- max-version: 17
-- expect: refused 0A000
SELECT set_config(v.n, 'app', false) FROM (VALUES ('search_path')) v (n)
-- next
SELECT count(*), max(id) FROM users

-- case: search_path set through a set_config whose name is a column is reported by the server
-- min-version: 18
SELECT set_config(v.n, 'app', false) FROM (VALUES ('search_path')) v (n)
-- next
SELECT count(*), max(id) FROM users

-- case: search_path set in a sub-select that may not run
SELECT CASE WHEN count(*) > 100 THEN set_config('search_path', 'app', true) END FROM app.logs
-- next
SELECT count(*) FROM public.users

-- case: search_path set in a block
-- expect: refused 0A000
DO $$ BEGIN SET search_path = app; END $$

-- case: search_path set in a block by set_config
-- expect: refused 0A000
DO $$ BEGIN PERFORM set_config('search_path', 'app', false); END $$

-- case: a role's own schema comes first
-- path: "$user", app
SELECT * FROM tasks

-- case: a role's own schema is no longer first under another role
-- path: "$user", app
SET LOCAL ROLE oracle_clerk
-- next
SELECT * FROM tasks ORDER BY id

-- case: a role's own schema under a role set by set_config
-- path: "$user", app
SELECT set_config('role', 'oracle_clerk', true)
-- next
SELECT * FROM tasks ORDER BY id

-- case: a role's own schema under another session user
-- path: "$user", app
SET LOCAL SESSION AUTHORIZATION oracle_clerk
-- next
SELECT * FROM tasks ORDER BY id

-- case: a role's own schema after a reset
-- path: "$user", app
SET ROLE oracle_clerk
-- next
SELECT count(*) FROM tasks
-- next
RESET ROLE
-- next
SELECT count(*) FROM tasks
-- next
SET ROLE NONE
-- next
SELECT count(*) FROM tasks

-- case: a dropped table no longer hides a protected one
-- path: other, app
DROP TABLE other.orders
-- next
SELECT * FROM orders ORDER BY id

-- case: a renamed table no longer hides a protected one
-- path: other, app
ALTER TABLE other.orders RENAME TO orders2
-- next
DELETE FROM orders WHERE id IN (100, 105)

-- case: a moved table no longer hides a protected one
-- path: other, app
ALTER TABLE other.orders SET SCHEMA public
-- next
SELECT count(*), sum(total) FROM orders

-- case: a renamed schema no longer hides a protected table
-- path: other, app
ALTER SCHEMA other RENAME TO another
-- next
SELECT count(*), sum(total) FROM orders

-- case: a dropped schema no longer hides a protected table
-- path: other, app
DROP SCHEMA other CASCADE
-- next
SELECT count(*), sum(total) FROM orders

-- case: a renamed view no longer hides a protected table
-- path: public, app
ALTER VIEW public.tasks RENAME TO tasks2
-- next
SELECT count(*), max(id) FROM tasks

-- case: a dropped view no longer hides a protected table
-- path: public, app
DROP VIEW public.tasks
-- next
SELECT count(*), max(id) FROM tasks

-- case: a rolled-back drop hides the protected table again
-- path: other, app
SAVEPOINT s
-- next
DROP TABLE other.orders
-- next
SELECT count(*) FROM orders
-- next
ROLLBACK TO s
-- next
SELECT count(*) FROM orders

-- case: a drop and a read in one batch
-- protocol: simple
-- path: other, app
DROP TABLE other.orders; SELECT * FROM orders; DELETE FROM orders WHERE id > 103

-- case: a drop that was committed no longer hides a protected table
-- transaction: none
-- path: other, app
DROP TABLE other.orders
-- next
SELECT * FROM orders ORDER BY id

-- case: a role's own schema after another session user and no role
-- path: "$user", app
SET SESSION AUTHORIZATION oracle_clerk
-- next
SELECT count(*) FROM tasks
-- next
RESET ROLE
-- next
SELECT count(*) FROM tasks
-- next
SET ROLE NONE
-- next
SELECT count(*) FROM tasks
-- next
RESET SESSION AUTHORIZATION
-- next
SELECT count(*) FROM tasks

-- case: search_path changed inside a function leaves unqualified names in doubt
-- max-version: 17
-- expect: refused 0A000
CREATE FUNCTION public.sneaky() RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET search_path = app; END $$
-- next
SELECT public.sneaky()
-- next
SELECT count(*), max(id) FROM users

-- case: search_path changed inside a function is reported by the server
-- min-version: 18
CREATE FUNCTION public.sneaky() RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET search_path = app; END $$
-- next
SELECT public.sneaky()
-- next
SELECT count(*), max(id) FROM users

-- case: search_path changed inside a function counts for the rest of the batch
-- protocol: simple
-- expect: refused 0A000
CREATE FUNCTION public.sneaky() RETURNS text LANGUAGE sql AS $$ SELECT set_config('search_path', 'app', false) $$
-- next
SELECT public.sneaky(); SELECT count(*), max(id) FROM users

-- case: search_path changed inside a function and set again
CREATE FUNCTION public.sneaky() RETURNS text LANGUAGE sql AS $$ SELECT set_config('search_path', 'other', false) $$
-- next
SELECT public.sneaky()
-- next
SET LOCAL search_path = app
-- next
SELECT count(*), max(id) FROM users

-- case: search_path changed inside a function that another one calls
-- max-version: 17
-- expect: refused 0A000
CREATE FUNCTION public.sneaky() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('SEARCH' || '_path', 'app', true); END $$
-- next
CREATE PROCEDURE public.sneakier() LANGUAGE plpgsql AS $$ BEGIN PERFORM public.sneaky(); END $$
-- next
CALL public.sneakier()
-- next
SELECT count(*), max(id) FROM users

-- case: a setting of the application's own set inside a function leaves no doubt
CREATE FUNCTION public.app_user(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.user', name, false);
    UPDATE app.logs SET message = message WHERE false;
END $$
-- next
SELECT public.app_user('ann')
-- next
SELECT count(*), max(id) FROM users

-- case: a search_path of a function's own ends with it
CREATE FUNCTION public.elsewhere() RETURNS text LANGUAGE sql SET search_path = app AS $$ SELECT current_schema() $$
-- next
SELECT public.elsewhere()
-- next
SELECT count(*), max(id) FROM users

-- case: a role set inside a function leaves the user's own schema in doubt
-- path: "$user", app
-- expect: refused 0A000
CREATE FUNCTION public.become() RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET LOCAL ROLE oracle_clerk; END $$
-- next
SELECT public.become()
-- next
SELECT count(*) FROM tasks

-- case: a block that changes the role
-- expect: refused 0A000
DO $$ BEGIN SET ROLE oracle_clerk; END $$

-- case: a block that sets a column named role
DO $$ BEGIN UPDATE app.logs SET message = 'role', id = id WHERE false; END $$

-- case: search_path with names in other case and odd spaces
SELECT set_config('search_path', ' "$user" ,	APP', true)
-- next
SELECT count(*), max(id) FROM users

-- case: search_path with letters outside ASCII, which do not fold
SELECT set_config('search_path', 'ÜBER, app', true)
-- next
CREATE SCHEMA "über"
-- next
CREATE TABLE "über".users (id int)
-- next
SELECT count(*), max(id) FROM users

-- case: a schema that the role may not use is passed over
-- path: other, app
GRANT USAGE ON SCHEMA app TO oracle_clerk
-- next
GRANT SELECT ON app.orders, other.orders TO oracle_clerk
-- next
REVOKE USAGE ON SCHEMA other FROM oracle_clerk, PUBLIC
-- next
SELECT count(*) FROM orders
-- next
SET LOCAL ROLE oracle_clerk
-- next
SELECT count(*), max(id) FROM orders
-- next
RESET ROLE
-- next
SELECT count(*) FROM orders

-- case: a schema of a protected table that the role may not use is passed over
-- path: app, other
REVOKE USAGE ON SCHEMA app FROM oracle_clerk, PUBLIC
-- next
GRANT USAGE ON SCHEMA other TO oracle_clerk
-- next
GRANT SELECT ON app.orders, other.orders TO oracle_clerk
-- next
SET LOCAL ROLE oracle_clerk
-- next
SELECT count(*), max(id) FROM orders
