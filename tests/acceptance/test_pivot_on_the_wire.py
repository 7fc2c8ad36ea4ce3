"""PIVOT without its values over the real port: found among what its principal may see, recorded, cancelled like any."""

from __future__ import annotations

import json
from collections.abc import Iterator

import duckdb
import psycopg
import pytest

from tests.support.stack import Stack, running_stack
from tests.support.waiting import until

STATE = {
    "version": 1,
    "users": [{"email": "ana@acme.example", "organization": "1", "role": "analyst"}],
    "keys": [{"name": "ana", "user": "ana@acme.example", "scopes": ["developer"]}],
    "policies": [
        {"name": "own", "type": "row_filter", "table": "sales.orders", "filter": "org_id = 1"},
        {"name": "names", "type": "mask", "table": "sales.orders", "column": "name", "function": "full"},
    ],
}
ROWS = "(1, 'emea', 'ann', 10), (1, 'amer', 'bob', 20), (1, 'emea', 'cid', 30), (2, 'hidden', 'eve', 40)"
PIVOT = "PIVOT sales.orders ON region USING sum(amount) GROUP BY org_id"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("pivot")
    lake = folder / "lake" / "sales"
    lake.mkdir(parents=True)
    with duckdb.connect() as connection:
        rows = f"SELECT * FROM (VALUES {ROWS}) t(org_id, region, name, amount)"
        connection.execute(f"COPY ({rows}) TO '{lake / 'orders.parquet'}' (FORMAT parquet)")
    with running_stack(folder, folder / "lake", state=STATE) as running:
        yield running


def test_simple_and_extended_queries_and_copy_give_one_column_for_each_visible_value(stack: Stack) -> None:
    with stack.connect(stack.keys["ana"]) as connection:
        for prepare, binary in ((False, False), (True, True), (True, False)):
            with connection.cursor(binary=binary) as cursor:
                cursor.execute(PIVOT, prepare=prepare)
                assert [column.name for column in cursor.description or ()] == ["org_id", "amer", "emea"]
                assert [[int(value) for value in row] for row in cursor.fetchall()] == [[1, 20, 40]]
        with connection.cursor() as cursor, cursor.copy(f"COPY ({PIVOT}) TO STDOUT (FORMAT csv, HEADER)") as copy:
            assert b"".join(bytes(piece) for piece in copy) == b"org_id,amer,emea\n1,20,40\n"
        masked = connection.execute("PIVOT sales.orders ON name USING count(*) GROUP BY org_id").description
        assert [column.name for column in masked or ()] == ["org_id", "***"]


def test_w5_1_the_question_is_recorded_beside_the_statement(stack: Stack) -> None:
    text = PIVOT + " ORDER BY org_id"
    stack.query(stack.keys["ana"], text)

    def recorded(start: str) -> bool:  # records travel to the store before they are found
        found = stack.run("audit", "search", "--json", "--table", "sales.orders")
        return any(item["sql"].startswith(start) for item in json.loads(found.stdout)["items"])

    until(lambda: recorded(text))
    assert recorded("SELECT DISTINCT CAST((region) AS VARCHAR)")


def test_errors_have_no_position_in_a_text_that_the_client_did_not_write(stack: Stack) -> None:
    with stack.connect(stack.keys["ana"]) as connection:
        for text in ("PIVOT sales.nothing ON region USING count(*)", "PIVOT sales.orders ON nope USING count(*)"):
            with pytest.raises(psycopg.Error) as raised:
                connection.execute(text)
            assert raised.value.diag.statement_position is None
            assert "hidden" not in str(raised.value)
        assert connection.execute("SELECT 1").fetchone() == (1,)
