"""A statement prepared inside a time window does not run outside of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from governance.errors import PermissionRefused
from governance.policies import Condition, Effect, TimeWindow
from tests.engine.session.front import FakePipeline, front, make_rulebook
from tests.engine.session.raw import SYNC, Raw, bind, execute, fields, kinds, parse, run

HOURS = Condition("c1", "office hours", Effect.ALLOW, window=TimeWindow("UTC", 480, 1080))


@pytest.mark.parametrize("cursor", [False, True])
def test_a_prepared_statement_is_judged_at_the_time_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cursor: bool
) -> None:
    closed = False
    honest = FakePipeline.govern

    async def govern(self: FakePipeline, *arguments: object, **named: object) -> object:
        if closed:
            raise PermissionRefused("A policy does not admit this statement.")
        return await honest(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(FakePipeline, "govern", govern)

    async def story() -> None:
        nonlocal closed
        async with front(tmp_path, rulebook=make_rulebook(policies=(HOURS,))) as f:
            raw = await Raw.login(f)
            if cursor:
                await raw.query("BEGIN")
                await raw.query("DECLARE c CURSOR FOR rows 3")
                closed = True
                assert (await raw.error("FETCH ALL FROM c"))["C"] == "42501"
            else:
                raw.say(parse("rows 3", "s") + bind("", "s") + execute() + SYNC)
                assert kinds(await raw.until_ready()).count("D") == 3
                closed = True
                raw.say(bind("", "s") + execute() + SYNC)
                heard = await raw.until_ready()
                assert kinds(heard) == "2EZ"
                assert fields(heard[1][1])["C"] == "42501"
                assert f.audit.outcomes[-1].status == "denied"
            await raw.close()

    run(story())
