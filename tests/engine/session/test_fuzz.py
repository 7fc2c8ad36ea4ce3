"""Random talk over the socket: whatever is said, the session answers or ends, and the node goes on."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
import uvloop

from tests.engine.session.front import front, until
from tests.engine.session.raw import Raw, message
from tests.engine.session.test_session import SYNC, bind, describe, execute, kinds, parse

TEXTS = [
    "select 1",
    "rows 150",
    "rows hidden",
    "nonsense",
    "",
    "begin",
    "rollback",
    "declare c cursor for rows 9",
    "fetch 2 in c",
    "close c",
    "copy (rows 2) to stdout",
    "show all",
    "savepoint a",
    "echo $1",
    "select 1; rows 2",
]


def utterance(dice: random.Random) -> bytes:
    name = dice.choice(["", "a", "b"])
    kind = dice.randrange(12)
    if kind == 0:
        return dice.randbytes(dice.randrange(1, 30))
    if kind == 1:
        return message(dice.choice("QPBDECHSF"), dice.randbytes(dice.randrange(20)))
    return [
        message("Q", dice.choice(TEXTS).encode() + b"\0"),
        parse(dice.choice(TEXTS), name),
        bind(name, dice.choice(["", "a"]), dice.choice([(), (1,), (0, 1)])),
        describe(dice.choice("SP"), name),
        execute(name, dice.choice([0, 1, 70])),
        SYNC,
        message("H"),
        message("C", dice.choice([b"S", b"P"]) + name.encode() + b"\0"),
        message("d", b"x"),
        SYNC,
    ][kind - 2]


async def conversation(raw: Raw, dice: random.Random) -> None:
    for _ in range(dice.randrange(1, 25)):
        raw.say(utterance(dice))
    raw.say(SYNC + message("X"))
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
            await until(lambda: f.server.connections == 0)
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
