"""Statements through real workers: results, parameters, failures, streams."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.encoder.parameters import ParameterValue
from engine.executor.execution import Execution
from engine.executor.executor import Executor
from engine.executor.pool import ExecutorSettings
from engine.pipeline.governed import Parameter
from governance.errors import (
    AuditUnavailable,
    ColumnUnknown,
    EngineFailed,
    Refusal,
    ResourceExceeded,
    SourceUnavailable,
)
from governance.tables import TableName
from tests.engine.executor.rig import Rig, mint, rows_of

FLIGHTS = TableName("sales", "flights")


def test_a_statement_gives_its_columns_and_rows(house: Rig) -> None:
    answer = house.ask("SELECT 1 AS a, 'x' AS b, NULL::INTEGER AS a, 1.50::DECIMAL(5,2) AS n")
    assert [(c.name, c.oid) for c in answer.columns] == [("a", 23), ("b", 25), ("a", 23), ("n", 1700)]
    assert answer.rows == [("1", "x", None, "1.50")]
    assert answer.facts.rows == 1
    assert answer.facts.cache_status == "none"


def test_types_that_need_preparing_come_out_as_postgresql_writes_them(house: Rig) -> None:
    answer = house.ask(
        "SELECT 170141183460469231731687303715884105727::HUGEINT h, INTERVAL '1 month 2 days' i, {'a': 1} s"
    )
    assert answer.rows == [("170141183460469231731687303715884105727", "1 mon 2 days", '{"a":1}')]
    assert answer.columns == house.ask("SELECT 1::HUGEINT h, INTERVAL 1 DAY i, {'a': 2} s").columns


def test_order_survives_many_batches(house: Rig) -> None:
    answer = house.ask("SELECT i FROM range(300000) t(i) ORDER BY i DESC")
    assert len(answer.rows) == answer.facts.rows == 300_000
    assert [answer.rows[at][0] for at in (0, 1, 2048, 299_999)] == ["299999", "299998", "297951", "0"]


def test_an_empty_result_has_columns_and_no_frames(house: Rig) -> None:
    answer = house.ask("SELECT 1 AS a WHERE false")
    assert answer.rows == []
    assert [c.name for c in answer.columns] == ["a"]


def test_parameters_in_text_and_binary(house: Rig) -> None:
    values = [ParameterValue(b"41", 0, 0), ParameterValue((7).to_bytes(4), 1, 23), ParameterValue(None, 0, 0)]
    answer = house.ask(
        "SELECT $1 + 1 AS a, $2 AS b, $3 IS NULL AS c", parameters=values, types=["INTEGER", "INTEGER", "VARCHAR"]
    )
    assert answer.rows == [("42", "7", "t")]


def test_a_parameter_that_is_not_its_type_is_refused_without_being_quoted(house: Rig) -> None:
    with pytest.raises(Refusal) as caught:
        house.ask("SELECT $1 AS a", parameters=[ParameterValue(b"secret-17", 0, 0)], types=["INTEGER"])
    assert "secret" not in str(caught.value) + caught.value.advice + caught.value.reason


def test_describe_tells_columns_without_running(house: Rig) -> None:
    columns = house.run(house.executor.describe(mint("SELECT range AS r, 'a' AS r FROM range(1000000000000)")))
    assert [(c.name, c.type) for c in columns] == [("r", "BIGINT"), ("r", "VARCHAR")]


def test_describe_and_run_agree_for_statements_about_statements(house: Rig) -> None:
    for kind, text in (("summarize", "SUMMARIZE SELECT 1 AS a"), ("describe", "DESCRIBE SELECT 1 AS a"),
                       ("explain", "EXPLAIN SELECT 1 AS a")):  # fmt: skip
        described = house.run(house.executor.describe(mint(text, kind=kind)))
        assert house.ask(text, kind=kind).columns == described, kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("SELECT cast('hidden-value' AS INTEGER)", "conversion"),
        ("SELECT 9223372036854775807 + i FROM range(5) t(i)", "out_of_range"),
        ("SELECT strptime('hidden-value', '%Y')", "invalid_input"),
        ("SELECT abs('hidden-value'::VARCHAR[])", "undefined_function"),
        ("SELECT (SELECT * FROM range(3))", "duplicate_key"),
        ("SELECT i, count(*) FROM range(3) t(i)", "grouping"),
        ("SELECT * FROM nosuch", "binder"),
    ],
)
def test_failures_keep_their_class_and_lose_their_words(house: Rig, text: str, kind: str) -> None:
    with pytest.raises(EngineFailed) as caught:
        house.ask(text)
    assert caught.value.kind == kind
    told = str(caught.value) + caught.value.advice + caught.value.reason
    assert "hidden-value" not in told
    assert "9223372036854775807" not in told


def test_an_unknown_column_is_named(house: Rig) -> None:
    with pytest.raises(ColumnUnknown, match='column "nocol" does not exist'):
        house.ask("SELECT nocol FROM range(3)")


def test_the_instance_is_locked_behind_the_one_door(house: Rig) -> None:
    texts = (
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM 'x.parquet'",
        "SELECT * FROM read_parquet('hati://o/1/x.parquet')",
        "COPY (SELECT 1) TO 'out.csv'",
        "ATTACH 'x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 9",
        "RESET memory_limit",
        "SET lock_configuration = false",
        "SELECT * FROM read_csv('https://127.0.0.1/x.csv')",
    )
    for text in texts:
        try:
            house.ask(text)
        except Refusal:
            continue
        pytest.fail(f"not refused: {text}")


def test_only_governed_statements_run(house: Rig) -> None:
    with pytest.raises(TypeError):
        house.run(house.executor.run("SELECT 1", deadline_s=1))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        mint_without_pipeline()


def mint_without_pipeline() -> None:
    from engine.pipeline.governed import Governed

    Governed(("SELECT 1",), "select", (), (), (), (), 1, "1")


def test_a_hundred_statements_at_once(house: Rig) -> None:
    async def many() -> list[str | None]:
        answers = await asyncio.gather(
            *(house.ask_async(f"SELECT {n} + count(*) * 0 FROM range(200000)") for n in range(100))
        )
        return [answer.rows[0][0] for answer in answers]

    assert house.run(many()) == [str(n) for n in range(100)]


def test_a_worker_serves_one_organization_in_its_life(house: Rig) -> None:
    house.ask("SELECT 1 + 0", organization="one")
    house.ask("SELECT 1 + 0", organization="two")
    served = [w.organization for w in house.executor.pool.workers if w.organization is not None]
    assert {"one", "two"} <= set(served)
    assert len({w.pid for w in house.executor.pool.workers}) == len(house.executor.pool.workers)


def test_a_newcomer_takes_the_place_of_the_longest_idle(tmp_path: Path) -> None:
    from tests.engine.executor.rig import rig

    with rig(tmp_path, workers_max=2, workers_per_organization_max=1, memory_bytes=512 << 20) as small:
        for organization in ("a", "b", "c", "a"):
            assert small.ask("SELECT 7 + 0", organization=organization).rows == [("7",)]
            assert len(small.executor.pool.workers) <= 2


def test_memory_stays_flat_while_a_result_streams_to_a_slow_reader(house: Rig) -> None:
    async def stream() -> tuple[int, int]:
        governed = mint("SELECT i, repeat('x', 200) AS filler FROM range(3000000) t(i)", organization="streams")
        async with await house.executor.run(governed, deadline_s=60) as execution:
            frames = execution.frames()
            rows = 0
            worker = next(w for w in house.executor.pool.workers if w.organization == "streams" and w.leases)
            await anext(frames)
            before = _resident_bytes(worker.pid)
            async for frame in frames:
                rows += frame.rows
                if rows > 1_000_000:
                    break
            return before, _resident_bytes(worker.pid)

    before, after = house.run(stream())
    assert after - before < 200 << 20


def _resident_bytes(pid: int) -> int:
    if not os.path.exists(f"/proc/{pid}/statm"):
        pytest.skip("needs /proc")
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_tables_are_read_through_the_door_with_their_partitions(house: Rig) -> None:
    for year in (2020, 2021):
        house.write(f"sales/flights/year={year}/a.parquet", f"SELECT i, 'f{year}' AS s FROM range(1000) t(i)")
    house.seen()
    answer = house.ask("SELECT year, count(*), min(s) FROM ", FLIGHTS, " GROUP BY year ORDER BY year")
    assert answer.rows == [("2020", "1000", "f2020"), ("2021", "1000", "f2021")]
    assert answer.facts.cache_status in ("hit", "partial", "miss")


def test_out_of_memory_is_a_limit_not_an_end(house: Rig) -> None:
    with pytest.raises(ResourceExceeded):
        house.ask("SELECT list(repeat('x', 1000) || i) FROM range(5000000) t(i)", organization="greedy")
    assert house.ask("SELECT 1 + 0", organization="greedy").rows == [("1",)]


def test_a_table_that_is_not_there_is_unavailable(house: Rig) -> None:
    with pytest.raises(SourceUnavailable):
        house.ask("SELECT * FROM ", TableName("sales", "nosuch"))


def test_masked_columns_are_asserted_never_changed(house: Rig) -> None:
    fine = house.ask("SELECT '***6789' AS ssn, '***' AS card", masked_values=(("ssn", "partial:4"), ("card", "full")))
    assert fine.rows == [("***6789", "***")]
    with pytest.raises(EngineFailed) as caught:
        house.ask("SELECT '123-45-6789' AS ssn", masked_values=(("ssn", "partial:4"),))
    assert caught.value.kind == "assertion"
    assert "6789" not in str(caught.value) + caught.value.reason


def test_copy_formats_come_from_the_same_executor(house: Rig) -> None:
    async def copy() -> bytes:
        async with await house.executor.run(
            mint("SELECT 1 AS a, 'x,y' AS b"), deadline_s=10, row_format="copy_csv", row_options={"time_zone": "UTC"}
        ) as execution:
            return b"".join([bytes(frame.data) async for frame in execution.frames()])

    assert b'1,"x,y"\n' in house.run(copy())


def test_settings_have_room_for_a_hundred_statements(tmp_path: Path) -> None:
    settings = ExecutorSettings(tmp_path)
    assert settings.workers_per_organization_max * settings.channels_per_worker_max >= 100
    assert Executor.__init__ is not None


def test_a_null_parameter_does_not_change_the_described_types(house: Rig) -> None:
    text = 'SELECT CASE WHEN $1 IS NULL THEN 5 ELSE $1 END AS "a ""b", $2 AS t'
    facts = {"types": ["BIGINT", "VARCHAR"]}
    governed = mint(text, parameters=tuple(Parameter(t) for t in facts["types"]))
    described = house.run(house.executor.describe(governed, [0, 0]))
    assert [(c.name, c.type) for c in described] == [('a "b', "BIGINT"), ("t", "VARCHAR")]
    null, seven = ParameterValue(None, 0, 0), ParameterValue(b"7", 0, 0)
    for first, second, row in ((null, null, ("5", None)), (seven, null, ("7", None)), (seven, seven, ("7", "7"))):
        answer = house.ask(text, parameters=[first, second], **facts)
        assert answer.columns == described
        assert answer.rows == [row]


def test_a_clients_own_type_counts_in_describe_as_in_run(house: Rig) -> None:
    described = house.run(house.executor.describe(mint("SELECT $1 AS a", parameters=(Parameter(""),)), [701]))
    assert [c.type for c in described] == ["DOUBLE"]
    answer = house.ask("SELECT $1 AS a", parameters=[ParameterValue(b"1.5", 0, 701)], types=[""])
    assert answer.columns == described


def test_rows_that_nobody_took_do_not_stop_the_next_statement_of_their_channel(house: Rig):
    async def work() -> None:
        async with await house.executor.run(mint("SELECT 1 AS a"), deadline_s=20) as execution:
            assert execution.columns[0].name == "a"  # described, never read
            async with asyncio.timeout(10):
                while not _ended(execution):  # noqa: ASYNC110 - nothing to wait on but the worker
                    await asyncio.sleep(0.005)
        async with await house.executor.run(mint("SELECT 2 AS b"), deadline_s=10) as execution:
            assert [rows_of(frame.data) async for frame in execution.frames()] == [[("2",)]]

    house.run(work())


def _ended(execution: Execution) -> bool:
    lease = execution._lease
    return lease is not None and bool(lease.channel.final_at)


def test_nothing_is_sent_before_leave_is_given_and_never_after_it_was_refused(house: Rig):
    async def work() -> None:
        loop, given = asyncio.get_running_loop(), asyncio.Event()

        def later(may_run: Callable[[], None], refused: Callable[[Refusal], None]) -> None:
            loop.call_later(0.2, lambda: (given.set(), threading.Thread(target=may_run).start()))

        async with await house.executor.run(mint("SELECT 1 + 0"), deadline_s=20, gate=later) as execution:
            assert given.is_set()
            assert [frame.rows async for frame in execution.frames()] == [1]

        kept: list[Callable[[], None]] = []

        def never(may_run: Callable[[], None], refused: Callable[[Refusal], None]) -> None:
            kept.append(may_run)
            loop.call_soon(refused, AuditUnavailable("The audit cannot take a record."))

        with pytest.raises(AuditUnavailable):
            await house.executor.run(mint("SELECT 3 + 0"), deadline_s=20, gate=never)
        kept[0]()  # too late: the disk answered after all
        async with await house.executor.run(mint("SELECT 4 + 0"), deadline_s=20) as execution:
            assert [rows_of(frame.data) async for frame in execution.frames()] == [[("4",)]]

        async def cancelled() -> None:
            await house.executor.run(mint("SELECT 5 + 0"), deadline_s=20, gate=lambda may_run, _: kept.append(may_run))

        task = asyncio.create_task(cancelled())
        async with asyncio.timeout(10):
            while len(kept) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        kept[1]()
        async with await house.executor.run(mint("SELECT 6 + 0"), deadline_s=20) as execution:
            assert [rows_of(frame.data) async for frame in execution.frames()] == [[("6",)]]

    house.run(work())
