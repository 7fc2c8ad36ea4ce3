"""What leaves the pipeline and enters the executor: SQL in which every base table is a secured relation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from governance.audit_record import PolicyVerdict
from governance.tables import Column, TableName

_MINT = object()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One `$n`: the DuckDB type inferred for it, or empty when nothing tells (the client's OID decides, then text)."""

    type: str = ""


@dataclass(frozen=True, slots=True)
class Governed:
    """A statement that may run. Only `engine.pipeline.govern` makes one; `_mint` says so at run time.

    `segments` are pieces of final SQL; a `TableName` among them stands where the base relation goes and is filled
    in by the executor with a relation over the files pinned for the statement. No text is ever substituted, so
    nothing in a literal can be mistaken for a place-holder.
    """

    segments: tuple[str | TableName, ...]
    kind: str
    """select, describe, summarize, explain, explain_policy."""
    tables: tuple[TableName, ...]
    """Every base table read, as stored, in order of first mention."""
    parameters: tuple[Parameter, ...]
    columns_masked: tuple[str, ...]
    verdicts: tuple[PolicyVerdict, ...]
    policy_version: int
    organization: str
    masked_values: tuple[tuple[str, str], ...] = ()
    """(result column name, check) pairs that the executor asserts on results, never re-masks."""
    filtered: tuple[TableName, ...] = ()
    """Tables of which the principal may not see every row: DuckDB plans with rounded numbers of their rows."""
    sizes_hidden: tuple[TableName, ...] = ()
    """Those of them for which DuckDB must plan with a fixed number of rows (see `engine.pipeline.plan_facts`)."""
    shapes: tuple[tuple[Column, ...], ...] = ()
    """The columns of each of `tables` when it was governed: with others by now it must not run. A name that a file
    lacks would be looked for outside the secured relation, among what the client wrote."""
    _mint: object = None

    def __post_init__(self) -> None:
        """Refuse anyone but the pipeline.

        Raises:
            TypeError: made outside `engine.pipeline`.
        """
        if self._mint is not _MINT:
            raise TypeError("only engine.pipeline makes Governed")

    def sql(self, relation: Callable[[TableName], str]) -> str:
        """The final text, with `relation(table)` in place of each base table."""
        return "".join(part if isinstance(part, str) else relation(part) for part in self.segments)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the governed text with table names in place of files."""
        return hashlib.sha256(self.sql(lambda table: f'"{table}"').encode()).hexdigest()


def mint(**facts: Any) -> Governed:
    """Make a Governed; for `engine.pipeline` alone (an architecture test says who imports it)."""
    return Governed(**facts, _mint=_MINT)
