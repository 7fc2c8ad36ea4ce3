"""The session's neighbours: refusals, admission, the rulebook's keeper, the status page."""

from __future__ import annotations

import asyncio
import stat
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
import uvloop

from engine import refusals
from engine.admission import Admission, Slot
from engine.metrics import NodeMetrics
from engine.rulebook import RulebookKeeper
from engine.settings import NodeSettings, QueryLimits
from engine.status_page import StatusPage
from governance import errors
from governance.errors import InvalidRequest, Refusal, RulebookUnavailable, TooManyQueries
from tests.engine.session.front import FakeLink, SystemClock, make_rulebook, signature_holds
from tests.support.waiting import until_async


def test_every_refusal_has_one_sqlstate() -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, Refusal)]
    assert {c.code for c in classes} == set(refusals.SQLSTATES)
    assert all(len(state) == 5 for state in (*refusals.SQLSTATES.values(), *refusals.ENGINE_KINDS.values()))


def test_a_fault_nobody_foresaw_keeps_its_words_to_itself(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise KeyError("123-45-6789")
    except KeyError as error:
        told = refusals.report(error)
    assert told.sqlstate == "XX000"
    assert "123-45" not in repr(told)
    assert "123-45" not in caplog.text
    assert told.reason.split()[-1] in caplog.text


def test_w1_11_slots_are_counted_and_keys_take_turns() -> None:
    async def story() -> None:
        admission = Admission(QueryLimits(running_max=2, wait_s=5))
        held = [await admission.acquire("1", "greedy") for _ in range(2)]
        order: list[str] = []
        slots: list[Slot] = []

        async def ask(key: str) -> None:
            slots.append(await admission.acquire("1", key))
            order.append(key)

        tasks = [asyncio.create_task(ask("greedy")) for _ in range(3)]
        await until_async(lambda: admission.queued == 3)
        tasks.append(asyncio.create_task(ask("modest")))
        await until_async(lambda: admission.queued == 4)
        for slot in held:
            slot.release()
            slot.release()
        await until_async(lambda: len(order) == 2)
        assert sorted(order) == ["greedy", "modest"]
        assert admission.running == 2
        while len(order) < 4 or slots:
            slots.pop().release()
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        assert (admission.running, admission.queued) == (0, 0)

    uvloop.run(story())


def test_admission_limits_of_a_key_an_organization_the_queue_and_the_wait() -> None:
    async def story() -> None:
        admission = Admission(
            QueryLimits(running_max=5, queued_max=1, wait_s=0.05, per_key_max=1, per_organization_max=2)
        )
        first = await admission.acquire("1", "a")
        second = await admission.acquire("1", "b")
        waiting = asyncio.create_task(admission.acquire("1", "c"))
        await until_async(lambda: admission.queued == 1)
        with pytest.raises(TooManyQueries):
            await admission.acquire("1", "a")
        other = await admission.acquire("2", "z")
        with pytest.raises(TooManyQueries):
            await waiting
        assert (admission.running, admission.queued) == (3, 0)
        gone = asyncio.create_task(admission.acquire("1", "d", 30))
        await until_async(lambda: admission.queued == 1)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        for slot in (first, second, other):
            slot.release()
        assert (admission.running, admission.queued) == (0, 0)

    uvloop.run(story())


def keeper_of(
    link: FakeLink, path: Path, environment: str = "production", clock: SystemClock | None = None
) -> RulebookKeeper:
    return RulebookKeeper(
        link,  # type: ignore[arg-type]
        path,
        environment=environment,
        clock=clock or SystemClock(),
        verify=signature_holds,
        poll_s=0.02,
    )


class LaterClock(SystemClock):
    """The machine's clock some hours from now."""

    def now(self) -> datetime:
        return super().now() + timedelta(hours=3)


def test_a_kept_rulebook_survives_a_restart_without_the_control_plane(tmp_path: Path) -> None:
    path = tmp_path / "node" / "rulebook.json"

    async def story() -> None:
        first = keeper_of(FakeLink(make_rulebook()), path)
        with pytest.raises(RulebookUnavailable):
            first.current()
        await first.start()
        await until_async(lambda: first.fresh)
        await until_async(path.with_suffix(".manifest").exists)
        await first.stop()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        second = keeper_of(FakeLink(down=True), path)
        await second.start()
        await second.settled()
        assert second.current().version == 1
        assert second.failures > 0
        await second.stop()
        third = keeper_of(FakeLink(down=True), path, clock=LaterClock())
        await third.start()
        await third.settled()
        with pytest.raises(RulebookUnavailable):
            third.current()
        await third.stop()

    uvloop.run(story())


def test_a_rulebook_that_is_none_older_or_foreign_is_not_taken(tmp_path: Path) -> None:
    async def story() -> None:
        link = FakeLink(make_rulebook(version=5))
        keeper = keeper_of(link, tmp_path / "rulebook.json")
        changes: list[int] = []
        keeper.on_change.append(lambda book: changes.append(book.version))
        await keeper.refresh()
        for wrong in (make_rulebook(version=4), make_rulebook(version=6, environment="staging")):
            link.rulebook_now = wrong
            with pytest.raises(InvalidRequest):
                await keeper.refresh()
        assert keeper.current().version == 5
        link.rulebook_now = make_rulebook(version=6)
        await keeper.refresh()
        await keeper.refresh()
        assert changes == [5, 6]

    uvloop.run(story())


def test_a_spoiled_file_is_no_rulebook(tmp_path: Path) -> None:
    path = tmp_path / "rulebook.json"
    path.write_bytes(b"{]")

    async def story() -> None:
        keeper = keeper_of(FakeLink(down=True), path)
        await keeper.start()
        await keeper.settled()
        assert not keeper.fresh
        await keeper.stop()

    uvloop.run(story())


def test_the_status_page_tells_states_and_figures() -> None:
    async def story() -> None:
        metrics, faults = NodeMetrics(), ["rulebook"]
        page = StatusPage(
            metrics, refresh=lambda: metrics.running.set(3), faults=lambda: faults, host="127.0.0.1", port=0
        )
        await page.start()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{page.port}", trust_env=False) as client:
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/readyz")).status_code == 503
            faults.clear()
            assert (await client.get("/readyz")).json() == {"status": "ready", "faults": []}
            assert "hatidata_statements_running 3.0" in (await client.get("/metrics")).text
            assert (await client.get("/anything")).status_code == 404
        await page.stop()

    uvloop.run(story())


def test_settings_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    good = NodeSettings(tmp_path, "data", "production", "https://localhost:1")
    for bad in ({"port": 70000}, {"proxy_from": ("nowhere",)}, {"control_url": "http://localhost"}):
        with pytest.raises(InvalidRequest):
            replace(good, **bad)  # type: ignore[arg-type]
