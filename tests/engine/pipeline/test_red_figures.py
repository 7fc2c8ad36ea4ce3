"""Attacks on a minimum group by overflow: a figure of a group too small to be shown must not fail."""

from __future__ import annotations

import pytest

from governance.policies import MinimumGroup
from governance.tables import TableName
from tests.support.governed_lab import Lab, principal, rulebook

BOOK = rulebook([MinimumGroup("g", "g", TableName("p", "staff"), 10)], [("p", "1")])
_HUGE = 2**127 - 1
_TYPES = {
    "whole": ("BIGINT", "9223372036854775807"),
    "unsigned": ("UBIGINT", "18446744073709551615"),
    "huge": ("HUGEINT", f"'{_HUGE}'"),
    "x": ("DOUBLE", "'inf'"),
    "small_x": ("FLOAT", "3e38"),
    "narrow": ("DECIMAL(18,2)", "9999999999999999.99"),
    "wide": ("DECIMAL(36,2)", "'9999999999999999999999999999999999.99'"),
    "widest": ("DECIMAL(38,0)", "'99999999999999999999999999999999999999'"),
    "span": ("INTERVAL", "to_days(2000000000)"),
}
_SHOWN = {
    "sum": {"whole", "unsigned", "x", "small_x", "narrow", "wide"},
    "avg": {"whole", "unsigned", "x", "small_x", "narrow", "wide"},
    "stddev": {"whole", "unsigned", "huge", "narrow", "wide", "widest"},
    "var_pop": {"whole", "unsigned", "huge", "narrow", "wide", "widest"},
    "count": set(_TYPES),
    "approx_count_distinct": set(_TYPES),
}


def _lab(extreme: bool) -> Lab:
    """Rows 7 and 8 hold the largest values there are, or none that matters."""
    items = ", ".join(
        f"CASE WHEN {str(extreme).lower()} AND i IN (7, 8) THEN CAST({value} AS {type_}) "
        f"ELSE CAST({'to_days(1)' if type_ == 'INTERVAL' else '1'} AS {type_}) END AS {name}"
        for name, (type_, value) in _TYPES.items()
    )
    return Lab(
        ["CREATE SCHEMA p", f"CREATE TABLE p.staff AS SELECT i AS id, i // 9 AS dept, {items} FROM range(9) r(i)"]
    )


@pytest.fixture(scope="module")
def labs() -> tuple[Lab, Lab]:
    return _lab(True), _lab(False)


@pytest.mark.parametrize("figure", sorted(_SHOWN))
@pytest.mark.parametrize("column", sorted(_TYPES))
def test_a_small_group_never_overflows(labs: tuple[Lab, Lab], figure: str, column: str) -> None:
    for form in ("SELECT {} FROM p.staff WHERE id IN (7, 8)", "SELECT {} FROM p.staff GROUP BY dept"):
        sql = form.format(f"{figure}({column})")
        extreme, plain = (lab.run(sql, principal(), BOOK) for lab in labs)
        assert extreme == plain
        assert extreme.status == ("ok" if column in _SHOWN[figure] else "deny")
        assert extreme.rows == []


def test_a_constant_counts_no_rows_by_overflow(labs: tuple[Lab, Lab]) -> None:
    """`sum` of the largest number there is fails for two rows, and not for one."""
    assert labs[0].run(f"SELECT sum({_HUGE}) FROM p.staff WHERE id IN (7, 8)", principal(), BOOK).status == "deny"
    assert labs[0].run("SELECT sum(1), avg(1.5) FROM p.staff WHERE id IN (7, 8)", principal(), BOOK).status == "ok"


def test_a_field_of_a_struct_is_not_taken_for_a_column() -> None:
    lab = Lab(["CREATE SCHEMA p", "CREATE TABLE p.staff AS SELECT {'n': 1::HUGEINT} AS info, 1 AS n FROM range(30)"])
    assert lab.run("SELECT sum(info.n) FROM p.staff", principal(), BOOK).status == "deny"
    assert lab.run("SELECT sum(staff.n), sum(n) FROM p.staff", principal(), BOOK).rows == [(30, 30)]
