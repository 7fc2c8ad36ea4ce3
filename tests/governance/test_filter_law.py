# ruff: noqa: E501
"""A bound row filter means what DuckDB takes its text for, on every row: the law of the filter language (W4.9, W4.10)."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.errors import InvalidRequest
from governance.policy_text import bind_filter, check_filter
from governance.tables import Column, Table, TableName

TABLE = Table(
    TableName("s", "t"),
    (
        Column("id", "INTEGER"), Column("big", "BIGINT"), Column("name", "VARCHAR"), Column("Org Id", "VARCHAR"), Column("d", "DATE"),
        Column("ts", "TIMESTAMP"), Column("amt", "DECIMAL(12,2)"), Column("f", "DOUBLE"), Column("ok", "BOOLEAN"), Column("no", "BOOLEAN"),
    ),
)  # fmt: skip
ATTRIBUTES = {"org_id": "1", "region": "o'x", "department": "ab", "user_id": "5"}
_ROWS = """(1, 1, 'ab', '1', '2024-01-31', '2024-01-31 10:00:00', 1.50, 1.5, true, false), (2, -3, 'AB c', 'o''x', '2023-02-28', '2023-02-28', -2, 0.1, false, NULL),
    (5, 5, '', '5', '2024-12-01', '2024-01-31 00:00:00', 0, -1, NULL, true), (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (-7, 12, ' o''x ', 'ab', '1999-01-01', '1999-01-01', 10.25, 1e9, true, true), (12, 5, '12', '12', '2024-01-31', '2024-02-01', 12, 12, false, false)"""


@pytest.fixture(scope="module")
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": "1"}) as db:
        columns = ", ".join(f'"{c.name}" {c.type}' for c in TABLE.columns)
        db.execute(f"CREATE TABLE t({columns}); INSERT INTO t VALUES {_ROWS}")
        yield db


_small = st.sampled_from(["0", "1", "2", "-1", "3"])
_numbers = st.sampled_from(["0", "1", "-3", "5", "12", "{user_id}", "{org_id}"])
_decimals = st.sampled_from(["1.5", "0", "10.25", "-2", "12"])
_days = st.sampled_from(["'2024-01-31'", "DATE '2023-02-28'", "date '1999-01-01'"])
_times = st.sampled_from(["'2024-01-31 10:00:00'", "TIMESTAMP '2023-02-28 00:00:00'", "'1999-01-01 00:00:00'"])
_texts = st.recursive(
    st.sampled_from(["name", '"Org Id"', "NAME", '"org id"', "'ab'", "''", "'o''x'", "{region}", "{department}", "id::VARCHAR", "CAST(d AS TEXT)", "try_cast(amt AS VARCHAR)"]),
    lambda inner: st.one_of(
        st.builds("{}({})".format, st.sampled_from(["lower", "upper", "trim", "ltrim", "rtrim"]), inner),
        st.builds("{}({}, {})".format, st.sampled_from(["left", "right", "substr", "Substring"]), inner, _small),
        st.builds("substr({}, {}, {})".format, inner, _small, _small),
        st.builds("{}({}, {})".format, st.sampled_from(["concat", "coalesce", "nullif"]), inner, inner),
        st.builds("{} || {} || '-'".format, st.just("name"), inner),
    ),
    max_leaves=3,
)  # fmt: skip
_wholes = st.one_of(
    st.sampled_from(["id", "big", "coalesce(id, 1)", "nullif(big, 5)", "TRY_CAST(name AS INTEGER)", "try_cast(f AS BIGINT)", "year(d)", "month(ts)", "day(d)"]),
    st.builds("length({})".format, _texts),
)  # fmt: skip
_SIGNS = st.sampled_from(["=", "<>", "!=", "<", ">", "<=", ">=", "IS DISTINCT FROM", "is not distinct from"])
_KINDS = [(_texts, _texts), (_wholes, st.one_of(_numbers, st.sampled_from(["id", "big"]))), (st.just("amt"), _decimals), (st.just("f"), _decimals), (st.just("d"), _days), (st.just("ts"), _times),
          (st.sampled_from(["ok", "no"]), st.sampled_from(["TRUE", "false", "ok", "no"]))]  # fmt: skip


@st.composite
def _tests(draw: st.DrawFn) -> str:
    left, right = draw(st.sampled_from(_KINDS))
    one, two, three = draw(left), draw(right), draw(right)
    negated = draw(st.sampled_from(["", "NOT "]))
    pattern = draw(st.sampled_from(["'%'", "'a%'", "'_B%'", "'%x'", "''", "'%o''x%'"]))
    words = [draw(_texts), draw(_texts)]
    forms = [
        f"{one} {draw(_SIGNS)} {two}", f"{two} {draw(_SIGNS)} {one}", f"{one} {negated}IN ({two}, {three})", f"{one} {negated}in ({two})", f"{one} {negated}BETWEEN {two} AND {three}",
        f"{one} IS {negated}NULL", f"{words[0]} {negated}LIKE {pattern}", f"{words[0]} {negated}ilike {pattern}",
        f"{draw(st.sampled_from(['starts_with', 'suffix', 'contains']))}({words[0]}, {words[1]})", draw(st.sampled_from(["ok", "no", "TRUE", "FALSE", "null"])),
    ]  # fmt: skip
    return draw(st.sampled_from(forms))


_filters = st.recursive(
    _tests(),
    lambda inner: st.one_of(
        st.builds("{} AND {}".format, inner, inner), st.builds("{} or {}".format, inner, inner), st.builds("({})".format, inner),
        st.builds("NOT ({})".format, inner), st.builds("NOT NOT ({})".format, inner), st.builds("NOT {}".format, _tests()),
    ),
    max_leaves=4,
)  # fmt: skip


@settings(max_examples=250)
@given(_filters)
def test_w4_9_a_filter_shows_the_rows_that_its_text_means(db: duckdb.DuckDBPyConnection, text: str) -> None:
    try:
        bound = bind_filter(text, TABLE, ATTRIBUTES.get, prefix="hd.")
    except InvalidRequest:
        return  # literals of different kinds on both sides, and the like
    plain = text
    for name, value in ATTRIBUTES.items():
        plain = plain.replace("{" + name + "}", "'" + value.replace("'", "''") + "'")
    mine = db.execute(f"SELECT {bound.sql} FROM t AS hd ORDER BY rowid").fetchall()
    assert mine == db.execute(f"SELECT ({plain})::BOOLEAN FROM t ORDER BY rowid").fetchall(), bound.sql
    assert set(bound.columns) <= {c.name for c in TABLE.columns}
    assert set(check_filter(text, TABLE)) == {name for name in ATTRIBUTES if "{" + name + "}" in text}


@settings(max_examples=100)
@given(_filters)
def test_nearly_every_text_of_the_language_is_accepted(text: str) -> None:
    """What the law above skips is little: only what compares literals of two kinds, or a text with a number."""
    try:
        check_filter(text, TABLE)
        why = "compared"
    except InvalidRequest as refusal:
        why = refusal.message
    assert "compared" in why or "does not fit" in why, (text, why)


def test_a_filter_names_the_columns_it_reads_once_as_they_are_stored() -> None:
    bound = bind_filter('NAME = name OR ID = 1 OR "org id" = name', TABLE, ATTRIBUTES.get)
    assert bound.columns == ("name", "id", "Org Id")


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("id = 1 AND f = 'x'", 16), ("ok AND 5", 8), ("NOT {org_id}", 5), ("DATE '2024-01-01'", 1), ("ok OR lower(name)", 7), ("name || id = 'x'", 9), ("lower(id) = 'x'", 7),
        ("left(name, 10001) = 'x'", 12), ("left(name, -10001) = 'x'", 12), ("left(name, 1.5) = 'x'", 12), ("left(name, id) = 'x'", 12), ("left(name) = 'x'", 1), ("lower(name, name) = 'x'", 1),
        ("nullif(name) = 'x'", 1), ("year(name) = 1", 6), ("coalesce(name, id) = 'x'", 1), ("name LIKE {region}", 11), ("name LIKE 'x\\'", 11), ("name NOT = 'x'", 6), ("id BETWEEN 1", 13),
        ("id IN ()", 8), ("id IN (1", 9), ("CAST(name AS INTEGER) = 1", 1), ("name::DATE = '2024-01-01'", 1), ("TRY_CAST(d AS TIMESTAMP) = ts", 1), ("TRY_CAST(ts AS DATE) = d", 1),
        ("CAST(name INTEGER) = 1", 11), ("name::nosuch = 1", 7), ("select = 1", 1), ("name.x = 'a'", 1), ('"name".x = 1', 1), ("id = DATE 'x'", 6), ("concat() = 'x'", 8), ("ok ok", 4), ("- = 1", 1),
        ("f = 'x'", 5), ("amt = 'x'", 7), ("ok = 'maybe'", 6), ("id = {region}", 6), ("d = ts", 3), ("id = 1e5", 6), ("name = 5", 8), ("5 = 'x'", 5),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_where_it_stands(text: str, position: int) -> None:
    with pytest.raises(InvalidRequest) as refused:
        bind_filter(text, TABLE, ATTRIBUTES.get)
    assert refused.value.position == position
