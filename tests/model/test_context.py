"""The tracked variables follow a real server through any sequence of SET, transactions and savepoints.

Hypothesis makes sequences of Query messages, each of one or several statements; the server runs them, and
what it confirms is applied to `Variables`. After every message both must hold the same values.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg.pq import ExecStatus, TransactionStatus

from pgsoftproxy.model.context import (
    LIVE,
    NO_ROLE,
    UNKNOWN_USER,
    Context,
    DeleteMode,
    SearchPath,
    Values,
    Variables,
    Visibility,
    VisibilityMode,
)
from pgsoftproxy.model.effects import (
    ChangesCatalog,
    Deallocates,
    DiscardsAll,
    Effect,
    Executes,
    Prepares,
    ResetsAll,
    SetsVariable,
    Transaction,
    TransactionVerb,
    Variable,
)
from tests.servers import Server, execute

ROLES = ("variables_a", "variables_b")
FAILED = {ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE}


@dataclass(frozen=True, slots=True)
class Step:
    """One statement and what it does once the server confirms it; no effect: it always fails."""

    sql: str
    effect: Effect | None

    def __repr__(self) -> str:
        return self.sql


def set_steps(name: str, variable: Variable, values: dict[str, object]) -> list[Step]:
    """Return SET, SET LOCAL and RESET of one variable, for each of its values."""
    steps = [Step(f"RESET {name}", SetsVariable(variable, None))]
    for local in (False, True):
        word = "LOCAL " if local else ""
        if variable is Variable.USER:
            steps.append(Step(f"SET {word}{name} NONE", SetsVariable(variable, NO_ROLE, local)))
        else:
            default = "DEFAULT" if variable is Variable.SESSION_USER else "TO DEFAULT"
            steps.append(Step(f"SET {word}{name} {default}", SetsVariable(variable, None, local)))
        for text, value in values.items():
            steps.append(Step(f"SET {word}{name} {text}", SetsVariable(variable, value, local)))
    return steps


def verb_steps() -> list[Step]:
    """Return all transaction control, with two savepoint names, so that names repeat."""
    verbs = TransactionVerb
    steps = [
        Step("BEGIN", Transaction(verbs.BEGIN)),
        Step("COMMIT", Transaction(verbs.COMMIT)),
        Step("ROLLBACK", Transaction(verbs.ROLLBACK)),
        Step("COMMIT AND CHAIN", Transaction(verbs.COMMIT, chain=True)),
        Step("ROLLBACK AND CHAIN", Transaction(verbs.ROLLBACK, chain=True)),
    ]
    for name in ("a", "b"):
        steps.append(Step(f"SAVEPOINT {name}", Transaction(verbs.SAVEPOINT, name)))
        steps.append(Step(f"RELEASE {name}", Transaction(verbs.RELEASE, name)))
        steps.append(Step(f"ROLLBACK TO {name}", Transaction(verbs.ROLLBACK_TO, name)))
    return steps


SETS = [
    *set_steps(
        "pgsoftproxy.visibility",
        Variable.VISIBILITY,
        {"= 'all'": Visibility(VisibilityMode.ALL), "= 'deleted'": Visibility(VisibilityMode.DELETED)},
    ),
    *set_steps(
        "search_path", Variable.SEARCH_PATH, {"= one": SearchPath(("one",)), "= two": SearchPath(("two",))}
    ),
    *set_steps("ROLE", Variable.USER, {role: role for role in ROLES}),
    *set_steps("SESSION AUTHORIZATION", Variable.SESSION_USER, {"variables_s": "variables_s"}),
]
OTHERS = [Step("RESET ALL", ResetsAll()), Step("DISCARD ALL", DiscardsAll()), Step("SELECT 1/0", None)]
STEPS = {step.sql: step for step in (*SETS, *verb_steps(), *OTHERS)}

steps = st.one_of(st.sampled_from(verb_steps()), st.sampled_from(SETS), st.sampled_from(OTHERS))
messages = st.lists(st.lists(steps, min_size=1, max_size=3), max_size=24)


def batch(*texts: str) -> list[list[Step]]:
    """Return one message for each text; a text may hold several statements."""
    return [[STEPS[part.strip()] for part in text.split(";")] for text in texts]


@pytest.fixture(scope="session")
def variables_server(server: Server) -> Iterator[Server]:
    """Give the server with two roles to become."""
    roles = {**dict.fromkeys(ROLES, ""), "variables_s": "SUPERUSER"}
    for role, options in roles.items():
        execute(server.dsn(), f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role} {options}")
    yield server
    for role in roles:
        execute(server.dsn(), f"DROP ROLE {role}")


def send(connection: psycopg.Connection, message: list[Step], variables: Variables) -> Variables:
    """Send one Query message; return the variables after what the server confirmed of it."""
    pgconn = connection.pgconn
    pgconn.send_query(";".join(step.sql for step in message).encode())
    failed = False
    for step in message:
        result = pgconn.get_result()
        assert result is not None
        failed = result.status in FAILED
        if failed:
            break
        assert step.effect is not None, f"{step.sql} was meant to fail"
        effect = step.effect
        if result.command_status == b"ROLLBACK" and step.sql.startswith("COMMIT"):
            assert isinstance(effect, Transaction)
            effect = Transaction(TransactionVerb.ROLLBACK, chain=effect.chain)
        variables = variables.after(effect)
    while pgconn.get_result() is not None:
        pass
    if pgconn.transaction_status == TransactionStatus.IDLE:
        return variables.end_implicit(failed=failed)
    return variables


def shown(connection: psycopg.Connection) -> tuple[str, str, str]:
    """Return what the server holds: visibility, search_path, current user."""
    row = connection.execute(
        "SELECT coalesce(nullif(current_setting('pgsoftproxy.visibility', true), ''), 'live'),"
        " replace(current_setting('search_path'), '\"', ''), current_user"
    ).fetchone()
    assert row is not None
    return row


def tracked(values: Values, user: str) -> tuple[str, str, str]:
    """Return the same from the model; a user that it holds in doubt is whatever the server has."""
    known = user if values.user == UNKNOWN_USER else values.user
    return values.visibility.mode.value, ", ".join(values.search_path.schemas), known


@settings(max_examples=200, deadline=None)
@given(messages=messages)
@example(
    messages=batch(
        "BEGIN", "SET search_path = one", "SAVEPOINT a", "SET LOCAL search_path = two", "RELEASE a"
    )
)
@example(
    messages=batch("SET LOCAL search_path = one; SELECT 1/0", "SET search_path = one; BEGIN", "ROLLBACK")
)
@example(
    messages=batch("BEGIN", "SET ROLE variables_a", "SAVEPOINT a", "SELECT 1/0", "ROLLBACK TO a", "COMMIT")
)
@example(messages=batch("BEGIN", "SET search_path = one", "SELECT 1/0", "COMMIT AND CHAIN", "COMMIT"))
@example(messages=batch("SET ROLE variables_a", "RESET ALL", "DISCARD ALL"))
@example(messages=batch("SET SESSION AUTHORIZATION variables_s", "SET ROLE NONE", "RESET ROLE"))
@example(
    messages=batch("SET ROLE variables_a", "BEGIN", "SET LOCAL SESSION AUTHORIZATION variables_s", "COMMIT")
)
@example(messages=batch("BEGIN", "SET SESSION AUTHORIZATION variables_s", "SET ROLE variables_a", "ROLLBACK"))
@example(messages=batch("SET search_path = one; SET LOCAL search_path TO DEFAULT; RESET ALL"))
def test_variables_hold_what_the_server_holds(variables_server: Server, messages: list[list[Step]]) -> None:
    # DISCARD ALL would drop a statement that the driver prepared on its own.
    with psycopg.connect(variables_server.dsn(), autocommit=True, prepare_threshold=None) as connection:
        variables = Variables.at_start(Values(user=variables_server.user))
        for message in messages:
            variables = send(connection, message, variables)
            status = connection.info.transaction_status
            assert variables.explicit == (status != TransactionStatus.IDLE)
            if status != TransactionStatus.INERROR:
                held = shown(connection)
                assert tracked(variables.current, held[2]) == held


def test_outside_a_transaction_nothing_is_left_to_undo() -> None:
    variables = Variables.at_start(Values(user="u"))
    variables = variables.after(SetsVariable(Variable.DELETE, DeleteMode.HARD)).end_implicit(failed=False)
    assert variables.current.delete is DeleteMode.HARD
    assert variables.start == variables.session == variables.current
    assert variables.savepoints == ()
    assert not variables.explicit


def test_catalog_is_stale_until_what_changed_it_is_rolled_back_and_not_only_until_a_commit() -> None:
    inside = Variables.at_start(Values()).after(Transaction(TransactionVerb.BEGIN)).after(ChangesCatalog())
    assert inside.current.stale
    assert not inside.after(Transaction(TransactionVerb.ROLLBACK)).current.stale
    assert inside.after(Transaction(TransactionVerb.COMMIT)).current.stale


def test_catalog_that_was_private_is_one_that_all_have_to_read_after_a_commit() -> None:
    inside = Variables.at_start(Values()).after(Transaction(TransactionVerb.BEGIN))
    inside = replace(inside, current=replace(inside.current, private=7))
    after = inside.after(Transaction(TransactionVerb.COMMIT)).current
    assert (after.stale, after.private) == (True, 0)
    assert inside.after(Transaction(TransactionVerb.ROLLBACK)).current == Values()


@pytest.mark.parametrize(
    "effect", [Prepares("p", "PREPARE p AS SELECT 1", 9), Executes("p", 0, 9), Deallocates()]
)
def test_effects_on_other_things_leave_the_variables_alone(effect: Effect) -> None:
    variables = Variables.at_start(Values(user="u", delete=DeleteMode.HARD))
    assert variables.after(effect) == variables


def test_discard_all_brings_back_what_the_session_started_with() -> None:
    start = Values(user="u", search_path=SearchPath(("app",)))
    variables = Variables.at_start(start).after(SetsVariable(Variable.USER, "other"))
    variables = variables.after(SetsVariable(Variable.SEARCH_PATH, SearchPath(("x",))))
    assert variables.after(DiscardsAll()) == Variables.at_start(start)


def test_visibility_reaches_only_the_tables_it_names() -> None:
    some = Visibility(VisibilityMode.ALL, tables=frozenset({("app", "orders"), ("", "users")}))
    assert some.of("app", "orders") is VisibilityMode.ALL
    assert some.of("shop", "orders") is VisibilityMode.LIVE
    assert some.of("any", "users") is VisibilityMode.ALL
    assert Visibility(VisibilityMode.DELETED).of("any", "thing") is VisibilityMode.DELETED
    assert LIVE.of("app", "orders") is VisibilityMode.LIVE


def test_every_variable_is_read_back_as_it_was_written() -> None:
    samples: dict[Variable, object] = {
        Variable.SEARCH_PATH: SearchPath(("app",)),
        Variable.VISIBILITY: Visibility(VisibilityMode.DELETED),
        Variable.DELETE: DeleteMode.HARD,
        Variable.SESSION_USER: "another",
        Variable.ENCODING: "latin-1",
        Variable.USER: "someone",
    }
    assert set(samples) == set(Variable)
    for variable, value in samples.items():
        changed = Values().with_value(variable, value)
        assert changed.value(variable) == value
        untouched = set(Variable) - {variable}
        if variable is Variable.SESSION_USER:
            untouched -= {Variable.USER}
        assert all(changed.value(other) == Values().value(other) for other in untouched)


def test_equal_contexts_are_one_key_and_different_ones_are_not() -> None:
    context = Context(Variables.at_start(Values(user="u")), role="u")
    same = Context(Variables.at_start(Values(user="u")), role="u")
    assert hash(context) == hash(same)
    assert context == same
    changed = context.after(SetsVariable(Variable.VISIBILITY, Visibility(VisibilityMode.ALL)))
    assert changed != context
    assert changed.values.visibility.mode is VisibilityMode.ALL
