"""PIVOT without its values: as DuckDB answers it over the permitted, masked rows, or a refusal with advice."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from engine.pipeline.pivot_values import VALUES_MAX, PivotNeedsValues
from governance.errors import StatementRefused
from governance.policies import Mask, MaskFunction, MinimumGroup, RowFilter
from governance.tables import TableName
from tests.support.governed_lab import Lab, principal, rulebook

T = TableName("s", "t")
ROWS = [
    "(1, 'emea', 2024, 'ann', 10.5)", "(1, 'a''mer', 2025, 'bob', 20)", "(1, 'emea', 2025, 'cid', 30)",
    "(1, NULL, NULL, NULL, 3)", "(1, 'x, \"y\") IN (', 9, 'dee', 1)",
]  # fmt: skip
HIDDEN = ["(2, 'hidden', 1999, 'eve', 40)", "(NULL, 'nobody', 1998, 'fay', 50)"]
FILTERED = RowFilter("p1", "own", T, "org = {org_id}")
MASKED = Mask("p2", "names", T, "name", MaskFunction.PARTIAL)


def _table(rows: list[str], name: str = "name") -> list[str]:
    values = f"(VALUES {', '.join(rows)}) v(org, region, year, name, amount)"
    return ["CREATE SCHEMA s", f"CREATE TABLE s.t AS SELECT org, region, year, {name} AS name, amount FROM {values}"]


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(_table([*ROWS, *HIDDEN]))


@pytest.fixture(scope="module")
def permitted() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        for statement in _table(ROWS, "CASE WHEN name IS NULL THEN NULL ELSE '***' END"):
            connection.execute(statement)
        yield connection


BOOK = rulebook([FILTERED, MASKED], [("s", "shared")])
ACCEPTED = [
    "PIVOT s.t ON region USING sum(amount) GROUP BY org",
    "PIVOT s.t ON region, year USING sum(amount) GROUP BY org",
    "PIVOT s.t ON region, year IN (2024, 2025) USING sum(amount) GROUP BY org",
    "PIVOT s.t ON year USING sum(amount) AS s, count(*) AS n GROUP BY region ORDER BY region LIMIT 2",
    "pivot s.t /* IN */ on region || year -- using\n using max(amount) group by org",
    "PIVOT s.t ON CASE WHEN amount > 5 THEN 'much' ELSE 'little' END USING count(*) GROUP BY org",
    "PIVOT s.t ON (year > 2024) USING count(*) GROUP BY org",
    "PIVOT s.t ON amount::VARCHAR USING count(*) GROUP BY org",
    "PIVOT s.t ON region",
    "PIVOT s.t ON name USING count(*) GROUP BY org",
    "PIVOT (SELECT org, region, amount FROM s.t WHERE region IN ('emea', 'hidden')) ON region USING sum(amount)",
    "WITH c AS (SELECT org, upper(region) AS r FROM s.t) PIVOT c ON r USING count(*)",
    "PIVOT (s.t JOIN (VALUES (2024, 'old')) w(year, age) USING (year)) ON age USING sum(amount) GROUP BY org",
    "PIVOT_WIDER s.t ON coalesce(region, 'none') USING sum(amount) GROUP BY org;",
]


@pytest.mark.parametrize("sql", ACCEPTED)
def test_it_answers_as_over_the_permitted_masked_rows(lab: Lab, permitted: duckdb.DuckDBPyConnection, sql: str) -> None:
    found, wanted = lab.run(sql, principal(), BOOK), permitted.execute(sql)
    assert found.status == "ok", found.error
    assert found.columns == [(column[0], str(column[1])) for column in wanted.description or ()]
    assert sorted(map(repr, found.rows)) == sorted(map(repr, wanted.fetchall()))
    assert "hidden" not in repr(found)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM (PIVOT s.t ON region USING sum(amount))",
        "PIVOT s.t a JOIN s.t b ON a.org = b.org ON region USING count(*)",
        "PIVOT s.t ON (region, year) USING count(*)",
        "WITH c AS (PIVOT s.t ON year USING count(*)) PIVOT c ON region USING count(*)",
        "EXPLAIN PIVOT s.t ON region USING count(*)",
        "EXPLAIN POLICY PIVOT s.t ON region USING count(*)",
    ],
)
def test_other_forms_are_refused_and_explained_as_refused(lab: Lab, sql: str) -> None:
    outcome = lab.run(sql, principal(), BOOK)
    told = repr(outcome.rows) if sql.startswith("EXPLAIN POLICY") else outcome.error
    assert "statement_not_supported" in told or "permission_denied" in told


def test_parameters_are_refused_by_duckdbs_parser_already(lab: Lab) -> None:
    refused = lab.run("PIVOT (SELECT * FROM s.t WHERE org = $1) ON region USING count(*)", principal(), BOOK)
    assert refused.error.startswith("syntax_error")


def test_a_question_is_governed_like_any_statement(lab: Lab) -> None:
    deny = Mask("p3", "deny", T, "region", MaskFunction.FULL, deny_predicate=True)
    small = MinimumGroup("p4", "groups", T, 3)
    for policy in (deny, small):
        outcome = lab.run("PIVOT s.t ON region USING sum(amount)", principal(), rulebook([policy], [("s", "shared")]))
        assert outcome.status == "deny", policy
    assert lab.run("PIVOT s.nothing ON region USING count(*)", principal(), BOOK).error.startswith("table_unknown")
    assert lab.run("PIVOT s.t ON getvariable('x') USING count(*)", principal(), BOOK).status == "deny"


def test_no_values_and_too_many_are_refused_with_advice(lab: Lab) -> None:
    nothing = rulebook([RowFilter("p5", "none", T, "FALSE")], [("s", "shared")])
    assert "no values" in lab.run("PIVOT s.t ON region USING count(*)", principal(), nothing).error
    with pytest.raises(PivotNeedsValues) as raised:
        lab.govern("PIVOT s.t ON region USING count(*)", principal(), BOOK)
    for values, words in (([], "no values"), (["v"] * (VALUES_MAX + 1), "more than"), (["a\0b"], "no column")):
        with pytest.raises(StatementRefused, match=words):
            raised.value.answered([values])
    assert raised.value.advice
    with pytest.raises(PivotNeedsValues) as raised:
        lab.govern("PIVOT s.t ON region, year USING count(*)", principal(), BOOK)
    with pytest.raises(StatementRefused, match="more than"):
        raised.value.answered([["v"] * 40] * 2)
    many = ", ".join(["region"] * 9)
    assert "needs its values" in lab.run(f"PIVOT s.t ON {many} USING count(*)", principal(), BOOK).error


def test_a_value_is_only_ever_a_literal(lab: Lab) -> None:
    with pytest.raises(PivotNeedsValues) as raised:
        lab.govern("PIVOT s.t ON region USING count(*)", principal(), BOOK)
    written = raised.value.answered([["x') USING count(*) --", "\\'", "ü"]])
    assert written == "PIVOT s.t ON (region) IN ('x'') USING count(*) --', '\\''', 'ü') USING count(*)"
    assert lab.run(written, principal(), BOOK).status == "ok"
