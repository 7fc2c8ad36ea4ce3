"""What the law asks of the world: Protocols that `aws` and `local` implement."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from governance.admin_event import AdminEvent, Attribution
from governance.encryption_key import KeyRotationFacts
from governance.register import Observation, Record

R = TypeVar("R", bound=Record | Observation)
T = TypeVar("T")


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
    environment: str = ""
    """The environment of the session; the control plane always sets it."""


@dataclass(frozen=True, slots=True)
class QueryAuditPage:
    """One page of records, newest first."""

    records: tuple[dict[str, Any], ...]
    next: str
    """The cursor of the next page, or empty at the end."""
    archived: tuple[str, ...] = ()
    """Objects passed over because they lie in an archive tier (at most 1000): restore them, then search again."""


class Signer(Protocol):
    """Signs what leaves the control plane; `governance.signatures` checks it with the public key."""

    @property
    def fresh_for_s(self) -> float:
        """For how long one signature over an unchanged rulebook may serve; more than 0 where signing costs money."""

    def sign(self, data: bytes) -> bytes:
        """The signature over `data` (at most 4096 bytes).

        Raises:
            StoreUnavailable: the key cannot be used just now.
        """

    def public_key(self) -> bytes:
        """The public half as PEM (SubjectPublicKeyInfo)."""


class QueryAuditSearch(Protocol):
    """Finds records in the query audit."""

    def search(self, filters: QueryAuditFilters, cursor: str, limit: int) -> QueryAuditPage:
        """At most `limit` (1 to 1000) records that match, from `cursor` on (empty: the newest).

        Raises:
            InvalidRequest: a cursor this search did not give.
            AuditUnavailable: the store cannot be read.
        """


class ControlReader(Protocol):
    """The register and the chain as they are: each call sees every commit that was acknowledged before it.

    Whether two calls see the same state is the adapter's (SQLite: yes). Inside `change` it does not matter; who builds
    something from several calls of `read` looks at `version` before and after.
    """

    def get(self, kind: type[R], environment: str, record_id: str) -> R | None:
        """The record of that kind and id, or None."""

    def find_unique(self, kind: type[R], environment: str, unique: str) -> R | None:
        """The record whose `unique` this is, or None."""

    def find_lookup(self, kind: type[R], lookup: str) -> R | None:
        """The record whose `lookup` this is, in whatever environment, or None."""

    def every(self, kind: type[R], environment: str) -> list[R]:
        """Every record of that kind, by id."""

    def page(self, kind: type[R], environment: str, *, after: str, limit: int) -> list[R]:
        """At most `limit` (1 to 1000) records of that kind whose id comes past `after` (empty: from the beginning).

        Ids are ordered by their UTF-8 bytes, as Python orders texts. A list that moves meanwhile neither repeats nor
        skips what stays.
        """

    def version(self, environment: str) -> int:
        """A number that grows with every change of law in the environment; 0 when there is none."""

    def head(self, environment: str) -> tuple[int, str]:
        """Sequence and hash of the chain's last event; 0 and the genesis when it is empty."""

    def events(self, environment: str, *, after: int, limit: int, newest_first: bool = False) -> list[str]:
        """At most `limit` lines of the chain past sequence `after` (before it, when newest first; 0 is the end)."""


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """What one transaction does: the records to put and remove, the events that say so, and what to answer."""

    result: T
    puts: tuple[Record, ...] = ()
    removes: tuple[Record, ...] = ()
    events: tuple[AdminEvent, ...] = ()
    observations: tuple[Observation, ...] = ()
    """Kept in the same transaction, or alone: idempotency keys, delivery logs. They move no version, need no event."""
    forgets: tuple[Observation, ...] = ()
    """Observations taken away in the same transaction; what is not there is no fault."""


class ControlStore(Protocol):
    """The register and the chain, changed only together.

    `tests/contract/` says by tests what an adapter must keep.
    """

    def read(self) -> AbstractContextManager[ControlReader]:
        """Something to read with for the length of the block."""

    def change(self, attribution: Attribution, decide: Callable[[ControlReader], Change[T]]) -> T:
        """Run `decide` on the present state and commit its change with its events, wholly or not at all.

        Changes are serializable: a commit succeeds only if everything that `decide` read is still so. `decide` may be
        run again when another writer was first, so it must have no effect of its own. Observations whose
        `expires_at` lies before `attribution.at` may be taken away by the way, some at a time.

        Raises:
            Conflict: a record would share another's `unique` or `lookup`.
            ValueError: records change without an event.
        """

    def observe(self, *observations: Observation) -> None:
        """Keep what was seen, all of it or nothing; the last one of an id wins. No event, no new version.

        An observation with `expires_at` (RFC 3339 UTC; empty: never) may be gone after that moment, and may also still
        be there: whoever reads it compares.
        """

    def close(self) -> None:
        """Let go of what the store holds open."""


class SecretBox(Protocol):
    """Encrypts small secrets that the register must keep, such as those that sign webhooks."""

    def seal(self, secret: bytes, context: str) -> str:
        """`secret` (at most 4 KiB) as text that only this box opens, and only with the same `context`.

        Raises:
            KeyServiceUnavailable: it cannot be encrypted now.
        """

    def open(self, sealed: str, context: str) -> bytes:
        """The inverse of `seal`.

        Raises:
            KeyServiceUnavailable: it cannot be decrypted now, or not with this context, or was changed.
        """


class KeyService(Protocol):
    """The installation's encryption keys, by the names we give them."""

    def names(self) -> tuple[str, ...]:
        """The keys there are."""

    def facts(self, name: str) -> KeyRotationFacts:
        """How the key rotates.

        Raises:
            KeyServiceUnavailable: the service does not answer or does not permit it.
        """

    def rotate(self, name: str) -> None:
        """Begin one rotation on demand; that one is in progress already is no fault.

        Raises:
            ResourceExceeded: no rotation on demand is left to this key.
            KeyServiceUnavailable: the service does not answer or does not permit it.
        """
