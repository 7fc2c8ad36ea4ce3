"""One part of a node's report of its tables, kept until the last part is there and the report is whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from governance.tables import Column, Table, TableName


@dataclass(frozen=True, slots=True)
class TableReportPart:
    """An observation; `report` names the report by a digest of its content."""

    kind: ClassVar[str] = "tables_part"
    organization: ClassVar[str] = ""
    lookup: ClassVar[str] = ""
    unique: ClassVar[str] = ""

    environment: str
    report: str
    number: int
    tables: tuple[Table, ...]
    expires_at: str

    @property
    def id(self) -> str:
        """Report and number."""
        return part_id(self.report, self.number)

    def stored(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "environment": self.environment,
            "report": self.report,
            "number": self.number,
            "tables": [[t.name.schema, t.name.name, [[c.name, c.type] for c in t.columns]] for t in self.tables],
            "expires_at": self.expires_at,
        }

    @classmethod
    def restored(cls, body: dict[str, Any]) -> TableReportPart:
        """The inverse of `stored`."""
        tables = tuple(
            Table(TableName(schema, name), tuple(Column(n, t) for n, t in columns))
            for schema, name, columns in body["tables"]
        )
        return cls(**{**body, "tables": tables})


def part_id(report: str, number: int) -> str:
    """The id of a part."""
    return f"{report}-{number:05}"
