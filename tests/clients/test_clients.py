"""One list of queries, run by every client, compared with what DuckDB says of the data the law lets through."""

from __future__ import annotations

import asyncio
import csv
import datetime
import io
import os
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import asyncpg
import duckdb
import pg8000.dbapi
import psycopg
import pytest

from tests.clients.conftest import TABLES
from tests.clients.connections import context, over_asyncpg
from tests.support.stack import Stack

Rows = list[tuple[Any, ...]]

QUERIES = {
    "one": "SELECT 1 AS n",
    "count": "SELECT count(*) AS n FROM sales.customers",
    "rows": "SELECT id, name, ssn, balance, born, seen, active, score FROM sales.customers ORDER BY id LIMIT 20",
    "group": "SELECT active, count(*) AS n, sum(balance) AS s FROM sales.customers GROUP BY ALL ORDER BY n, active",
    "join": "SELECT c.id, n.words FROM sales.customers c JOIN sales.numbers n ON n.n = c.id ORDER BY c.id LIMIT 5",
    "nulls": "SELECT NULL::INTEGER AS a, ''::VARCHAR AS b, 'é''x' AS c",
    "empty": "SELECT id FROM sales.customers WHERE id < 0",
    "array": "SELECT pair FROM sales.customers ORDER BY id LIMIT 3",
    "large": "SELECT n, words FROM sales.numbers ORDER BY n LIMIT 3000",
}


def expected(sql: str) -> Rows:
    """The oracle: a database that holds only what ana may see, as she may see it."""
    with duckdb.connect(":memory:") as db:
        db.execute("CREATE SCHEMA sales")
        for name, body in TABLES.items():
            schema, table = name.split("/")
            if schema == "sales":
                db.execute(f"CREATE TABLE {schema}.{table} AS {body}")
        db.execute("DELETE FROM sales.customers WHERE org_id <> 1")
        db.execute("UPDATE sales.customers SET ssn = '***' || right(ssn, 4)")
        return [tuple(row) for row in db.execute(sql).fetchall()]


def by_psycopg(stack: Stack, sql: str, *, binary: bool = False, prepare: bool = False) -> Rows:
    with stack.connect(stack.keys["ana"]) as connection:
        return [tuple(r) for r in connection.execute(sql.encode(), binary=binary, prepare=prepare).fetchall()]


def by_server_cursor(stack: Stack, sql: str, *, binary: bool = False) -> Rows:
    with (
        stack.connect(stack.keys["ana"], autocommit=False) as connection,
        connection.cursor(name="c", binary=binary) as cursor,
    ):
        cursor.itersize = 100
        cursor.execute(sql.encode())
        return [tuple(row) for row in cursor]


def by_pipeline(stack: Stack, sql: str) -> Rows:
    with stack.connect(stack.keys["ana"]) as connection, connection.pipeline():
        first, second, third = (connection.execute(s.encode()) for s in ("SELECT 1", sql, "SELECT 2"))
        assert (first.fetchall(), third.fetchall()) == ([(1,)], [(2,)])
        return [tuple(row) for row in second.fetchall()]


def by_asyncpg(stack: Stack, sql: str) -> Rows:
    async def work(connection: asyncpg.Connection) -> Rows:
        return [tuple(row.values()) for row in await connection.fetch(sql)]

    return over_asyncpg(stack, work)


def by_pg8000(stack: Stack, sql: str) -> Rows:
    connection = pg8000.dbapi.connect(
        host="localhost", port=stack.port, user="x", database="production", password=stack.keys["ana"],
        ssl_context=context(stack),
    )  # fmt: skip
    try:
        cursor = connection.cursor()
        cursor.execute(sql)
        return [tuple(row) for row in cursor.fetchall()]
    finally:
        connection.close()


CLIENTS: dict[str, Callable[[Stack, str], Rows]] = {
    "psycopg text": by_psycopg,
    "psycopg binary": lambda stack, sql: by_psycopg(stack, sql, binary=True),
    "psycopg prepared": lambda stack, sql: by_psycopg(stack, sql, binary=True, prepare=True),
    "psycopg server cursor": by_server_cursor,
    "psycopg server cursor binary": lambda stack, sql: by_server_cursor(stack, sql, binary=True),
    "psycopg pipeline": by_pipeline,
    "asyncpg": by_asyncpg,
    "pg8000": by_pg8000,
}


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_gets_what_duckdb_holds(stack: Stack, client: str) -> None:
    for name, sql in QUERIES.items():
        wanted = [tuple(list(v) if isinstance(v, list) else v for v in row) for row in expected(sql)]
        assert CLIENTS[client](stack, sql) == wanted, name


# ---------------------------------------------------------------- psql

PSQL = shutil.which("psql")
needs_psql = pytest.mark.skipif(PSQL is None, reason="psql is not installed")


def psql(stack: Stack, *commands: str, key: str = "ana", options: tuple[str, ...] = ("-X", "--csv")) -> tuple[str, str]:
    environment = {
        "PATH": os.environ["PATH"],
        "PGPASSWORD": stack.keys[key],
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": str(stack.ca),
        "PGCLIENTENCODING": "UTF8",
    }
    arguments = [part for command in commands for part in ("-c", command)]
    done = subprocess.run(
        [str(PSQL), *options, "-h", "localhost", "-p", str(stack.port), "-U", "x", "-d", "production", *arguments],
        capture_output=True, text=True, timeout=60, env=environment, check=False,
    )  # fmt: skip
    return done.stdout, done.stderr


@needs_psql
def test_psql_rows(stack: Stack) -> None:
    out, error = psql(stack, "SELECT id, ssn, balance, active FROM sales.customers ORDER BY id LIMIT 3")
    assert error == ""
    assert list(csv.reader(io.StringIO(out))) == [
        ["id", "ssn", "balance", "active"],
        ["0", "***1000", "0.00", ""],
        ["2", "***1002", "2.50", "f"],
        ["4", "***1004", "5.00", "f"],
    ]


@needs_psql
def test_psql_copy_cursor_several_statements_and_fetch_count(stack: Stack) -> None:
    out, error = psql(stack, "\\copy (SELECT id, ssn FROM sales.customers ORDER BY id LIMIT 2) TO STDOUT CSV HEADER")
    assert (out, error) == ("id,ssn\n0,***1000\n2,***1002\n", "")
    out, error = psql(
        stack, "\\set FETCH_COUNT 100", "SELECT id FROM sales.customers ORDER BY id", options=("-X", "-At")
    )
    assert error == ""
    assert out.split() == [str(i) for i in range(0, 1000, 2)]
    out, error = psql(stack, "SELECT 1; SELECT 2; BEGIN; SHOW server_version; COMMIT", options=("-X", "-At"))
    assert error == ""
    assert out.split()[:2] == ["1", "2"]


@needs_psql
def test_psql_errors_have_state_and_position(stack: Stack) -> None:
    _, error = psql(stack, "\\set VERBOSITY verbose", "SELECT * FROM sales.nothing", options=("-X",))
    assert "42P01" in error
    _, error = psql(stack, "SELEC 1", "SELECT 1", options=("-X",))
    assert "ERROR" in error


# ---------------------------------------------------------------- bad input, through the whole


def refusal(stack: Stack, sql: str, key: str = "ana") -> psycopg.Error:
    with stack.connect(stack.keys[key]) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(sql.encode())
    return caught.value


def told(error: psycopg.Error) -> tuple[str | None, ...]:
    d = error.diag
    return (d.severity, d.sqlstate, d.message_primary, d.message_hint, d.message_detail, d.statement_position)


def test_a_missing_table_and_a_forbidden_one_answer_alike(stack: Stack) -> None:
    missing, forbidden = refusal(stack, "SELECT * FROM globex.nothing"), refusal(stack, "SELECT * FROM globex.secrets")
    assert told(missing)[1] == "42P01"
    assert [str(part).replace("nothing", "secrets") for part in told(missing)] == [str(p) for p in told(forbidden)]
    assert stack.query(stack.keys["guy"], "SELECT word FROM globex.secrets") == [("globex",)]


def test_sql_that_does_not_parse(stack: Stack) -> None:
    assert refusal(stack, "SELECT FROM WHERE").sqlstate == "42601"


def test_two_statements_are_each_governed(stack: Stack) -> None:
    with stack.connect(stack.keys["ana"]) as connection:
        cursor = connection.execute(b"SELECT count(*) FROM sales.customers; SELECT max(ssn) FROM sales.customers")
        assert cursor.fetchall() == [(500,)]
        assert cursor.nextset()
        assert cursor.fetchall()[0][0].startswith("***")
    error = refusal(stack, "SELECT 1; SELECT * FROM globex.secrets")
    assert error.sqlstate == "42P01"


def test_writes_and_files_are_refused(stack: Stack) -> None:
    for sql in (
        "DELETE FROM sales.customers",
        "COPY sales.customers FROM STDIN",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "ATTACH ':memory:' AS x",
        "SET search_path = globex",
    ):
        assert refusal(stack, sql).sqlstate in ("25006", "42501", "0A000", "42601", "42P01", "22023"), sql


def test_a_key_from_outside_its_networks_is_a_wrong_key(stack: Stack) -> None:
    with pytest.raises(psycopg.OperationalError) as outside:
        stack.connect(stack.keys["far"])
    with pytest.raises(psycopg.OperationalError) as wrong:
        stack.connect("nonsense")
    assert str(outside.value).splitlines()[0].split("FATAL")[1] == str(wrong.value).splitlines()[0].split("FATAL")[1]


def test_statement_timeout_and_cancel_stop_a_runaway_and_the_node_goes_on(stack: Stack) -> None:
    endless = "SELECT count(*) FROM sales.numbers a, sales.numbers b WHERE a.n * 3 < b.n"
    with stack.connect(stack.keys["ana"]) as connection:
        connection.execute("SET statement_timeout = '300ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute(endless.encode())
        connection.execute("RESET statement_timeout")
        assert connection.execute("SELECT 1").fetchall() == [(1,)]

    async def work() -> None:
        client = await asyncpg.connect(
            host="localhost", port=stack.port, user="x", database="production", password=stack.keys["ana"],
            ssl=context(stack),
        )  # fmt: skip
        try:
            with pytest.raises(asyncio.TimeoutError):
                await client.fetch(endless, timeout=0.5)
            assert await client.fetchval("SELECT 5") == 5
        finally:
            await client.close()

    asyncio.run(work())


def test_parameters_of_every_client_kind(stack: Stack) -> None:
    with stack.connect(stack.keys["ana"]) as connection:
        sql = b"SELECT id FROM sales.customers WHERE id = %s AND name = %s AND born >= %s"
        for binary in (False, True):
            found = connection.execute(sql, (4, "name 4", datetime.date(2024, 1, 1)), binary=binary).fetchall()
            assert found == [(4,)]

    async def work() -> None:
        client = await asyncpg.connect(
            host="localhost", port=stack.port, user="x", database="production", password=stack.keys["ana"],
            ssl=context(stack),
        )  # fmt: skip
        try:
            rows = await client.fetch("SELECT id FROM sales.customers WHERE id BETWEEN $1 AND $2 ORDER BY id", 10, 14)
            assert [row["id"] for row in rows] == [10, 12, 14]
            statement = await client.prepare("SELECT name FROM sales.customers WHERE id = $1")
            assert [await statement.fetchval(i) for i in (2, 4, 5)] == ["name 2", "name 4", None]
            async with client.transaction():
                seen = [
                    row["n"]
                    async for row in client.cursor("SELECT n FROM sales.numbers ORDER BY n LIMIT 500", prefetch=64)
                ]
            assert seen == list(range(500))
        finally:
            await client.close()

    asyncio.run(work())


def test_revoked_keys_end_their_sessions(stack: Stack) -> None:
    key = stack.keys["eve"]
    with stack.api() as api:
        found = api.get("/v1/environments/production/keys", params={"limit": 100}).json()["items"]
        key_id = next(k["id"] for k in found if k["name"] == "eve")
        with stack.connect(key) as connection:
            assert connection.execute("SELECT 1").fetchall() == [(1,)]
            assert api.delete(f"/v1/environments/production/keys/{key_id}").status_code < 300
            with pytest.raises(psycopg.Error) as caught:
                connection.execute("SELECT count(*) FROM sales.numbers a, sales.numbers b WHERE a.n * 3 < b.n")
            assert caught.value.sqlstate == "57P01"
    with pytest.raises(psycopg.OperationalError, match="Authentication failed"):
        stack.connect(key)
