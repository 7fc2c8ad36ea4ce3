"""A step of a statement's run, awaited: whatever goes wrong ends the run with its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import TypeVar

from engine.session_run import Run
from engine.session_state import SessionState
from governance.errors import DeadlineExceeded

T = TypeVar("T")


async def served(state: SessionState, run: Run, work: Awaitable[T]) -> T:
    """Await a step of a run. Whatever goes wrong ends the run with its outcome; an interruption becomes 57014.

    Raises:
        Refusal: the step's error.
    """
    state.active = run
    if state.interrupted:
        work = _stopped(work, state.interrupted)
    try:
        return await work
    except asyncio.CancelledError as error:
        if not state.interrupted:
            await run.finish(error)
            raise
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        told = _canceled(state.interrupted)
        await run.finish(told, interrupted=state.interrupted)
        raise told from None
    except DeadlineExceeded as error:
        told = _canceled(state.interrupted) if state.interrupted else error
        await run.finish(told, interrupted=state.interrupted)
        raise told from None
    except BaseException as error:
        await run.finish(error, interrupted=state.interrupted)
        raise
    finally:
        state.active = None


def _canceled(why: str) -> DeadlineExceeded:
    words = {"user": "canceling statement due to user request", "client_gone": "the client is gone"}
    return DeadlineExceeded(words.get(why, "canceling statement because the session ends"))


async def _stopped(work: Awaitable[T], why: str) -> T:
    """Instead of a step that was interrupted before it began."""
    if isinstance(work, Coroutine):
        work.close()
    raise _canceled(why)
