"""The table of types: docs/types.md says what the code does, and psycopg knows the same oids."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from engine.encoder.types import JSON, element_type, pg_type, result_columns

_DOCUMENT = Path(__file__).parents[3] / "docs" / "types.md"
_ROWS = re.findall(r"^\| `([^`]+)` \| (\w+) \| (\d+) \| (\d*) \|", _DOCUMENT.read_text(), re.MULTILINE)


def test_the_document_has_its_table() -> None:
    assert len(_ROWS) >= 32


@pytest.mark.parametrize(("duckdb", "name", "oid", "array_oid"), _ROWS, ids=[row[0] for row in _ROWS])
def test_the_document_is_true(duckdb: str, name: str, oid: str, array_oid: str) -> None:
    assert pg_type(duckdb).oid == int(oid)
    known = psycopg.adapters.types[int(oid)]
    assert known.name == name
    if array_oid:
        for listed in (f"{duckdb}[]", f"{duckdb}[3]"):
            pg = pg_type(listed)
            assert (pg.oid, pg.element) == (int(array_oid), int(oid))
        assert known.array_oid == int(array_oid)
    else:
        assert (pg_type(f"{duckdb}[]").oid, pg_type(f"{duckdb}[]").element) == (JSON, 0)


@pytest.mark.parametrize(
    ("duckdb", "size", "typmod"),
    [
        ("DECIMAL(12,2)", -1, ((12 << 16) | 2) + 4), ("DECIMAL(38, 38)", -1, ((38 << 16) | 38) + 4), ("BIGINT", 8, -1),
        ("HUGEINT", -1, -1), ("DECIMAL(5,1)[]", -1, ((5 << 16) | 1) + 4), ("UUID", 16, -1), ("VARCHAR", -1, -1),
    ],
)  # fmt: skip
def test_sizes_and_typmods(duckdb: str, size: int, typmod: int) -> None:
    (column,) = result_columns(["x"], [duckdb])
    assert (column.size, column.typmod) == (size, typmod)


@pytest.mark.parametrize(
    ("listed", "inner"),
    [
        ("INTEGER[]", "INTEGER"), ("INTEGER[3]", "INTEGER"), ("INTEGER[][]", "INTEGER[]"), ("INTEGER", None),
        ("ENUM('a[]', 'b')", None), ("STRUCT(a INTEGER[])", None), ("STRUCT(a INTEGER[])[]", "STRUCT(a INTEGER[])"),
    ],
)  # fmt: skip
def test_elements(listed: str, inner: str | None) -> None:
    assert element_type(listed) == inner
