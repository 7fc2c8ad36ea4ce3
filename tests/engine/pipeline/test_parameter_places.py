"""The type that is announced for each `$n`: what PostgreSQL announces in that place, as DuckDB's type."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.executor.second_parser import DuckDBParser
from engine.pipeline.parameters import infer
from engine.pipeline.surveyor import survey_statement
from governance.tables import Column, Table, TableName

INSTANT = "TIMESTAMP WITH TIME ZONE"
PEOPLE = Table(
    TableName("main", "people"),
    (
        Column("id", "INTEGER"), Column("name", "VARCHAR"), Column("joined", INSTANT), Column("pay", "DECIMAL(10,2)"),
        Column("born", "DATE"), Column("tags", "VARCHAR[]"), Column("score", "DOUBLE"),
    ),
)  # fmt: skip
PLACES = {
    "id = any($1)": ["INTEGER[]"],
    "id <> all($1)": ["INTEGER[]"],
    "name = any($1)": ["VARCHAR[]"],
    "$1 = any(tags)": ["VARCHAR"],
    "id in (select unnest($1))": ["INTEGER[]"],
    "(id, name) = ($1, $2)": ["INTEGER", "VARCHAR"],
    "(id, name) in (($1, $2), ($3, $4))": ["INTEGER", "VARCHAR", "INTEGER", "VARCHAR"],
    "date_trunc('day', joined) = $1": [INSTANT],
    "date_trunc('day', born) = $1": ["TIMESTAMP"],
    "pay * 2 > $1": ["DECIMAL(38,10)"],
    "score * pay < $1": ["DOUBLE"],
    "id + 1 = $1": ["INTEGER"],
    "substring(name, $1, $2) = $3": ["BIGINT", "BIGINT", "VARCHAR"],
    "round(pay, $1) = 1": ["INTEGER"],
    "joined + $1 > now()": ["INTERVAL"],
    "born + $1 > born": ["INTEGER"],
    "joined > now() - $1": [INSTANT],
    "now() - joined > $1 * interval '1 day'": ["DOUBLE"],
    "case when id = $1 then $2 else 'x' end = 'y'": ["INTEGER", "VARCHAR"],
    "case when true then 5 else $1 end = 1": ["INTEGER"],
    "list_contains(tags, $1)": ["VARCHAR"],
    "tags && $1": ["VARCHAR[]"],
    "$1 <@ tags": ["VARCHAR[]"],
    "tags @> $1": ["VARCHAR[]"],
    "list_has_any(tags, $1)": ["VARCHAR[]"],
    "list_contains($1, id)": ["INTEGER[]"],
    "id = (select max(id) from people where pay > $1)": ["DECIMAL(10,2)"],
    "born = current_date and current_date > $1": ["DATE"],
    "cast(joined as date) between $1 and $2": ["DATE", "DATE"],
    "$1": [""],
}


@pytest.fixture(scope="module")
def parser() -> Iterator[DuckDBParser]:
    parser = DuckDBParser()
    yield parser
    parser.close()


def announced(parser: DuckDBParser, text: str) -> list[str]:
    tree = parser.parse(text).tree
    assert tree is not None
    return [parameter.type for parameter in infer(tree, survey_statement(tree), [PEOPLE])]


@pytest.mark.parametrize("place", PLACES)
def test_a_parameter_has_the_type_of_its_place(parser: DuckDBParser, place: str) -> None:
    assert announced(parser, f"SELECT 1 FROM people WHERE {place}") == PLACES[place]


def test_table_functions_and_limits(parser: DuckDBParser) -> None:
    assert announced(parser, "SELECT * FROM generate_series(1, $1) LIMIT $2 OFFSET $3") == ["BIGINT"] * 3


def test_names_defined_by_names_do_not_take_for_ever(parser: DuckDBParser) -> None:
    steps = ", ".join(f"t{i} AS (SELECT x + x + x AS x FROM t{i - 1})" for i in range(1, 30))
    text = f"WITH t0 AS (SELECT 1 AS x), {steps} SELECT 1 FROM t29 WHERE x + x = $1"
    assert len(announced(parser, text)) == 1
