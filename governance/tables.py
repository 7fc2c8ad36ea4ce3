"""Tables as the law names them: schema, name, columns with DuckDB types."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

_ASCII_LOWER = {ord(c): ord(c) + 32 for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


@lru_cache(maxsize=4096)
def fold(name: str) -> str:
    """ASCII case folding, as DuckDB compares names (never `str.lower`, which folds more)."""
    return name.lower() if name.isascii() else name.translate(_ASCII_LOWER)


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    """A table's schema and name, spelled as stored; compare with `key`."""

    schema: str
    name: str

    @property
    def key(self) -> tuple[str, str]:
        """The folded pair by which names are compared."""
        return fold(self.schema), fold(self.name)

    def __str__(self) -> str:
        """`schema.name`, as people write it in policies."""
        return f"{self.schema}.{self.name}"

    @classmethod
    def parse(cls, text: str) -> TableName:
        """`schema.name` as a TableName.

        Raises:
            ValueError: not exactly one dot with something on both sides.
        """
        schema, dot, name = text.partition(".")
        if not dot or not schema or not name or "." in name:
            raise ValueError("a table is written schema.name")
        return cls(schema, name)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: name as stored, DuckDB type as DuckDB spells it (`INTEGER`, `DECIMAL(12,2)`, `VARCHAR[]`)."""

    name: str
    type: str
    partition: bool = False
    """Whether the column comes from Hive partition folders."""


@dataclass(frozen=True)
class Table:
    """A base table (Parquet files) with its columns in order."""

    name: TableName
    columns: tuple[Column, ...]
    fault: str = ""
    """Why the table cannot be read (a safe sentence), or empty."""

    @cached_property
    def folded(self) -> tuple[tuple[str, Column], ...]:
        """(folded name, column), in order."""
        return tuple((fold(column.name), column) for column in self.columns)

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return dict(reversed(self.folded))  # the first of a name counts

    def column(self, name: str) -> Column | None:
        """The column of that name (ASCII case folded), or None."""
        return self._by_name.get(fold(name))
