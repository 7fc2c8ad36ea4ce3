# ruff: noqa: E501
"""Dialects: what passes means the same, what may not is refused."""

from __future__ import annotations

import pytest

from engine.pipeline.translate import translate
from governance.errors import Refusal
from governance.policies import RowFilter
from governance.tables import TableName
from tests.support.governed_lab import Lab, principal, rulebook

LAB = Lab(
    [
        "CREATE SCHEMA s",
        "CREATE TABLE s.t(id INT, org INT, word VARCHAR)",
        "INSERT INTO s.t VALUES (1, 1, 'b'), (2, 1, NULL), (3, 1, 'a'), (4, 2, 'HID')",
    ]
)
BOOK = rulebook([RowFilter("f", "own", TableName("s", "t"), "org = {org_id}")], [("s", "shared")])


@pytest.mark.parametrize("dialect", ["postgres", "snowflake"])
@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT id FROM s.t ORDER BY word DESC, id", [(2,), (1,), (3,)]),  # NULL is the largest value there
        ("SELECT word::text || 'x' FROM s.t WHERE id = 1", [("bx",)]),
        ("SELECT count(*), max(id) FROM s.t WHERE word IS NOT NULL", [(2, 3)]),
        (
            "WITH c AS (SELECT id FROM s.t WHERE id IN (1, 3)) SELECT c.id FROM c JOIN s.t ON c.id = t.id ORDER BY 1",
            [(1,), (3,)],
        ),
        ("SELECT CASE WHEN id > 1 THEN 'many' ELSE 'one' END FROM s.t WHERE id < 3 ORDER BY id", [("one",), ("many",)]),
        ("SELECT row_number() OVER (ORDER BY id) FROM s.t LIMIT 1", [(1,)]),
        ("SELECT coalesce(upper(word), 'x') FROM s.t ORDER BY id", [("B",), ("x",), ("A",)]),
    ],
)
def test_translated_statements_are_governed_and_mean_the_same(dialect: str, sql: str, rows: list[object]) -> None:
    outcome = LAB.run(sql, principal(dialect=dialect), BOOK)
    assert outcome.rows == rows, outcome.error


@pytest.mark.parametrize("dialect", ["postgres", "snowflake"])
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 5 / 2", "SELECT 1e3 + 1e3", "SELECT INTERVAL '1 month ago'", "SELECT 'abc' ~ 'b'", "SELECT 'a' LIKE 'a\\_'", "SELECT DATE '2024-01-31'::TIMESTAMP", "SELECT to_char(id, '9') FROM s.t",
        "SELECT * FROM generate_series(1, 2)", "SELECT 1; SELECT 2", "DROP TABLE s.t", "SELECT FROM", "SELECT * INTO x FROM s.t", "SELECT regexp_replace('a', 'a', 'b')", "SELECT id FROM s.t \u200b", "SELECT 1.5::numeric(3,1)",
    ],
)  # fmt: skip
def test_what_cannot_be_translated_exactly_is_refused(dialect: str, sql: str) -> None:
    with pytest.raises(Refusal):
        translate(sql, dialect)


def test_an_unknown_dialect_is_refused() -> None:
    assert LAB.run("SELECT 1", principal(dialect="mysql"), BOOK).status == "deny"
