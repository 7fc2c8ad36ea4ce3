"""How a session's text comes to be governed: under a draft when it asks for one, and never in the loop's way.

A long text may take a fifth of a second to govern for the first time. That happens on a thread with a pipeline and a
parser of its own, so that the other sessions go on.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from engine.control_link import ControlLinkFailed
from engine.pipeline import explain
from engine.pipeline.authorize import manages_policies
from engine.pipeline.governed import Governed
from governance.errors import DeadlineExceeded, InvalidRequest, RulebookUnavailable
from governance.policy_versions import Drafted, read_drafted
from governance.principals import Principal
from governance.rulebook import Rulebook

INLINE_CHARS_MAX = 2_000
"""A text up to this long is governed in the loop: some milliseconds at most."""
DRAFTS_KEPT = 16
_QUERY = frozenset({"query"})


class _Pipeline(Protocol):
    def govern(
        self,
        text: str,
        principal: Principal,
        catalog: Any,
        rulebook: Rulebook,
        *,
        actions: frozenset[str] = _QUERY,
        drafted: Drafted | None = None,
    ) -> Governed:
        """See `engine.pipeline.Pipeline`."""


class DraftSource(Protocol):
    """The control plane, as far as drafts go."""

    async def policy_draft(self, number: int) -> Mapping[str, Any] | None:
        """The draft's document, or None when there is none.

        Raises:
            ControlLinkFailed: no usable answer.
        """


class Governing:
    """Implements the session's `Pipeline` port over two pipelines and the control plane's drafts."""

    def __init__(self, inline: _Pipeline, patient: _Pipeline, drafts: DraftSource) -> None:
        """`inline` is used in the loop; `patient`, which shares nothing with it, on the thread."""
        self._inline = inline
        self._patient = patient
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="governing")
        self._drafts = drafts
        self._kept: OrderedDict[int, Drafted] = OrderedDict()
        self._kept_under: Rulebook | None = None

    async def govern(
        self,
        text: str,
        principal: Principal,
        catalog: Any,
        rulebook: Rulebook,
        *,
        actions: frozenset[str] = _QUERY,
        deadline_s: float = 60.0,
    ) -> Governed:
        """The statement under the law, within `deadline_s`.

        Raises:
            Refusal: as the pipeline; DeadlineExceeded; RulebookUnavailable when a draft cannot be fetched.
        """
        drafted = await self._drafted(text, principal, rulebook)
        if len(text) <= INLINE_CHARS_MAX:
            return self._inline.govern(text, principal, catalog, rulebook, actions=actions, drafted=drafted)

        def patiently() -> Governed:
            return self._patient.govern(text, principal, catalog, rulebook, actions=actions, drafted=drafted)

        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.get_running_loop().run_in_executor(self._thread, patiently)
        except TimeoutError:
            raise DeadlineExceeded("The statement took too long to be governed.", advice="Write it shorter.") from None

    async def _drafted(self, text: str, principal: Principal, rulebook: Rulebook) -> Drafted | None:
        """The draft that an EXPLAIN POLICY names; None when it names none, or is the pipeline's to refuse."""
        if not text.lstrip()[:7].lower().startswith("explain") or not manages_policies(principal):
            return None
        number = explain.draft_named(text)
        if number is None:
            return None
        if self._kept_under is not rulebook:
            self._kept.clear()
            self._kept_under = rulebook
        found = self._kept.get(number)
        if found is None:
            try:
                document = await self._drafts.policy_draft(number)
                if document is None:
                    return None
                found = read_drafted(document, rulebook)
            except (ControlLinkFailed, InvalidRequest):
                raise RulebookUnavailable(
                    "The draft cannot be fetched just now.", advice="Look at the control plane's health; try again."
                ) from None
            if self._kept_under is rulebook:
                self._kept[number] = found
                while len(self._kept) > DRAFTS_KEPT:
                    self._kept.popitem(last=False)
        return found

    def close(self) -> None:
        """End the thread; what it has begun ends by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)
