# ruff: noqa: E501
"""What is guarded and what is not: conditions that may fail, values that stand in hidden rows, samples, names."""

from __future__ import annotations

import pytest

from tests.engine.pipeline.sales import OWN, SETUP, book, refused, rows
from tests.support.governed_lab import Lab, principal


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(SETUP)


def _text(lab: Lab, sql: str) -> str:
    return lab.sql(sql, principal(), book(OWN))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT bal::SMALLINT FROM sales.c WHERE id = 1", "SELECT id FROM sales.c WHERE region LIKE 'e%' AND bal BETWEEN 1 AND 5 AND seen >= DATE '2020-01-01'",
        "SELECT region, sum(bal) FROM sales.c GROUP BY region HAVING sum(bal) > 5", "SELECT a.id FROM sales.c a JOIN sales.c b ON a.id = b.id WHERE a.region IN ('x') OR b.seen IS NULL",
        "SELECT id FROM sales.c QUALIFY row_number() OVER (ORDER BY id) = 1", "SELECT id FROM sales.c WHERE id IN (SELECT id FROM sales.c WHERE lower(region) = 'x')",
        "SELECT n FROM (SELECT region AS n, id AS id FROM sales.c) WHERE n = 'x' AND id > 3 AND length(n) > 2 AND year(DATE '2020-01-01') > 3",
    ],
)  # fmt: skip
def test_leakproof_statements_are_not_guarded(lab: Lab, sql: str) -> None:
    assert "CASE WHEN" not in _text(lab, sql)
    assert "OFFSET 0" not in _text(lab, sql)


_ALL = {"id", "org_id", "ssn", "bal", "region", "seen"}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM (SELECT true AS p UNION ALL SELECT bal::SMALLINT > 0 FROM sales.c) WHERE p",
        "SELECT count(*) FROM (SELECT true AS p UNION ALL (SELECT true UNION ALL SELECT bal::SMALLINT > 0 FROM sales.c)) WHERE p",
        "SELECT 1 FROM (SELECT 1, 2 UNION ALL SELECT id, bal::SMALLINT FROM sales.c) x(a, b) WHERE b > 1",
        "SELECT * FROM (SELECT s.bal FROM (SELECT {'bal': bal::SMALLINT} AS s FROM sales.c)) WHERE bal > 0",
        "SELECT * FROM (SELECT unnest({'bal': bal::SMALLINT}) FROM sales.c) WHERE bal > 0",
        "SELECT * FROM (SELECT q.* FROM (SELECT {'bal': bal::SMALLINT} AS q FROM sales.c)) WHERE bal > 0",
        "SELECT * FROM sales.c c, unnest([{'bal': c.bal::SMALLINT}], recursive := true) u WHERE bal > 0",
        "WITH RECURSIVE r AS (SELECT 1.5 AS bal UNION ALL SELECT bal::SMALLINT FROM sales.c) SELECT * FROM r WHERE bal > 0",
        "SELECT * FROM (SELECT * FROM sales.c UNION ALL SELECT id, org_id, ssn, bal::SMALLINT, region, seen FROM sales.c) WHERE bal > 1",
        "SELECT * FROM (SELECT COLUMNS('bal')::SMALLINT FROM sales.c) WHERE bal > 1", "SELECT * FROM sales.c WHERE id = 'abc'::INT", "SELECT * FROM sales.c WHERE 'abc'::INT = 1",
        "SELECT * FROM sales.c WHERE seen >= '2020-13-01'::DATE", "SELECT * FROM sales.c WHERE substr(region, 1, 99999999999) = 'x'", "SELECT * FROM sales.c WHERE id = 1 AND (SELECT 'x'::INT) = 1",
        "SELECT * FROM sales.c WHERE CASE WHEN region IS NULL THEN 'x'::INT = 1 ELSE true END", "SELECT * FROM sales.c a JOIN (SELECT region AS id FROM sales.c) b USING (id)",
        "SELECT * FROM sales.c NATURAL JOIN (SELECT 'x' AS bal)", "SELECT id FROM sales.c WHERE id = $1", "SELECT count(*) FILTER (bal::SMALLINT > 0) FROM sales.c",
    ],
)  # fmt: skip
def test_conditions_that_may_fail_stay_outside_the_relation(lab: Lab, sql: str) -> None:
    assert " OFFSET 0)" in _text(lab, sql)


def test_leakproof_conjuncts_are_copied_inside(lab: Lab) -> None:
    text = _text(
        lab,
        "SELECT id FROM sales.c WHERE id = 5 AND id::TINYINT > 1 AND seen >= DATE '2020-01-01' AND seen::TIMESTAMP_NS IS NOT NULL",
    )
    assert 'AND (hd."id" = CAST(5 AS INTEGER)) AND (hd."seen" >= CAST(\'2020-01-01\' AS DATE)) OFFSET 0)' in text
    assert "TRY_CAST($1 AS INTEGER)" in _text(lab, "SELECT id FROM sales.c WHERE id = $1")
    for sql in (
        "SELECT 1 FROM sales.c a FULL JOIN sales.c b ON true WHERE a.id = 5 AND a.id::TINYINT > 1", "SELECT 1 FROM sales.c a POSITIONAL JOIN sales.c b WHERE a.id = 5 AND a.id::TINYINT > 1",
        "SELECT 1 FROM sales.c WHERE (id = 5 OR id::TINYINT > 1)", "SELECT 1 FROM sales.c TABLESAMPLE 5 ROWS WHERE id = 5 AND id::TINYINT > 1",
    ):  # fmt: skip
        assert 'hd."id" = ' not in _text(lab, sql)


def test_a_bound_parameter_finds_what_a_literal_finds(lab: Lab) -> None:
    for value, expected in ((1, [(1,)]), (1.0, [(1,)]), (1.5, []), ("1", [(1,)]), (None, []), (2**40, [])):
        assert lab.run("SELECT id FROM sales.c WHERE id = $1", principal(), book(OWN), [value]).rows == expected


@pytest.mark.parametrize(
    ("sql", "guarded"),
    [
        ("SELECT id FROM sales.c WHERE bal::SMALLINT > 1", {"bal"}), ("SELECT id FROM sales.c WHERE region = 1", {"region"}),
        ("SELECT id FROM (SELECT id, bal::SMALLINT AS b FROM sales.c) WHERE b > 1", {"bal"}), ("SELECT id FROM sales.c WHERE id + 1 > 2", {"id"}),
        ("SELECT id FROM (SELECT {'bal': bal::SMALLINT} AS c, id FROM sales.c c) q WHERE c.bal > 0", {"bal"}),
        ("SELECT id FROM sales.c a JOIN sales.c b USING (id) WHERE a.seen::TIMESTAMP_NS IS NOT NULL", {"seen"}),
        ("WITH x(a, b) AS (SELECT id, bal::SMALLINT FROM sales.c) SELECT a FROM x WHERE b > 1", {"bal"}),
        ("SELECT 1 FROM sales.c c WHERE c IS NOT NULL AND CAST(c AS VARCHAR)::INTEGER > 1", _ALL),
    ],
)  # fmt: skip
def test_what_may_throw_is_guarded(lab: Lab, sql: str, guarded: set[str]) -> None:
    text = _text(lab, sql)
    assert {c for c in _ALL if f'THEN hd."{c}" END' in text} == guarded


def test_samples_by_vector_are_not_taken_of_filtered_tables(lab: Lab) -> None:
    for sql in ("SELECT id FROM sales.c TABLESAMPLE 50%", "SELECT id FROM sales.c USING SAMPLE 10 PERCENT (system, 1)"):
        assert refused(lab, sql, principal(), OWN).code == "statement_not_supported"
        rows(lab, sql, principal())
    assert len(rows(lab, "SELECT id FROM sales.c TABLESAMPLE reservoir(2 ROWS)", principal(), OWN)) == 2
    rows(lab, "SELECT id FROM sales.c USING SAMPLE 50% (bernoulli)", principal(), OWN)


def test_no_text_of_policies_comes_back_in_names(lab: Lab) -> None:
    for sql in (
        "SELECT (SELECT max(id) FROM sales.c)", "SELECT t FROM (SELECT (SELECT max(id) FROM sales.c)) t", "SELECT id IN (SELECT id FROM sales.c) FROM sales.c", "SELECT typeof(t) FROM (SELECT (SELECT max(id) FROM sales.c)) t",
        "SELECT [(SELECT max(id) FROM sales.c)]", "DESCRIBE SELECT (SELECT max(id) FROM sales.c)", "SELECT sales.c.id + 1 FROM sales.c", "SELECT (SELECT (SELECT max(id) FROM sales.c)) FROM sales.c",
    ):  # fmt: skip
        outcome = lab.run(sql, principal(), book(OWN))
        assert outcome.status == "ok", (sql, outcome.error)
        shown = repr((outcome.columns, outcome.rows))
        assert not any(word in shown for word in ("hd.", "hidden base", "org_id", "CAST(1", "CASE WHEN")), shown
    assert refused(lab, "SELECT alias((SELECT max(id) FROM sales.c))", principal(), OWN).code == "function_not_allowed"
    assert (
        refused(
            lab, "PIVOT sales.c ON region IN ('x') USING max((SELECT max(id) FROM sales.c)), sum(id)", principal(), OWN
        ).code
        == "statement_not_supported"
    )
