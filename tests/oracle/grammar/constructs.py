"""Every construct that the random statements are made of, with the major version that has it. A run counts them."""

_ALL = """
join at depth 1 | join at depth 2 | join at depth 3 | join at depth 4 | JOIN | LEFT JOIN | RIGHT JOIN | FULL JOIN
CROSS JOIN | comma join | join in parentheses | USING | USING with an alias | merged column | NATURAL
alias of a join with column list | alias with column list | LATERAL sub-select | sub-select in FROM
function in FROM | user-defined function | name that hides an outer one | ROWS FROM | unnest | TABLESAMPLE | ONLY
star that asks for children | view
table without an alias | quoted name | upper-case name | unicode-escaped name | qualified name | name with a database
qualified name past a CTE | CTE reference | unqualified column | system column tableoid | whole row
whole row of any source | cast | CASE | COALESCE, NULLIF, GREATEST | LIKE, BETWEEN, IN list | row comparison
json path | json constructor | ARRAY constructor | dollar-quoted or escaped string
expression that fails on a deleted row | sub-link EXISTS | sub-link IN | sub-link NOT IN | sub-link ANY | sub-link ALL
sub-link row IN | sub-link scalar | sub-link ARRAY | sub-link in RETURNING | SELECT without FROM | VALUES | TABLE
star in the select list | DISTINCT | DISTINCT ON | GROUP BY | ROLLUP | CUBE | GROUPING SETS | GROUP BY a primary key
HAVING | aggregate FILTER | ordered aggregate | window function | window frame | WINDOW clause | ORDER BY with LIMIT
ORDER BY at the top | FOR UPDATE or SHARE | UNION | UNION ALL | EXCEPT | EXCEPT ALL | INTERSECT | INTERSECT ALL
set operation with ORDER BY and LIMIT | set operation arm in parentheses | WITH | WITH in a sub-select
WITH that shadows a WITH | WITH that shadows a table | WITH with column names | WITH RECURSIVE | WITH that writes
DELETE | DELETE USING | DELETE RETURNING | UPDATE | UPDATE FROM | UPDATE RETURNING | UPDATE of several columns at once
UPDATE that moves rows between partitions | UPDATE to DEFAULT | join by a key in a write | write to ONLY
write without an alias | INSERT | INSERT VALUES | INSERT SELECT | INSERT RETURNING | RETURNING * | RETURNING t.*
ON CONFLICT | ON CONFLICT of a partial unique index | ON CONFLICT ON CONSTRAINT | DO NOTHING | DO UPDATE
DO UPDATE WHERE | MERGE | MERGE DELETE | MERGE INSERT
simple protocol | extended protocol | binary results | named prepared statement
PREPARE and EXECUTE | parameter | portal in parts | batch of statements | cursor | COPY query | COPY table
CREATE TABLE AS | CREATE VIEW | pipeline | run twice in a transaction | WHERE CURRENT OF | write through a view
comments and spaces | SET LOCAL search_path | SAVEPOINT and ROLLBACK TO
"""
CONSTRUCTS: dict[str, int] = dict.fromkeys(
    (name.strip() for line in _ALL.split("\n") for name in line.split(" | ") if name.strip()), 15
)
CONSTRUCTS |= {"JSON_TABLE": 17, "MERGE BY SOURCE": 17, "MERGE RETURNING": 17, "RETURNING old and new": 18}


def known_to(version: int) -> list[str]:
    """Return the constructs that a major version has."""
    return sorted(name for name, since in CONSTRUCTS.items() if since <= version)
