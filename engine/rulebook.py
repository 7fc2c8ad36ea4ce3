"""The node's copy of the law: polled, its signature checked, swapped atomically, kept in the home, refused when old.

Seam: `GET /v1/nodes/rulebook` over mutual TLS (ARCHITECTURE.md). A control plane that is down is survived until the
last signed word that the rulebook is the law is older than `Limits.rulebook_age_max_s` (house rule 3: missing or too
old refuses everything). What is kept on the volume is believed by its signature and its signed moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from engine.control_link import ControlLink, ControlLinkFailed, RulebookAnswer
from governance import rulebook as format_
from governance.bundle import Manifest, from_header, to_header
from governance.errors import InvalidRequest, RulebookUnavailable
from governance.ports import Clock
from governance.rulebook import Key, Rulebook
from governance.signatures import Verify
from governance.timestamp import parse

_LOG = logging.getLogger("hatidata.node")
_KEEP_EVERY_S = 10.0
"""How often the word that nothing changed is written down."""
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
        verify: Verify,
        poll_s: float = 1.0,
        wait_s: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self._path = path
        self._environment = environment
        self._clock = clock
        self._verify = verify
        self._poll_s = poll_s
        self._wait_s = wait_s
        self._monotonic = monotonic
        self._rulebook: Rulebook | None = None
        self._keys: dict[str, Key] = {}
        self._etag = ""
        self._manifest: Manifest | None = None
        self._confirmed_at = 0.0
        self._kept_at = float("-inf")
        self._tasks: list[asyncio.Task[None]] = []
        self._polled = asyncio.Event()
        self.on_change: list[Callable[[Rulebook], None]] = []
        """Called after each swap, in the loop's thread; must not raise."""
        self.on_poll: list[Callable[[], None]] = []
        """Called at least every `poll_s`, whatever came of a round."""
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
        self._tasks.append(asyncio.create_task(self._poll(), name="rulebook"))
        if self._wait_s:
            self._tasks.append(asyncio.create_task(self._tick(), name="rulebook listeners"))

    async def stop(self) -> None:
        """Stop polling."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

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
            self._tell()
            await asyncio.sleep(self._poll_s)

    async def _tick(self) -> None:
        """Listeners do not wait for a long poll to end."""
        while True:
            await asyncio.sleep(self._poll_s)
            self._tell()

    def _tell(self) -> None:
        for listener in self.on_poll:
            listener()

    async def refresh(self) -> None:
        """One poll.

        Raises:
            ControlLinkFailed: no answer, or not one that is understood.
            InvalidRequest: not signed as it should be, not a rulebook, another environment's, or an older one.
        """
        answer = await self._link.rulebook(self._etag, self._wait_s)
        manifest = self._checked(answer.manifest, answer.signature)
        if answer.body is None:
            if self._manifest is None or manifest.sha256 != self._manifest.sha256:
                raise InvalidRequest("The control plane confirmed another rulebook than the one in force.")
            self._confirm(manifest)
            await asyncio.to_thread(self._keep, answer)
            return
        self._take(answer.body, manifest, answer.etag)
        await asyncio.to_thread(self._keep, answer)  # after: who finds it in the home finds it in force

    def _checked(self, data: bytes, signature: bytes) -> Manifest:
        """The manifest, when it is signed, ours, and not older than what is known.

        Raises:
            InvalidRequest: it is not.
        """
        if not data or not self._verify(data, signature):
            raise InvalidRequest("The rulebook is not signed by this installation.", reason="signature does not hold")
        manifest = Manifest.decode(data)
        if manifest.environment != self._environment:
            raise InvalidRequest("The control plane sent another environment's rulebook.")
        if self._manifest is not None and manifest.version < self._manifest.version:
            raise InvalidRequest("The control plane sent an older rulebook than the one in force.")
        return manifest

    def _take(self, body: bytes, manifest: Manifest, etag: str) -> None:
        """Put a rulebook in force.

        Raises:
            InvalidRequest: not the one its manifest speaks of, or not one at all.
        """
        if not manifest.describes(body):
            raise InvalidRequest("The rulebook is not the one its manifest speaks of.")
        rulebook = replace(format_.decode(body), issued_at=manifest.issued_at)
        if (rulebook.environment, rulebook.version) != (manifest.environment, manifest.version):
            raise InvalidRequest("The rulebook is not the one its manifest speaks of.")
        changed = self._rulebook is None or rulebook.etag != self._rulebook.etag
        self._etag = etag
        self._confirm(manifest)
        if not changed:
            return
        self._keys = {key.prefix: key for key in rulebook.keys}
        self._rulebook = rulebook
        for listener in self.on_change:
            listener(rulebook)

    def _confirm(self, manifest: Manifest) -> None:
        """The age counts from the signed moment; one to come counts as now, an older one takes nothing back."""
        age_s = max(0.0, (self._clock.now() - parse(manifest.issued_at)).total_seconds())
        first = self._manifest is None
        self._confirmed_at = self._monotonic() - age_s if first else max(self._confirmed_at, self._monotonic() - age_s)
        self._manifest = manifest

    # ------------------------------------------------------------ the kept copy

    @property
    def _manifest_path(self) -> Path:
        """Two lines of base64: the manifest last kept, and its signature."""
        return self._path.with_suffix(".manifest")

    def _keep(self, answer: RulebookAnswer) -> None:
        now = self._monotonic()
        if answer.body is None and now - self._kept_at < _KEEP_EVERY_S:
            return
        with contextlib.suppress(OSError):
            if answer.body is not None:
                _replace(self._path, answer.body)
            _replace(self._manifest_path, f"{to_header(answer.manifest)}\n{to_header(answer.signature)}\n".encode())
            self._kept_at = now

    def _restore(self) -> None:
        try:
            body = self._path.read_bytes()
            data, signature, _ = self._manifest_path.read_text("ascii").split("\n")
            manifest = self._checked(from_header(data), from_header(signature))
            self._take(body, manifest, "")
        except (FileNotFoundError, IsADirectoryError):
            return
        except (OSError, InvalidRequest, ValueError):
            _LOG.warning("the kept rulebook is not one to go by; waiting for the control plane")


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(f"{path.suffix}.new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
