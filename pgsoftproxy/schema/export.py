"""A migration as a file: plain SQL for psql, an Alembic revision, a Django migration. Text only.

What runs CONCURRENTLY cannot be in a transaction: Alembic takes an `autocommit_block`, Django `atomic = False`.
"""

from collections.abc import Iterable, Iterator

from pgsoftproxy.model.steps import Plan, Statement, Step

FORMATS = ("sql", "alembic", "django")
HEAD = "Gives a database what soft deletion needs. Written by `pgsoftproxy migrate`."


def export(plan: Plan, form: str) -> str:
    """Return a plan in one of FORMATS."""
    match form:
        case "sql":
            return _sql(plan)
        case "alembic":
            return _alembic(plan)
        case "django":
            return _django(plan)
    raise ValueError(f"no such format: {form}")


def _sql(plan: Plan) -> str:
    lines = [f"-- {HEAD}", "-- Run it with psql, outside a transaction. Its way back stands at the end.", ""]
    lines += [r"\set ON_ERROR_STOP on", ""]
    for step in plan.steps:
        lines += _titled(step)
        lines += _grouped(step.statements)
    lines += ["", "-- The way back:"]
    for step in reversed(plan.steps):
        lines += [f"-- {line}" for text in _grouped(step.down) for line in text.splitlines()]
    return "\n".join(lines) + "\n"


def _titled(step: Step) -> list[str]:
    title = " ".join(f"{step.table}: {step.title}: {step.why}".split())
    return ["", f"-- {title}", f"-- lock: {step.lock.value}"]


def _grouped(statements: Iterable[Statement]) -> Iterator[str]:
    """Yield statements, those of one transaction between BEGIN and COMMIT."""
    open_ = False
    for statement in statements:
        if statement.in_transaction and not open_:
            yield "BEGIN;\nSET LOCAL lock_timeout = '2s';"
        elif open_ and not statement.in_transaction:
            yield "COMMIT;"
        open_ = statement.in_transaction
        yield f"{statement.sql.rstrip().rstrip(';')};"
    if open_:
        yield "COMMIT;"


def _alembic(plan: Plan) -> str:
    lines = [
        f'"""{HEAD}"""',
        "",
        "from alembic import op",
        "",
        'revision = "pgsoftproxy"  # put in what your history needs',
        "down_revision = None",
        "branch_labels = None",
        "depends_on = None",
        "",
        "",
        "def _run(sql):",
        "    if op.get_context().as_sql:  # alembic upgrade --sql",
        '        op.get_context().impl.static_output(sql + ";")',
        "    else:  # as it stands: a percent sign or a colon is no parameter",
        "        op.get_bind().execution_options(no_parameters=True).exec_driver_sql(sql)",
        "",
        "",
        "def upgrade() -> None:",
        *_alembic_body(step.statements for step in plan.steps),
        "",
        "",
        "def downgrade() -> None:",
        *_alembic_body(step.down for step in reversed(plan.steps)),
    ]
    return "\n".join(lines) + "\n"


def _alembic_body(steps: Iterable[tuple[Statement, ...]]) -> list[str]:
    lines: list[str] = []
    for statements in steps:
        for statement in statements:
            if statement.in_transaction:
                lines.append(f"    _run({_literal(statement.sql)})")
            else:
                lines += [
                    "    with op.get_context().autocommit_block():",
                    f"        _run({_literal(statement.sql)})",
                ]
    return lines or ["    pass"]


def _django(plan: Plan) -> str:
    lines = [
        f'"""{HEAD}"""',
        "",
        "from django.db import migrations",
        "",
        "",
        "class Migration(migrations.Migration):",
        "    atomic = False  # indexes are built while the tables are in use",
        "    dependencies = []  # put in the migration before",
        "    operations = [",
    ]
    for step in plan.steps:
        forward, back = list(_one_by_one(step.statements)), list(_one_by_one(step.down))
        lines += [
            "        migrations.RunSQL(",
            *_listed(forward),
            *_listed(back, "reverse_sql="),
            "        ),",
        ]
    return "\n".join([*lines, "    ]"]) + "\n"


def _one_by_one(statements: Iterable[Statement]) -> Iterator[str]:
    """Yield texts that the server takes as one query each: those of one transaction together."""
    together: list[str] = []
    for statement in statements:
        text = f"{statement.sql.rstrip().rstrip(';')};"
        if statement.in_transaction:
            together.append(text)
            continue
        if together:
            yield "\n".join(together)
        together = []
        yield text
    if together:
        yield "\n".join(together)


def _listed(texts: list[str], name: str = "") -> list[str]:
    # (sql, None): without parameters a percent sign is a percent sign.
    items = [f"                ({_literal(text)}, None)," for text in texts]
    return [f"            {name}[", *items, "            ],"]


def _literal(text: str) -> str:
    """Return a Python literal, over several lines where the text has them."""
    return repr(text)
