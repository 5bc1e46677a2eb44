-- # TRUNCATE of tables with truncate = "soft".
-- path: app, public

-- case: truncate a table
TRUNCATE badges
-- next
SELECT * FROM badges

-- case: truncate with its noise words
TRUNCATE TABLE ONLY (app.badges), app.slots * CONTINUE IDENTITY RESTRICT

-- case: truncate leaves what was deleted before as it was
TRUNCATE drafts, sheets
-- next
INSERT INTO drafts (id, body) VALUES (50, 'after') RETURNING *

-- case: truncate twice
TRUNCATE boxes
-- next
TRUNCATE boxes
-- next
SELECT count(*) FROM boxes

-- case: truncate several tables of which some refer to others
TRUNCATE drafts, sheets, badges

-- case: truncate names a table twice
TRUNCATE badges, app.badges, ONLY badges

-- case: truncate a parent with its children
TRUNCATE boxes
-- next
SELECT * FROM crates

-- case: truncate only the parent
TRUNCATE ONLY boxes
-- next
SELECT id FROM boxes

-- case: truncate a child
TRUNCATE crates
-- next
SELECT id FROM boxes

-- case: truncate a parent once for itself and once with its children
TRUNCATE ONLY boxes, boxes
-- next
SELECT id FROM boxes

-- case: truncate a parent and its child
TRUNCATE crates, boxes

-- case: truncate a partitioned table
TRUNCATE slots

-- case: truncate a partition
TRUNCATE slots_2025
-- next
SELECT id FROM slots

-- case: truncate only a partitioned table
-- expect: error 42809
TRUNCATE ONLY slots

-- case: truncate a table that another refers to
-- expect: error 0A000
TRUNCATE drafts

-- case: truncate a table that itself and another refer to
-- expect: error 0A000
TRUNCATE folders

-- case: truncate a table that refers to itself and to another
TRUNCATE sheets

-- case: truncate an unknown table beside
-- expect: refused 0A000
TRUNCATE badges, nowhere

-- case: truncate with cascade says in a notice what it reaches
-- compare: status
TRUNCATE drafts CASCADE

-- case: truncate in a batch
-- protocol: simple
TRUNCATE badges; SELECT count(*) FROM badges; TRUNCATE TABLE slots; SELECT count(*) FROM slots

-- case: truncate and roll back to a savepoint
SAVEPOINT s
-- next
TRUNCATE badges
-- next
ROLLBACK TO s
-- next
SELECT * FROM badges

-- case: truncate outside a transaction
-- transaction: none
TRUNCATE app.badges, app.slots
