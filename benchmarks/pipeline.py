"""What the policies cost before DuckDB starts: the 22 TPC-H queries through the pipeline, first seen and repeated."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks import data
from engine.catalog.view import PrincipalCatalog
from engine.executor.second_parser import DuckDBParser
from engine.pipeline import Governed, Pipeline
from governance.policies import Mask, MaskFunction, Policy, RowFilter
from governance.principals import Principal
from governance.roles import Role
from governance.rulebook import Rulebook
from governance.scopes import BUNDLES
from governance.tables import Column, Table, TableName

_MASKED = {
    "lineitem": ("l_comment", "l_shipinstruct"), "orders": ("o_comment", "o_clerk"),
    "customer": ("c_phone", "c_address"), "supplier": ("s_phone", "s_address"), "part": ("p_comment", "p_container"),
    "partsupp": ("ps_comment", "ps_availqty"), "nation": ("n_comment", "n_name"), "region": ("r_comment", "r_name"),
}  # fmt: skip
"""Two masked columns on every table."""


@dataclass(frozen=True)
class Costs:
    """Milliseconds of CPU per query (wall time of so short a thing says more about the neighbors)."""

    first_ms: list[float]
    repeated_ms: list[float]
    refused: int

    @property
    def first_median_ms(self) -> float:
        """Of first-seen queries."""
        return statistics.median(self.first_ms)

    @property
    def repeated_median_ms(self) -> float:
        """Of repeated ones."""
        return statistics.median(self.repeated_ms)


def _tables(lake: Path) -> Iterable[Table]:
    with duckdb.connect() as duck:
        for file in sorted((lake / data.SCHEMA).glob("*.parquet")):
            rows = duck.execute(f"DESCRIBE FROM '{file}'").fetchall()
            yield Table(TableName(data.SCHEMA, file.stem), tuple(Column(row[0], row[1]) for row in rows))


def _policies(tables: Iterable[Table]) -> Iterable[Policy]:
    for table in tables:
        if table.name.name not in _MASKED:
            continue
        name, key = table.name.name, table.columns[0].name
        yield RowFilter(f"f-{name}", f"rows of {name}", table.name, f"{key} >= 0")
        for column in _MASKED[name]:
            yield Mask(f"m-{column}", f"mask {column}", table.name, column, MaskFunction.FULL)


@dataclass(frozen=True)
class Law:
    """The tables of the benchmark, their policies, and one analyst who is bound by them."""

    tables: tuple[Table, ...]
    policies: tuple[Policy, ...]
    who: Principal
    book: Rulebook
    catalog: PrincipalCatalog

    def govern(self, text: str) -> Governed:
        """The statement as the analyst may run it."""
        return Pipeline(DuckDBParser()).govern(text, self.who, self.catalog, self.book)


def law(lake: Path) -> Law:
    """A row filter and two masks on every TPC-H table."""
    tables = tuple(_tables(lake))
    policies = tuple(_policies(tables))
    book = Rulebook(
        environment="production", version=1, issued_at="2026-01-01T00:00:00+00:00", operator_organization="1",
        organizations=(("1", "Acme"),), schemas=(), policies=policies,
    )  # fmt: skip
    who = Principal(
        user_id="ana", email="ana@acme.example", organization="1", role=Role.ANALYST,
        scopes=frozenset(BUNDLES["read_only"]), environment="production", key_id="k1",
    )  # fmt: skip
    return Law(tables, policies, who, book, PrincipalCatalog({table.name.key: table for table in tables}, book, who))


def measure(lake: Path, repeat: int = 5) -> Costs:
    """Median costs over the 22 queries; a new pipeline (empty plan cache) for each first sight."""
    rules = law(lake)
    who, book, catalog = rules.who, rules.book, rules.catalog
    parser = DuckDBParser()
    queries = data.queries()
    first: dict[int, list[float]] = {}
    repeated: dict[int, list[float]] = {}
    refused: set[int] = set()
    Pipeline(parser).govern(queries[0], who, catalog, book)
    for _ in range(repeat):
        pipeline = Pipeline(parser)
        for number, text in enumerate(queries):
            for found in (first, repeated):
                began = time.thread_time()
                try:
                    pipeline.govern(text, who, catalog, book)
                except Exception:
                    refused.add(number)
                found.setdefault(number, []).append((time.thread_time() - began) * 1000)
    kept = [number for number in first if number not in refused]
    return Costs(
        [statistics.median(first[n]) for n in kept], [statistics.median(repeated[n]) for n in kept], len(refused)
    )
