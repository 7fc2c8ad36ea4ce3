"""Portals and cursors: where they stop and go on, whose values they keep, when they end, what they hold meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg

from engine.settings import QueryLimits
from tests.engine.session.front import front
from tests.engine.session.raw import SYNC, Raw, bind, cancel, execute, fields, kinds, message, parse, run
from tests.support.waiting import until_async


def test_portals_stop_between_rows_and_go_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.login(f)
            raw.say(parse("rows 250") + bind() + execute("", 120) + execute("", 130) + execute("", 10) + SYNC)
            heard = kinds(await raw.until_ready())
            assert heard == "12" + "D" * 120 + "s" + "D" * 130 + "s" + "CZ"
            await raw.query("begin")
            raw.say(parse("rows 5") + bind("p") + execute("p", 2) + SYNC)
            assert kinds(await raw.until_ready()) == "12DDsZ"
            raw.say(execute("p", 0) + SYNC)
            heard_again = await raw.until_ready()
            assert kinds(heard_again) == "DDDCZ"
            await raw.query("commit")
            raw.say(execute("p", 0) + SYNC)
            assert fields((await raw.until_ready())[0][1])["C"] == "34000"
            assert f.executor.running == 0
            assert f.desk.admission.running == 0
            await raw.close()

    run(story())


def test_cursors(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.login(f)
            assert (await raw.error("declare c cursor for rows 5"))["C"] == "25P01"
            heard = await raw.query('BEGIN;declare "C1" cursor with hold for rows 150;fetch 120 in "C1"')
            assert kinds(heard) == "CCT" + "D" * 120 + "CZ"
            assert kinds(await raw.query('commit; move 10 in "C1"; fetch 5 in "C1"')) == "CCTDDDDDCZ"
            assert (
                kinds(await raw.query('fetch absolute 140 in "C1"; fetch all in "C1"')) == "TDC" + "T" + "D" * 10 + "CZ"
            )
            assert kinds(await raw.query('fetch next from "C1"; close "C1"')) == "TCCZ"
            assert (await raw.error('fetch next from "C1"'))["C"] == "34000"
            assert f.desk.admission.running == 0
            await raw.close()

    run(story())


def test_a_fetch_does_not_fetch_from_itself(tmp_path: Path) -> None:
    """Bind may give a FETCH the very name that it reads from; fuzzing found that it asked itself for its columns."""

    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.login(f)
            for said in (bind("c") + message("D", b"Pc\0"), bind("c") + execute("c")):
                raw.say(parse("fetch 2 in c") + said + SYNC)
                assert fields(dict(await raw.until_ready())["E"])["C"] == "55000"
            await raw.close()

    run(story())


def test_cursors_end_with_their_savepoint_and_outlive_later_rollbacks_with_hold(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:
            raw = await Raw.login(f)
            await raw.query("begin; savepoint s; declare c cursor for rows 5; fetch c")
            assert kinds(await raw.query("rollback to s")) == "CZ"
            assert (await raw.error("fetch c"))["C"] == "34000"
            await raw.query("rollback; begin; declare h cursor with hold for rows 5; commit; begin; fetch h; rollback")
            assert kinds(await raw.query("fetch h")) == "TDCZ"
            await raw.query("close h; begin; declare h cursor with hold for rows 5; rollback")
            assert (await raw.error("fetch h"))["C"] == "34000"
            assert f.desk.admission.running == 0
            await raw.close()

    run(story())


def test_a_portal_between_two_requests_for_rows_holds_no_slot(tmp_path: Path) -> None:
    async def story() -> None:
        queries = QueryLimits(running_max=1, wait_s=0.3, resting_max=1)
        async with front(tmp_path, queries=queries) as f:
            admission = f.desk.admission
            slow, other, third = [await Raw.login(f) for _ in range(3)]
            await slow.query("BEGIN")
            slow.say(parse("rows 30") + bind("p") + execute("p", 10) + SYNC)
            assert kinds(await slow.until_ready()) == "12" + "D" * 10 + "sZ"
            await until_async(lambda: (admission.running, admission.resting) == (0, 1))
            assert kinds(await other.query("select 1")) == "TDCZ"

            await other.query("BEGIN; DECLARE c CURSOR FOR rows 30; FETCH 5 FROM c")
            await until_async(lambda: admission.running == 1)  # one rests already: this one keeps its slot
            assert admission.resting == 1
            slow.say(execute("p", 10) + SYNC)
            assert fields(dict(await slow.until_ready())["E"])["C"] == "53400"
            await until_async(lambda: admission.resting == 0)
            await other.query("CLOSE c")
            assert kinds(await third.query("select 1")) == "TDCZ"

            await third.query("BEGIN; DECLARE c CURSOR FOR rows 30; FETCH 5 FROM c")
            await until_async(lambda: (admission.running, admission.resting) == (0, 1))
            heard = await third.query("FETCH ALL FROM c")
            assert kinds(heard) == "T" + "D" * 25 + "CZ"
            for raw in (slow, other, third):
                await raw.close()
            await until_async(lambda: (admission.running, admission.resting, f.executor.running) == (0, 0, 0))

    run(story())


def test_a_portal_nobody_asks_is_freed_at_its_deadline_and_a_cancel_reaches_one_that_waits(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path, queries=QueryLimits(running_max=1)) as f:
            admission = f.desk.admission
            raw, other = [await Raw.login(f) for _ in range(2)]
            await raw.query("BEGIN; SET LOCAL statement_timeout = '300ms'")
            raw.say(parse("rows 300") + bind("p") + execute("p", 10) + SYNC)
            assert kinds(await raw.until_ready())[-2:] == "sZ"
            await until_async(lambda: f.audit.outcomes and f.audit.outcomes[-1].status == "timed_out")
            assert (f.executor.running, admission.resting) == (0, 0)
            raw.say(execute("p", 10) + SYNC)
            assert fields(dict(await raw.until_ready())["E"])["C"] == "57014"

            await raw.query("ROLLBACK; BEGIN")
            raw.say(parse("rows 300") + bind("p") + execute("p", 10) + SYNC)
            await raw.until_ready()
            other.say(message("Q", b"rows 1 slow\0"))
            await until_async(lambda: (admission.running, admission.resting) == (1, 1))
            raw.say(execute("p", 10) + SYNC)
            await until_async(lambda: admission.queued == 1)
            once = await Raw.secure(f)
            once.say(cancel(raw.process_id, raw.secret))
            assert fields(dict(await raw.until_ready())["E"])["C"] == "57014"
            assert (admission.running, admission.resting, admission.queued) == (1, 0, 0)
            for each in (raw, other, once):
                await each.close()

    run(story())


def test_psycopg_pipeline_and_server_cursor(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path) as f:

            def work() -> None:
                with psycopg.connect(f.dsn()) as c:
                    with c.pipeline():
                        one, three = c.execute("select 1"), c.execute("rows 3")
                    assert (one.fetchall(), three.fetchall()) == ([(1,)], [(0,), (1,), (2,)])
                    for binary in (False, True):
                        with c.cursor(name="cur", binary=binary) as cursor:
                            cursor.execute("rows 1000")
                            assert len(cursor.fetchmany(10)) == 10
                            assert cursor.fetchall()[-1] == (999,)

            await asyncio.to_thread(work)
            assert f.desk.admission.running == 0

    run(story())
