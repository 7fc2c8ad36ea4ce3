"""Errors tell nothing of hidden rows: expressions that throw on them behave as if they were not there."""

from __future__ import annotations

import pytest

from governance.policies import RowFilter
from governance.tables import TableName
from tests.engine.pipeline.throwing import PLACES, THROWING
from tests.support.governed_lab import Lab, principal, rulebook

_COLUMNS = (
    "id BIGINT, org_id INTEGER, region VARCHAR, t VARCHAR, d2 VARCHAR, big BIGINT, amt DECIMAL(12,2), f DOUBLE, "
    "ts TIMESTAMP, dt DATE, j VARCHAR, blobby VARCHAR, pos DOUBLE, unit DOUBLE, pat VARCHAR, esc VARCHAR, "
    "hexy VARCHAR, "
    "b64 VARCHAR, fmt VARCHAR, fmt2 VARCHAR, sf VARCHAR, part VARCHAR, mon BIGINT, zone VARCHAR, jp VARCHAR, "
    "agg VARCHAR, ord VARCHAR, setb VARCHAR"
)
_VISIBLE = (
    "i, 1, 'emea', '1', '2020-01-01', 1, 1.00, 1.0, TIMESTAMP '2020-01-01', DATE '2020-01-01', '[]', 'a', 1.0, 0.5, "
    "'a', '!', '41', 'YQ==', '{}', '%d', '%Y', 'year', 1, 'UTC', '$.a', 'sum', 'ASC', '1'"
)
_HIDDEN = (
    "i, 2, 'HID', 'HIDDEN', 'HIDDEN', 9223372036854775807, 9999999999.99, 1e300, TIMESTAMP '290000-01-01', "
    "DATE '5000000-01-01', '{HIDDEN', '\\xZZ', -1.0, 7.0, '(HIDDEN', 'HIDDEN', 'HIDDEN!', '*HIDDEN', '{HIDDEN', "
    "'%HIDDEN', '%HIDDEN%', 'HIDDEN', 99, 'HIDDEN', 'HIDDEN$$[', 'HIDDEN', 'HIDDEN', 'HIDDEN'"
)
BOOK = rulebook([RowFilter("f", "own", TableName("s", "t"), "org_id = {org_id}")], [("s", "shared")])
OPEN = rulebook([], [("s", "shared")])


def _lab(hidden: int) -> Lab:
    return Lab(
        [
            "CREATE SCHEMA s",
            f"CREATE TABLE s.t({_COLUMNS})",
            f"INSERT INTO s.t SELECT {_VISIBLE} FROM range(100) r(i)",
            f"INSERT INTO s.t SELECT {_HIDDEN} FROM range({hidden}) r(i)",
            f"INSERT INTO s.t SELECT {_VISIBLE} FROM range(1000, 1100) r(i)",
        ]
    )


@pytest.fixture(scope="module")
def labs() -> tuple[Lab, Lab]:
    return _lab(200_000), _lab(0)


def _compare(labs: tuple[Lab, Lab], place: str) -> list[str]:
    leaks = []
    for expression in THROWING:
        sql = PLACES[place].format(e=expression)
        many, none = (lab.run(sql, principal(), BOOK) for lab in labs)
        if (many.status, many.columns, many.rows, many.error) != (none.status, none.columns, none.rows, none.error):
            leaks.append(expression)
    return leaks


def test_no_throwing_expression_tells_of_hidden_rows(labs: tuple[Lab, Lab]) -> None:
    assert _compare(labs, "where") == []


@pytest.mark.slow
@pytest.mark.parametrize("place", sorted(PLACES))
def test_no_throwing_expression_tells_in_any_place(labs: tuple[Lab, Lab], place: str) -> None:
    assert _compare(labs, place) == []


def test_the_probes_do_throw_when_nothing_is_hidden(labs: tuple[Lab, Lab]) -> None:
    sample = THROWING[::4]
    thrown = sum(labs[0].run(PLACES["where"].format(e=e), principal(), OPEN).status == "error" for e in sample)
    assert thrown >= len(sample) // 2
