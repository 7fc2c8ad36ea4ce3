"""The machine's clock behind the port."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """Implements `governance.ports.Clock`."""

    def now(self) -> datetime:
        """The present moment in UTC."""
        return datetime.now(UTC)
