# ruff: noqa: E501
"""What may be called, cast to and counted by, and where a refusal points (found by mutation)."""

from __future__ import annotations

import pytest

from governance import errors
from tests.engine.pipeline.sales import SETUP, book
from tests.support.governed_lab import Lab, principal

ADMITTED = [
    "SELECT '1'::json, [1]::integer[], 'x'::text, 1::int8",
    "SELECT {'a': 1}::STRUCT(a json, b text)",
    "SELECT MAP {'a': 1}::MAP(text, json)",
    "SELECT 'x'::ENUM('x', 'y')",
    "SELECT 1::DECIMAL(10, 2), 1::DECIMAL",
    "SELECT 1::VARCHAR(10)",
    "SELECT 1::VARCHAR COLLATE nocase",
    "SELECT x::integer[3] FROM (SELECT [1,2,3] AS x)",
    "SELECT 1::oid",
    "SELECT system.main.upper('x'), main.upper('x'), pg_catalog.pg_typeof(1)",
    "SELECT temp.main.upper('x')",
    "SELECT upper(id) FROM sales.c",
    "SELECT * FROM range(3)",
    "SELECT * FROM main.range(3)",
    "SELECT * FROM unnest([1])",
    "SELECT repeat('x', 10000)",
    "SELECT repeat('x', -1)",
    "SELECT repeat('x', -(1))",
    "SELECT repeat('x', - - 5)",
    "SELECT repeat('x', 1.5)",
    "SELECT upper(repeat('x', 5))",
    "SELECT repeat(upper('x'), 5)",
    "SELECT range(1000000)",
    "SELECT range(x) FROM shared.r",
    "SELECT * FROM range(100000000)",
    "SELECT chr(65), chr(100000000)",
    "SELECT bitstring('1', 100)",
    "SELECT list_resize([1], 10)",
    "SELECT c.current_user FROM sales.c",
    "SELECT x FROM (SELECT x AS current_user FROM shared.r)",
]  # fmt: skip
REFUSED = [
    ("SELECT 1::nosuch", "statement_not_supported", None),
    ("SELECT [1]::nosuch[]", "statement_not_supported", None),
    ("SELECT {'a': 1}::STRUCT(a nosuch)", "statement_not_supported", None),
    ("SELECT MAP {'a': 1}::MAP(text, nosuch)", "statement_not_supported", None),
    ("SELECT 1::UNION(a nosuch)", "statement_not_supported", None),
    ("SELECT TRY_CAST('1' AS nosuch)", "statement_not_supported", None),
    ("SELECT 1::nosuch(3)", "statement_not_supported", None),
    ("SELECT 1::regclass", "statement_not_supported", None),
    ("SELECT system.sales.upper('x')", "function_not_allowed", 8),
    ("SELECT temp.sales.upper('x')", "function_not_allowed", 8),
    ("SELECT  getenv('x')", "function_not_allowed", 9),
    ("SELECT main.getenv('x')", "function_not_allowed", 8),
    ("SELECT * FROM sales.range(3)", "function_not_allowed", 15),
    ("SELECT * FROM upper('x')", "function_not_allowed", 15),
    ("SELECT repeat('x', 10001)", "resource_exceeded", 8),
    ("SELECT repeat('x', 5 - 3)", "resource_exceeded", 8),
    ("SELECT repeat('x', true::int)", "resource_exceeded", 8),
    ("SELECT repeat('x', '5')", "resource_exceeded", 8),
    ("SELECT repeat('x', NULL)", "resource_exceeded", 8),
    ("SELECT lpad('x', 10001, 'a'), rpad('x', 3, 'a')", "resource_exceeded", 8),
    ("SELECT  repeat(rpad('x', 3, 'a'), 2)", "resource_exceeded", None),
    ("SELECT repeat(upper(lpad('x', 3, 'a')), 2)", "resource_exceeded", None),
    ("SELECT repeat('x', (SELECT 5))", "resource_exceeded", 8),
    ("SELECT range(100000000)", "resource_exceeded", None),
    ("SELECT generate_series(1, 100000000)", "resource_exceeded", None),
    ("SELECT generate_series(-100000000, 1)", "resource_exceeded", None),
    ("SELECT array_resize([1], 100000000)", "resource_exceeded", 8),
    ("SELECT current_user", "function_not_allowed", None),
    ("SELECT current_user FROM shared.r", "function_not_allowed", None),
    ("SELECT user", "function_not_allowed", None),
    ("SELECT session_user AS x FROM shared.r", "function_not_allowed", None),
    ("SELECT current_schema", "function_not_allowed", None),
    ("SELECT rowid FROM shared.r", "statement_not_supported", None),
    ("SELECT r.rowid FROM shared.r", "statement_not_supported", None),
    ("SELECT rowid FROM (SELECT 1 AS rowid)", "statement_not_supported", None),
]  # fmt: skip


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(SETUP)


@pytest.mark.parametrize("sql", ADMITTED)
def test_what_is_on_the_lists_is_admitted(lab: Lab, sql: str) -> None:
    lab.govern(sql, principal(), book())


@pytest.mark.parametrize(("sql", "code", "position"), REFUSED)
def test_what_is_on_no_list_is_refused_where_it_stands(lab: Lab, sql: str, code: str, position: int | None) -> None:
    with pytest.raises(errors.Refusal) as found:
        lab.govern(sql, principal(), book())
    assert (found.value.code, found.value.position) == (code, position)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'é€😀', getenv('x')", "SELECT 'é', repeat('ü', 1000000), 'é'", "SELECT 'é' WHERE getenv('x') = 'é'", "SELECT 1 FROM sales.c WHERE 'é' = 'x' AND getenv('x') = 'y'",
    ],
)  # fmt: skip
def test_a_refusal_points_at_a_character_not_at_a_byte(lab: Lab, sql: str) -> None:
    with pytest.raises(errors.Refusal) as found:
        lab.govern(sql, principal(), book())
    assert found.value.position == max(sql.find("getenv"), sql.find("repeat")) + 1
