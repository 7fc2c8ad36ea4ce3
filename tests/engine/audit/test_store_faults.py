"""A store that is slow, late, down, or says no after having stored: every accepted statement once, in the end."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from engine.audit import QueryAudit
from governance.audit_proof import verify_records
from tests.engine.audit.records import MemoryStore, SteppedClock, intent, lines, outcome, settings

PROMPT_S = 5.0


def test_a_slow_store_holds_up_no_statement_and_its_lag_is_told(tmp_path: Path) -> None:
    store, open_ = MemoryStore(), threading.Event()
    store.before = lambda name: bool(open_.wait(30)) or None  # type: ignore[assignment]

    async def run() -> None:
        audit = QueryAudit(settings(tmp_path, ship_age_s=0.0), store, SteppedClock())
        await audit.start()
        async with asyncio.timeout(PROMPT_S):
            for number in range(50):
                await audit.intent(intent(f"q{number}"))
                audit.outcome(outcome(f"q{number}"))
            await audit.settled()
        assert store.objects == {}
        assert audit.available
        assert not await audit.stored(0.05)
        assert audit.lag_s > 0
        open_.set()
        assert await audit.stored(10)
        assert audit.lag_s == 0
        assert await audit.stop()

    asyncio.run(run())
    assert Counter(record["query_id"] for record in lines(store.objects)) == Counter({f"q{n}": 1 for n in range(50)})


@pytest.mark.parametrize("seed", range(5))
def test_w5_1_whatever_the_store_does_each_statement_is_there_once(tmp_path: Path, seed: int) -> None:
    """Faults by chance under load, over several lives of the node, while the clock steps to and fro."""
    chance = random.Random(seed)
    store = MemoryStore()
    late: list[tuple[str, bytes]] = []
    put = store.put_new

    def faulty(name: str, data: bytes) -> bool:
        match chance.randrange(6):
            case 0:
                raise ConnectionError("down")
            case 1:
                late.append((name, data))
                raise TimeoutError("it arrives all the same, later")
            case 2:
                put(name, data)
                raise OSError("503 after having stored")
            case 3:
                put(name, data)
                return put(name, data)  # delivered twice
            case 4:
                for each in late:
                    put(*each)
                late.clear()
        return put(name, data)

    store.put_new = faulty  # type: ignore[method-assign]
    accepted: list[str] = []

    async def life(turn: int) -> None:
        clock = SteppedClock(timedelta(seconds=chance.choice((-3600, 1, 86_400))))
        hasty = {"ship_age_s": 0.0, "retry_s_max": 0.01, "drain_timeout_s": 0.2}
        audit = QueryAudit(settings(tmp_path, ship_bytes=3000, segment_bytes=16_384, **hasty), store, clock)
        await audit.start()

        async def client(name: int) -> None:
            for number in range(15):
                query_id = f"{turn}-{name}-{number}"
                await audit.intent(intent(query_id))
                accepted.append(query_id)
                if chance.random() < 0.9:
                    audit.outcome(outcome(query_id))

        await asyncio.gather(*(client(name) for name in range(4)))
        await audit.stop()

    for turn in range(3):
        asyncio.run(life(turn))
    store.put_new = put  # type: ignore[method-assign]
    for each in late:
        put(*each)

    async def finish() -> None:
        audit = QueryAudit(settings(tmp_path), store, SteppedClock())
        await audit.start()
        assert await audit.stop()

    asyncio.run(finish())
    found = Counter(record["query_id"] for record in lines(store.objects))
    assert found == Counter(accepted)
    assert verify_records(store) == []
