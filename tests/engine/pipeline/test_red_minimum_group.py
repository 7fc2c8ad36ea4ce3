"""No single row of a table with a minimum group size tells of itself by an error."""

from __future__ import annotations

import pytest

from governance.policies import MinimumGroup
from governance.tables import TableName
from tests.support.governed_lab import Lab, principal, rulebook

BOOK = rulebook([MinimumGroup("g", "g", TableName("p", "staff"), 10)], [("p", "1")])
_FAILS = "(CASE WHEN staff.id = 7 AND staff.salary > 70 THEN 'x' ELSE '1' END)::INT"


def _lab(salary: int) -> Lab:
    return Lab(
        [
            "CREATE SCHEMA p",
            f"CREATE TABLE p.staff AS SELECT i AS id, i % 3 AS dept, if(i = 7, {salary}, i * 10) AS salary "  # noqa: ISC004
            "FROM range(300) t(i)",
            "CREATE TABLE p.o AS SELECT i AS k FROM range(300) t(i)",
        ]
    )


@pytest.fixture(scope="module")
def labs() -> tuple[Lab, Lab]:
    return _lab(70), _lab(71)


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT count(*) FROM p.staff WHERE EXISTS (SELECT 1 FROM p.o WHERE k < 100 AND {_FAILS} > 0)",
        f"SELECT count(*) FROM p.staff WHERE EXISTS (SELECT 1 FROM p.o GROUP BY {_FAILS})",
        f"SELECT count(*) FROM p.staff WHERE NOT EXISTS (SELECT 1 FROM p.o ORDER BY {_FAILS})",
        f"SELECT count(*) FROM p.staff WHERE id >= 0 AND EXISTS (SELECT 1 FROM p.o, LATERAL (SELECT {_FAILS} AS f) WHERE f > 0)",  # noqa: E501
        f"SELECT stddev(salary ORDER BY {_FAILS}) FROM p.staff",
        f"SELECT avg(salary ORDER BY {_FAILS}) FROM p.staff",
        f"SELECT dept, count(*) FROM p.staff GROUP BY dept HAVING avg(salary ORDER BY {_FAILS}) > 0",
        f"SELECT dept FROM p.staff GROUP BY dept ORDER BY approx_count_distinct(salary ORDER BY {_FAILS})",
    ],
)
def test_a_minimum_group_fails_on_no_single_row(labs: tuple[Lab, Lab], sql: str) -> None:
    a, b = (lab.run(sql, principal(), BOOK) for lab in labs)
    assert a == b
    assert (a.status, a.error.partition(":")[0]) == ("deny", "permission_denied")


def test_it_still_answers(labs: tuple[Lab, Lab]) -> None:
    sql = "SELECT dept, count(*), avg(salary) FROM p.staff WHERE id < 200 AND dept IN (0, 1) GROUP BY dept"
    assert len(labs[0].run(sql, principal(), BOOK).rows) == 2
