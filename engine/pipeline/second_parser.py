"""What the pipeline asks of DuckDB's own parser. The engine that runs the text says how it reads the text.

The tree is the one of `json_serialize_sql` with defaults, empties and nulls left out: nodes of queries and tables
have `type`, nodes of expressions have `class`, and `query_location` is the byte offset of a node in the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Tree = Mapping[str, Any]
Path = tuple[str | int, ...]
"""Steps from the root of a tree to one of its nodes."""


@dataclass(frozen=True, slots=True)
class Parse:
    """How DuckDB reads one text."""

    kinds: tuple[str, ...] = ()
    """A statement type each, as DuckDB names it: SELECT, INSERT, EXPLAIN, PRAGMA, ..."""
    tree: Tree | None = None
    """`{"node": ..., "named_param_map": ...}` when the text is exactly one serialisable SELECT."""
    failed: bool = False
    """Whether DuckDB's parser refuses the text."""
    failed_at: int | None = None
    """0-based character offset of the refusal, when known (the places of nodes are counted in bytes)."""
    deep: bool = False
    """Whether it is refused for its depth alone."""


class SecondParser(Protocol):
    """DuckDB's parser, without a catalog and without executing anything."""

    def parse(self, text: str) -> Parse:
        """How DuckDB reads `text`. Never raises for what a client wrote."""

    def spell(self, text: str, paths: Sequence[Path]) -> tuple[str, ...]:
        """DuckDB's own text of the expressions at `paths` in the tree of `text`: what it names their columns.

        Raises:
            ParsersDisagree: DuckDB does not read back what it wrote.
        """

    def binds(self, text: str) -> bool:
        """Whether every name of a SELECT means something in it. For governed text over relations without rows."""
