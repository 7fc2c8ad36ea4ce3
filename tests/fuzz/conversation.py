"""Coverage-guided fuzzing of the wire: whatever a client says, the session answers or ends, and nothing is left behind.

    python -m tests.fuzz.conversation -max_total_time=60

The fuzzer's bytes choose messages, half of them well formed, their contents and where the stream is cut.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

import atheris

with atheris.instrument_imports(include=["engine.wire", "engine.session", "engine.admission", "engine.hello"]):
    from tests.fuzz.talk import Hall, cut


@dataclass
class Bytes:
    """The fuzzer's bytes as dice."""

    given: atheris.FuzzedDataProvider

    def number(self, least: int, most: int) -> int:
        return int(self.given.ConsumeIntInRange(least, most))

    def data(self, count: int) -> bytes:
        return bytes(self.given.ConsumeBytes(count))


def main() -> None:
    """Until the fuzzer's own limit."""
    loop = asyncio.new_event_loop()
    hall = Hall()

    def one(raw: bytes) -> None:
        dice = Bytes(atheris.FuzzedDataProvider(raw))
        greeted = dice.number(0, 7) > 0
        loop.run_until_complete(hall.talk(cut(dice), greeted=greeted))

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
