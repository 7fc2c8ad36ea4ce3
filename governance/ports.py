"""What the law asks of the world: Protocols that `aws` and `local` implement."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The time, as something that can be passed in."""

    def now(self) -> datetime:
        """The present moment, aware, UTC."""


class AuditStore(Protocol):
    """Where audit objects are laid down, once each, for good."""

    def put_new(self, name: str, data: bytes) -> bool:
        """Store `data` under `name` unless the name is taken. True when stored now, False when it was there.

        Raises:
            OSError: the store cannot be reached or refuses; the caller retries.
        """

    def get(self, name: str) -> bytes:
        """The object's bytes.

        Raises:
            FileNotFoundError: no such object.
        """

    def names(self, prefix: str) -> list[str]:
        """Names under `prefix`, sorted."""
