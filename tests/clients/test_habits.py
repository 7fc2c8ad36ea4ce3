"""What drivers and mappers do by habit, driven through the drivers themselves: each was a fault once."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, TypeVar

import asyncpg
import pg8000.dbapi
import psycopg
import pytest
import sqlalchemy

from tests.clients.test_clients import context
from tests.support.stack import Stack

T = TypeVar("T")


def by_asyncpg(stack: Stack, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
    async def connected() -> T:
        connection = await asyncpg.connect(
            host="localhost", port=stack.port, user="x", database="production", password=stack.keys["ana"],
            ssl=context(stack),
        )  # fmt: skip
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(connected())


def engine(stack: Stack, driver: str) -> sqlalchemy.Engine:
    url = f"postgresql+{driver}://x:{stack.keys['ana']}@localhost:{stack.port}/production"
    if driver == "pg8000":
        return sqlalchemy.create_engine(url, connect_args={"ssl_context": context(stack)}, pool_pre_ping=True)
    return sqlalchemy.create_engine(f"{url}?sslmode=verify-full&sslrootcert={stack.ca}", pool_pre_ping=True)


def test_cursors_are_declared_with_parameters(stack: Stack) -> None:
    with stack.connect(stack.keys["ana"], autocommit=False) as connection:
        for binary in (False, True):
            with connection.cursor(name="c", binary=binary) as cursor:
                cursor.itersize = 7
                cursor.execute("SELECT n FROM sales.numbers WHERE n < %s ORDER BY n LIMIT %s", (50, 30))
                assert [row[0] for row in cursor] == list(range(30))
        with pytest.raises(psycopg.errors.UndefinedParameter):
            connection.execute("DECLARE d CURSOR FOR SELECT $1", prepare=False)
    other = pg8000.dbapi.connect(
        host="localhost", port=stack.port, user="x", database="production", password=stack.keys["ana"],
        ssl_context=context(stack),
    )  # fmt: skip
    try:
        cursor = other.cursor()
        cursor.execute("DECLARE c CURSOR FOR SELECT n FROM sales.numbers WHERE n > %s ORDER BY n", (5,))
        cursor.execute("FETCH 2 FROM c")
        assert [row[0] for row in cursor.fetchall()] == [6, 7]
    finally:
        other.close()


@pytest.mark.parametrize("driver", ["psycopg", "pg8000"])
def test_sqlalchemy_streams_statements_with_parameters(stack: Stack, driver: str) -> None:
    made = engine(stack, driver)
    try:
        with made.connect().execution_options(stream_results=True, max_row_buffer=50) as connection:
            text = sqlalchemy.text("SELECT n FROM sales.numbers WHERE n < :most")
            assert sum(1 for _ in connection.execute(text, {"most": 500})) == 500
    finally:
        made.dispose()


def test_lists_as_parameters_of_any(stack: Stack) -> None:
    sql = "SELECT id FROM sales.customers WHERE id = ANY($1) AND name = ANY($2) ORDER BY id"

    async def work(connection: asyncpg.Connection) -> list[int]:
        return [row["id"] for row in await connection.fetch(sql, [2, 3, 4], ["name 2", "name 4"])]

    assert by_asyncpg(stack, work) == [2, 4]
    with stack.connect(stack.keys["ana"]) as connection:
        text = "SELECT id FROM sales.customers WHERE id = ANY(%s) AND NOT name = ANY(%s) ORDER BY id"
        assert connection.execute(text, ([2, 4, 6], ["name 4"])).fetchall() == [(2,), (6,)]


def test_parameters_stand_close_together(stack: Stack) -> None:
    async def work(connection: asyncpg.Connection) -> list[Any]:
        rows = await connection.fetch("SELECT id FROM sales.customers WHERE id IN ($1,$2)or id=$3", 2, 4, 6)
        return [row["id"] for row in rows]

    assert sorted(by_asyncpg(stack, work)) == [2, 4, 6]


def test_binary_drivers_are_told_what_each_place_wants(stack: Stack) -> None:
    sql = """SELECT count(*) FROM sales.customers WHERE date_trunc('hour', seen) >= $1 AND balance * 2 > $2
             AND substring(name, $3) <> '' AND (id, org_id) <> ($4, $5) AND seen + $6 > seen"""
    values = (
        datetime.datetime(2024, 1, 1, 10),  # noqa: DTZ001 - the column has no zone
        Decimal("2.5"),
        1,
        3,
        4,
        datetime.timedelta(days=1),
    )

    async def work(connection: asyncpg.Connection) -> int:
        return int(await connection.fetchval(sql, *values))

    assert by_asyncpg(stack, work) == 499


@pytest.mark.parametrize("binary", [False, True])
def test_one_statement_takes_numbers_and_arrays_of_every_shape(stack: Stack, binary: bool) -> None:
    values = [
        Decimal("1.5"), Decimal("1.555"), None, Decimal("NaN"), Decimal(10) ** 38 + 1, Decimal("-0.0000001"),
        Decimal("Infinity"), Decimal(7), [1, 2], [[1, 2], [3, 4]], [3], [Decimal("1.5")], [Decimal("2.25")],
    ]  # fmt: skip
    with stack.connect(stack.keys["ana"]) as connection:
        for value in values * 2:
            for text, given in (("SELECT %s", (value,)), ("SELECT %s, %s", (value, None))):
                found = connection.execute(text, given, binary=binary).fetchone()
                assert found is not None
                assert all(a == b or (a != a and b != b) for a, b in zip(found, given, strict=True))  # NaN too


def test_arrays_of_instants_go_both_ways(stack: Stack) -> None:
    moment = datetime.datetime(2024, 2, 29, 12, 34, 56, tzinfo=datetime.UTC)

    async def work(connection: asyncpg.Connection) -> Any:
        return await connection.fetchval("SELECT $1::timestamptz[]", [moment, None])

    assert by_asyncpg(stack, work) == [moment, None]
