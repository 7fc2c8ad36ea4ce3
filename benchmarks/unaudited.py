"""`hatidata` with a node that audits nothing, to measure against. The product has no such setting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import engine.node
from cli.main import main


class NoAudit:
    """What a node asks of its audit, answered at once and kept nowhere."""

    available = True
    full = False
    spool_bytes = open_intents = ship_failures = write_failures = syncs = events_dropped = outcomes_ignored = 0
    interrupted = intents = refused = 0
    lag_s = 0.0
    findings = ()

    def __init__(self, *_: Any) -> None: ...

    async def start(self) -> None:
        """Nothing to recover."""

    async def stop(self) -> bool:
        """Nothing to ship."""
        return True

    async def intent(self, _: object) -> None:
        """Kept nowhere."""

    def admit(self, _: object, may_run: Callable[[], object], __: object) -> None:
        """Lets it run at once."""
        may_run()

    def outcome(self, _: object) -> None:
        """Kept nowhere."""

    def event(self, _: object) -> None:
        """Kept nowhere."""

    async def settled(self) -> None:
        """Nothing waits."""


if __name__ == "__main__":
    engine.node.QueryAudit = NoAudit  # type: ignore[misc, assignment]
    main()
