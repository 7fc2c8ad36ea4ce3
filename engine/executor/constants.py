"""Statements made of literals alone (`SELECT 1`, by which pools look whether a connection lives), answered from memory.

The worker that ran one first made the bytes; nothing is evaluated here. Everything else is as for any statement: it
was governed, it holds a slot, and its rows leave only once its intent is durable (ADR 21).
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType

from engine.encoder.types import ResultColumn
from engine.executor.channel import Frame
from engine.executor.execution import ExecutionFacts
from engine.executor.leave import Gate
from engine.pipeline.governed import Governed
from governance.errors import DeadlineExceeded, Refusal

_LITERAL = r"(?:[0-9]{1,18}|'[^'\\]{0,128}'|TRUE|FALSE|NULL)(?: +AS +(?:[a-z_][a-z0-9_]{0,62}|\"[^\"]{1,63}\"))?"
_CONSTANT = re.compile(rf"\s*SELECT +{_LITERAL}(?: *, *{_LITERAL}){{0,15}}\s*", re.IGNORECASE)
_KEPT_MAX = 256
_BYTES_MAX = 4_096


def is_constant(governed: Governed) -> bool:
    """Whether the final SQL is a SELECT of literals: no table, function, operator, parameter or clause at all."""
    if governed.kind != "select" or governed.tables or governed.parameters or governed.masked_values:
        return False
    (text, *more) = governed.segments
    return not more and isinstance(text, str) and _CONSTANT.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Answer:
    """All that a worker sent for a constant statement."""

    columns: tuple[ResultColumn, ...]
    frames: tuple[Frame, ...]


class Constants:
    """Answers by organization and encoded work (the text, formats and options in it); the oldest give way."""

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[str, bytes], Answer] = OrderedDict()

    def get(self, organization: str, work: bytes) -> Answer | None:
        """The answer, when it was given before."""
        return self._answers.get((organization, work))

    def keep(self, organization: str, work: bytes, answer: Answer) -> None:
        """Remember a complete answer; a long one is not worth it."""
        if len(work) + sum(len(frame.data) for frame in answer.frames) > _BYTES_MAX:
            return
        self._answers[organization, work] = answer
        if len(self._answers) > _KEPT_MAX:
            self._answers.popitem(last=False)


class Remembered:
    """An execution whose rows are known: it only waits for leave. As `execution.Execution` to whoever uses it."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._ended: Refusal | None = None
        self.columns = answer.columns
        self.facts = ExecutionFacts()
        self.signals: tuple[tuple[str, int], ...] = ()

    async def begin(self, gate: Gate | None, deadline_s: float) -> None:
        """Pass the gate.

        Raises:
            Refusal: the gate stays shut, or DeadlineExceeded.
        """
        if gate is None:
            return
        loop = asyncio.get_running_loop()
        began, leave = loop.time(), loop.create_future()

        def settle(error: Refusal | None = None) -> None:
            if leave.done():
                return
            if error is None:
                leave.set_result(None)
            else:
                leave.set_exception(error)

        def opened() -> None:  # on the audit's thread
            loop.call_soon_threadsafe(settle)

        late = DeadlineExceeded(
            "The statement was stopped at its deadline.", advice="Make it smaller, or raise statement_timeout."
        )
        timer = loop.call_later(deadline_s, settle, late)
        try:
            gate(opened, settle)
            await leave
        finally:
            timer.cancel()
        self.facts.execution_ms = (loop.time() - began) * 1000

    async def frames(self) -> AsyncIterator[Frame]:
        """The rows.

        Raises:
            DeadlineExceeded: cancelled.
        """
        for frame in self._answer.frames:
            if self._ended is not None:
                raise self._ended
            self.facts.rows += frame.rows
            self.facts.bytes += len(frame.data)
            yield frame

    async def cancel(self) -> None:
        """No row leaves any more."""
        self._ended = DeadlineExceeded("The statement was cancelled.", reason="cancelled by the client")

    async def __aenter__(self) -> Remembered:
        """Itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held."""
