"""Utility statements: which pass, which change the catalog, which would remove or uncover protected rows."""

from dataclasses import dataclass, field

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.catalog import TABLES, Relation
from pgsoftproxy.model.policy import Mode, Policy, Protection
from pgsoftproxy.model.statements import StatementClass
from pgsoftproxy.rewrite.plan import Warned
from pgsoftproxy.rewrite.resolve import Surroundings
from pgsoftproxy.rewrite.rules.apply_choice import apply_choice
from pgsoftproxy.rewrite.rules.follow_temporary import makes_temporary
from pgsoftproxy.rewrite.rules.refuse_opaque import NOTHING, Judgement
from pgsoftproxy.rewrite.tree import Node, strings

PASSING = frozenset(
    "VariableShowStmt DeallocateStmt ClosePortalStmt FetchStmt ListenStmt NotifyStmt UnlistenStmt CheckPointStmt "
    "LoadStmt VacuumStmt ClusterStmt ReindexStmt LockStmt CommentStmt SecLabelStmt ConstraintsSetStmt "
    "CreateTableSpaceStmt DropTableSpaceStmt AlterTableSpaceOptionsStmt CreateUserMappingStmt AlterUserMappingStmt "
    "DropUserMappingStmt CreateFdwStmt AlterFdwStmt CreateForeignServerStmt AlterForeignServerStmt CreatedbStmt "
    "DropdbStmt AlterDatabaseStmt AlterDatabaseRefreshCollStmt AlterSystemStmt CreateSeqStmt AlterSeqStmt "
    "CreateStatsStmt AlterStatsStmt RefreshMatViewStmt CreateSubscriptionStmt AlterSubscriptionStmt "
    "DropSubscriptionStmt TransactionStmt VariableSetStmt DiscardStmt ExecuteStmt".split()
)
CHANGING = frozenset(
    "DropStmt RenameStmt AlterTableStmt AlterObjectSchemaStmt AlterOwnerStmt GrantStmt GrantRoleStmt "
    "AlterDefaultPrivilegesStmt IndexStmt CreateStmt CreateForeignTableStmt CreateSchemaStmt DefineStmt "
    "CompositeTypeStmt CreateEnumStmt AlterEnumStmt CreateRangeStmt CreateDomainStmt AlterDomainStmt "
    "CreateFunctionStmt AlterFunctionStmt CreateTrigStmt CreateEventTrigStmt AlterEventTrigStmt RuleStmt "
    "CreatePolicyStmt AlterPolicyStmt CreateRoleStmt AlterRoleStmt AlterRoleSetStmt DropRoleStmt "
    "AlterDatabaseSetStmt AlterTableMoveAllStmt CreateExtensionStmt AlterExtensionStmt "
    "AlterExtensionContentsStmt ImportForeignSchemaStmt CreatePLangStmt CreateCastStmt CreateConversionStmt "
    "CreateTransformStmt CreateOpClassStmt CreateOpFamilyStmt AlterOpFamilyStmt AlterOperatorStmt AlterTypeStmt "
    "CreateAmStmt CreatePublicationStmt AlterPublicationStmt AlterCollationStmt AlterObjectDependsStmt "
    "AlterTSDictionaryStmt AlterTSConfigurationStmt DropOwnedStmt ReassignOwnedStmt ViewStmt TruncateStmt "
    "DoStmt".split()
)
KEEPING = frozenset(
    "GrantStmt AlterDefaultPrivilegesStmt IndexStmt AlterOwnerStmt CreateTrigStmt CreatePolicyStmt "
    "AlterPolicyStmt CreateRoleStmt AlterRoleSetStmt AlterDatabaseSetStmt TruncateStmt "
    "AlterTableMoveAllStmt CreatePublicationStmt AlterPublicationStmt AlterObjectDependsStmt".split()
)
"""What of these changes neither which relation a name means nor which columns a relation has, but for schemas: the
server passes over one that the role may not use."""
INDEPENDENT = frozenset(
    "VariableSetStmt VariableShowStmt DeallocateStmt ClosePortalStmt FetchStmt ListenStmt NotifyStmt UnlistenStmt "
    "TransactionStmt DiscardStmt ConstraintsSetStmt CommentStmt LockStmt CreateSeqStmt AlterSeqStmt GrantStmt "
    "GrantRoleStmt AlterOwnerStmt IndexStmt CreateStmt DropStmt RenameStmt AlterTableStmt AlterObjectSchemaStmt "
    "CompositeTypeStmt CreateEnumStmt AlterEnumStmt CreateExtensionStmt".split()
)
"""What passes whatever relations there are, unless it is refused: a table that only the open transaction has made a
protected one may be changed and dropped by it again."""
UNCOVERING = {
    "AT_DisableTrig": "DISABLE TRIGGER",
    "AT_DisableTrigAll": "DISABLE TRIGGER",
    "AT_DisableTrigUser": "DISABLE TRIGGER",
    "AT_EnableReplicaTrig": "ENABLE REPLICA TRIGGER",
    "AT_DropInherit": "NO INHERIT",
    "AT_DetachPartition": "DETACH PARTITION",
}
REPLACING = {
    "AT_DropColumn": "DROP COLUMN",
    "AT_AlterColumnType": "ALTER COLUMN TYPE",
    "AT_SetExpression": "ALTER COLUMN SET EXPRESSION",
    "AT_AddIdentity": "ALTER COLUMN ADD GENERATED",
}
"""What changes the values of a column in every row."""
PARTS = frozenset({"OBJECT_TABCONSTRAINT", "OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_POLICY"})
"""What belongs to a table and is renamed by naming the table."""
HOLDERS = frozenset({"OBJECT_EXTENSION", "OBJECT_TYPE", "OBJECT_DOMAIN"})
"""What may own a table or the type of a deletion column, which CASCADE would drop with it."""


@dataclass(frozen=True, slots=True)
class _Judge:
    """The surroundings of one statement, and the tables in observe mode that it would have been refused for."""

    surroundings: Surroundings
    observed: list[str] = field(default_factory=list)
    warnings: list[Warned] = field(default_factory=list)

    @property
    def policy(self) -> Policy:
        return self.surroundings.policy

    @property
    def told(self) -> bool:
        """Tell whether there is anything to say of a statement that may pass."""
        return bool(self.observed or self.warnings)

    def protection(self, what: str, protection: Protection) -> None:
        """Refuse a statement for one protected table, or note it where the table is only observed."""
        if protection.mode is Mode.ENFORCE:
            raise _refusal(what, protection.label)
        self.observed.append(protection.label)

    def relation(self, what: str, relation: Relation | None) -> None:
        """Refuse a statement for the protected table that a relation is, or is a parent of."""
        if relation is None:
            return
        protection = self.policy.protections.get(relation.oid)
        if protection is not None:
            self.protection(what, protection)
        elif relation.oid in self.policy.broken:
            raise _refusal(what, relation.label)
        elif relation.kind in TABLES and relation.oid in self.policy.exposing:
            raise _refusal(what, self.policy.exposing[relation.oid])

    def every(self, what: str, schema: str | None = None) -> None:
        """Refuse a statement for every protected table, or for those of one schema."""
        for protection in self.policy.protections.values():
            if schema in {None, protection.relation.schema}:
                self.protection(what, protection)


def judge_utility(
    tag: str, statement: Node, surroundings: Surroundings, *, strict: bool = False
) -> Judgement:
    """Refuse a utility statement that would physically remove protected rows or undo their protection.

    A role that may delete hard, and asked for it, may do all of it; `strict`: not even then.
    """
    judge = _Judge(surroundings)
    if strict or not surroundings.hard:
        _judge(tag, statement, judge)
    return Judgement(tuple(judge.warnings), tuple(judge.observed)) if judge.told else NOTHING


def _judge(tag: str, statement: Node, judge: _Judge) -> None:
    match tag:
        case "TruncateStmt":
            _judge_truncate(statement, judge)
        case "DropStmt":
            _judge_drop(statement, judge)
        case "DropOwnedStmt":
            judge.every("DROP OWNED")
        case "RenameStmt" | "AlterObjectSchemaStmt":
            _judge_rename(statement, judge)
        case "AlterTableStmt":
            _judge_alter(statement, judge)
        case "CreateStmt":
            _judge_temporary_child(statement, judge)
        case "RuleStmt":
            judge.relation("CREATE RULE", judge.surroundings.relation(statement["relation"]))
        case "CreatePublicationStmt" | "AlterPublicationStmt":
            _judge_publication(statement, judge)
        case "CreateForeignServerStmt" | "CreateForeignTableStmt" | "ImportForeignSchemaStmt":
            _judge_foreign(judge)
        case _:
            pass


def _refusal(what: str, label: str) -> StatementRefused:
    return StatementRefused(
        f'{what} would remove or uncover rows of protected table "{label}"',
        hint="A role with hard_delete = true may, after SET pgsoftproxy.delete = 'hard'.",
    )


def _judge_truncate(statement: Node, judge: _Judge) -> None:
    for item in statement["relations"]:
        relation = judge.surroundings.relation(item["RangeVar"])
        judge.surroundings.require_read(item["RangeVar"]["relname"], relation)
        judge.relation("TRUNCATE", relation)
        if statement.get("behavior") == "DROP_CASCADE":
            _judge_cascade(item["RangeVar"], judge)


def _judge_cascade(node: Node, judge: _Judge) -> None:
    # TRUNCATE CASCADE follows every foreign key, whatever its action.
    catalog = judge.policy.catalog
    schemas = {None, node.get("schemaname")}
    named = (r for r in catalog.relations.values() if r.name == node["relname"])
    todo = [relation.oid for relation in named if schemas == {None} or relation.schema in schemas]
    seen: set[int] = set()
    while todo:
        oid = todo.pop()
        if oid in seen:
            continue
        seen.add(oid)
        if oid in judge.policy.protections:
            judge.protection("TRUNCATE CASCADE", judge.policy.protections[oid])
        todo.extend(key.relation for key in catalog.foreign_keys if key.references == oid)
        todo.extend(child.oid for child in catalog.descendants(oid))


def _judge_drop(statement: Node, judge: _Judge) -> None:
    kind = statement["removeType"]
    for item in statement["objects"]:
        if kind == "OBJECT_SCHEMA":
            judge.every("DROP SCHEMA", item["String"]["sval"])
        elif kind in {"OBJECT_TABLE", "OBJECT_FOREIGN_TABLE"}:
            names = strings(item["List"]["items"])
            schema = names[-2] if len(names) > 1 else None
            judge.relation("DROP TABLE", judge.surroundings.named(names[-1], schema))
        elif statement.get("behavior") == "DROP_CASCADE" and kind in HOLDERS:
            judge.every(f"DROP {kind.removeprefix('OBJECT_')} CASCADE")


def _judge_temporary_child(statement: Node, judge: _Judge) -> None:
    # Nobody but its own session knows it, so no policy would reach the rows that it has under its own name.
    if makes_temporary({"CreateStmt": statement}, judge.surroundings):
        for parent in statement.get("inhRelations", []):
            judge.relation("A temporary child", judge.surroundings.relation(parent["RangeVar"]))


def _judge_rename(statement: Node, judge: _Judge) -> None:
    kind = statement.get("renameType", statement.get("objectType"))
    if kind == "OBJECT_SCHEMA":
        judge.every("ALTER SCHEMA RENAME", statement["subname"])
    if "relation" not in statement:
        return
    relation = judge.surroundings.relation(statement["relation"])
    if kind == "OBJECT_COLUMN":
        _judge_column("RENAME COLUMN", statement["subname"], relation, judge)
    elif kind not in PARTS:  # ALTER INDEX and ALTER VIEW rename tables too
        judge.relation("RENAME" if "renameType" in statement else "SET SCHEMA", relation)


def _judge_alter(statement: Node, judge: _Judge) -> None:
    relation = judge.surroundings.relation(statement["relation"])
    for item in statement["cmds"]:
        command = item["AlterTableCmd"]
        subtype = command.get("subtype")
        if subtype in UNCOVERING:
            judge.relation(UNCOVERING[subtype], relation)
        elif subtype in REPLACING:
            _judge_column(REPLACING[subtype], command["name"], relation, judge)


def _judge_column(what: str, name: str, relation: Relation | None, judge: _Judge) -> None:
    protection = judge.policy.protections.get(relation.oid) if relation is not None else None
    if protection is not None and name in {protection.column, protection.deleted_by, protection.deletion_id}:
        judge.protection(f'{what} "{name}"', protection)


def _judge_foreign(judge: _Judge) -> None:
    if judge.policy.hides:
        message = (
            "a foreign table may lead back into this database, or to files of the server, past the proxy"
        )
        hint = "A role with hard_delete = true may, after SET pgsoftproxy.delete = 'hard'."
        judge.warnings.extend(apply_choice(StatementClass.FOREIGN_TABLES, judge.surroundings, message, hint))


def _judge_publication(statement: Node, judge: _Judge) -> None:
    labels: list[str] = []
    if statement.get("for_all_tables"):
        labels += _hidden(judge)
    for item in statement.get("pubobjects", []):
        spec = item["PublicationObjSpec"]
        if "pubtable" in spec:
            labels += _shown(judge.surroundings.relation(spec["pubtable"]["relation"]), judge)
        else:  # a schema by name, or the current one, whichever that will be
            labels += _hidden(judge, spec.get("name"))
    if labels:
        message = f'a publication would send deleted rows of protected table "{labels[0]}" to its subscribers'
        hint = "A role with hard_delete = true may, after SET pgsoftproxy.delete = 'hard'."
        judge.warnings.extend(apply_choice(StatementClass.PUBLICATIONS, judge.surroundings, message, hint))


def _hidden(judge: _Judge, schema: str | None = None) -> list[str]:
    """Return the protected tables, or those of one schema; those in observe mode are noted."""
    found = []
    for protection in judge.policy.protections.values():
        if schema in {None, protection.relation.schema}:
            found += _shown(protection.relation, judge)
    return found + [
        relation.label
        for relation in map(judge.policy.catalog.relations.__getitem__, judge.policy.broken)
        if schema in {None, relation.schema}
    ]


def _shown(relation: Relation | None, judge: _Judge) -> list[str]:
    """Return the protected table that a relation is, or whose rows it shows; one in observe mode is noted."""
    if relation is None:
        return []
    if judge.policy.is_observed(relation):
        judge.observed.append(relation.label)
        return []
    if relation.oid in judge.policy.protections or relation.oid in judge.policy.broken:
        return [relation.label]
    return [judge.policy.exposing[relation.oid]] if relation.oid in judge.policy.exposing else []
