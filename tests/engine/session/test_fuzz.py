"""Random talk over the socket: whatever is said, the session answers or ends, and the node goes on."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
import uvloop

from tests.engine.session.front import front
from tests.engine.session.raw import SYNC, Raw, kinds, message
from tests.fuzz.talk import Chance, is_awaited, utterance
from tests.support.waiting import until_async


async def conversation(raw: Raw, dice: random.Random) -> None:
    said = b"".join(utterance(Chance(dice)) for _ in range(dice.randrange(1, 25))) + SYNC + message("X")
    raw.say(said)
    if not is_awaited(said):  # else the session waits for the rest of a message, and its client hangs up
        await raw.ended()
    await raw.close()


def play(folder: Path, rounds: int, seed: int) -> None:
    print("seed", seed)

    async def story() -> None:
        async with front(folder) as f:
            for index in range(rounds):
                dice = random.Random(seed + index)
                async with asyncio.timeout(20):
                    await conversation(await Raw.login(f), dice)
            await until_async(lambda: f.server.connections == 0)
            assert (f.executor.running, f.desk.admission.running) == (0, 0)
            assert len(f.audit.intents) == len(f.audit.outcomes)
            assert f.desk.metrics.incidents._value.get() == 0
            raw = await Raw.login(f)
            assert kinds(await raw.query("select 1")) == "TDCZ"
            await raw.close()

    uvloop.run(story())


def test_random_talk(tmp_path: Path) -> None:
    play(tmp_path, 60, random.randrange(1 << 30))


@pytest.mark.slow
def test_random_talk_at_length(tmp_path: Path) -> None:
    play(tmp_path, 3000, random.randrange(1 << 30))
