"""The sections of the configuration that say which tables are protected, and how: tables, keys, what they inherit."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from pgsoftproxy.model.links import Unprotected
from pgsoftproxy.model.policy import Mode, Relations, Truncate, Upsert
from pgsoftproxy.settings.kinds import (
    ColumnName,
    ColumnNames,
    KeyName,
    KeyReaction,
    OptionalColumn,
    RelationsChoice,
    TableMode,
    TableName,
    TruncateChoice,
    UnprotectedChoice,
    UpsertChoice,
)


class Section(BaseModel):
    """A table of the TOML file: frozen, without unknown keys, without conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Defaults(Section):
    """What a table inherits where its own section is silent."""

    column: ColumnName = Field(
        default="deleted_at", description="Deletion column: `timestamptz`, `timestamp` or `boolean`."
    )
    mode: TableMode = Field(
        default=Mode.ENFORCE,
        description="`enforce`, or `observe`: rewrite nothing, count what would have leaked.",
    )
    deleted_by: OptionalColumn = Field(
        default=None, description="Column that takes the session user of a DELETE."
    )
    deletion_id: OptionalColumn = Field(
        default=None, description="`uuid` column that takes one value per root DELETE."
    )
    upsert: UpsertChoice = Field(
        default=Upsert.ERROR,
        description="ON CONFLICT that meets the key of a deleted row: `error` (23505), or `revive` it as a new row.",
    )
    truncate: TruncateChoice = Field(
        default=Truncate.REFUSE, description="TRUNCATE: `refuse`, or delete all live rows by it (`soft`)."
    )
    relations: RelationsChoice = Field(
        default=Relations.REQUIRE,
        description="`require`: deleting softly does to rows that refer to a row what their foreign keys say, by "
        "triggers that `migrate` creates; without them it is refused. `parent_only`: it does nothing to them.",
    )


class Table(Section):
    """One protected table, or all that a glob such as `app.*` or `*.users` matches."""

    column: ColumnName | None = Field(default=None, description="Deletion column of this table.")
    mode: TableMode | None = Field(default=None, description="`enforce` or `observe`.")
    deleted_by: OptionalColumn = Field(
        default=None, description='Column that takes the session user of a DELETE; `""` for none.'
    )
    deletion_id: OptionalColumn = Field(
        default=None, description='`uuid` column that takes one value per root DELETE; `""` for none.'
    )
    created_at: OptionalColumn = Field(
        default=None,
        description="Column with the time of the row's creation, which visibility `as_of` respects.",
    )
    upsert: UpsertChoice | None = Field(default=None, description="`error` or `revive`.")
    truncate: TruncateChoice | None = Field(default=None, description="`refuse` or `soft`.")
    relations: RelationsChoice | None = Field(default=None, description="`require` or `parent_only`.")


class Key(Section):
    """A word on a foreign key, as `schema.table.constraint`, or with `references` a key that is only declared here."""

    on_delete: KeyReaction | None = Field(
        default=None,
        description="What deleting a row softly does to those that refer to it; default what the key itself says, "
        "for a declared one `no_action`.",
    )
    unprotected: UnprotectedChoice = Field(
        default=Unprotected.KEEP,
        description="What a cascade does to rows of a table that is not protected: `keep`, or remove them (`hard`).",
    )
    columns: ColumnNames = Field(default=(), description="Of a declared key: the referring columns.")
    references: TableName | None = Field(
        default=None, description="Of a declared key: the table that it refers to."
    )
    referenced: ColumnNames = Field(
        default=(), description="Of a declared key: the columns referred to; default the primary key."
    )
    type_column: ColumnName | None = Field(
        default=None, description="Of a polymorphic key: the column that says which table a row refers to."
    )
    type_value: str | None = Field(
        default=None, description="Of a polymorphic key: what that column says of this one."
    )


class Database(Section):
    """What differs in one database."""

    tables: Mapping[TableName, Table] = Field(
        default_factory=dict,
        description="Tables of this database alone; keys left out come from the same name in `[tables]`.",
    )
    keys: Mapping[KeyName, Key] = Field(
        default_factory=dict, description="Foreign keys of this database alone."
    )
