"""Utility statements: which pass, which change the catalog, which would remove or uncover protected rows."""

from collections.abc import Iterator

from pgsoftproxy.errors import StatementRefused
from pgsoftproxy.model.catalog import Relation
from pgsoftproxy.rewrite.resolve import Surroundings
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
UNCOVERING = {
    "AT_DisableTrig": "DISABLE TRIGGER",
    "AT_DisableTrigAll": "DISABLE TRIGGER",
    "AT_DisableTrigUser": "DISABLE TRIGGER",
    "AT_EnableReplicaTrig": "ENABLE REPLICA TRIGGER",
    "AT_DropInherit": "NO INHERIT",
    "AT_DetachPartition": "DETACH PARTITION",
}
_HOLDERS = frozenset({"OBJECT_EXTENSION", "OBJECT_TYPE", "OBJECT_DOMAIN"})
"""What may own a table or the type of a deletion column, which CASCADE would drop with it."""


def judge_utility(tag: str, statement: Node, surroundings: Surroundings) -> None:
    """Refuse a utility statement that would physically remove protected rows or undo their protection.

    A role that may delete hard, and asked for it, may do all of it.
    """
    if surroundings.hard:
        return
    match tag:
        case "TruncateStmt":
            _judge_truncate(statement, surroundings)
        case "DropStmt":
            _judge_drop(statement, surroundings)
        case "DropOwnedStmt":
            if surroundings.policy.protections:
                raise _refusal("DROP OWNED", "this database")
        case "RenameStmt" | "AlterObjectSchemaStmt":
            _judge_rename(statement, surroundings)
        case "AlterTableStmt":
            _judge_alter(statement, surroundings)
        case "CreatePublicationStmt" | "AlterPublicationStmt":
            _judge_publication(statement, surroundings)
        case _:
            pass


def _refusal(what: str, label: str) -> StatementRefused:
    return StatementRefused(
        f'{what} would remove or uncover rows of protected table "{label}"',
        hint="A role with hard_delete = true may, after SET pgsoftproxy.delete = 'hard'.",
    )


def _protected_label(relation: Relation | None, surroundings: Surroundings) -> str | None:
    """Return the label of the protected table that a relation is, or is a parent of."""
    if relation is None:
        return None
    policy = surroundings.policy
    if relation.oid in policy.protections or relation.oid in policy.broken:
        return relation.label
    return (
        policy.exposing.get(relation.oid)
        if relation.oid in policy.exposing and not relation.definition
        else None
    )


def _judge_truncate(statement: Node, surroundings: Surroundings) -> None:
    cascade = statement.get("behavior") == "DROP_CASCADE"
    for item in statement["relations"]:
        relation = surroundings.relation(item["RangeVar"])
        label = _protected_label(relation, surroundings)
        if label is not None:
            raise _refusal("TRUNCATE", label)
        if cascade:
            _judge_cascade(item["RangeVar"], surroundings)


def _judge_cascade(node: Node, surroundings: Surroundings) -> None:
    # TRUNCATE CASCADE follows every foreign key, whatever its action.
    policy = surroundings.policy
    todo = [found.oid for found in _anywhere(node["relname"], node.get("schemaname"), surroundings)]
    seen: set[int] = set()
    while todo:
        oid = todo.pop()
        if oid in seen:
            continue
        seen.add(oid)
        if oid in policy.protections:
            raise _refusal("TRUNCATE CASCADE", policy.protections[oid].label)
        todo.extend(key.relation for key in policy.catalog.foreign_keys if key.references == oid)
        todo.extend(child.oid for child in policy.catalog.descendants(oid))


def _anywhere(name: str, schema: str | None, surroundings: Surroundings) -> Iterator[Relation]:
    """Yield the catalog's relations that a name may mean, whichever schema of the path it is in."""
    for relation in surroundings.policy.catalog.relations.values():
        if relation.name == name and schema in {None, relation.schema}:
            yield relation


def _judge_drop(statement: Node, surroundings: Surroundings) -> None:
    kind = statement["removeType"]
    policy = surroundings.policy
    for item in statement["objects"]:
        if kind == "OBJECT_SCHEMA":
            _judge_schema("DROP SCHEMA", item["String"]["sval"], surroundings)
        elif kind in {"OBJECT_TABLE", "OBJECT_FOREIGN_TABLE"}:
            names = strings(item["List"]["items"])
            relation = surroundings.named(names[-1], names[-2] if len(names) > 1 else None)
            label = _protected_label(relation, surroundings)
            if label is not None:
                raise _refusal("DROP TABLE", label)
        elif statement.get("behavior") == "DROP_CASCADE" and kind in {
            "OBJECT_EXTENSION",
            "OBJECT_TYPE",
            "OBJECT_DOMAIN",
        }:
            for protection in policy.protections.values():
                raise _refusal(f"DROP {kind.removeprefix('OBJECT_')} CASCADE", protection.label)


def _judge_schema(what: str, schema: str, surroundings: Surroundings) -> None:
    for protection in surroundings.policy.protections.values():
        if protection.relation.schema == schema:
            raise _refusal(what, protection.label)


def _judge_rename(statement: Node, surroundings: Surroundings) -> None:
    if statement.get("renameType") == "OBJECT_SCHEMA":
        _judge_schema("ALTER SCHEMA RENAME", statement["subname"], surroundings)
    if "relation" not in statement:
        return
    relation = surroundings.relation(statement["relation"])
    label = _protected_label(relation, surroundings)
    if relation is None or label is None:
        return
    kind = statement.get("renameType", statement.get("objectType"))
    if kind == "OBJECT_COLUMN":
        _judge_column("RENAME COLUMN", statement["subname"], relation, surroundings)
    elif kind in {"OBJECT_TABLE", "OBJECT_FOREIGN_TABLE"}:
        raise _refusal("RENAME" if "renameType" in statement else "SET SCHEMA", label)


def _judge_alter(statement: Node, surroundings: Surroundings) -> None:
    relation = surroundings.relation(statement["relation"])
    label = _protected_label(relation, surroundings)
    if relation is None or label is None:
        return
    for item in statement["cmds"]:
        command = item["AlterTableCmd"]
        subtype = command.get("subtype")
        if subtype in UNCOVERING:
            raise _refusal(UNCOVERING[subtype], label)
        if subtype == "AT_DropColumn":
            _judge_column("DROP COLUMN", command["name"], relation, surroundings)


def _judge_column(what: str, name: str, relation: Relation, surroundings: Surroundings) -> None:
    protection = surroundings.policy.protections.get(relation.oid)
    if protection is not None and name in {protection.column, protection.deleted_by, protection.deletion_id}:
        raise _refusal(f'{what} "{name}"', protection.label)


def _judge_publication(statement: Node, surroundings: Surroundings) -> None:
    policy = surroundings.policy
    if statement.get("for_all_tables"):
        for protection in policy.protections.values():
            raise _refusal("A publication FOR ALL TABLES", protection.label)
    for item in statement.get("pubobjects", []):
        spec = item["PublicationObjSpec"]
        if "pubtable" in spec:
            label = _protected_label(surroundings.relation(spec["pubtable"]["relation"]), surroundings)
            if label is not None:
                raise _refusal("A publication", label)
        elif "name" in spec:
            _judge_schema("A publication", spec["name"], surroundings)
        elif policy.protections:
            raise _refusal(
                "A publication of the current schema", next(iter(policy.protections.values())).label
            )
