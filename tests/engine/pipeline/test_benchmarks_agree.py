# ruff: noqa: E501
"""Not over-blocking: TPC-H and TPC-DS governed give DuckDB's answers, types and headers; filtered, the permitted ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from governance.policies import Mask, MaskFunction, RowFilter
from governance.tables import TableName
from tests.support.governed_lab import BASE, Lab, Outcome, principal, rulebook

OPEN = rulebook([], [("main", "shared")])
ME = principal()
_GENERATE = {"tpch": "CALL dbgen(sf=0.01)", "tpcds": "CALL dsdgen(sf=0.01)"}
_KEYS = {
    "customer": "c_custkey", "orders": "o_custkey", "lineitem": "l_orderkey", "supplier": "s_suppkey", "part": "p_partkey",
    "partsupp": "ps_partkey", "nation": "n_nationkey", "region": "r_regionkey",
}  # fmt: skip


def _extension(name: str) -> str:
    module = pytest.importorskip(f"duckdb_extension_{name}")
    return str(next(Path(str(module.__file__)).parent.glob(f"extensions/*/{name}.duckdb_extension")))


def _lab(name: str) -> tuple[Lab, list[str]]:
    lab = Lab([f"LOAD '{_extension(name)}'", _GENERATE[name]])
    queries = lab.db.execute(f"SELECT query FROM {name}_queries() ORDER BY query_nr").fetchall()
    return lab, [row[0] for row in queries]


def _plain(lab: Lab, text: str) -> Outcome:
    cursor = lab.db.cursor()
    cursor.execute(f'USE "{BASE}"')
    result = cursor.execute(text)
    return Outcome("ok", [(d[0], str(d[1])) for d in result.description or ()], result.fetchall())


def _seen(outcome: Outcome) -> tuple[Any, ...]:
    return outcome.status, outcome.columns, sorted(map(repr, outcome.rows))


@pytest.mark.parametrize("name", ["tpch", "tpcds"])
def test_an_exempt_principal_gets_exactly_duckdbs_answers(name: str) -> None:
    lab, queries = _lab(name)
    different = [i for i, text in enumerate(queries, 1) if _seen(lab.run(text, ME, OPEN)) != _seen(_plain(lab, text))]
    assert len(queries) == {"tpch": 22, "tpcds": 99}[name]
    assert different == []


def test_a_filtered_principal_gets_the_permitted_databases_answers() -> None:
    lab, queries = _lab("tpch")
    policies: list[Any] = []
    for table, key in _KEYS.items():
        name = TableName("main", table)
        policies.append(RowFilter(f"f-{table}", f"f-{table}", name, f"{key} < 900 OR {key} > 1000"))
        for column in [c.name for c in lab.lake[name.key].columns if c.name.endswith(("comment", "phone"))][:2]:
            policies.append(Mask(f"m-{column}", column, name, column, MaskFunction.PARTIAL, 2))
    book = rulebook(policies, [("main", "shared")])
    permitted = Lab([])
    permitted.db.execute(f'USE "{BASE}"')
    for table, key in _KEYS.items():
        rows = lab.db.execute(f'SELECT * FROM "{BASE}".main.{table}').to_arrow_table()
        masked = {p.column for p in policies if isinstance(p, Mask) and p.table.name == table}
        items = ", ".join(
            f"CASE WHEN length({c}) > 2 THEN '***' || right({c}, 2) WHEN {c} IS NOT NULL THEN '***' END AS {c}" if c in masked else c
            for c in rows.column_names
        )  # fmt: skip
        permitted.db.register("source_rows", rows)
        permitted.db.execute(
            f"CREATE TABLE {table} AS SELECT {items} FROM source_rows WHERE {key} < 900 OR {key} > 1000"
        )
        permitted.db.unregister("source_rows")
    for i, text in enumerate(queries, 1):
        assert _seen(lab.run(text, ME, book)) == _seen(_plain(permitted, text)), f"TPC-H {i}"


def test_version_is_the_pinned_one() -> None:
    assert duckdb.__version__ == "1.5.5"
