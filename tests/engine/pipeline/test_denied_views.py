# ruff: noqa: E501
"""`on_predicate: deny` holds for what a view shows of a masked column, under whatever name, and for nothing else of it."""

from __future__ import annotations

import pytest

from governance.policies import MaskFunction, View
from governance.tables import TableName
from tests.engine.pipeline.sales import OWN, SETUP, mask, refused, rows
from tests.support.governed_lab import Lab, principal

DENY = mask(MaskFunction.FULL, deny_predicate=True)
TEXTS = {
    "plain": "SELECT id, ssn, region FROM sales.c",
    "star": "SELECT * FROM sales.c",
    "renamed": "SELECT id, ssn AS code FROM sales.c",
    "made": "SELECT id, upper(ssn) AS code, region AS ssn_region FROM sales.c",
    "unnamed": "SELECT id, upper(ssn) FROM sales.c",
    "twice": "SELECT a.ssn, b.ssn, a.id FROM sales.c a JOIN sales.c b ON a.id = b.id",
    "whole": "SELECT id, c FROM sales.c",
    "inner": "SELECT id, (SELECT max(x.ssn) FROM sales.c x WHERE x.id = y.id) AS code FROM sales.c y",
    "derived": "SELECT id, z AS code FROM (SELECT id, ssn AS z FROM sales.c)",
    "with": "WITH q(a, b) AS (SELECT id, ssn FROM sales.c) SELECT a AS id, b AS code FROM q",
    "opaque": "SELECT * RENAME (ssn AS code) FROM sales.c",
    "unions": "SELECT id, region AS code FROM sales.c UNION ALL SELECT id, ssn FROM sales.c",
    "counted": "SELECT region, count(ssn) AS code FROM sales.c GROUP BY region",
    "second": "SELECT id AS n, code AS again FROM sales.renamed",
    "other": "SELECT id, region FROM sales.c",
}
VIEWS = [View(name, TableName("sales", name), text) for name, text in TEXTS.items()]


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(SETUP)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM sales.plain WHERE ssn = '1'", "SELECT id FROM sales.star WHERE ssn = '1'", "SELECT id FROM sales.renamed WHERE code = '1'",
        "SELECT id FROM sales.renamed AS v WHERE v.code LIKE '1%'", "SELECT id FROM sales.made WHERE code > '1'", "SELECT id FROM sales.unnamed WHERE \"upper(ssn)\" = '1'",
        "SELECT id FROM sales.twice WHERE ssn_1 = '1'", "SELECT id FROM sales.whole WHERE c.ssn = '1'", "SELECT id FROM sales.inner WHERE code = '1'",
        "SELECT id FROM sales.derived WHERE code = '1'", "SELECT id FROM sales.with WHERE code = '1'", "SELECT id FROM sales.opaque WHERE code = '1'",
        "SELECT id FROM sales.unions WHERE code = '1'", "SELECT region FROM sales.counted WHERE code = 1", "SELECT n FROM sales.second WHERE again = '1'",
        "SELECT id FROM (SELECT id, code AS z FROM sales.renamed) WHERE z = '1'", "SELECT 1 FROM sales.plain a JOIN sales.plain b USING (ssn)",
        "SELECT 1 FROM sales.renamed a NATURAL JOIN sales.renamed b", "SELECT count(*) FILTER (WHERE code = '1') FROM sales.renamed", "SELECT max(code) FROM sales.renamed HAVING max(code) > '1'",
        "SELECT id FROM sales.renamed WHERE COLUMNS('code') = '1'", "SELECT a.id FROM sales.c a JOIN sales.renamed b ON a.region = b.code", "SELECT id FROM sales.renamed v WHERE CAST(v AS VARCHAR) LIKE '%1%'",
        "SELECT x.b FROM sales.renamed AS x(a, b) WHERE x.b = '1'", "SELECT id FROM sales.renamed WHERE code.length() = 3", "SELECT id FROM sales.renamed QUALIFY row_number() OVER (ORDER BY id) = length(code)",
    ],
)  # fmt: skip
def test_what_a_view_shows_of_a_denied_column_stands_in_no_predicate(lab: Lab, sql: str) -> None:
    sql = sql.replace("sales.inner", 'sales."inner"').replace("sales.with", 'sales."with"')
    assert refused(lab, sql, principal(), OWN, DENY, views=VIEWS).code == "masked_predicate"
    allowed = mask(MaskFunction.FULL)
    if "COLUMNS" not in sql:
        rows(lab, sql, principal(), OWN, allowed, views=VIEWS)


@pytest.mark.parametrize(
    ("sql", "count"),
    [
        ("SELECT id, ssn FROM sales.plain WHERE id = 1", 1), ("SELECT ssn FROM sales.plain WHERE region = 'emea'", 2), ("SELECT code FROM sales.renamed WHERE id > 1 ORDER BY id", 2),
        ("SELECT code FROM sales.made WHERE ssn_region = 'emea'", 2), ("SELECT a.id FROM sales.renamed a JOIN sales.c b ON a.id = b.id WHERE b.region = 'emea'", 2),
        ("SELECT id FROM sales.other WHERE region = 'emea'", 2), ("SELECT again FROM sales.second WHERE n = 1", 1), ("SELECT a.id FROM sales.renamed a JOIN sales.plain b USING (id) WHERE b.region = 'emea'", 2),
        ("SELECT region, n FROM (SELECT region, count(*) AS n FROM sales.plain GROUP BY region) WHERE n > 1", 1), ("SELECT id FROM sales.star WHERE bal > 15 AND seen IS NULL", 1),
        ("SELECT id FROM sales.derived WHERE id = 1", 1), ("SELECT id FROM sales.unions WHERE id = 1", 2), ("SELECT c.region FROM sales.c JOIN shared.r ON x = c.id WHERE r.x = 1", 1),
    ],
)  # fmt: skip
def test_other_columns_of_the_view_do(lab: Lab, sql: str, count: int) -> None:
    assert len(rows(lab, sql, principal(), OWN, DENY, views=VIEWS)) == count
