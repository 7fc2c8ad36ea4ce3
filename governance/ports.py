"""What the law asks of the world: Protocols that `aws` and `local` implement."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


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


@dataclass(frozen=True, slots=True)
class QueryAuditFilters:
    """What a search of the query audit asks for; an empty field matches everything, given ones must all hold."""

    since: str = ""
    """RFC 3339 UTC, inclusive, compared with `started_at`."""
    until: str = ""
    """RFC 3339 UTC, exclusive."""
    organization: str = ""
    """Records of this organization's sessions only (the control plane sets it for whoever is not the operator)."""
    user: str = ""
    """User id or e-mail address, exact."""
    agent: str = ""
    """Agent id, exact."""
    key_id: str = ""
    table: str = ""
    """`schema.table`, folded, exact."""
    status: str = ""
    """succeeded, denied, failed, cancelled, timed_out, client_gone, interrupted."""
    verdict: str = ""
    """A policy's name or an effect (applied, exempt, allowed, denied) that some verdict carries."""
    query_id: str = ""
    cache_status: str = ""
    duration_ms_min: float = 0.0
    duration_ms_max: float = 0.0
    """0 is no bound."""
    text: str = ""
    """A piece of the redacted SQL, case ignored."""


@dataclass(frozen=True, slots=True)
class QueryAuditPage:
    """One page of records, newest first."""

    records: tuple[dict[str, Any], ...]
    next: str
    """The cursor of the next page, or empty at the end."""


class QueryAuditSearch(Protocol):
    """Finds records in the query audit."""

    def search(self, filters: QueryAuditFilters, cursor: str, limit: int) -> QueryAuditPage:
        """At most `limit` (1 to 1000) records that match, from `cursor` on (empty: the newest).

        Raises:
            InvalidRequest: a cursor this search did not give.
            AuditUnavailable: the store cannot be read.
        """
