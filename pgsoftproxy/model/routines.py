"""Functions and procedures: what the catalog knows of one, and what the configuration says of their kinds.

Values only. Must not know how a body is read (`rewrite` does, which has the scanner), nor what is protected.
"""

from dataclasses import dataclass, field
from enum import Enum

from pgsoftproxy.model.effects import Variable

READABLE = frozenset({"sql", "plpgsql"})
"""Languages whose bodies the proxy reads."""

COMPILED = frozenset({"c", "internal"})
"""Languages without a body: taken to read no table, but for those in OPAQUE."""

_XML = ("table_to_xml", "schema_to_xml", "database_to_xml", "query_to_xml")
_XML_SUFFIXES = ("", "schema", "_and_xmlschema")
OPAQUE = frozenset(
    {f"{name}{suffix}" for name in _XML for suffix in _XML_SUFFIXES}
    | {"ts_stat", "dblink", "dblink_exec", "dblink_open", "dblink_send_query", "xpath_table", "connectby"}
    | {"crosstab", "crosstab2", "crosstab3", "crosstab4", "crosstabn", "cursor_to_xml"}
    | {"dblink_build_sql_insert", "dblink_build_sql_update", "dblink_build_sql_delete"}
    | {"pg_read_file", "pg_read_binary_file", "pg_file_read", "lo_import", "pg_dirtyread", "get_raw_page"}
    | {"pg_logical_slot_get_changes", "pg_logical_slot_get_binary_changes"}
    | {"pg_logical_slot_peek_changes", "pg_logical_slot_peek_binary_changes"}
    | {
        "run_command_on_workers",
        "run_command_on_shards",
        "run_command_on_placements",
        "run_command_on_all_nodes",
    }
    | {"bt_page_items", "gist_page_items", "brin_page_items", "pg_background_launch", "pg_get_wal_block_info"}
    | {"heap_force_kill", "heap_force_freeze", "st_estimatedextent", "st_estimated_extent", "_postgis_stats"}
)
"""Functions of the server and its extensions that run SQL given as text, or read tables given by name, by file or
from the log of changes or statistics; and two that remove rows or bring them back below all rules."""


RESTORE = "pgsoftproxy.restore"


@dataclass(frozen=True, slots=True)
class Routine:
    """One function, procedure or aggregate that statements can call; trigger functions are none.

    `body` is the source in a language of READABLE, None in any other. `reads` (schema and name) and `calls`
    (oids) are what the server itself has noted, for bodies of BEGIN ATOMIC, aggregates and argument defaults;
    `runs_text` is the function of OPAQUE that such a body calls. `takes_row`: one argument, which may be a
    row, so that `row.name` calls it too. `definition`: for a body of BEGIN ATOMIC, its CREATE as the server prints it.
    """

    oid: int
    schema: str
    name: str
    language: str = "sql"
    body: str | None = None
    reads: tuple[tuple[str, str], ...] = ()
    calls: tuple[int, ...] = ()
    runs_text: str | None = None
    takes_row: bool = False
    definition: str | None = None

    @property
    def label(self) -> str:
        """Return `schema.name`, unquoted, as messages print it."""
        return f"{self.schema}.{self.name}"

    @property
    def restores(self) -> bool:
        """Tell whether it is the function by which `migrate` lets rows be brought back."""
        return self.label == RESTORE


class Action(Enum):
    """What is done with a statement whose work the proxy cannot see."""

    REFUSE = "refuse"
    WARN = "warn"
    ALLOW = "allow"


class RoutineClass(Enum):
    """Why the proxy cannot see a statement's work.

    EXISTING: it calls a routine that names a protected table. BODIES: it is a DO or CREATE FUNCTION whose body
    does. OPAQUE: it runs SQL from text, reads tables by name, or is in a language that the proxy cannot read.
    RESTORING: it calls RESTORE, which the proxy knows. DISARMING: it may turn triggers off. Whether a role may do
    these stands in its grant, and not in `[routines]`.
    """

    EXISTING = "existing"
    BODIES = "bodies"
    OPAQUE = "opaque"
    RESTORING = "restoring"
    DISARMING = "disarming"

    @property
    def is_granted(self) -> bool:
        """Tell whether it is for the grant of a role to say who may."""
        return self in {RoutineClass.RESTORING, RoutineClass.DISARMING}


@dataclass(frozen=True, slots=True)
class RoutineRules:
    """The `[routines]` of the configuration; `allow` holds schema and name of routines that may be called."""

    existing: Action = Action.REFUSE
    bodies: Action = Action.REFUSE
    opaque: Action = Action.REFUSE
    allow: frozenset[tuple[str, str]] = frozenset()

    def action(self, kind: RoutineClass) -> Action:
        """Return what is done with one class."""
        return {
            RoutineClass.EXISTING: self.existing,
            RoutineClass.BODIES: self.bodies,
            RoutineClass.OPAQUE: self.opaque,
        }.get(kind, Action.ALLOW)


@dataclass(frozen=True, slots=True)
class Finding:
    """What running a routine or body would do: `what` is a table's label, or what runs text.

    `chain` holds the labels of the routines from the one that is called to the one that does it, empty where
    the body itself does. `observed`: the table is in observe mode.
    """

    kind: RoutineClass
    what: str
    chain: tuple[str, ...] = ()
    observed: bool = False


@dataclass(slots=True)
class RoutineMemo:
    """What was found out about the routines and views of one policy, by oid; filled as they are used.

    `guarded`: whether a view's stored definition, or a routine's, keeps deleted rows from whoever reads it.

    Holds results of pure functions of that policy and nothing else, so it may be dropped at any time.
    """

    own: dict[int, tuple[tuple[Finding, ...], tuple[int, ...], frozenset[Variable]]] = field(
        default_factory=dict
    )
    changes: dict[int, frozenset[Variable]] = field(default_factory=dict)
    moves: dict[int, bool] = field(default_factory=dict)
    findings: dict[int, tuple[Finding, ...]] = field(default_factory=dict)
    guarded: dict[int, bool] = field(default_factory=dict)
