"""`audit_durability = "store"`: no statement is told complete before its record is in the store."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.engine.session.front import front
from tests.engine.session.raw import Raw, kinds, run
from tests.support.waiting import until_async


def test_w5_1_a_completion_waits_for_the_store(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path, store_wait_s=20) as f:
            raw = await Raw.login(f)
            asked = asyncio.create_task(raw.query("select 1"))
            await until_async(lambda: bool(f.audit.outcomes))
            assert f.desk.admission.running == 0, "others run meanwhile"
            assert not asked.done()
            f.audit.in_store.set()
            assert kinds(await asked) == "TDCZ"
            assert [outcome.status for outcome in f.audit.outcomes] == ["succeeded"]
            await raw.close()

    run(story())


def test_a_record_that_does_not_get_there_in_time_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        async with front(tmp_path, store_wait_s=0.1) as f:
            raw = await Raw.login(f)
            told = await raw.error("select 1")
            assert told["C"] == "58030"
            assert "not in the store yet" in told["M"]
            assert (await raw.error("nonsense"))["C"] == "42601", "a refusal is told as what it is"
            assert [outcome.status for outcome in f.audit.outcomes] == ["succeeded", "failed"]
            f.audit.in_store.set()
            assert kinds(await raw.query("select 1")) == "TDCZ"
            await raw.close()

    run(story())
