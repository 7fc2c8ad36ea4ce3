"""Errors tell nothing of hidden rows: expressions that throw on them behave as if they were not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.pipeline import Pipeline
from engine.pipeline.guard import Guards
from governance.policies import RowFilter
from governance.tables import TableName
from tests.engine.pipeline.throwing import PLACES, THROWING, UPON_NULL
from tests.support.governed_lab import PARSER, Lab, principal, rulebook

_COLUMNS = (
    "id BIGINT, org_id INTEGER, region VARCHAR, t VARCHAR, d2 VARCHAR, big BIGINT, amt DECIMAL(12,2), f DOUBLE, "
    "ts TIMESTAMP, dt DATE, j VARCHAR, blobby VARCHAR, pos DOUBLE, unit DOUBLE, pat VARCHAR, esc VARCHAR, "
    "hexy VARCHAR, "
    "b64 VARCHAR, fmt VARCHAR, fmt2 VARCHAR, sf VARCHAR, part VARCHAR, mon BIGINT, zone VARCHAR, jp VARCHAR, "
    "agg VARCHAR, ord VARCHAR, setb VARCHAR, neg BIGINT"
)
_VISIBLE = (
    "i, 1, 'emea', '1', '2020-01-01', 1, 1.00, 1.0, TIMESTAMP '2020-01-01', DATE '2020-01-01', '[]', 'a', 1.0, 0.5, "
    "'a', '!', '41', 'YQ==', '{}', '%d', '%Y', 'year', 1, 'UTC', '$.a', 'sum', 'ASC', '1', 1"
)
_HIDDEN = (
    "i, 2, 'HID', 'HIDDEN', 'HIDDEN', 9223372036854775807, 9999999999.99, 1e300, TIMESTAMP '290000-01-01', "
    "DATE '5000000-01-01', '{HIDDEN', '\\xZZ', -1.0, 7.0, '(HIDDEN', 'HIDDEN', 'HIDDEN!', '*HIDDEN', '{HIDDEN', "
    "'%HIDDEN', '%HIDDEN%', 'HIDDEN', 99, 'HIDDEN', 'HIDDEN$$[', 'HIDDEN', 'HIDDEN', 'HIDDEN', "
    "-9223372036854775808"
)
BOOK = rulebook([RowFilter("f", "own", TableName("s", "t"), "org_id = {org_id}")], [("s", "shared")])


def _lab(folder: Path | None, *, hidden: bool, visible: bool = True) -> Lab:
    """Visible rows between hidden ones, so that both share row groups, vectors and dictionaries.

    Without a folder the rows are in DuckDB's own table, else in a Parquet file there.
    """
    parts = [f"SELECT {_VISIBLE}, i AS place FROM range(0) r(i)"]
    if visible:
        parts.append(f"SELECT {_VISIBLE.replace('i, ', 'i * 2, ', 1)}, i * 2 AS place FROM range(100000) r(i)")
    if hidden:
        parts.append(f"SELECT {_HIDDEN.replace('i, ', 'i * 2 + 1, ', 1)}, i * 2 + 1 AS place FROM range(100000) r(i)")
    rows = f"SELECT * EXCLUDE (place) FROM ({' UNION ALL '.join(parts)}) ORDER BY place"
    lab = Lab(["CREATE SCHEMA s", f"CREATE TABLE s.t({_COLUMNS})", f"INSERT INTO s.t {rows}"])
    if folder is not None:
        file = folder / f"{hidden}-{visible}.parquet"
        table = lab.relation(TableName("s", "t"))
        lab.db.execute(f"COPY (SELECT * FROM {table}) TO '{file}' (FORMAT parquet, ROW_GROUP_SIZE 20000)")
        lab.files[TableName("s", "t")] = f"read_parquet('{file}')"
    return lab


@pytest.fixture(scope="module", params=["parquet", "table"])
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    return tmp_path_factory.mktemp("twins") if request.param == "parquet" else None


@pytest.fixture(scope="module")
def labs(kind: Path | None) -> tuple[Lab, Lab]:
    return _lab(kind, hidden=True), _lab(kind, hidden=False)


@pytest.fixture(scope="module")
def empty_labs(kind: Path | None) -> tuple[Lab, Lab]:
    return _lab(kind, hidden=True, visible=False), _lab(kind, hidden=False, visible=False)


def _leaks(labs: tuple[Lab, Lab], place: str, expressions: tuple[str, ...]) -> list[str]:
    leaks = []
    for expression in expressions:
        sql = PLACES[place].format(e=expression)
        many, none = (lab.run(sql, principal(), BOOK) for lab in labs)
        if (many.status, many.columns, many.rows, many.error) != (none.status, none.columns, none.rows, none.error):
            leaks.append(expression)
    return leaks


@pytest.mark.parametrize("place", ["where", "select"])
def test_no_throwing_expression_tells_of_hidden_rows(labs: tuple[Lab, Lab], kind: Path | None, place: str) -> None:
    half = THROWING if kind is not None else THROWING[::3]  # all of them in every place: the slow profile
    assert _leaks(labs, place, half) == []


def test_nothing_tells_that_there_are_hidden_rows(empty_labs: tuple[Lab, Lab]) -> None:
    for place in ("where", "union", "and"):
        assert _leaks(empty_labs, place, UPON_NULL) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("place", sorted(PLACES))
def test_no_throwing_expression_tells_in_any_place(
    labs: tuple[Lab, Lab], empty_labs: tuple[Lab, Lab], place: str
) -> None:
    assert _leaks(labs, place, THROWING + UPON_NULL) == []
    assert _leaks(empty_labs, place, THROWING + UPON_NULL) == []


def test_the_probes_would_tell_without_guard_and_barrier(
    labs: tuple[Lab, Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.pipeline.planner.guards_of", lambda survey, tables: Guards())
    for lab in labs:
        monkeypatch.setattr(lab, "pipeline", Pipeline(PARSER))
    assert len(_leaks(labs, "where", THROWING)) >= 8


def test_the_probes_would_tell_in_projections_without_seals(
    labs: tuple[Lab, Lab], kind: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind is None:
        pytest.skip("DuckDB's own tables give no dictionaries here")
    monkeypatch.setattr("engine.pipeline.guard.Guards.seals", lambda self, column: False)
    for lab in labs:
        monkeypatch.setattr(lab, "pipeline", Pipeline(PARSER))
    assert _leaks(labs, "select", ("hamming(t, '1') >= 0", "epoch_ns(ts) <> 1")) != []
