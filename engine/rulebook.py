"""The node's copy of the law: polled, checked, swapped atomically, kept in the home, and refused when it is old.

Seam: `GET /v1/nodes/rulebook` over mutual TLS (ARCHITECTURE.md). A control plane that is down is survived until the
rulebook is older than `Limits.rulebook_age_max_s` (house rule 3: missing or too old refuses everything).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from engine.control_link import ControlLink, ControlLinkFailed
from governance import rulebook as format_
from governance.errors import InvalidRequest, RulebookUnavailable
from governance.ports import Clock
from governance.rulebook import Key, Rulebook

_LOG = logging.getLogger("hatidata.node")
_ADVICE = "Look at the control plane's health; queries go on by themselves when it answers again."


class RulebookKeeper:
    """Holds the current rulebook. `current()` is cheap enough to call for every statement."""

    def __init__(
        self,
        link: ControlLink,
        path: Path,
        *,
        environment: str,
        clock: Clock,
        poll_s: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self._path = path
        self._environment = environment
        self._clock = clock
        self._poll_s = poll_s
        self._monotonic = monotonic
        self._rulebook: Rulebook | None = None
        self._keys: dict[str, Key] = {}
        self._etag = ""
        self._confirmed_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._polled = asyncio.Event()
        self.on_change: list[Callable[[Rulebook], None]] = []
        """Called after each swap, in the loop's thread; must not raise."""
        self.on_poll: list[Callable[[], None]] = []
        """Called after each round, whatever came of it."""
        self.failures = 0
        """Polls that failed in a row."""

    def current(self) -> Rulebook:
        """The rulebook to decide with.

        Raises:
            RulebookUnavailable: there is none, or it is too old.
        """
        rulebook = self._rulebook
        if rulebook is None:
            raise RulebookUnavailable("The node has no rulebook yet.", advice=_ADVICE)
        if self._monotonic() - self._confirmed_at > rulebook.limits.rulebook_age_max_s:
            raise RulebookUnavailable("The node's rulebook is too old to decide with.", advice=_ADVICE)
        return rulebook

    def key(self, prefix: str) -> Key | None:
        """The key of that public prefix in the rulebook last seen."""
        return self._keys.get(prefix)

    @property
    def version(self) -> int:
        """The version last seen; 0 without one."""
        return self._rulebook.version if self._rulebook is not None else 0

    @property
    def age_s(self) -> float:
        """Seconds since the control plane last confirmed the rulebook; infinite without one."""
        return float("inf") if self._rulebook is None else self._monotonic() - self._confirmed_at

    @property
    def fresh(self) -> bool:
        """Whether `current()` would answer."""
        try:
            self.current()
        except RulebookUnavailable:
            return False
        return True

    async def start(self) -> None:
        """Take the kept rulebook up, if any, and begin to poll."""
        self._restore()
        self._task = asyncio.create_task(self._poll(), name="rulebook")

    async def stop(self) -> None:
        """Stop polling."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def settled(self) -> None:
        """Wait for the first round to end."""
        await self._polled.wait()

    async def _poll(self) -> None:
        while True:
            try:
                await self.refresh()
                self.failures = 0
            except (ControlLinkFailed, InvalidRequest, OSError) as error:
                self.failures += 1
                if self.failures in (1, 10) or self.failures % 100 == 0:
                    _LOG.warning(
                        "rulebook not refreshed (%s), failures in a row: %d", type(error).__name__, self.failures
                    )
            self._polled.set()
            for listener in self.on_poll:
                listener()
            await asyncio.sleep(self._poll_s)

    async def refresh(self) -> None:
        """One poll.

        Raises:
            ControlLinkFailed: no answer, or not one that is understood.
            InvalidRequest: not a rulebook, or one of another environment, or an older one.
        """
        asked_at = self._monotonic()
        answer = await self._link.rulebook(self._etag)
        if answer is None:
            if self._rulebook is not None:
                self._confirmed_at = asked_at
                self._persist_age()
            return
        rulebook = format_.decode(answer.body)
        if rulebook.environment != self._environment:
            raise InvalidRequest("The control plane sent another environment's rulebook.")
        if self._rulebook is not None and rulebook.version < self._rulebook.version:
            raise InvalidRequest("The control plane sent an older rulebook than the one in force.")
        self._swap(rulebook, answer.etag, asked_at)
        await asyncio.to_thread(self._persist, answer.body)  # after: who finds it in the home finds it in force

    def _swap(self, rulebook: Rulebook, etag: str, confirmed_at: float) -> None:
        changed = self._rulebook is None or rulebook.etag != self._rulebook.etag
        self._etag = etag
        self._confirmed_at = confirmed_at
        if not changed:
            return
        self._keys = {key.prefix: key for key in rulebook.keys}
        self._rulebook = rulebook
        for listener in self.on_change:
            listener(rulebook)

    # ------------------------------------------------------------ the kept copy

    def _persist(self, body: bytes) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".new")
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)

    def _persist_age(self) -> None:
        """The file's time says when its content was last confirmed."""
        with contextlib.suppress(OSError):
            os.utime(self._path)

    def _restore(self) -> None:
        try:
            body = self._path.read_bytes()
            confirmed = datetime.fromtimestamp(self._path.stat().st_mtime, UTC)
            rulebook = format_.decode(body)
        except (FileNotFoundError, IsADirectoryError):
            return
        except (OSError, InvalidRequest, json.JSONDecodeError):
            _LOG.warning("the kept rulebook cannot be read; waiting for the control plane")
            return
        if rulebook.environment != self._environment:
            return
        age = max(0.0, (self._clock.now() - confirmed).total_seconds())
        self._swap(replace(rulebook), "", self._monotonic() - age)
