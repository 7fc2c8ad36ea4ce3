"""Attacks through lists, maps and structs: their elements lie beside those of hidden rows.

A filter only selects among lists; what CASE, COALESCE or `[x]` makes of them keeps the elements of every row of the
vector, and a cast then runs over all of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.pipeline import Pipeline
from governance.policies import RowFilter
from governance.sql_types import holds_lists, is_nested
from governance.tables import TableName
from tests.support.governed_lab import PARSER, Lab, principal, rulebook

T = TableName("s", "t")
BOOK = rulebook([RowFilter("f", "own", T, "org_id = {org_id}")], [("s", "1")])
_SEEN = (
    "i * 10 AS id, 1 AS org_id, ['1', (i % 3)::VARCHAR] AS tags, MAP {'k': (i % 3)::VARCHAR} AS m, "
    "[{'a': (i % 3)::VARCHAR}] AS pairs, [1, (i % 3)::INTEGER] AS n, {'a': '1', 'l': ['1']} AS info, [['1']] AS deep"
)
_HIDDEN = (
    "i * 5 + 1, 2, ['HIDDEN', 'x'], MAP {'HIDDEN': 'HIDDEN'}, [{'a': 'HIDDEN'}], [2147483647, 2147483647], "
    "{'a': 'HIDDEN', 'l': ['HIDDEN']}, [['HIDDEN'], []]"
)
ATTACKS = (
    "max((CASE WHEN id % 20 = 0 THEN tags ELSE ['5'] END)::INT[])",
    "max((CASE WHEN id % 20 = 0 THEN m ELSE MAP {'1': '1'} END)::MAP(VARCHAR, INT))",
    "max((CASE WHEN id % 20 = 0 THEN pairs END)::STRUCT(a INT)[])",
    "max((CASE WHEN id % 20 = 0 THEN info END)::STRUCT(a INT, l INT[]))",
    "max(coalesce(tags, ['5'])::INT[])",
    "max(coalesce(info, info).l::INT[])",
    "max(ifnull(n, [1])::TINYINT[])",
    "max(nullif(tags, ['5'])::INT[])",
    "max([tags]::INT[][])",
    "max(coalesce(deep, [['1']])::INT[][])",
    "max([deep[1]]::INT[][])",
    "max(union_value(z := tags).z::INT[])",
    "max(map_entries(m)::STRUCT(key VARCHAR, value INT)[])",
    "max(map_values(m)::INT[])",
    "sum(list_sum(tags::INT[]))",
    "max(list_sort(tags::INT[]))",
    "max(list_contains(tags::INT[], 1))",
    "max(list_zip(tags::INT[], n))",
    "max(list_append(n::TINYINT[], 1::TINYINT))",
    "max(list_transform(tags, lambda x: x::INT))",
    "max(list_reduce(n, lambda a, b: a + b))",
    "max(array_to_string(n::TINYINT[], ','))",
    "count(*) FILTER (WHERE tags::INT[] = [1, 1])",
    "max((SELECT max(u::INT) FROM unnest(tags) x(u)))",
)


def _lab(folder: Path | None, hidden: int) -> Lab:
    rows = f"SELECT {_SEEN} FROM range(500) r(i) UNION ALL SELECT {_HIDDEN} FROM range({hidden}) r(i) ORDER BY id"
    lab = Lab(["CREATE SCHEMA s", f"CREATE TABLE s.t AS {rows}"])
    if folder is not None:
        file = folder / f"{hidden}.parquet"
        lab.db.execute(f"COPY (FROM {lab.relation(T)}) TO '{file}' (FORMAT parquet)")
        lab.files[T] = f"read_parquet('{file}')"
    return lab


@pytest.fixture(scope="module", params=["parquet", "table"])
def labs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, Lab]:
    folder = tmp_path_factory.mktemp("twins") if request.param == "parquet" else None
    return _lab(folder, 1000), _lab(folder, 0)


@pytest.mark.parametrize("attack", ATTACKS)
def test_w4_8_no_element_of_a_hidden_rows_list_is_cast(labs: tuple[Lab, Lab], attack: str) -> None:
    many, none = (lab.run(f"SELECT {attack} FROM s.t", principal(), BOOK) for lab in labs)
    assert many == none
    assert many.status == "ok"


def test_what_is_nested_comes_as_it_is_stored(labs: tuple[Lab, Lab]) -> None:
    stored = labs[0].plain(f"SELECT * FROM {labs[0].relation(T)} WHERE org_id = 1 ORDER BY id")
    assert labs[0].run("SELECT * FROM s.t ORDER BY id", principal(), BOOK) == stored


def test_a_null_stays_null_and_keeps_its_type() -> None:
    lab = Lab(
        [
            "CREATE SCHEMA s",
            "CREATE TABLE s.t(org_id INT, l INT[], m MAP(INT, VARCHAR), s STRUCT(x INT, l VARCHAR[]))",
            (
                "INSERT INTO s.t VALUES (1, NULL, NULL, NULL), (1, [], MAP {}, {'x': NULL, 'l': NULL}), "
                "(1, [NULL], MAP {1: NULL}, {'x': 1, 'l': [NULL]}), (2, [9], MAP {9: 'h'}, {'x': 9, 'l': ['h']})"
            ),
        ]
    )
    stored = lab.plain(f"SELECT * FROM {lab.relation(T)} WHERE org_id = 1")
    assert lab.run("SELECT * FROM s.t", principal(), BOOK) == stored


def test_the_attacks_would_tell_without_the_copy(labs: tuple[Lab, Lab], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.pipeline.relation.holds_lists", lambda type_: False)
    monkeypatch.setattr("engine.pipeline.relation.is_nested", lambda type_: False)
    for lab in labs:
        monkeypatch.setattr(lab, "pipeline", Pipeline(PARSER))
    told = [
        a for a in ATTACKS if len({labs[i].run(f"SELECT {a} FROM s.t", principal(), BOOK).status for i in (0, 1)}) > 1
    ]
    assert len(told) > 10


def test_which_types_hold_others() -> None:
    for type_ in (
        "INTEGER[]",
        "VARCHAR[3]",
        "MAP(INTEGER, VARCHAR)",
        "STRUCT(a INTEGER[])",
        "VARIANT",
        "UNION(a INTEGER)",
    ):
        assert holds_lists(type_)
    assert not holds_lists("STRUCT(a INTEGER)")
    assert is_nested("STRUCT(a INTEGER)")
    assert not any(is_nested(type_) for type_ in ("VARCHAR", "DECIMAL(12,2)", "TIMESTAMP WITH TIME ZONE", "JSON"))
