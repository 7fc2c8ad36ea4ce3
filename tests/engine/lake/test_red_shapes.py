"""Files that change shape while a statement is on its way: a name that they lack must not be found elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.catalog.view import PrincipalCatalog
from engine.executor.second_parser import DuckDBParser
from engine.pipeline import Governed, Pipeline
from governance.errors import SourceUnavailable
from governance.policies import RowFilter
from governance.tables import TableName
from tests.engine.executor.rig import Rig, mint, rig
from tests.support.governed_lab import principal, rulebook

T = TableName("drift", "t")
BOOK = rulebook([RowFilter("f", "own", T, "org_id = {org_id}")], [("drift", "1")])
ATTACK = "SELECT count(*) FROM (SELECT 1 AS org_id) hd, LATERAL (SELECT id FROM drift.t) q"
"""DuckDB looks for `hd.org_id` of the row filter in the client's own relation when the files have no such column."""


@pytest.fixture
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("drift"), memory_bytes=512 << 20, workers_per_organization_max=1) as made:
        made.write("drift/t.parquet", "SELECT i AS id, 2 AS org_id FROM range(5) r(i)")
        made.seen()
        yield made


def _rows(lake: Rig, governed: Governed) -> list[bytes]:
    async def scene() -> list[bytes]:
        async with await lake.executor.run(governed, deadline_s=30) as execution:
            return [bytes(frame.data) async for frame in execution.frames()]

    return lake.run(scene())


def test_w4_9_a_row_filter_never_reads_what_the_client_wrote(lake: Rig) -> None:
    who = principal()
    governed = Pipeline(DuckDBParser()).govern(ATTACK, who, PrincipalCatalog(lake.lake.tables(), BOOK, who), BOOK)
    none = _rows(lake, governed)
    lake.write("drift/t.parquet", "SELECT i AS id FROM range(5) r(i)")
    lake.seen()
    with pytest.raises(SourceUnavailable, match="other columns") as caught:
        _rows(lake, governed)
    assert "Retry" in caught.value.advice
    unaware = mint(*governed.segments)
    assert _rows(lake, unaware) != none, "the attack would show nothing"


def test_a_table_that_keeps_its_columns_goes_on(lake: Rig) -> None:
    who = principal()
    governed = Pipeline(DuckDBParser()).govern(
        "SELECT id FROM drift.t", who, PrincipalCatalog(lake.lake.tables(), BOOK, who), BOOK
    )
    lake.write("drift/t.parquet", "SELECT i AS id, 1 AS org_id FROM range(3) r(i)")
    lake.seen()
    assert len(b"".join(_rows(lake, governed))) > 0
