"""What is remembered of a request that bore an Idempotency-Key, so that its repetition does nothing twice.

It is kept in the transaction of the change itself. The answer follows when it is made, without what is shown once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class IdempotentAnswer:
    """An observation: this request was carried out, and what was answered."""

    kind: ClassVar[str] = "idempotent_answer"
    environment: ClassVar[str] = ""
    organization: ClassVar[str] = ""
    lookup: ClassVar[str] = ""
    unique: ClassVar[str] = ""

    id: str
    """A digest of the caller's id, the route and his key; none of them can be read from it."""
    request_hash: str
    """SHA-256 of method, path, query and body: the same key with another request is refused."""
    request_id: str
    """Of the request that was carried out."""
    expires_at: str
    status: int = 0
    """0: carried out, but its answer was not noted (yet)."""
    body: str = ""

    def stored(self) -> dict[str, Any]:
        """The stored form."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def restored(cls, body: dict[str, Any]) -> IdempotentAnswer:
        """The inverse of `stored`."""
        return cls(**body)
