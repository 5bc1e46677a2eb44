"""What both directions of one conversation share: policy, variables, names, the queue, and the bytes to write.

Holds it and nothing else: what a message does to it is in `client` and `server`.
"""

from pgsoftproxy.errors import Refusal
from pgsoftproxy.model.context import Context, Grant, Values
from pgsoftproxy.model.policy import Policy
from pgsoftproxy.model.who import Who
from pgsoftproxy.rewrite.cache import Key, PlanJob, Planner
from pgsoftproxy.rewrite.plan import Plan, Rewritten, StatementPlan
from pgsoftproxy.session.limits import SessionLimits
from pgsoftproxy.session.observer import Observer
from pgsoftproxy.session.phase import Need
from pgsoftproxy.session.replies import Owed, Replies
from pgsoftproxy.session.shelves import Shelf, Shelves
from pgsoftproxy.session.startup import Startup
from pgsoftproxy.session.statements import Names, Prepared, Script
from pgsoftproxy.session.variables import Tracker

KEPT_SCRIPTS = 16
"""How many plans keep their scripts: a cached simple query then takes 18 microseconds of CPU instead of 21.

Few and short ones: a script keeps parts of its plan, in every session, outside the bound of the plan cache.
"""
KEPT_CHARACTERS = 4096


class State:
    """The state of one session from the moment that its policy is known."""

    __slots__ = (
        "_shelf",
        "application_name",
        "backend_pid",
        "behind",
        "catalog_changed",
        "client_address",
        "foreign",
        "in_transaction",
        "jobs",
        "limits",
        "need",
        "observer",
        "overdue",
        "planner",
        "portals",
        "privates",
        "readings_failed",
        "replies",
        "scripts",
        "shared",
        "shelves",
        "startup",
        "statements",
        "to_client",
        "to_upstream",
        "tracker",
        "transaction_failed",
    )

    def __init__(
        self, planner: Planner, observer: Observer, limits: SessionLimits, shelves: Shelves | None
    ) -> None:
        self.planner = planner
        self.shelves = shelves  # None: no lane asks for them
        self._shelf: tuple[Context, int, Shelf] | None = None
        self.observer = observer
        self.limits = limits
        self.to_client: list[bytes] = []
        self.to_upstream: list[bytes] = []
        self.need = Need.NOTHING
        self.replies = Replies()
        # What was owed when a query was stopped for its time: its own segment, and what a late cancel could hit.
        self.overdue: tuple[Owed, ...] = ()
        self.behind: tuple[Owed, ...] = ()
        self.statements: Names[Prepared] = Names()
        self.portals: Names[Script] = Names()
        self.scripts: dict[int, tuple[tuple[StatementPlan, ...], Script]] = {}
        self.jobs: dict[Key, PlanJob] = {}  # plans of large texts that are being made apart
        self.foreign = False  # the database's own encoding is another one than UTF8
        self.in_transaction = False  # what the last ReadyForQuery said
        self.catalog_changed = False  # confirmed DDL waits for its transaction's end
        self.transaction_failed = False  # and that
        self.application_name = ""
        self.client_address = ""
        self.backend_pid = 0
        self.startup: Startup
        self.shared: Policy
        self.privates: dict[int, Policy] = {}  # by version, of catalogs read inside the open transaction
        self.readings_failed = 0  # of the open transaction's catalog
        self.tracker = Tracker(Values(), "", Grant())

    def connect(self, startup: Startup, policy: Policy) -> None:
        """Take the startup values; raises StatementRefused where they exceed what the role may."""
        grant = policy.grant(startup.user)
        startup.check(grant)
        startup = startup.complete(grant, hides=policy.hides)
        self.startup = startup
        self.application_name = startup.application_name
        self.shared = policy
        self.tracker = Tracker(startup.values(policy.catalog.path_of(startup.user)), startup.user, grant)

    @property
    def policy(self) -> Policy:
        """Return the policy that the next message is planned by."""
        private = self.tracker.context.values.private
        return self.privates[private] if private else self.shared

    @property
    def codec(self) -> str:
        """Return the codec of the client's next message."""
        return self.tracker.context.values.encoding

    def set_policy(self, policy: Policy) -> None:
        """Put a policy of all sessions in force from the next statement on."""
        self.shared = policy
        if self.privates:
            # Their rules, or what they have of others' changes, are not true any more.
            self.tracker.doubt_private()
            self.privates.clear()
        self.tracker.regrant(policy.grant(self.startup.user))

    def set_private(self, policy: Policy) -> None:
        """Put a policy of this session alone in force, until the transaction or a ROLLBACK TO ends it."""
        self.privates[policy.version] = policy
        self.tracker.catalog_read(policy.version)
        used = self.tracker.privates()
        self.privates = {version: kept for version, kept in self.privates.items() if version in used}

    def script_of(self, plan: Plan) -> Script:
        """Return the script of a plan; the last plans' are kept, because cached plans come again and again.

        Plans that texts of one shape share have their statements in common, and edits at places of their own.
        """
        statements = plan.statements
        kept = self.scripts.get(id(statements))
        if kept is not None and kept[0] is statements:
            script = kept[1]
            if not isinstance(plan, Rewritten) or plan.edits is script.edits:
                return script
            return script.with_edits(plan.edits)
        script = Script.of(plan)
        if not statements or (isinstance(plan, Rewritten) and len(plan.sql) > KEPT_CHARACTERS):
            return script
        if len(self.scripts) >= KEPT_SCRIPTS:
            self.scripts.clear()
        self.scripts[id(statements)] = statements, script
        return script

    def shelf(self, shelves: Shelves) -> Shelf:
        """Return the frames that are plain under what is in force."""
        context, version = self.tracker.context, self.policy.version
        kept = self._shelf
        if kept is None or kept[0] is not context or kept[1] != version or not kept[2].live:
            kept = self._shelf = context, version, shelves.of(context, version)
        return kept[2]

    def report_refusal(self, refusal: Refusal, statement: StatementPlan) -> None:
        """Tell the observer that the refusal goes to the client."""
        self.observer.statement(statement, self.startup.user, None)
        self.observer.refused(refusal, statement, self.who())

    def who(self) -> Who:
        """Return who this is, for a log."""
        startup = self.startup
        return Who(
            startup.user, startup.database, self.application_name, self.client_address, self.backend_pid
        )
