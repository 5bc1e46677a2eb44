"""The configuration tree: every section, key, default and constraint, as frozen pydantic models.

Must not know where a value came from (file, environment, flag); `load` does. Descriptions, and the `Must` texts
of `kinds`, are the source of the error messages, the JSON schema and the key tables of docs/configuration.md.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PrivateAttr

from pgsoftproxy.model.context import Grant
from pgsoftproxy.model.links import KeyRule
from pgsoftproxy.model.policy import TableRule
from pgsoftproxy.model.routines import Action, RoutineRules
from pgsoftproxy.model.statements import StatementRules, Views
from pgsoftproxy.settings.access import Auth, ClientTls, UpstreamTls
from pgsoftproxy.settings.kinds import (
    Acceptances,
    Address,
    AuditTarget,
    Bytes,
    Choice,
    Count,
    Dsn,
    FilePath,
    FindingNames,
    Flag,
    Hosts,
    KeyName,
    Length,
    Modes,
    Most,
    Must,
    Port,
    RoutineNames,
    Seconds,
    TableName,
    Timeout,
    ViewChoice,
    Workers,
)
from pgsoftproxy.settings.origins import Origins
from pgsoftproxy.settings.tables import Database, Defaults, Key, Section, Table


class Listen(Section):
    """Where clients connect to."""

    host: Address = Field(default="127.0.0.1", description="Address to listen on; `0.0.0.0` or `::` for all.")
    port: Port = Field(default=6543, description="Port to listen on; 0 takes any free one (it is logged).")
    workers: Workers = Field(
        default=1, description="Processes that share the port, for as many cores, and the limits."
    )


class Upstream(Section):
    """The PostgreSQL server behind the proxy."""

    host: Hosts = Field(
        default="127.0.0.1",
        description="One host, or a list of which the first that answers is used.",
    )
    port: Port = Field(default=5432, description="Port of each host.")
    connect_timeout: Timeout = Field(
        default=10.0, description="Seconds to wait for a connection to one host."
    )

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return the hosts in the order in which they are tried."""
        return (self.host,) if isinstance(self.host, str) else self.host


def _either_dsn(schema: dict[str, Any]) -> None:
    # In the tree `dsn` is required: `load` has read it from the file that stands for it.
    schema["oneOf"] = [{"required": ["dsn"]}, {"required": ["dsn_file"]}]
    schema["required"].remove("dsn")
    if not schema["required"]:
        del schema["required"]


class Control(Section):
    """The proxy's own connection, from which it reads the catalog."""

    model_config = ConfigDict(json_schema_extra=_either_dsn)

    dsn: Dsn = Field(
        repr=False,
        description="Connection string or URI. For other databases only the database name in it is replaced.",
    )
    dsn_file: FilePath | None = Field(
        default=None,
        description="A file that holds the connection string, instead of `dsn`: a secret that something else keeps.",
    )
    refresh_interval: Timeout = Field(default=30.0, description="Seconds between two reads of each catalog.")


class Metrics(Section):
    """Where `/metrics`, `/healthz` and `/readyz` are served."""

    host: Address = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=9187, description="Port to listen on; 0 takes any free one (it is logged).")


class Logs(Section):
    """The log, on standard error."""

    format: Annotated[Literal["text", "json"], Must('"text" or "json"')] = Field(
        default="text", description="Lines for people, or one JSON object a line."
    )
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Must('"debug", "info", "warning" or "error"')
    ] = Field(default="info", description="The least severe level that is logged.")
    sql_literals: Flag = Field(
        default=False, description="Log SQL with its literals, which may be personal data."
    )
    audit: AuditTarget = Field(
        default="",
        description="Where each refusal, look at other than live rows, physical deletion and call of "
        '`pgsoftproxy.restore` is recorded as a line of JSON: the path of a file, or `"log"`; empty for nowhere. '
        "SIGHUP opens the file anew.",
    )


class Limits(Section):
    """What the proxy takes on, all its workers together."""

    connections: Count = Field(default=1000, description="Client connections; one more is refused (53300).")
    connections_per_user: Most = Field(default=0, description="Of these, by one user; 0 for no limit.")
    connections_per_database: Most = Field(default=0, description="To one database; 0 for no limit.")
    connections_per_address: Most = Field(
        default=0, description="From one address, those by a socket in the file system apart; 0 for no limit."
    )
    login_timeout: Timeout = Field(default=60.0, description="Seconds a client may take to log in.")
    idle_timeout: Seconds = Field(
        default=0.0, description="Seconds a session may be idle outside a transaction; 0 for ever."
    )
    idle_in_transaction_timeout: Seconds = Field(
        default=0.0, description="Seconds a session may be idle inside a transaction; 0 for ever."
    )
    query_timeout: Seconds = Field(
        default=0.0,
        description="Seconds the server may take for a query, or all up to a Sync, before it is cancelled; 0 for ever.",
    )
    drain_timeout: Seconds = Field(
        default=30.0, description="Seconds that SIGTERM waits for transactions to end."
    )
    statement_bytes: Length = Field(
        default=16 * 2**20, description="Longest SQL text; a longer one is refused (54000)."
    )
    plan_cache_bytes: Bytes = Field(
        default=64 * 2**20, description="Memory for the plan cache of each worker; 0 turns it off."
    )
    plan_cache_shapes: Flag = Field(
        default=True, description="Let texts that differ only in literals share a plan."
    )


class Routines(Section):
    """What the proxy cannot see into. Each class is refused, forwarded with a warning, or forwarded."""

    existing: Choice = Field(
        default=Action.REFUSE,
        description="Calls of functions and procedures whose body names a protected table, or calls one that does.",
    )
    bodies: Choice = Field(
        default=Action.REFUSE,
        description="DO, CREATE FUNCTION and CREATE PROCEDURE whose body names a protected table.",
    )
    opaque: Choice = Field(
        default=Action.REFUSE,
        description="Functions and bodies that run SQL from text, read tables by name, or are in a language that "
        "the proxy cannot read.",
    )
    allow: RoutineNames = Field(
        default=(), description="Functions and procedures, as `schema.name`, that may be called and created."
    )


class Statements(Section):
    """What shows or keeps rows past the rewriter. Each class is refused, forwarded with a warning, or forwarded."""

    views: ViewChoice = Field(
        default=Views.EXPAND,
        description="`expand`: a view over protected tables is read through its own definition, guarded; or `refuse`. "
        "One that was created through the proxy guards them itself and is read as it stands.",
    )
    materialized_views: Choice = Field(
        default=Action.REFUSE,
        description="Reads of materialized views over protected tables: they hold what was there at a refresh.",
    )
    copy_to_server: Choice = Field(
        default=Action.REFUSE,
        description="COPY of protected tables to a file or program of the server; without deleted rows, as any COPY.",
    )
    statistics: Choice = Field(
        default=Action.REFUSE,
        description="Reads of `pg_stats` and the like: histograms hold values of deleted rows.",
    )
    publications: Choice = Field(
        default=Action.REFUSE,
        description="CREATE and ALTER PUBLICATION with protected tables: subscribers get deleted rows too.",
    )
    replication: Choice = Field(
        default=Action.REFUSE,
        description="Replication connections; what they carry is not looked into, SQL among it.",
    )
    foreign_tables: Choice = Field(
        default=Action.REFUSE,
        description="CREATE SERVER, CREATE FOREIGN TABLE and IMPORT FOREIGN SCHEMA, which may lead back here, or to "
        "files of the server.",
    )
    session_state: Choice = Field(
        default=Action.ALLOW,
        description="Changes of visibility, search_path and role beyond the transaction, SQL's PREPARE, temporary "
        "relations, cursors WITH HOLD, LISTEN. `refuse` with a pooler in transaction mode before or behind the proxy.",
    )
    named_statements: Choice = Field(
        default=Action.ALLOW,
        description="Prepared statements of the protocol that have a name. `refuse` with such a pooler that does not "
        "keep them for each client: PgBouncer before 1.21, or with `max_prepared_statements = 0`.",
    )


class Audit(Section):
    """What `pgsoftproxy audit` passes over or accepts, and how often the proxy runs it for its metrics."""

    ignore: FindingNames = Field(
        default=(),
        description="Findings that are known and meant to be: the id of a check, or `id:object` for one object.",
    )
    interval: Seconds = Field(
        default=0.0,
        description="Seconds between two audits whose figures `/metrics` shows, each in a process of its own; 0 for "
        "none.",
    )
    accept: Acceptances = Field(
        default_factory=dict,
        description="Findings that somebody has decided to live with, each with the reason: they are told as accepted, "
        "and fail nothing.",
    )


class Role(Section):
    """What a role, and every member of it, may do beyond seeing live rows."""

    visibility: Modes = Field(
        default=frozenset(), description="Visibilities it may set; `live` needs no grant."
    )
    restore: Flag = Field(default=False, description="May bring deleted rows back.")
    hard_delete: Flag = Field(
        default=False, description="May physically delete rows, and drop protected tables."
    )


class Settings(Section):
    """The whole configuration, from file, environment and flags."""

    listen: Listen = Field(default_factory=Listen)
    client_tls: ClientTls = Field(default_factory=ClientTls)
    auth: Auth = Field(default_factory=Auth)
    upstream: Upstream = Field(default_factory=Upstream)
    upstream_tls: UpstreamTls = Field(default_factory=UpstreamTls)
    control: Control
    metrics: Metrics = Field(default_factory=Metrics)
    logs: Logs = Field(default_factory=Logs)
    limits: Limits = Field(default_factory=Limits)
    defaults: Defaults = Field(default_factory=Defaults)
    routines: Routines = Field(default_factory=Routines)
    statements: Statements = Field(default_factory=Statements)
    audit: Audit = Field(default_factory=Audit)
    tables: Mapping[TableName, Table] = Field(default_factory=dict)
    keys: Mapping[KeyName, Key] = Field(default_factory=dict)
    databases: Mapping[str, Database] = Field(default_factory=dict)
    roles: Mapping[str, Role] = Field(default_factory=dict)
    _origins: Origins = PrivateAttr(default_factory=Origins)

    def model_post_init(self, context: Any) -> None:
        """Keep the origins that `load` validated with; there are none when settings are built in code."""
        if isinstance(context, Origins):
            self._origins = context

    def rules(self) -> tuple[TableRule, ...]:
        """Return one rule for each table section, `[defaults]` resolved; `origin` is its `file:line`."""
        rules = [self._rule((table,), ("tables", pattern), None) for pattern, table in self.tables.items()]
        for name, database in self.databases.items():
            for pattern, table in database.tables.items():
                chain = (table, self.tables[pattern]) if pattern in self.tables else (table,)
                rules.append(self._rule(chain, ("databases", name, "tables", pattern), name))
        return tuple(rules)

    def key_rules(self) -> tuple[KeyRule, ...]:
        """Return one rule for each key section; `origin` is its `file:line`."""
        found = [self._key_rule(key, ("keys", name), None) for name, key in self.keys.items()]
        for database, section in self.databases.items():
            for name, key in section.keys.items():
                found.append(self._key_rule(key, ("databases", database, "keys", name), database))
        return tuple(found)

    def _key_rule(self, key: Key, path: tuple[str, ...], database: str | None) -> KeyRule:
        schema, table, name = path[-1].split(".", 2)
        given = {field: getattr(key, field) for field in Key.model_fields}
        return KeyRule(f"{schema}.{table}", name, **given, database=database, origin=self._origins.of(path))

    def grants(self) -> dict[str, Grant]:
        """Return what each role of `[roles]` may do."""
        always = Grant().visibility
        return {
            name: Grant(always | role.visibility, restore=role.restore, hard_delete=role.hard_delete)
            for name, role in self.roles.items()
        }

    def routine_rules(self) -> RoutineRules:
        """Return what is done with work that the proxy cannot see."""
        routines = self.routines
        allow = (name.partition(".") for name in routines.allow)
        allowed = frozenset((schema, name) for schema, _, name in allow)
        return RoutineRules(routines.existing, routines.bodies, routines.opaque, allowed)

    def statement_rules(self) -> StatementRules:
        """Return what is done with statements that show or keep rows past the rewriter."""
        return StatementRules(**{name: getattr(self.statements, name) for name in Statements.model_fields})

    def origin(self, *path: str) -> str:
        """Return where a key or section was written: `file:line`, a variable or a flag."""
        return self._origins.of(path)

    def _rule(self, chain: tuple[Table, ...], path: tuple[str, ...], database: str | None) -> TableRule:
        def resolved(key: str, default: Any = None) -> Any:
            found = (getattr(table, key) for table in chain)
            return next((value for value in found if value is not None), default)

        return TableRule(
            pattern=path[-1],
            column=resolved("column", self.defaults.column),
            deleted_by=resolved("deleted_by", self.defaults.deleted_by) or None,
            deletion_id=resolved("deletion_id", self.defaults.deletion_id) or None,
            created_at=resolved("created_at") or None,
            mode=resolved("mode", self.defaults.mode),
            upsert=resolved("upsert", self.defaults.upsert),
            truncate=resolved("truncate", self.defaults.truncate),
            relations=resolved("relations", self.defaults.relations),
            database=database,
            origin=self._origins.of(path),
        )
