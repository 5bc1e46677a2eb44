-- # Functions in FROM, ROWS FROM, XMLTABLE, JSON_TABLE.
-- path: app, public

-- case: a function beside a table
SELECT u.id, g FROM users u, generate_series(1, 2) g ORDER BY 1, 2

-- case: a function with a sub-select as argument
SELECT * FROM pairs((SELECT count(*)::int FROM users)) ORDER BY n

-- case: a function joined to a table
SELECT p.n, t.title FROM pairs(5) p LEFT JOIN tasks t ON t.id = p.n ORDER BY 1

-- case: rows from
SELECT * FROM ROWS FROM (generate_series(1, (SELECT count(*)::int FROM tasks)), unnest(ARRAY(SELECT name FROM users ORDER BY id))) AS r (n, name) ORDER BY 2

-- case: rows from with ordinality
SELECT * FROM ROWS FROM (unnest(ARRAY(SELECT id FROM orders ORDER BY id)), pairs(2)) WITH ORDINALITY AS r (a, b, c, o) ORDER BY o

-- case: a function with a column definition list
SELECT * FROM json_to_recordset((SELECT json_agg(t ORDER BY t.id) FROM tasks t)) AS r (id int, title text) ORDER BY id

-- case: unnest of a whole-row array
SELECT (r).id, (r).title FROM unnest((SELECT array_agg(t ORDER BY t.id) FROM tasks t)) AS r ORDER BY 1

-- case: unnest of several arrays
SELECT * FROM unnest(ARRAY(SELECT id FROM tasks ORDER BY id), ARRAY(SELECT id FROM memos ORDER BY id)) AS r (a, b) ORDER BY a

-- case: a table's row type as function argument
SELECT t.id, x.key, x.value FROM tasks t, jsonb_each_text(to_jsonb(t)) x WHERE x.key <> 'mood' ORDER BY 1, 2

-- case: a function called like a table
SELECT users.n FROM pairs(2) AS users (n) ORDER BY 1

-- case: a user function with a sub-select in SELECT
SELECT twice((SELECT max(age) FROM users)), twice(id::int) FROM tasks ORDER BY 2

-- case: xmltable over a sub-select
-- max-version: 15
SELECT x.* FROM XMLTABLE('/us/u' PASSING (SELECT xmlelement(name us, xmlagg(xmlelement(name u, xmlattributes(id), name) ORDER BY id)) FROM users)
    COLUMNS place FOR ORDINALITY, id int PATH '@id', name text PATH '.' DEFAULT (SELECT min(name) FROM users)) AS x ORDER BY place

-- case: xmltable that is lateral to a table, with paths and defaults of sub-selects
-- max-version: 15
SELECT u.id, x.* FROM users u LEFT JOIN XMLTABLE(XMLNAMESPACES('http://x' AS n), 'a' PASSING xmlelement(name a, u.name)
    COLUMNS n text PATH (SELECT CASE count(*) WHEN 8 THEN '.' END FROM users), m text PATH 'b' DEFAULT (SELECT max(title) FROM tasks)) x ON true ORDER BY u.id

-- case: xmltable on a server that may lack libxml
-- expect: any
SELECT x.n FROM XMLTABLE('/u' PASSING xmlelement(name u, (SELECT max(name) FROM users)) COLUMNS n text PATH '.') AS x, tasks

-- case: json_table over a sub-select
-- min-version: 17
SELECT j.* FROM JSON_TABLE((SELECT jsonb_agg(to_jsonb(t) ORDER BY t.id) FROM tasks t), '$[*]' COLUMNS (id int PATH '$.id', title text PATH '$.title')) AS j ORDER BY id

-- case: json_table that is lateral to a table
-- min-version: 17
SELECT p.sku, j.n FROM products p, JSON_TABLE(p.attrs, '$.parts[*]' COLUMNS (n text PATH '$.n')) AS j ORDER BY 1, 2

-- case: json constructors with sub-selects
-- min-version: 16
SELECT JSON_ARRAY(SELECT name FROM users ORDER BY id), JSON_OBJECT('n': (SELECT count(*) FROM users)), JSON_ARRAYAGG(t.id ORDER BY t.id) FROM tasks t

-- case: json query functions over protected data
-- min-version: 17
SELECT p.sku, JSON_VALUE(p.attrs, '$.w'), JSON_QUERY(p.attrs, '$.parts'), JSON_EXISTS(p.attrs, '$.parts[0]') FROM products p ORDER BY 1

-- case: current_date and its kin in FROM
SELECT u.id FROM users u, current_user AS c WHERE c IS NOT NULL ORDER BY 1

-- case: a set-returning function in the target list
SELECT id, generate_series(1, id::int) FROM tasks ORDER BY 1, 2

-- case: unnest in the target list of a protected table
SELECT sku, unnest(tags) FROM products ORDER BY 1, 2

-- case: a call of a procedure
CALL app.note(upper('called'))
-- next
SELECT message FROM logs WHERE id = 900

-- case: a call with a sub-select as argument is refused by the server
-- expect: error 0A000
CALL app.note((SELECT string_agg(name, ',' ORDER BY id) FROM users))
