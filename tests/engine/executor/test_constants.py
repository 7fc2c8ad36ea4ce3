"""Statements of literals alone: remembered, and held to the same law as any other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from engine.executor.constants import Answer, Constants, Remembered, is_constant
from engine.pipeline.governed import Parameter
from governance.errors import AuditUnavailable, DeadlineExceeded, Refusal
from governance.tables import TableName
from tests.engine.executor.rig import Rig, mint, rows_of


@pytest.mark.parametrize(
    "text", ["SELECT 1", "select 1 ", "SELECT 'x' AS a, NULL, TRUE", 'SELECT 1 AS "One more"', "SELECT ''"]
)
def test_what_is_literals_alone_is_a_constant(text: str) -> None:
    assert is_constant(mint(text))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1 + 1", "SELECT now()", "SELECT random()", "SELECT x", "SELECT (SELECT 1)", "SELECT $1",
        "SELECT 1 FROM t", "SELECT 1 WHERE 1", "SELECT 'a' || 'b'", "SELECT current_date", "SELECT 'it''s'",
        "SELECT 1; SELECT 2", "FROM t", "SELECT 1::TEXT", "SELECT DATE '2000-01-01'", "SELECT 'a\\b'", "SELECT *",
        "SELECT 1 LIMIT 1", "SELECT /* x */ 1", "SELECT 1.5", "SELECT 1e3", "EXPLAIN SELECT 1", "SELECT $$x$$",
    ],
)  # fmt: skip
def test_anything_else_is_none(text: str) -> None:
    assert not is_constant(mint(text))


def test_a_table_a_parameter_or_a_mask_makes_it_none() -> None:
    assert not is_constant(mint("SELECT 1", TableName("a", "b")))
    assert not is_constant(mint("SELECT 1", parameters=(Parameter("INTEGER"),)))
    assert not is_constant(mint("SELECT 1", masked_values=(("a", "full"),)))
    assert not is_constant(mint("SELECT 1", kind="explain"))


def test_what_is_kept_is_bounded() -> None:
    constants = Constants()
    for number in range(1000):
        constants.keep("1", b"%d" % number, Answer((), ()))
    assert constants.get("1", b"0") is None
    assert constants.get("1", b"999") is not None
    assert constants.get("2", b"999") is None
    constants.keep("1", b"x" * 10_000, Answer((), ()))
    assert constants.get("1", b"x" * 10_000) is None


def test_a_remembered_answer_is_the_workers_and_asks_none(house: Rig) -> None:
    sql = "SELECT 41 AS a, 'x', NULL"
    first = house.ask(sql)
    before = {worker: worker.leases for worker in house.executor.pool.workers}

    async def again() -> tuple[object, list[object], int]:
        async with await house.executor.run(mint(sql), deadline_s=20) as execution:
            assert {worker: worker.leases for worker in house.executor.pool.workers} == before
            rows = [rows_of(frame.data) async for frame in execution.frames()]
            return execution.columns, rows, execution.facts.rows

    columns, rows, count = house.run(again())
    assert (columns, rows, count) == (first.columns, [first.rows], 1)
    assert house.ask(sql, formats=(1, 0, 0)).columns == first.columns  # another format is another answer
    assert house.ask(sql, formats=(0, 0, 0)).rows == first.rows


def test_a_remembered_answer_waits_for_the_audit_like_any_other(house: Rig) -> None:
    sql = "SELECT 42 AS a"
    house.ask(sql)

    async def work() -> None:
        loop, given = asyncio.get_running_loop(), asyncio.Event()

        def later(may_run: Callable[[], None], refused: Callable[[Refusal], None]) -> None:
            loop.call_later(0.1, lambda: (given.set(), threading.Thread(target=may_run).start()))

        async with await house.executor.run(mint(sql), deadline_s=20, gate=later):
            assert given.is_set()

        def never(may_run: Callable[[], None], refused: Callable[[Refusal], None]) -> None:
            loop.call_soon(refused, AuditUnavailable("The audit cannot take a record."))
            loop.call_soon(may_run)  # the disk answered after all: too late

        with pytest.raises(AuditUnavailable):
            await house.executor.run(mint(sql), deadline_s=20, gate=never)
        with pytest.raises(DeadlineExceeded):
            await house.executor.run(mint(sql), deadline_s=0.05, gate=lambda *_: None)
        execution = await house.executor.run(mint(sql), deadline_s=20)
        await execution.cancel()
        with pytest.raises(DeadlineExceeded):
            await anext(aiter(execution.frames()))

    house.run(work())


def test_a_short_result_ends_with_its_rows_whether_or_not_its_end_is_asked_for(house: Rig) -> None:
    async def first_row(sql: str) -> None:
        async with await house.executor.run(mint(sql), deadline_s=20) as execution:
            frames = execution.frames()
            assert (await anext(frames)).rows == 1
            lease = execution._lease
            assert lease is None  # freed: nothing of it is left in the worker

    async def work() -> None:
        await first_row("SELECT 43 + 0")
        async with await house.executor.run(mint("SELECT 43"), deadline_s=20) as execution:
            await anext(aiter(execution.frames()))
        again = await house.executor.run(mint("SELECT 43"), deadline_s=20)
        assert isinstance(again, Remembered)

    house.run(work())
