"""A group that is too small to be shown tells of itself by no error: DuckDB pushes conditions through HAVING."""

from __future__ import annotations

import pytest

from engine.pipeline import Pipeline
from engine.pipeline.guard import Guards
from governance.policies import MinimumGroup, View
from governance.tables import TableName
from tests.support.governed_lab import PARSER, Lab, principal, rulebook

_GROUPS = "SELECT dept, count(*) AS n FROM p.staff GROUP BY dept"
BOOK = rulebook(
    [MinimumGroup("g", "g", TableName("p", "staff"), 10)],
    [("p", "1")],
    [View("v", TableName("p", "v"), _GROUPS), View("w", TableName("p", "w"), f"{_GROUPS} ORDER BY dept")],
)
PUSHED = (  # DuckDB holds these for what cannot fail
    "hamming(q.dept, '1') >= 0",
    "[q.dept]::INTEGER[] IS NOT NULL",
    "{'a': q.dept}::STRUCT(a INTEGER) IS NOT NULL",
    "list_transform([q.dept], lambda x: x::INTEGER)[1] >= 0",
)
OUTSIDE = (
    f"SELECT * FROM ({_GROUPS}) q WHERE {{}}",
    f"WITH q AS ({_GROUPS}) SELECT * FROM q WHERE {{}}",
    f"SELECT * FROM ({_GROUPS} ORDER BY dept) q WHERE {{}}",
    f"SELECT * FROM ({_GROUPS} UNION ALL SELECT '1', 2) q WHERE {{}}",
    f"SELECT q.n FROM ({_GROUPS}) q JOIN p.o ON {{}} AND o.k = q.n",
    f"SELECT q.dept FROM ({_GROUPS}) q GROUP BY dept HAVING {{}}",
    f"SELECT row_number() OVER (PARTITION BY q.dept) AS r FROM ({_GROUPS}) q QUALIFY {{}} ORDER BY 1",
)


def _lab(*, small: bool) -> Lab:
    return Lab(
        [
            "CREATE SCHEMA p",
            "CREATE TABLE p.staff AS SELECT i AS id, CASE WHEN i = 7 THEN 'solo' ELSE (i % 2)::VARCHAR END AS dept "  # noqa: ISC004
            f"FROM range(300) t(i){'' if small else ' WHERE i <> 7'}",
            "CREATE TABLE p.o AS SELECT i AS k, (i % 3)::VARCHAR AS dept FROM range(300) t(i)",
        ]
    )


@pytest.fixture(scope="module")
def labs() -> tuple[Lab, Lab]:
    return _lab(small=True), _lab(small=False)


@pytest.mark.parametrize("condition", PUSHED)
@pytest.mark.parametrize("form", OUTSIDE)
def test_a_condition_outside_the_groups_is_refused_when_it_may_fail(
    labs: tuple[Lab, Lab], form: str, condition: str
) -> None:
    many, none = (lab.run(form.format(condition), principal(), BOOK) for lab in labs)
    assert many == none
    assert many.status == "deny"


@pytest.mark.parametrize("condition", PUSHED)
@pytest.mark.parametrize("view", ["v", "w"])
def test_a_view_over_groups_holds_conditions_back(labs: tuple[Lab, Lab], view: str, condition: str) -> None:
    many, none = (lab.run(f"SELECT dept FROM p.{view} q WHERE {condition}", principal(), BOOK) for lab in labs)
    assert many == none
    assert sorted(many.rows) == [("0",), ("1",)]


@pytest.mark.parametrize(
    "having", ["EXISTS (SELECT 1 FROM p.o WHERE o.k = staff.dept::INT)", "(SELECT bool_or(k = dept::INT) FROM p.o)"]
)
def test_having_takes_no_sub_queries(labs: tuple[Lab, Lab], having: str) -> None:
    many, none = (lab.run(f"{_GROUPS} HAVING {having}", principal(), BOOK) for lab in labs)
    assert many == none
    assert many.status == "deny"


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT * FROM ({_GROUPS}) q WHERE n > 5 AND dept <> 'x' ORDER BY dept",
        f"SELECT dept::INT AS d FROM ({_GROUPS}) q ORDER BY d",
        f"WITH q AS ({_GROUPS}) SELECT q.dept, count(*) FROM q JOIN p.o USING (dept) GROUP BY 1 ORDER BY 1",
        f"{_GROUPS} HAVING dept::INT >= 0 ORDER BY dept::INT",
    ],
)
def test_what_cannot_fail_and_what_stands_above_is_asked(labs: tuple[Lab, Lab], sql: str) -> None:
    many = labs[0].run(sql, principal(), BOOK)
    assert (many.status, len(many.rows)) == ("ok", 2)


def test_the_attacks_would_tell(labs: tuple[Lab, Lab], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.pipeline.minimum_group.guards_of", lambda survey, tables: Guards())
    for lab in labs:
        monkeypatch.setattr(lab, "pipeline", Pipeline(PARSER))
    for condition in PUSHED:
        many, none = (lab.run(OUTSIDE[0].format(condition), principal(), BOOK) for lab in labs)
        assert (many.status, none.status) == ("error", "ok")
