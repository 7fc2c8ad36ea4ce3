"""Names in scope: sources of a FROM clause, common table expressions, outer queries."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from engine.catalog.emulation import types as t
from engine.catalog.emulation.tree import Window
from engine.catalog.emulation.values import CatalogRefused, Field, Value, composite, identifier, named
from governance.errors import ColumnUnknown

SYSTEM_COLUMNS = {"ctid": t.TID, "tableoid": t.OID, "xmin": t.XID, "xmax": t.XID, "cmin": t.CID, "cmax": t.CID}


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """A column that a source offers: its PostgreSQL name, its DuckDB text, its type."""

    name: str
    sql: str
    type: int
    modifier: int = -1
    fields: tuple[Field, ...] = ()
    items: tuple[Field, ...] = ()
    depth: int = 0
    """`fields`, `items` and `depth` as `Value` has them."""

    @property
    def value(self) -> Value:
        """A reference to it."""
        return Value(
            self.sql, self.type, label=self.name, firm=True, modifier=self.modifier, fields=self.fields,
            items=self.items, depth=self.depth,
        )  # fmt: skip

    @classmethod
    def of(cls, value: Value, sql: str, kind: int, name: str = "") -> SourceColumn:
        """What a query gives as `value`, offered under a name as `sql` of type `kind`."""
        return cls(name or value.label, sql, kind, value.modifier, value.fields, value.items, value.depth)


@dataclass(slots=True)
class Source:
    """One item of FROM under its alias. `relation` is (schema, name) of an unaliased relation."""

    alias: str | None
    columns: list[SourceColumn]
    relation: tuple[str, str] | None = None
    relation_oid: int = 0
    row_type: int = t.RECORD
    scalar: bool = False
    """A function in FROM with one column: its alias alone means that column, not a row."""
    hidden: set[str] = field(default_factory=set)
    """Names merged away by USING: reachable only when qualified."""

    def find(self, name: str) -> SourceColumn | None:
        """The column of that name.

        Raises:
            CatalogRefused: there are two (42702).
        """
        found = [c for c in self.columns if c.name == name]
        if len(found) > 1:
            raise CatalogRefused("42702", f"column reference {named(name)} is ambiguous")
        if found:
            return found[0]
        if self.relation_oid and name in SYSTEM_COLUMNS:
            if name == "ctid":
                return SourceColumn(name, "'(0,0)'", t.TID)
            value = str(self.relation_oid) if name == "tableoid" else "0"
            return SourceColumn(name, f"CAST({value} AS BIGINT)", SYSTEM_COLUMNS[name])
        return None

    @property
    def row(self) -> Value:
        """The whole row as a composite; NULL when nothing of it is there, as on the empty side of an outer join."""
        if self.scalar:
            return self.columns[0].value
        made = composite([column.value for column in self.columns], self.row_type)
        missing = " AND ".join(f"{column.sql} IS NULL" for column in self.columns) or "FALSE"
        return replace(made, sql=f"(CASE WHEN {missing} THEN NULL ELSE {made.sql} END)", label=self.alias or "?column?")

    def answers(self, qualifier: tuple[str, ...]) -> bool:
        """Whether `qualifier.column` means this source."""
        if len(qualifier) == 1:
            return self.alias == qualifier[0]
        return self.relation is not None and self.relation == qualifier[-2:]


@dataclass(frozen=True, slots=True)
class CommonTable:
    """A common table expression in scope: its DuckDB name and columns."""

    internal: str
    columns: tuple[SourceColumn, ...]
    """`sql` is empty: it depends on the alias."""


@dataclass(slots=True)
class Scope:
    """What one query level sees; `parent` is the level around it."""

    parent: Scope | None = None
    sources: list[Source] = field(default_factory=list)
    merged: list[SourceColumn] = field(default_factory=list)
    commons: dict[str, CommonTable] = field(default_factory=dict)
    windows: dict[str, Window] = field(default_factory=dict)
    reached_sources: bool = False
    """Set when a lookup found one of `sources`: a lateral item learns from it that it is one."""

    def common(self, name: str) -> CommonTable | None:
        """The common table expression of that name, innermost first."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.commons:
                return scope.commons[name]
            scope = scope.parent
        return None

    def column(self, parts: tuple[str, ...], position: int) -> Value:
        """The value of a column reference.

        Raises:
            ColumnUnknown: nothing in scope has it.
            CatalogRefused: more than one source has it (42702).
        """
        scope: Scope | None = self
        while scope is not None:
            found = scope._qualified(parts) if len(parts) > 1 else scope._plain(parts[0], position)
            if found is not None:
                scope.reached_sources = True
                return replace(found.value, label=parts[-1])
            scope = scope.parent
        return self.row(parts, position)

    def has(self, name: str) -> bool:
        """Whether `name` is a column here or further out."""
        scope: Scope | None = self
        while scope is not None:
            if scope._plain(name, 0) is not None:
                return True
            scope = scope.parent
        return False

    def row(self, parts: tuple[str, ...], position: int) -> Value:
        """The whole row of the source that `parts` names.

        Raises:
            ColumnUnknown: there is none.
        """
        scope: Scope | None = self
        while scope is not None:
            for source in scope.sources:
                if source.answers(parts):
                    scope.reached_sources = True
                    return replace(source.row, label=parts[-1], firm=True)
            scope = scope.parent
        if len(parts) == 1:
            raise ColumnUnknown(f"column {named(parts[0])} does not exist", position=position + 1)
        if self._knows(parts[:-1]):
            shown = named(f"{parts[-2]}.{parts[-1]}").strip('"')
            raise ColumnUnknown(f"column {shown} does not exist", position=position + 1)
        raise CatalogRefused("42P01", f"missing FROM-clause entry for table {named(parts[-2])}", position=position + 1)

    def _knows(self, qualifier: tuple[str, ...]) -> bool:
        """Whether a source here or further out answers to `qualifier`."""
        return any(source.answers(qualifier) for source in self.sources) or (
            self.parent is not None and self.parent._knows(qualifier)
        )

    def _plain(self, name: str, position: int) -> SourceColumn | None:
        for column in self.merged:
            if column.name == name:
                return column
        found = [c for s in self.sources if name not in s.hidden and (c := s.find(name)) is not None]
        found = [c for c in found if name not in SYSTEM_COLUMNS or len(found) == 1] or found
        if len(found) > 1:
            raise CatalogRefused("42702", f"column reference {named(name)} is ambiguous", position=position + 1)
        if found:
            return found[0]
        return None

    def _qualified(self, parts: tuple[str, ...]) -> SourceColumn | None:
        for source in self.sources:
            if source.answers(parts[:-1]):
                found = source.find(parts[-1])
                if found is not None:
                    return found
        return None

    def star(self, qualifier: tuple[str, ...]) -> list[SourceColumn]:
        """The columns that `*` or `t.*` stands for.

        Raises:
            CatalogRefused: no such source (42P01).
        """
        if not qualifier:
            return self.merged + [c for s in self.sources for c in s.columns if c.name not in s.hidden]
        for source in self.sources:
            if source.answers(qualifier):
                return source.columns
        raise CatalogRefused("42P01", f"missing FROM-clause entry for table {named(qualifier[-1])}")


def column_sql(alias: str, name: str) -> str:
    """`alias.name` in DuckDB."""
    return f"{alias}.{identifier(name)}"
