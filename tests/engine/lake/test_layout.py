"""Objects to tables, without any I/O."""

from __future__ import annotations

import pytest

from engine.cache.objects import StoredObject
from engine.catalog import layout
from engine.catalog.layout import tables_of


def found(*paths: str) -> dict[str, layout.FoundTable]:
    return {str(table.name): table for table in tables_of(StoredObject(path, "e", 10) for path in paths)}


def test_files_and_folders_make_tables() -> None:
    tables = found("sales/orders.parquet", "sales/people/a.parquet", "sales/people/deep/er/b.PARQUET", "main/x.parquet")
    assert set(tables) == {"sales.orders", "sales.people", "main.x"}
    assert [o.path for o in tables["sales.people"].snapshot.objects] == [
        "sales/people/a.parquet", "sales/people/deep/er/b.PARQUET",
    ]  # fmt: skip
    assert not any(table.fault for table in tables.values())


def test_what_is_not_data_is_not_a_table() -> None:
    assert found(
        "top.parquet", "sales/readme.txt", "sales/_tmp.parquet", "sales/.hidden.parquet", "_staging/t/a.parquet",
        "sales/t/_temporary/a.parquet", "sales/t/.a.parquet.crc", "sales/t/_SUCCESS", "a\x00b/t.parquet",
        "sales/" + "n" * 64 + ".parquet", "sales/a.b.parquet",
    ) == {}  # fmt: skip


def test_hive_folders_become_typed_columns() -> None:
    tables = found(
        "s/t/year=2020/month=01/a.parquet", "s/t/year=2021/month=12/b.parquet",
        "s/d/day=2024-02-29/a.parquet", "s/d/day=__HIVE_DEFAULT_PARTITION__/a.parquet",
        "s/v/region=emea%20north/a.parquet", "s/v/region=7/a.parquet", "s/w/day=2024-02-30/a.parquet",
    )  # fmt: skip
    assert tables["s.t"].snapshot.partitions == (("year", "BIGINT"), ("month", "BIGINT"))
    assert tables["s.d"].snapshot.partitions == (("day", "DATE"),)
    assert tables["s.v"].snapshot.partitions == (("region", "VARCHAR"),)
    assert tables["s.w"].snapshot.partitions == (("day", "VARCHAR"),)


def test_folders_that_disagree_about_partitions_are_a_fault() -> None:
    assert found("s/t/year=2020/a.parquet", "s/t/b.parquet")["s.t"].fault == layout.UNEVEN
    assert found("s/t/k=1/K=2/a.parquet")["s.t"].fault == layout.UNEVEN


@pytest.mark.parametrize(
    "paths",
    [("s/t.parquet", "s/t/a.parquet"), ("s/t/a.parquet", "s/t.parquet"), ("s/t.parquet", "s/t.PARQUET"),
     ("s/t/a.parquet", "s/T/a.parquet"), ("S/t/a.parquet", "s/t/a.parquet")],
)  # fmt: skip
def test_names_that_are_the_same_without_case_are_a_fault(paths: tuple[str, ...]) -> None:
    (table,) = found(*paths).values()
    assert table.fault == layout.AMBIGUOUS


def test_iceberg_and_delta_are_recognized_and_refused_with_advice() -> None:
    tables = found(
        "s/ice/metadata/v1.metadata.json", "s/ice/data/a.parquet", "s/delta/_delta_log/00.json", "s/delta/a.parquet",
        "s/empty/_delta_log/00.json",
    )  # fmt: skip
    assert tables["s.ice"].fault == layout.ICEBERG
    assert tables["s.delta"].fault == tables["s.empty"].fault == layout.DELTA
    assert "Export it as Parquet" in layout.ICEBERG


def test_the_same_files_give_the_same_snapshot_in_any_order() -> None:
    one, two = found("s/t/a.parquet", "s/t/b.parquet"), found("s/t/b.parquet", "s/t/a.parquet")
    assert one["s.t"].snapshot == two["s.t"].snapshot
    assert one["s.t"].snapshot.id == two["s.t"].snapshot.id
