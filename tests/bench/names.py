"""What the measurements call things: who is compared, databases, pgbench's modes, the two texts of a query."""

DIRECT, PGBOUNCER, PGPOOL, OURS = "direct", "PgBouncer", "Pgpool-II", "pgsoftproxy"
OURS_TWICE = f"{OURS} x2"
PLAIN, PROTECTED = "plain", "protected"
MODES = ("prepared", "extended", "simple")
BY_HAND, REWRITTEN = "by hand", "rewritten"
TRIGGERS, SERVERS_OWN = "triggers", "ON DELETE CASCADE"
CASCADE = "cascade.100,000 rows"
