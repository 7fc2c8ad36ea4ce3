"""What drivers and mappers do by habit, driven through the drivers themselves: each was a fault once."""

from __future__ import annotations

import datetime
import io
from decimal import Decimal
from typing import Any

import asyncpg
import pg8000.dbapi
import psycopg
import pytest
import sqlalchemy

from tests.clients.connections import context, over_asyncpg
from tests.support.stack import Stack


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

    assert over_asyncpg(stack, work) == [2, 4]
    with stack.connect(stack.keys["ana"]) as connection:
        text = "SELECT id FROM sales.customers WHERE id = ANY(%s) AND NOT name = ANY(%s) ORDER BY id"
        assert connection.execute(text, ([2, 4, 6], ["name 4"])).fetchall() == [(2,), (6,)]


def test_parameters_stand_close_together(stack: Stack) -> None:
    async def work(connection: asyncpg.Connection) -> list[Any]:
        rows = await connection.fetch("SELECT id FROM sales.customers WHERE id IN ($1,$2)or id=$3", 2, 4, 6)
        return [row["id"] for row in rows]

    assert sorted(over_asyncpg(stack, work)) == [2, 4, 6]


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

    assert over_asyncpg(stack, work) == 499


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

    assert over_asyncpg(stack, work) == [moment, None]


def test_values_that_drivers_write_into_the_text(stack: Stack) -> None:
    """psycopg's ClientCursor, as Django uses it, pgx's simple protocol, PDO's emulated prepares."""
    moment = datetime.datetime(2024, 2, 29, 12, 34, 56, tzinfo=datetime.UTC)
    values = (b"\x00\xffab", [1, 2, None], moment, datetime.timedelta(days=3, seconds=7), Decimal("1.50"), "it's \\ so")
    with stack.connect(stack.keys["ana"]) as connection:
        cursor = psycopg.ClientCursor(connection)
        assert cursor.execute("SELECT %s, %s, %s, %s, %s, %s", values).fetchone() == values
        for wanted in ([2, 4], ["name 2", "name 4"]):
            column = "id" if isinstance(wanted[0], int) else "name"
            cursor.execute(f"SELECT id FROM sales.customers WHERE {column} = ANY(%s) ORDER BY 1".encode(), (wanted,))
            assert cursor.fetchall() == [(2,), (4,)]


def test_what_mappers_say_of_tables_and_clocks(stack: Stack) -> None:
    with stack.connect(stack.keys["ana"]) as connection:
        rows = connection.execute(
            'SELECT "sales"."customers".* FROM "sales"."customers" '
            'WHERE "sales"."customers"."id" = 4 AND seen < STATEMENT_TIMESTAMP()'
        ).fetchall()
        assert [row[0] for row in rows] == [4]
        assert connection.execute("""SELECT '{"a": 1}'::jsonb""").fetchone() == ({"a": 1},)


def test_first_words_of_rails_tcl_and_sequelize(stack: Stack) -> None:
    with stack.connect(stack.keys["ana"]) as connection:
        for words in (
            "SET intervalstyle = iso_8601", "SET bytea_output = 'escape'", "SET enable_seqscan = off",
            "SET TIME ZONE INTERVAL '+05:30' HOUR TO MINUTE", "SET max_parallel_workers_per_gather = 0",
            "SET app.x = '5'",
        ):  # fmt: skip
            connection.execute(words.encode())
        sql = "SELECT INTERVAL '1 day 02:00', unhex('00615c'), TIMESTAMPTZ '2024-01-01 00:00:00+00'"
        answer = connection.pgconn.exec_(sql.encode())
        assert [answer.get_value(0, i) for i in range(3)] == [b"P1DT2H", b"\\000a\\\\", b"2024-01-01 05:30:00+05:30"]
        assert connection.execute("SELECT current_setting('app.x')").fetchone() == ("5",)


def test_a_driver_quotes_values_with_the_servers_own_functions(stack: Stack) -> None:
    async def work(connection: asyncpg.Connection) -> str:
        text = io.BytesIO()
        sql = "SELECT id, name FROM sales.customers WHERE id < $1 AND name <> $2 ORDER BY id"
        await connection.copy_from_query(sql, 4, "o'x", output=text, format="csv")
        return text.getvalue().decode()

    assert over_asyncpg(stack, work) == "0,name 0\n2,name 2\n"
