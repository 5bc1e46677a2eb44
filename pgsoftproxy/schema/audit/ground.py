"""What the checks of an audit look at: the policy in force, what `migrate` would do, and the evidence. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from pgsoftproxy.db.readiness import with_links
from pgsoftproxy.model.catalog import Catalog, Relation, RelationKind
from pgsoftproxy.model.evidence import Evidence
from pgsoftproxy.model.links import Links, find_links
from pgsoftproxy.model.policy import Policy, Problem, Protection, compile_policy
from pgsoftproxy.model.present import SchemaState
from pgsoftproxy.model.steps import OPTIONAL, Kind, Step
from pgsoftproxy.schema.audit.finding import By, Found, Mend, ObjectKind, Subject
from pgsoftproxy.schema.columns import MissingColumn
from pgsoftproxy.schema.plan import Wanted, plan, set_scene
from pgsoftproxy.schema.scene import Scene

OURS = "pgsoftproxy"
"""The schema of what `migrate` makes, which is not looked into."""
KINDS = {RelationKind.VIEW: ObjectKind.VIEW, RelationKind.MATVIEW: ObjectKind.MATERIALIZED_VIEW}


@dataclass(frozen=True, slots=True)
class Read:
    """What was read of one database; `own` are the origins of the rules that it must satisfy, None: all."""

    catalog: Catalog
    state: SchemaState
    evidence: Evidence
    own: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """One database under a configuration. `steps` are those of a `migrate` with everything, `missing` its columns."""

    policy: Policy
    problems: tuple[Problem, ...]
    links: Links
    scene: Scene
    steps: tuple[Step, ...]
    missing: tuple[MissingColumn, ...]
    evidence: Evidence
    wanted: Wanted

    @property
    def catalog(self) -> Catalog:
        """Return the catalog as it is."""
        return self.policy.catalog

    @property
    def state(self) -> SchemaState:
        """Return what the database has besides."""
        return self.scene.state

    def protections(self) -> Iterator[Protection]:
        """Yield what is enforced now on tables of this server, by name."""
        yield from replace(self.scene, policy=self.policy).protections()

    def is_protected(self, relation: Relation) -> bool:
        """Tell whether a table is under a policy, in whatever mode, or was meant to be."""
        return relation.oid in self.policy.protections or relation.oid in self.policy.broken

    def mend(self, *ids: str) -> Mend | None:
        """Return how those of these steps of `migrate` mend it that are due; None if none is."""
        due = [step for step in self.steps if step.id in ids]
        return mend_of(due) if due else None


def mend_of(steps: Iterable[Step]) -> Mend:
    """Return how steps of `migrate` mend a finding."""
    due = list(steps)
    options = dict.fromkeys(OPTIONAL[step.kind] for step in due if step.kind in OPTIONAL)
    return Mend(sql_of(due), By.MIGRATE, tuple(options))


def sql_of(steps: Iterable[Step]) -> str:
    """Return the SQL of steps, a statement a line or more."""
    texts = (statement.sql.rstrip().rstrip(";") for step in steps for statement in step.statements)
    return "\n".join(f"{text};" for text in texts)


def set_ground(wanted: Wanted, read: Read) -> Ground:
    """Compile the policy, and plan what `migrate` would do."""
    catalog, state = read.catalog, read.state
    policy, problems = compile_policy(wanted.rules, wanted.grants, catalog)
    policy, more = with_links(policy, wanted.keys)
    policy = replace(policy, routines=wanted.routines)
    scene, _, missing = set_scene(wanted, catalog, state)
    links, _ = find_links(policy, wanted.keys)
    planned, _ = plan(wanted, catalog, state, frozenset(Kind) - {Kind.RLS, Kind.VIEW})
    every = [one for one in (*problems, *more) if read.own is None or one.origin in read.own]
    return Ground(
        policy,
        tuple(every),
        links,
        scene,
        planned.steps,
        missing,
        read.evidence.within(catalog.relations),
        wanted,
    )


def about(relation: Relation, why: str, mend: Mend) -> Found:
    """Return what was found of a relation."""
    return Found(Subject(KINDS.get(relation.kind, ObjectKind.TABLE), relation.label), why, mend)
