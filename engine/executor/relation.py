"""The text of a base relation over pinned files. Pure; nothing a client wrote ever enters it."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ID = re.compile(r"\A[0-9a-f]{32}\Z")
_TYPE = re.compile(r"\A[A-Z][A-Z0-9_ (),]{0,62}\Z")


ROWS_PLANNED = 1_000_000
"""What DuckDB is told to plan with for a table whose number of rows must not steer the plan."""


_ROW_BYTES = 32
_STEP_BITS = 4


def rows_rounded(size_bytes: int) -> int:
    """About how many rows so many bytes of Parquet hold, up to the next power of 16.

    For a table whose rows are not all visible: DuckDB orders joins, and so the rows of a result, by these numbers.
    """
    bits = max(size_bytes // _ROW_BYTES, 1).bit_length()
    return 1 << -(-bits // _STEP_BITS) * _STEP_BITS


def read_files(
    snapshot: str, partitions: Sequence[tuple[str, str]], *, uniform: bool, rows_planned: int | None = None
) -> str:
    """`read_parquet(...)` over the snapshot with this id.

    Args:
        snapshot: 32 hex digits.
        partitions: Hive columns and their DuckDB types; typed here so that a new folder cannot change them mid-way.
        uniform: all files have the same columns, so one footer describes them; otherwise columns unite by name.
        rows_planned: plan as if the table held so many rows; None: as many as the files say.

    Raises:
        ValueError: not an id, or not a type.
    """
    if not _ID.match(snapshot):
        raise ValueError("not a snapshot id")
    options = [f"union_by_name={'false' if uniform else 'true'}"]
    if rows_planned is not None:
        options.append(f"explicit_cardinality={rows_planned}")
    if partitions:
        if not all(_TYPE.match(kind) for _, kind in partitions):
            raise ValueError("not a type")
        typed = ", ".join(f"{_quoted(name)}: {kind}" for name, kind in partitions)
        options += ["hive_partitioning=true", f"hive_types={{{typed}}}"]
    else:
        options.append("hive_partitioning=false")
    return f"read_parquet('hati://s/{snapshot}/*', {', '.join(options)})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
