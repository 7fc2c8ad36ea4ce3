"""What JDBC in simple mode, Prisma, Superset, psql's variables and pg_dump write: each was refused once."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import psycopg
import pytest

from tests.engine.catalog.warehouse import environment
from tests.support.stack import Stack

WRITTEN = {
    """SELECT ('{"1","2",NULL}')::int[]""": [1, 2, None],
    """SELECT 2 = ANY (('{"1","2"}'))""": True,
    """SELECT 'q"x' = ANY (('{"a b","q\\"x","it''s"}'))""": True,
    """SELECT count(*) FROM sales.customers WHERE id = ANY(('{"2","4"}')) AND active = ('FALSE')""": 2,
    """SELECT count(*) FROM sales.customers WHERE id <> ALL(('{"2","4"}'))""": 498,
    """SELECT count(*) FROM sales.customers WHERE pair && ('{"2"}')""": 1,
    """SELECT count(*) FROM sales.customers WHERE pair @> '{4,5}'""": 1,
    "SELECT count(*) FROM sales.customers WHERE born = ANY('{2024-01-03,2024-01-05}')": 2,
    "SELECT count(*) FROM sales.customers WHERE seen < TO_TIMESTAMP('2024-01-01 10:04:00.000000',"
    " 'YYYY-MM-DD HH24:MI:SS.US') AND born >= TO_DATE('2024-01-03', 'YYYY-MM-DD')": 1,
}


@pytest.mark.parametrize("sql", WRITTEN)
def test_literals_that_drivers_write_are_read(stack: Stack, sql: str) -> None:
    with stack.connect(stack.keys["ana"]) as connection:
        assert connection.execute(sql.encode()).fetchone() == (WRITTEN[sql],)


@pytest.mark.parametrize(("operator", "given", "found"), [("&&", [2, 9], 2), ("@>", [4, 5], 1), ("<@", [2, 3], 1)])
def test_parameters_beside_list_operators_are_lists(stack: Stack, operator: str, given: Any, found: int) -> None:
    with stack.connect(stack.keys["ana"]) as connection:
        sql = f"SELECT count(*) FROM sales.customers WHERE pair {operator} $1"
        text = "{" + ",".join(map(str, given)) + "}"
        answer = connection.pgconn.exec_params(sql.encode(), [text.encode()], [0])
        assert answer.get_value(0, 0) == str(found).encode(), answer.error_message


def test_a_reader_locks_what_it_may_read_and_nothing_else(stack: Stack) -> None:
    with stack.connect(stack.keys["ana"], autocommit=False) as connection:
        connection.execute("LOCK TABLE sales.customers, ONLY sales.numbers IN ACCESS SHARE MODE NOWAIT")
        assert connection.execute("SELECT count(*) FROM sales.numbers").fetchone() == (300_000,)
        connection.rollback()
        told = set()
        for table in ("globex.secrets", "globex.nothing", "sales.nothing"):
            with pytest.raises(psycopg.errors.UndefinedTable) as caught:
                connection.execute(f"LOCK TABLE {table} IN ACCESS SHARE MODE")
            told.add(str(caught.value).replace(table, "it"))
            connection.rollback()
        assert len({line.split("\n")[0] for line in told}) == 1
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("LOCK TABLE sales.customers")
    with stack.connect(stack.keys["ana"]) as connection, pytest.raises(psycopg.errors.NoActiveSqlTransaction):
        connection.execute("LOCK TABLE sales.customers IN ACCESS SHARE MODE")


def test_a_scrolling_cursor_goes_forward_and_stands_still(stack: Stack) -> None:
    with (
        stack.connect(stack.keys["ana"], autocommit=False) as connection,
        connection.cursor(name="s", scrollable=True) as cursor,
    ):
        cursor.execute("SELECT n FROM sales.numbers ORDER BY n")
        assert cursor.fetchmany(2) == [(0,), (1,)]
        cursor.scroll(100)
        assert cursor.fetchone() == (102,)
        cursor.scroll(1000, mode="absolute")
        assert cursor.fetchone() == (1000,)
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            cursor.scroll(0, mode="absolute")


@pytest.mark.client("pg_dump")
def test_pg_dump_ends_at_prepare_and_not_at_its_locks(stack: Stack) -> None:
    if shutil.which("pg_dump") is None:
        pytest.skip("pg_dump is not installed")
    done = subprocess.run(
        ["pg_dump", "--schema-only", "-t", "sales.customers"],
        env=environment(stack), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "LOCK" not in done.stderr
    assert done.returncode == 0 or "PREPARE is not supported" in done.stderr
