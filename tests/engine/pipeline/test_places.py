# ruff: noqa: E501
"""Wherever an expression may stand, what it calls is held against the lists and what it reads is secured."""

from __future__ import annotations

import pytest

from engine.pipeline.planner import VIEW_DEPTH_MAX
from governance import errors
from governance.policies import Condition, Effect, MaskFunction, View
from governance.tables import TableName
from tests.engine.pipeline.sales import OWN, SETUP, C, book, mask, refused, rows
from tests.support.governed_lab import Lab, principal

PLACES = [
    "SELECT {x}", "SELECT {x} AS a, 1", "SELECT DISTINCT {x}", "SELECT DISTINCT ON ({x}) 1", "SELECT 1 WHERE {x}", "SELECT 1 GROUP BY {x}", "SELECT 1 GROUP BY ROLLUP ({x})", "SELECT count(*) HAVING {x}",
    "SELECT 1 QUALIFY {x}", "SELECT 1 ORDER BY {x} DESC", "SELECT 1 LIMIT {x}", "SELECT 1 OFFSET {x}", "SELECT 1 LIMIT ({x}) %", "SELECT 1 UNION SELECT {x}", "SELECT {x} EXCEPT SELECT 1", "SELECT 1 UNION ALL BY NAME SELECT {x} AS a",
    "WITH a AS (SELECT {x}) SELECT 1", "WITH a AS (SELECT 1), b AS (SELECT {x} FROM a) SELECT 1 FROM b", "WITH RECURSIVE a AS (SELECT 1 AS n UNION ALL SELECT {x} FROM a) SELECT 1 FROM a",
    "WITH RECURSIVE a AS (SELECT {x} AS n UNION ALL SELECT 2 FROM a) SELECT 1 FROM a",
    "SELECT 1 FROM (SELECT {x})", "SELECT 1 FROM shared.r JOIN sales.r q ON {x}", "SELECT 1 FROM shared.r LEFT JOIN sales.r q ON {x}", "SELECT 1 FROM shared.r ASOF JOIN sales.r q ON shared.r.x >= {x}",
    "SELECT 1 FROM shared.r, LATERAL (SELECT {x})", "SELECT 1 FROM (VALUES (1), ({x})) v(a)", "VALUES ({x})", "SELECT 1 FROM range({x})", "SELECT 1 FROM shared.r, range(1, {x})", "SELECT 1 FROM unnest([{x}])",
    "SELECT (SELECT {x})", "SELECT EXISTS (SELECT {x})", "SELECT 1 IN (SELECT {x})", "SELECT {x} IN (SELECT 1)", "SELECT {x} = ANY (SELECT 1)", "SELECT NOT {x}", "SELECT {x} IS NULL", "SELECT {x} IN (1, 2)", "SELECT 1 IN (1, {x})",
    "SELECT {x} BETWEEN 1 AND 2", "SELECT 1 BETWEEN {x} AND 2", "SELECT 1 BETWEEN 1 AND {x}", "SELECT {x} = 1", "SELECT 1 = {x}", "SELECT 1 AND 2 AND {x}", "SELECT {x} OR 1", "SELECT 1 + {x}", "SELECT {x} || 'a'", "SELECT - {x}",
    "SELECT CASE WHEN {x} THEN 1 ELSE 2 END", "SELECT CASE WHEN 1 THEN {x} ELSE 2 END", "SELECT CASE WHEN 1 THEN 2 ELSE {x} END", "SELECT CASE {x} WHEN 1 THEN 2 END", "SELECT CASE WHEN 1 THEN 2 WHEN {x} THEN 3 END",
    "SELECT CAST({x} AS VARCHAR)", "SELECT TRY_CAST({x} AS DATE)", "SELECT {x} COLLATE nocase", "SELECT upper({x})", "SELECT concat('a', lower({x}))", "SELECT coalesce(NULL, {x})", "SELECT [1, {x}]", "SELECT {{'a': {x}}}", "SELECT MAP {{'a': {x}}}",
    "SELECT [1][{x}]", "SELECT [1, 2][{x}:2]", "SELECT ({x}, 1)", "SELECT list_transform([1], lambda i: i + {x})", "SELECT [i + {x} FOR i IN [1] IF i > 0]", "SELECT [i FOR i IN [1] IF {x}]", "SELECT [i FOR i IN [{x}]]",
    "SELECT sum({x})", "SELECT count(DISTINCT {x})", "SELECT sum(1) FILTER (WHERE {x})", "SELECT list(1 ORDER BY {x})", "SELECT string_agg('a', {x})", "SELECT sum(1) OVER (PARTITION BY {x})", "SELECT sum(1) OVER (ORDER BY {x})",
    "SELECT sum({x}) OVER ()", "SELECT sum(1) FILTER (WHERE {x}) OVER ()", "SELECT lag(1, {x}) OVER ()", "SELECT lag(1, 1, {x}) OVER ()", "SELECT sum(1) OVER (ORDER BY 1 ROWS BETWEEN {x} PRECEDING AND CURRENT ROW)",
    "SELECT sum(1) OVER (ORDER BY 1 ROWS BETWEEN CURRENT ROW AND {x} FOLLOWING)", "SELECT first_value(1 ORDER BY {x}) OVER ()", "SELECT sum(1) OVER w WINDOW w AS (PARTITION BY {x})", "SELECT row_number() OVER (ORDER BY 1, {x})",
    "SELECT * REPLACE ({x} AS x) FROM shared.r", "SELECT COLUMNS(*) + {x} FROM shared.r", "SELECT COLUMNS(c -> {x}) FROM shared.r", "FROM shared.r SELECT {x}", "SELECT 1 FROM shared.r TABLESAMPLE reservoir(1 ROWS) WHERE {x}",
    "PIVOT shared.r ON x IN (1) USING sum({x})", "PIVOT (SELECT {x} AS x) ON x IN (1) USING count(*)", "UNPIVOT (SELECT {x} AS a) ON a", "PIVOT shared.r ON x || {x} IN ('1') USING sum(x)", "PIVOT shared.r ON (x, {x}) IN ((1, 'a')) USING sum(x)", "UNPIVOT shared.r ON (x || {x}) INTO NAME a VALUE b", "SUMMARIZE SELECT {x}", "DESCRIBE SELECT {x}",
    "SELECT 1 FROM (SUMMARIZE SELECT {x})", "SELECT 1 GROUP BY GROUPING SETS (({x}), ())", "SELECT a.x FROM shared.r a SEMI JOIN sales.r b ON {x}", "(SELECT {x}) ORDER BY 1", "SELECT 1 FROM shared.r POSITIONAL JOIN (SELECT {x})",
]  # fmt: skip


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(SETUP)


def _code(lab: Lab, sql: str, *policies: object) -> str:
    try:
        lab.govern(sql, principal(), book(*policies))
    except errors.Refusal as error:
        return error.code
    return ""


@pytest.mark.parametrize("place", PLACES)
def test_what_may_not_be_called_may_be_called_nowhere(lab: Lab, place: str) -> None:
    assert _code(lab, place.format(x="abs(1)")) == "", "the place itself is not admitted"
    for call in ("getenv('x')", "abs(getenv('x'))", "main.getenv('x')"):
        assert _code(lab, place.format(x=call)) == "function_not_allowed"
    assert _code(lab, place.format(x="1::nosuch")) == "statement_not_supported"
    assert _code(lab, place.format(x="rowid")) == "statement_not_supported"
    assert _code(lab, place.format(x="current_user")) == "function_not_allowed"
    assert _code(lab, place.format(x="repeat('x', 1000000)")) == "resource_exceeded"


@pytest.mark.parametrize("place", PLACES)
def test_a_table_is_secured_wherever_it_is_read(lab: Lab, place: str) -> None:
    read = place.format(x="(SELECT max(id) FROM sales.c)")
    foreign = _code(lab, place.format(x="(SELECT max(x) FROM globex.secret)"))
    refused_for = _code(lab, read, OWN)
    if refused_for:  # a form that takes no sub-query
        assert refused_for in ("statement_not_supported", "syntax_error")
        assert foreign in (refused_for, "table_unknown")
        return
    assert foreign == "table_unknown"
    governed = lab.govern(read, principal(), book(OWN))
    assert C in governed.tables
    at = governed.segments.index(C)
    assert "(SELECT " in str(governed.segments[at - 1])
    assert str(governed.segments[at + 1]).startswith(" AS hd WHERE ((hd.\"org_id\" = '1'))")
    assert len([s for s in governed.segments if s == C]) == 1


# ---------------------------------------------------------------- what is told of a refusal


def test_w5_1_a_refusal_tells_the_audit_what_was_decided_by_then(lab: Lab) -> None:
    access = ["role", "scope"]
    deny = Condition("d", "closed", Effect.DENY)
    by_condition = refused(lab, "SELECT id FROM sales.c, shared.r", principal(), OWN, deny).judged
    assert by_condition.tables == ("sales.c", "shared.r")
    found = [(v.policy, v.effect) for v in by_condition.verdicts]
    assert found[:2] == [(p, "allowed") for p in access]
    assert ("own rows", "applied") in found
    assert found[-1] == ("closed", "denied")
    unknown = refused(lab, "SELECT id FROM sales.c, globex.secret", principal(), OWN).judged
    assert unknown.tables == ("sales.c",)
    assert [v.policy for v in unknown.verdicts][:2] == access
    listed = refused(lab, "SELECT id FROM sales.c", principal(allowed_tables=("shared.*",)), OWN).judged
    assert listed.tables == ("sales.c",)
    assert [(v.policy, v.kind, v.effect, v.table) for v in listed.verdicts][-1] == (
        "allowed_tables",
        "access",
        "denied",
        "sales.c",
    )
    masked = refused(
        lab, "SELECT id FROM sales.c WHERE ssn = '1'", principal(), OWN, mask(MaskFunction.FULL, deny_predicate=True)
    ).judged
    assert masked.tables == ("sales.c",)
    assert {v.policy for v in masked.verdicts} >= {"own rows", "full", *access}
    wall = [v for v in masked.verdicts if v.policy == "organization_wall"]
    assert [(v.kind, v.effect, v.table) for v in wall] == [("access", "allowed", "sales.c")]
    assert refused(lab, "SELECT 1", principal(scopes=())).judged.verdicts == ()


def test_w5_1_what_was_granted_is_told_with_its_tables(lab: Lab) -> None:
    governed = lab.govern("SELECT ssn FROM sales.c", principal(), book(OWN, mask(MaskFunction.FULL)))
    assert (governed.tables, governed.filtered, governed.columns_masked) == ((C,), (C,), ("sales.c.ssn",))
    assert [(v.policy, v.kind, v.effect) for v in governed.verdicts[:2]] == [
        ("role", "access", "allowed"),
        ("scope", "access", "allowed"),
    ]
    plain = lab.govern("SELECT x FROM shared.r", principal(), book(OWN))
    assert (plain.tables, plain.filtered, plain.columns_masked) == ((TableName("shared", "r"),), (), ())
    for sql, kind in (
        ("SUMMARIZE sales.c", "summarize"),
        ("DESCRIBE sales.c", "describe"),
        ("DESC sales.c", "describe"),
        ("SELECT 1", "select"),
    ):
        told = lab.govern(sql, principal(), book(mask(MaskFunction.FULL)))
        assert (told.kind, told.masked_values) == (kind, ())


# ---------------------------------------------------------------- views beside one another, places of refusals


def test_views_stand_beside_one_another_and_in_one_another_up_to_a_depth(lab: Lab) -> None:
    def chain(length: int) -> list[View]:
        below = ["SELECT x FROM shared.r", *(f"SELECT x FROM sales.v{i}" for i in range(length - 1))]
        return [View(f"v{i}", TableName("sales", f"v{i}"), sql) for i, sql in enumerate(below)]

    beside = "SELECT count(*) FROM " + ", ".join(f"sales.v0 a{i}" for i in range(12))
    assert rows(lab, beside, principal(), views=chain(1)) == [(1,)]
    assert rows(lab, f"SELECT x FROM sales.v{VIEW_DEPTH_MAX - 1}", principal(), views=chain(VIEW_DEPTH_MAX)) == [(1,)]
    deep = refused(lab, f"SELECT x FROM sales.v{VIEW_DEPTH_MAX}", principal(), views=chain(VIEW_DEPTH_MAX + 1))
    assert deep.code == "permission_denied"


@pytest.mark.parametrize(
    ("sql", "readable"),
    [
        ("SELECT x FROM shared.r", True), ("(SELECT x FROM shared.r)", True), ("FROM shared.r", True), ("WITH a AS (SELECT x FROM shared.r) FROM a", True), ("VALUES (1)", True), ("SELECT x FROM shared.r;;", True),
        ("SUMMARIZE shared.r", False), ("DESCRIBE shared.r", False), ("TABLE shared.r", False), ("SELECT $1 AS x", False), ("SELECT ? AS x", False), ("SELECT 1 AS x; SELECT 2 AS x", False), ("", False), ("SELECT c.id FROM shared.r", False),
        ("INSERT INTO sales.c VALUES (1)", False), ("EXPLAIN SELECT 1", False), ("SELECT x FROM globex.secret", False), ("SELECT getenv('HOME') AS x", False), ("PIVOT shared.r ON x USING count(*)", False),
    ],
)  # fmt: skip
def test_a_view_is_one_select_that_binds_by_itself(lab: Lab, sql: str, readable: bool) -> None:
    views = [View("v", TableName("sales", "v"), sql)]
    if readable:
        assert rows(lab, "SELECT count(*) FROM sales.c c, sales.v WHERE c.id = 1", principal(), views=views) == [(1,)]
    else:
        found = refused(lab, "SELECT count(*) FROM sales.c c, sales.v WHERE c.id = 1", principal(), views=views)
        assert found.code == "permission_denied"
        assert "globex" not in found.message + found.advice


@pytest.mark.parametrize(
    ("sql", "code", "position"),
    [
        ("SELECT 1; SELECT 2", "statement_not_supported", 9), (" SELECT 'é';; SELECT 2", "statement_not_supported", 12), ("SELECT 1 FORM x y", "syntax_error", 15), ("SELECT '😀é' FORM x y", "syntax_error", 18),
        ("SELECT 'é', x FROM nowhere.t", "table_unknown", 20), ("SELECT 1 FROM shared.r, sales.nothing", "table_unknown", 25),
    ],
)  # fmt: skip
def test_a_refusal_tells_where(lab: Lab, sql: str, code: str, position: int) -> None:
    found = refused(lab, sql, principal())
    assert (found.code, found.position) == (code, position)
