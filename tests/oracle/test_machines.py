"""Hypothesis leads two sessions through settings, transactions, names, DDL and writes, by both protocols.

After each message the proxy's answer is that of the twin, or a documented refusal; no deleted value arrives unless
the session asked for deleted rows; and in the end the databases hold the same rows, living and deleted.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.fix_proxy import RunningProxy, config_text
from tests.oracle.machine_pair import Act, Message, Pair
from tests.oracle.machine_phrases import (
    BODIES,
    CONTROL,
    CURSORS,
    DDL,
    ERRORS,
    PREPARED,
    READS,
    SETTINGS,
    STATEMENT_NAMES,
    TABLES,
    WRITES,
    Phrase,
)
from tests.oracle.machine_phrases import (
    ROLES as ROLE_PHRASES,
)
from tests.oracle.machine_stage import CONFIG, FULL, ROLES, TWIN, Stage, played
from tests.servers import Server, execute

EXAMPLES = int(os.environ.get("PGSOFTPROXY_MACHINE_EXAMPLES", "400"))
QUICK_EXAMPLES = 25
STEPS = 30

SESSIONS = st.sampled_from((0, 1))
ANY = (SETTINGS, ROLE_PHRASES, CONTROL, READS, WRITES, ERRORS, DDL, PREPARED, CURSORS)


def phrases(*pools: tuple[Phrase, ...]) -> st.SearchStrategy[Phrase]:
    """Draw one of the pools, then a phrase of it."""
    return st.sampled_from(pools).flatmap(st.sampled_from)


def said(*pools: tuple[Phrase, ...]) -> st.SearchStrategy[Act]:
    """Draw a statement to be sent by either protocol."""
    return phrases(*pools).map(lambda phrase: ("say", phrase.sql))


def acts() -> st.SearchStrategy[Act]:
    """Draw a step of a pipeline."""
    names = st.sampled_from(STATEMENT_NAMES)
    return st.one_of(
        said(*ANY),
        st.tuples(st.just("parse"), names, st.sampled_from([body.sql for body in BODIES])),
        st.tuples(st.just("run"), names),
        st.tuples(st.just("run"), names),
        st.tuples(st.just("close"), names),
        st.just(("sync",)),
    )


class Sessions(RuleBasedStateMachine):
    """Two sessions; `stage` is set by the test that runs it."""

    stage: Stage

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[Pair] = self.stage.begin()
        self.messages: list[Message] = []

    def send(self, session: int, simple: bool, *acts: Act) -> None:
        """Send a message and compare."""
        if self.pairs[session].failed and len(acts) == 1:
            acts = (("say", "ROLLBACK"),)  # or most of what follows would only fail
        message = Message(session, simple, _cursors_apart(acts))
        self.messages.append(message)
        self.check(self.pairs[session].exchange(message))

    def check(self, found: list[str]) -> None:
        """Fail with the whole conversation, in the form of CONVERSATIONS."""
        lines = "\n".join(f"        {message!r}," for message in self.messages)
        assert not found, "\n".join([*found, "    (", lines, "    )"])

    @rule(session=SESSIONS, simple=st.booleans(), act=said(SETTINGS, ROLE_PHRASES))
    def set(self, session: int, simple: bool, act: Act) -> None:
        self.send(session, simple, act)

    @rule(session=SESSIONS, simple=st.booleans(), act=said(CONTROL))
    def control(self, session: int, simple: bool, act: Act) -> None:
        self.send(session, simple, act)

    @rule(session=SESSIONS, simple=st.booleans(), act=said(READS))
    def read(self, session: int, simple: bool, act: Act) -> None:
        self.send(session, simple, act)

    @rule(session=SESSIONS, simple=st.booleans(), act=said(WRITES))
    def write(self, session: int, simple: bool, act: Act) -> None:
        self.send(session, simple, act)

    @rule(session=SESSIONS, simple=st.booleans(), act=said(DDL))
    def define(self, session: int, simple: bool, act: Act) -> None:
        self.send(session, simple, act)

    @rule(session=SESSIONS, simple=st.booleans(), act=said(PREPARED, CURSORS, ERRORS))
    def prepare(self, session: int, simple: bool, act: Act) -> None:
        self.send(session, simple, act)

    @rule(session=SESSIONS, several=st.lists(said(*ANY), min_size=2, max_size=4))
    def batch(self, session: int, several: list[Act]) -> None:
        self.send(session, True, *several)

    @rule(session=SESSIONS, several=st.lists(acts(), min_size=1, max_size=6))
    def pipeline(self, session: int, several: list[Act]) -> None:
        self.send(session, False, *several)

    def teardown(self) -> None:
        """End the sessions; what they left must be the same."""
        for pair in self.pairs:
            pair.close()
        self.check(self.stage.final_differences())


def _cursors_apart(acts: tuple[Act, ...]) -> tuple[Act, ...]:
    # What a cursor shows is settled by what is in force when it is declared, which must be known.
    if len(acts) == 1:
        return acts
    return tuple(act for act in acts if "DECLARE" not in act[-1]) or (("say", "COMMIT"),)


@pytest.fixture(scope="module")
def stage(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Give the two databases with a proxy before the one that has deleted rows."""
    for role in ROLES:
        if not execute(server.dsn(), f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'"):
            execute(server.dsn(), f"CREATE ROLE {role} LOGIN SUPERUSER")
    for name in (FULL, TWIN):
        execute(server.dsn(), f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        execute(server.dsn(), f"CREATE DATABASE {name}")
    execute(server.dsn(FULL), TABLES)  # the configuration names one of them
    config: Path = tmp_path_factory.mktemp("machines") / "proxy.toml"
    config.write_text(config_text(server, FULL, CONFIG))
    proxy = RunningProxy(config, server, FULL)
    yield Stage(server, proxy)
    proxy.stop()
    print(proxy.output())


def _run(stage: Stage, examples: int, *, derandomize: bool) -> None:
    machine = type("SessionsOnStage", (Sessions,), {"stage": stage})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=derandomize,
            database=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
    print(dict(stage.verdicts))


def test_sessions_answer_as_on_the_twin(stage: Stage) -> None:
    _run(stage, QUICK_EXAMPLES, derandomize=True)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_many_sessions_answer_as_on_the_twin(stage: Stage) -> None:
    _run(stage, EXAMPLES, derandomize=False)


CONVERSATIONS: dict[str, tuple[Message, ...]] = {
    "a hard delete of what is seen": (
        Message(0, True, (("say", "SET pgsoftproxy.visibility = 'all'"),)),
        Message(0, True, (("say", "SET pgsoftproxy.delete = 'hard'"),)),
        Message(0, False, (("say", "DELETE FROM app.users WHERE id >= 3"),)),
    ),
    "a delete in another session than the DDL that protected its table": (
        Message(0, False, (("say", "ALTER TABLE app.plain ADD COLUMN deleted_at timestamptz"),)),
        Message(1, False, (("say", "DELETE FROM plain WHERE id = 1"),)),
    ),
    "a table renamed to the name of a protected one, and used in the same text": (
        Message(
            1,
            True,
            (
                ("say", "ALTER TABLE machines_b.notes RENAME TO users"),
                ("say", "DELETE FROM users WHERE id >= 3"),
            ),
        ),
        Message(1, True, (("say", "SELECT id, val FROM users ORDER BY id, val"),)),
    ),
    "an EXECUTE that cannot run, in a batch": (
        Message(0, True, (("say", "SET search_path = app"), ("say", "EXECUTE p"))),
        Message(0, True, (("say", "SELECT id, val FROM users ORDER BY id, val"),)),
    ),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation_that_was_found_goes_as_on_the_twin(stage: Stage, name: str) -> None:
    assert list(played(stage, CONVERSATIONS[name])) == []
