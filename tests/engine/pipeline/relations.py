# ruff: noqa: E501
"""What the governed text holds of each secured relation: guarded columns, sealed ones, copied conditions, the barrier."""

from __future__ import annotations

from dataclasses import dataclass

from governance.policies import RowFilter
from governance.tables import TableName
from tests.support.governed_lab import Lab, principal, rulebook

T, W = TableName("s", "t"), TableName("s", "w")
SETUP = [
    "CREATE SCHEMA s",
    "CREATE TABLE s.t(id INTEGER, org INTEGER, a VARCHAR, b DECIMAL(12,2), d DATE, ok BOOLEAN, ts TIMESTAMP, st STRUCT(id VARCHAR))",
    "CREATE TABLE s.w(id BIGINT, org INTEGER, a VARCHAR, e INTEGER, f DOUBLE)",
    "CREATE TABLE s.free(id INTEGER, b INTEGER, k VARCHAR)",
]  # fmt: skip
COLUMNS = {T: "id org a b d ok ts st", W: "id org a e f"}
FILTERED = rulebook([RowFilter(f"f-{t}", f"of {t}", t, "org = 1") for t in (T, W)], [("s", "1")])
_CONDITION = '((hd."org" = CAST(1 AS INTEGER)))'


@dataclass(frozen=True)
class Marks:
    """Of one secured relation, in the order of the text; names are joined by spaces."""

    guarded: str = ""
    sealed: str = ""
    barrier: bool = False
    copied: str = ""


def marks(lab: Lab, sql: str) -> list[Marks]:
    """The marks of each reference to a filtered table, read off what would run."""
    governed = lab.govern(sql, principal(), FILTERED)
    found = []
    for i, piece in enumerate(governed.segments):
        if piece not in (T, W):
            continue
        assert isinstance(piece, TableName)
        before, after = governed.segments[i - 1], governed.segments[i + 1]
        assert isinstance(before, str)
        assert isinstance(after, str)
        columns = before.rpartition("(SELECT ")[2]
        names = COLUMNS[piece].split()
        guarded = [n for n in names if f'CASE WHEN {_CONDITION} THEN hd."{n}" END' in columns]
        sealed = [n for n in names if f'CASE WHEN hd."{n}" IS NULL THEN' in columns or f'list_value(hd."{n}")' in columns
                  or f'list_value(CASE WHEN {_CONDITION} THEN hd."{n}" END)' in columns]  # fmt: skip
        where = after.removeprefix(f" AS hd WHERE {_CONDITION}")
        assert where != after, after
        copied, _, barrier = _relation_end(where)
        found.append(Marks(" ".join(guarded), " ".join(sealed), bool(barrier), copied.removeprefix(" AND ")))
    return found


def _relation_end(where: str) -> tuple[str, str, str]:
    """The copies, and the barrier when there is one: up to the bracket that closes the relation."""
    depth = 0
    for i, character in enumerate(where):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            inside = where[:i]
            return (inside.removesuffix(" OFFSET 0"), "", "OFFSET 0" if inside.endswith(" OFFSET 0") else "")
    raise AssertionError(where)
