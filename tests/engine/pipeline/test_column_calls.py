# ruff: noqa: E501
"""Calls written on a column, `a.lower()`: what they read counts like the argument it is (found by mutation)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from engine.pipeline.column_calls import is_on_column, may_call_on_columns, spell_out
from engine.pipeline.text_gate import scan
from governance.policies import MaskFunction, MinimumGroup
from tests.engine.pipeline.sales import OWN, SETUP, C, book, mask, refused, rows
from tests.support.governed_lab import PARSER, Lab, principal


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(SETUP)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM sales.c WHERE ssn.starts_with('1')", "SELECT id FROM sales.c WHERE c.ssn.starts_with('1')", "SELECT id FROM sales.c WHERE ssn.upper().starts_with('1')",
        "SELECT id FROM (SELECT id, ssn AS z FROM sales.c) WHERE z.length() > 3", "SELECT id FROM (SELECT id, ssn AS main FROM sales.c) x WHERE x.main.length() > 3",
        "SELECT id FROM (SELECT id, ssn AS pg_catalog FROM sales.c) WHERE pg_catalog.length() > 3", "SELECT id FROM (SELECT id, ssn AS pg_catalog FROM sales.c) system WHERE system.pg_catalog.length() > 3",
        "SELECT id FROM (SELECT id, ssn AS information_schema FROM sales.c) WHERE information_schema.length() > 3", "SELECT id FROM (SELECT id, ssn AS main FROM sales.c) memory WHERE memory.main.length() > 3",
        "SELECT count(*) FILTER (WHERE ssn.length() > 2) FROM sales.c", "SELECT id FROM sales.c QUALIFY row_number() OVER (ORDER BY id) = ssn.length()",
    ],
)  # fmt: skip
def test_on_predicate_deny_holds_for_calls_on_the_column(lab: Lab, sql: str) -> None:
    found = refused(lab, sql, principal(), mask(MaskFunction.FULL, deny_predicate=True))
    assert found.code == "masked_predicate"
    named = re.search(r"(c\.)?ssn", sql)
    assert named is not None
    assert found.position == named.start() + 1


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT region.upper(), count(*) FROM sales.c GROUP BY region", "SELECT region.strptime('%Y'), count(*) FROM sales.c GROUP BY region",
        "SELECT count(*), bal.abs() FROM sales.c GROUP BY bal", "SELECT count(*), c.bal.abs() FROM sales.c GROUP BY bal", "SELECT bal.max() FROM sales.c",
        "SELECT count(*) FROM sales.c HAVING ssn.any_value() > '1'", "SELECT big.sum() FROM shared.wide", "SELECT wide.big.sum() FROM shared.wide", "SELECT f.stddev() FROM shared.wide",
    ],
)  # fmt: skip
def test_minimum_group_asks_what_a_call_on_a_column_reads(sql: str) -> None:
    lab = Lab([*SETUP, "CREATE TABLE shared.wide AS SELECT 1::HUGEINT AS big, 1::DOUBLE AS f"])
    wide = MinimumGroup("w", "w", C.__class__("shared", "wide"), 3)
    assert refused(lab, sql, principal(), MinimumGroup("g", "g", C, 3), wide).code == "permission_denied"


def test_minimum_group_admits_figures_written_on_a_column(lab: Lab) -> None:
    assert rows(lab, "SELECT bal.sum() FROM sales.c", principal(), MinimumGroup("g", "g", C, 3)) == [(100,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT region.repeat(1000000) FROM sales.c", "SELECT c.region.lpad(1000000, 'x') FROM sales.c", "SELECT region.repeat(2).repeat(2) FROM sales.c",
        "SELECT x.main.repeat(1000000) FROM (SELECT region AS main FROM sales.c) x", "SELECT pg_catalog.repeat(1000000) FROM (SELECT region AS pg_catalog FROM sales.c)",
    ],
)  # fmt: skip
def test_counts_are_bounded_in_calls_on_a_column(lab: Lab, sql: str) -> None:
    assert refused(lab, sql, principal()).code == "resource_exceeded"


@pytest.mark.parametrize("keyword", ["current_user", "session_user", "current_schema", "rowid"])
def test_a_keyword_is_no_column_to_call_on(lab: Lab, keyword: str) -> None:
    assert refused(lab, f"SELECT {keyword}.length() FROM sales.c", principal()).code in (
        "function_not_allowed",
        "statement_not_supported",
    )


@pytest.mark.parametrize(
    ("condition", "barrier"),
    [
        ("region.upper() = 'EMEA'", False), ("c.region.length() > 3", False), ("region.lower().starts_with('e')", False), ("region.hamming('abcd') > 1", True),
        ("c.region.strptime('%Y') IS NULL", True), ("id.left(2) = '1'", True), ('region."+"(1.5::DOUBLE) > 1', True),
    ],
)  # fmt: skip
def test_a_call_on_a_column_is_proven_like_the_same_call_with_an_argument(
    lab: Lab, condition: str, barrier: bool
) -> None:
    assert (" OFFSET 0)" in lab.sql(f"SELECT id FROM sales.c WHERE {condition}", principal(), book(OWN))) is barrier


@pytest.mark.parametrize(
    "sql",
    [
        'SELECT 1 FROM (SELECT region AS main FROM sales.c) x WHERE x.main."+"(1.5::DOUBLE) > 1', "SELECT 1 FROM (SELECT region AS main FROM sales.c) x WHERE x.main.hamming('ab') > 1",
        "SELECT 1 FROM (SELECT region AS pg_catalog FROM sales.c) WHERE pg_catalog.hamming('ab') > 1",
    ],
)  # fmt: skip
def test_a_column_called_like_a_schema_is_guarded_and_sealed(lab: Lab, sql: str) -> None:
    text = lab.sql(sql, principal(), book(OWN))
    assert " OFFSET 0)" in text
    assert 'CASE WHEN ((hd."org_id" = \'1\')) THEN hd."region" END' in text
    if "hamming" in sql:
        assert 'CASE WHEN hd."region" IS NULL THEN' in text
        shown = lab.sql(
            sql.replace("SELECT 1", "SELECT " + sql.rpartition("WHERE ")[2]).rpartition(" WHERE")[0],
            principal(),
            book(OWN),
        )
        assert 'COALESCE(hd."region", CASE WHEN hd."region" IS NULL THEN hd."region" END)' in shown


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT region.upper() FROM sales.c WHERE id = 1", [("EMEA",)]), ("SELECT c.region.upper() AS u FROM sales.c ORDER BY c.id.abs() LIMIT 1", [("EMEA",)]),
        ("SELECT [1, 2].list_transform(lambda x: x + 1)", [([2, 3],)]), ("SELECT main.upper('x'), system.main.upper('y'), system.upper('z')", [("X", "Y", "Z")]),
        ("SELECT pg_catalog.pg_typeof(1)", [("integer",)]), ("SELECT r.x.abs() FROM range(3) r(x) WHERE x = 2", [(2,)]),
        ("SELECT region.coalesce((SELECT max(region) FROM sales.c)) FROM sales.c WHERE id = 1", None), ("SELECT region.concat((SELECT max(c.region) FROM sales.c)) FROM sales.c WHERE id = 1", [("emeaemea",)]),
        ("SELECT region.concat((SELECT max(sales.c.region) || (SELECT 'x') FROM sales.c)) FROM sales.c WHERE id = 1", [("emeaemeax",)]),
        ("SELECT sum(id).abs() FROM sales.c", [(6,)]), ("SELECT id.sum() OVER () FROM sales.c", None),
    ],
)  # fmt: skip
def test_calls_on_columns_answer_as_duckdb_does(lab: Lab, sql: str, expected: Any) -> None:
    outcome = lab.run(sql, principal(), book(OWN))
    if expected is not None:
        assert (outcome.status, outcome.rows) == ("ok", expected), outcome.error
        cursor = lab.db.cursor()
        cursor.execute('USE "hidden base"')
        assert [name for name, _ in outcome.columns] == [d[0] for d in cursor.execute(sql).description or ()]


@pytest.mark.parametrize(
    ("catalog", "schema", "name", "on_column"),
    [
        ("", "", "upper", False), ("", "main", "upper", False), ("", "MAIN", "upper", False), ("", "system", "upper", False), ("system", "main", "upper", False),
        ("", "pg_catalog", "pg_typeof", False), ("", "pg_catalog", "PG_Typeof", False), ("system", "pg_catalog", "pg_typeof", False), ("", "pg_catalog", "upper", True),
        ("system", "pg_catalog", "upper", True), ("", "information_schema", "upper", True), ("", "a", "upper", True), ("t", "a", "upper", True), ("t", "main", "upper", True),
        ("memory", "main", "upper", True), ("temp", "main", "upper", True), ("temp", "pg_catalog", "upper", True), ("system", "other", "upper", False), ("temp", "other", "upper", False),
    ],
)  # fmt: skip
def test_what_is_a_schema_and_what_a_column(catalog: str, schema: str, name: str, on_column: bool) -> None:
    assert is_on_column(catalog, schema, name) is on_column


@pytest.mark.parametrize(
    ("sql", "may"),
    [("SELECT a.f()", True), ("SELECT a /* x */ . -- y\n f ()", True), ('SELECT "a"."f"()', True), ("SELECT f(a.b)", False), ("SELECT a.b, f(1)", False), ("SELECT x.y.f()", True), ("SELECT 1", False)],
)  # fmt: skip
def test_texts_with_dotted_calls_are_told_by_their_tokens(sql: str, may: bool) -> None:
    assert may_call_on_columns(scan(sql)) is may


def test_only_calls_are_spelled_out_and_only_once() -> None:
    tree = PARSER.parse(
        "SELECT a.lower(1), s.b, f(x.y) OVER () FROM s.t, s.range(3) WHERE t.a.lower().upper() = (SELECT c.f())"
    ).tree
    assert tree is not None
    before = repr(tree["node"]["from_table"])
    spell_out(tree)
    once = repr(tree)
    spell_out(tree)
    assert repr(tree) == once
    assert repr(tree["node"]["from_table"]) == before
    first, second, third = tree["node"]["select_list"]
    assert [child.get("column_names") for child in first["children"]] == [["a"], None]
    assert (second["column_names"], len(third["children"])) == (["s", "b"], 1)
    condition = tree["node"]["where_clause"]
    assert condition["left"]["children"][0]["children"][0]["column_names"] == ["t", "a"]
    assert condition["right"]["subquery"]["node"]["select_list"][0]["children"][0]["column_names"] == ["c"]
