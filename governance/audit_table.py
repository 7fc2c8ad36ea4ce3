"""`hatidata_audit.queries`: the query audit as a table of a home, for whoever may both query and read the audit.

It holds the records of the reader's own organization and environment, shipped or not, with the fields that a search
shows. Pure: what the table looks like, who may read it, and what is asked of whoever makes its files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Protocol

from governance.audit_schema import QUERY_FIELDS, Field
from governance.errors import InvalidRequest
from governance.principals import Principal
from governance.roles import Privilege, Role, may
from governance.scopes import Scope
from governance.tables import Column, Table, TableName, fold

SCHEMA = "hatidata_audit"
"""Reserved: no folder of the lake, no registered schema and no view has this name."""
QUERIES = TableName(SCHEMA, "queries")
FOREIGN, MISSING = "cross_organization", "missing"
"""A reason that tells of another organization's table, and what an organization's own people read instead."""
TEXTS_TOLD = frozenset({"error_reason", "reason"})
"""Fields, of a record or of its verdicts, that hold reasons."""


def _type(schema: Mapping[str, Any]) -> str:
    """The DuckDB type of a field."""
    if schema.get("type") == "array":
        return _type(schema["items"]) + "[]"
    if schema.get("type") == "object":
        fields = (f"{_spelled(name)} {_type(each)}" for name, each in schema["properties"].items())
        return f"STRUCT({', '.join(fields)})"
    if "T" in str(schema.get("pattern", "")):
        return "TIMESTAMP WITH TIME ZONE"
    return {"integer": "BIGINT", "number": "DOUBLE"}.get(str(schema.get("type")), "VARCHAR")


def _spelled(name: str) -> str:
    """A field's name as DuckDB spells it: quoted when it is a word of SQL."""
    return f'"{name}"' if name in {"policy", "table", "column"} else name


def _column(each: Field) -> Column:
    return Column(each.name, "BIGINT" if "const" in each.schema else _type(each.schema))


TABLE = Table(QUERIES, tuple(_column(each) for each in QUERY_FIELDS))
"""As every reader sees it. The chain's columns are NULL until a record is shipped."""


def may_read_audit(role: Role, scopes: frozenset[Scope]) -> bool:
    """Whether role and key give both rights: to query and to read the audit."""
    both = may(role, Privilege.QUERY) and may(role, Privilege.AUDIT)
    return both and {Scope.QUERY_READ, Scope.AUDIT_READ} <= scopes


def sees_audit(principal: Principal) -> bool:
    """As `may_read_audit`, of one who logged in."""
    return may_read_audit(principal.role, principal.scopes)


def refuse_reserved(schema: str) -> None:
    """Refuse to let anybody own the audit's schema, or lay anything into it.

    Raises:
        InvalidRequest: `schema` is that one.
    """
    if fold(schema) == SCHEMA:
        raise InvalidRequest(
            f"The schema {SCHEMA} holds each organization's own audit and nothing else.", advice="Choose another name."
        )


@dataclass(frozen=True, slots=True)
class WaitingRecords:
    """What a node has finished and the store does not surely have, in the order in which records move on."""

    lines: Mapping[str, bytes] = field(default_factory=dict)
    """By query id: the record as JSON, without its place in the chain."""
    parcels: Mapping[str, bytes] = field(default_factory=dict)
    """By the name they will have in the store: the bytes of objects."""


@dataclass(frozen=True, slots=True)
class TableFile:
    """One Parquet file, never changed once it is named."""

    path: PurePath
    """Absolute."""
    size: int


class AuditTableFiles(Protocol):
    """Makes files of the audit's records."""

    def files(self, organization: str, waiting: WaitingRecords) -> Sequence[TableFile]:
        """Parquet files that together hold each record of the organization once; at least one, perhaps without rows.

        `waiting` must have been gathered before the call. Every file has the columns of `TABLE`, in their order, and
        stays for a quarter of an hour at least.

        Raises:
            SourceUnavailable: they cannot be made now, or are being made.
        """
