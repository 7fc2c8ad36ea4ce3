"""Attacks through views: a name that a view's tables do not have must not be found among what the client wrote."""

from __future__ import annotations

import pytest

from governance.policies import Mask, MaskFunction, MinimumGroup, RowFilter, View
from governance.tables import TableName
from tests.support.governed_lab import Lab, principal, rulebook

T = TableName("s", "t")
VIEWS = {
    "gone": "SELECT id FROM s.t WHERE kind = 'x'",
    "nested": "SELECT id FROM s.gone",
    "outer_only": "SELECT c.id FROM s.t",
    "fine": "SELECT id, ssn AS code, l[1] AS one FROM s.t WHERE region = 'emea'",
    "values_": "VALUES (1, 'a'), (2, 'b')",
    "from_first": "FROM s.t SELECT id, org_id",
    "zoned": "SELECT id, ts AT TIME ZONE 'Europe/Berlin' AS at, j->>'$.a' AS a FROM s.t",
    "same_names": "SELECT a.id, b.id FROM s.t a JOIN s.t b ON a.id = b.id",
    "recursive_": "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT n FROM r",
    "wide": "SELECT *, [x || 'y' FOR x IN l] AS y, list_transform(l, v -> upper(v)) AS z FROM s.t",
    "over": "SELECT count(*) AS n, max(code) AS m FROM s.fine",
    "grouped": "SELECT dept, count(*) AS n FROM s.g GROUP BY dept",
}
BOOK = rulebook(
    [
        RowFilter("f", "own", T, "org_id = {org_id}"),
        Mask("m", "m", T, "ssn", MaskFunction.HMAC),
        MinimumGroup("g", "g", TableName("s", "g"), 2),
    ],
    [("s", "1")],
    [View(name, TableName("s", name), sql) for name, sql in VIEWS.items()],
    mask_key_id="k",
)


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(
        [
            "CREATE SCHEMA s",
            (
                "CREATE TABLE s.t AS SELECT i AS id, 1 AS org_id, 'emea' AS region, '111-11-1111' AS ssn, ['a'] AS l, "
                "TIMESTAMP '2020-01-01' AS ts, '{}'::JSON AS j FROM range(3) r(i)"
            ),
            "CREATE TABLE s.g AS SELECT i % 2 AS dept FROM range(6) r(i)",
        ]
    )


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM s.{}",
        "SELECT * FROM (SELECT 'x' AS kind, 1 AS id) c, LATERAL (SELECT * FROM s.{}) q",
        "SELECT (SELECT count(*) FROM s.{}) FROM (SELECT 'x' AS kind, 1 AS id) c",
        "SELECT * FROM (VALUES ('x', 1)) c(kind, id) WHERE EXISTS (FROM s.{})",
    ],
)
@pytest.mark.parametrize("view", ["gone", "nested", "outer_only"])
def test_a_view_never_reads_what_stands_around_it(lab: Lab, sql: str, view: str) -> None:
    outcome = lab.run(sql.format(view), principal(), BOOK)
    assert outcome.status == "deny"
    assert "cannot be read" in outcome.error


@pytest.mark.parametrize("view", sorted(VIEWS.keys() - {"gone", "nested", "outer_only"}))
def test_a_view_that_stands_by_itself_is_read(lab: Lab, view: str) -> None:
    for sql in ("SELECT * FROM s.{}", "SELECT count(*) FROM (SELECT 1 AS id) c, LATERAL (SELECT * FROM s.{}) q"):
        lab.govern(sql.format(view), principal(), BOOK)
