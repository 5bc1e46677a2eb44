-- # Comments, literals and odd spacing around what the rewriter inserts.
-- path: app, public

-- case: a line comment at the end
SELECT id FROM users -- the end

-- case: a line comment at the end of a WHERE
SELECT id FROM users WHERE city = 'London' OR age > 60 -- the end

-- case: a line comment after WHERE
SELECT id FROM users WHERE -- first
    city = 'London' OR -- second
    age > 60 -- third
ORDER BY id -- fourth

-- case: a line comment after the table name
SELECT id FROM users -- u
WHERE id = 1

-- case: a line comment after the alias in a join
SELECT u.id FROM users u -- left
    LEFT JOIN orders o -- right
    ON o.user_id = u.id -- condition
    -- nothing
ORDER BY u.id, o.id

-- case: block comments everywhere
/*a*/SELECT/*b*/u/*c*/./*d*/id/*e*/FROM/*f*/app/*g*/./*h*/users/*i*/AS/*j*/u/*k*/WHERE/*l*/u.id/*m*/</*n*/6/*o*/ORDER/*p*/BY/*q*/1/*r*/

-- case: nested block comments
SELECT id /* outer /* FROM users inner */ WHERE */ FROM users /* /* */ */ WHERE id = 4 OR id = 5

-- case: a comment that looks like a table
SELECT id FROM /* orders */ users /* , items */ WHERE id < 3

-- case: a string that looks like a comment
SELECT id, '-- not a comment' AS a, '/* nor this' AS b FROM users WHERE name <> '--' ORDER BY id

-- case: a string that looks like SQL
SELECT 'SELECT * FROM users' AS s, count(*) FROM users WHERE name <> ' FROM orders WHERE 1=1'

-- case: an escape string
SELECT E'it\'s -- \\ \n', id FROM users WHERE name <> E'\'' ORDER BY id

-- case: a dollar-quoted string
SELECT $$it's -- FROM users$$, $tag$ $$ /* $tag$, id FROM users WHERE name <> $q$WHERE$q$ ORDER BY id

-- case: a string continued on the next line
SELECT 'one'
' two' AS s, id FROM users WHERE name <> 'A'
'da' ORDER BY id

-- case: a unicode string
SELECT U&'d\0061t\+000061', id FROM users ORDER BY id

-- case: bit and hex strings
SELECT B'101', X'1F', id FROM users ORDER BY id

-- case: parentheses around a lone table are no grammar
-- expect: error 42601
SELECT(id)FROM(users)WHERE(id)<6

-- case: hardly any spaces
SELECT(id)FROM users WHERE(id<6)OR(id>8)ORDER BY(id)

-- case: tabs and carriage returns
-- order: no
SELECT	id	FROM	users	WHERE	id	<	6	OR	id	>	8

-- case: a keyword as an alias
SELECT "select".id FROM users AS "select" WHERE "select".id < 6 ORDER BY 1

-- case: keywords as column names
SELECT id AS select, name AS from, age AS where FROM users ORDER BY id

-- case: an alias without AS that is an unreserved keyword
SELECT id value, name name FROM users data WHERE data.id < 6 ORDER BY value

-- case: operators that touch
SELECT id FROM users WHERE id<-(-6)AND age>=-1 ORDER BY id

-- case: an operator that looks like a comment start
SELECT id, 5 - -3, 10 / +2 FROM users WHERE id * -1 < -6 ORDER BY id

-- case: numbers of all shapes
-- min-version: 16
SELECT id FROM users WHERE id > 1e0 AND id < 1_0e1 OR id = .5e1 OR id = 0x4

-- case: numbers of older shapes
SELECT id FROM users WHERE id > 1e0 AND id < 10e1 OR id = .5e1 ORDER BY id

-- case: a trailing semicolon and comment
SELECT id FROM users; -- done

-- case: a leading comment
-- a comment before the statement
SELECT id FROM users ORDER BY id

-- case: leading blank lines and comments


/* a */

SELECT id FROM users ORDER BY id

-- case: a comment with a directive that is not ours
/* sqlcommenter: traceparent='00' */ SELECT id FROM users /*controller='index',framework='django'*/ ORDER BY id

-- case: a hint-like comment is kept in place
/*+ SeqScan(users) */ SELECT count(*) FROM users

-- case: a condition in several parentheses
SELECT id FROM users WHERE ((((id = 4) OR (id = 5))))

-- case: a parenthesis in a string
SELECT id FROM users WHERE name <> ')' OR name = '(' ORDER BY id

-- case: IS NULL right before the inserted parenthesis
SELECT id FROM users WHERE city IS NULL

-- case: an IN list at the end
SELECT id FROM users WHERE id IN (1, 4)

-- case: a CASE at the end
SELECT id FROM users WHERE CASE WHEN id = 4 THEN true ELSE id = 5 END

-- case: BETWEEN at the end
SELECT id FROM users WHERE id BETWEEN 3 AND 5

-- case: COLLATE at the end
SELECT id FROM users WHERE name > 'E' COLLATE "C"

-- case: a typed literal and AT TIME ZONE
SELECT id FROM users WHERE created_at AT TIME ZONE 'UTC' = timestamp '2026-01-01 00:00:00' ORDER BY id

-- case: the old-style cast function syntax
SELECT id FROM users WHERE CAST(id AS text) LIKE '_' OR bool 'f' ORDER BY id

-- case: ISNULL and NOTNULL
SELECT id FROM users WHERE city ISNULL OR age NOTNULL ORDER BY id

-- case: a text with a byte order of quotes
SELECT '''''' AS quotes, """".id FROM users """" ORDER BY 2

-- case: lines that end in CR and LF
-- escapes: yes
SELECT id\r
FROM users -- comment\r
WHERE id < 6 -- or\r
OR id = 10\r
ORDER BY id\r

-- case: a comment that only a CR ends
-- escapes: yes
SELECT id FROM users -- comment\rWHERE id < 6 -- more\rOR id = 10 ORDER BY id

-- case: form feeds and vertical tabs
-- escapes: yes
-- max-version: 15
SELECT\fid\fFROM\fusers\fWHERE\fid<6\fORDER\fBY\fid

-- case: tabs
-- escapes: yes
SELECT\tid\tFROM\tusers\tWHERE\tid<6\tOR\tid=10\tORDER\tBY\tid--\tend

-- case: an escape for a NUL
-- expect: error 22021
SELECT E'a\0b' FROM users

-- case: a unicode escape for a NUL
-- expect: error 42601
SELECT U&'\0000' FROM users

-- case: a unicode escape for half a character
-- expect: error 42601
SELECT U&'\D83D' FROM users

-- case: numbers followed by letters
-- expect: any
SELECT 1a, id FROM users WHERE id=1OR id=4 ORDER BY 2

-- case: digits with underscores
-- expect: any
SELECT 1_000, id FROM users ORDER BY id

-- case: a byte order mark is no white space
-- expect: any
﻿SELECT id FROM users ORDER BY id

-- case: spaces outside ASCII are letters
-- expect: any
SELECT id FROM users WHERE id < 4 ORDER BY id

-- case: comments between the parts of a unicode name
SELECT count(*) FROM U&"us!0065rs" /* x */ UESCAPE /* y */ '!'

-- case: a comparison with NULL that the server turns into IS NULL
SET LOCAL transform_null_equals = on
-- next
SELECT id FROM users WHERE city = NULL OR deleted_at <> NULL ORDER BY id

-- case: settings that change what is printed or warned of
-- protocol: simple
SET LOCAL escape_string_warning = off; SET LOCAL backslash_quote = on
-- next
SELECT id FROM users WHERE name <> E'\'' ORDER BY id
