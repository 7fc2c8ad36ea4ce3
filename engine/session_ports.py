"""What a session asks of the other rooms, as Protocols, and the one bundle in which it gets them.

The seams are ARCHITECTURE.md's; here they are only as wide as a session needs them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

from engine.admission import Admission
from engine.audit.texts import AuditTexts
from engine.authenticate import Authenticator
from engine.catalog.emulation import PeerInfo
from engine.encoder.parameters import ParameterValue
from engine.encoder.types import ResultColumn
from engine.executor.leave import Gate
from engine.metrics import NodeMetrics
from engine.pipeline.governed import Governed
from engine.settings import ConnectionLimits
from engine.usage import UsageLedger
from governance.audit_choice import AuditChoice
from governance.audit_record import PolicyVerdict, QueryIntent, QueryOutcome, SessionEvent
from governance.errors import AuditUnavailable
from governance.ports import Clock
from governance.principals import Principal
from governance.rulebook import Rulebook


class Frame(Protocol):
    """Whole rows in the client's format."""

    @property
    def data(self) -> memoryview:
        """The bytes."""

    @property
    def rows(self) -> int:
        """How many rows they are."""


class Facts(Protocol):
    """What the audit and the metrics want to know of a statement."""

    @property
    def bytes(self) -> int:
        """Bytes of frames."""

    @property
    def execution_ms(self) -> float:
        """From start to last row."""

    @property
    def cache_status(self) -> str:
        """hit, partial, miss, none."""

    @property
    def cache_bytes(self) -> int:
        """Handed over from the cache volume."""

    @property
    def store_bytes(self) -> int:
        """Fetched from the object store."""


class Execution(Protocol):
    """One statement that runs. Leaving it as a context manager frees what it holds."""

    @property
    def columns(self) -> Sequence[ResultColumn]:
        """The result's columns."""

    @property
    def facts(self) -> Facts:
        """Final when the frames have ended."""

    @property
    def signals(self) -> Sequence[tuple[str, int]]:
        """(cancel or terminate, process id) that a catalog statement asks for."""

    def frames(self) -> AsyncIterator[Frame]:
        """The rows; the worker stops when nobody reads."""

    async def cancel(self) -> None:
        """Stop it; `frames` raises DeadlineExceeded."""

    async def __aenter__(self) -> Execution:
        """Itself."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> object:
        """Free the channel."""


class Executor(Protocol):
    """Runs governed statements, and catalog statements over a principal's catalog image."""

    async def describe(self, governed: Governed, parameter_oids: Sequence[int]) -> Sequence[ResultColumn]:
        """The columns a statement would have."""

    async def run(
        self,
        governed: Governed,
        *,
        parameters: Sequence[ParameterValue],
        formats: Sequence[int],
        deadline_s: float,
        row_format: str = "datarow",
        row_options: Mapping[str, Any] | None = None,
        gate: Gate | None = None,
    ) -> Execution:
        """Start a statement; it runs when the gate gives leave."""


class Catalog(Protocol):
    """pg_catalog and information_schema, emulated."""

    def is_catalog_query(self, text: str) -> bool:
        """Whether the catalog answers `text` (else the pipeline judges it)."""

    def plan(
        self, text: str, oids: Sequence[int], view: Any, session: Callable[[], CatalogSession], *, export: bool = ...
    ) -> CatalogPlan:
        """A catalog statement ready to run; refusals as the pipeline's. `session` is asked again when it runs."""


@dataclass(frozen=True, slots=True)
class CatalogSession:
    """What catalog functions tell of a session."""

    user: str
    organization: str
    database: str
    process_id: int
    source_ip: str
    settings: tuple[tuple[str, str], ...]
    peers: tuple[PeerInfo, ...] = ()
    """The sessions of the same key, this one among them."""


class CatalogPlan(Protocol):
    """A catalog statement."""

    @property
    def verdicts(self) -> tuple[PolicyVerdict, ...]:
        """Why its principal may look around."""

    @property
    def parameter_oids(self) -> Sequence[int]:
        """One for each `$n`."""

    async def describe(self) -> Sequence[ResultColumn]:
        """Its columns."""

    def setting_writes(self, parameters: Sequence[ParameterValue]) -> Sequence[tuple[str, str, bool]]:
        """`set_config` calls to carry out after success: (name, value, local)."""

    async def run(
        self,
        *,
        parameters: Sequence[ParameterValue],
        formats: Sequence[int],
        deadline_s: float,
        row_format: str = "datarow",
        row_options: Mapping[str, Any] | None = None,
        gate: Gate | None = None,
    ) -> Execution:
        """Start it; it runs when the gate gives leave."""


class Audit(Protocol):
    """The audit, as a session uses it."""

    async def intent(self, intent: QueryIntent) -> None:
        """Durable on return; raises AuditUnavailable."""

    def admit(
        self, intent: QueryIntent, may_run: Callable[[], object], refused: Callable[[AuditUnavailable], object]
    ) -> None:
        """Calls `may_run` (on any thread) when it is durable, or `refused`; raises AuditUnavailable."""

    def outcome(self, outcome: QueryOutcome) -> None:
        """Queued."""

    def event(self, event: SessionEvent) -> None:
        """Queued."""

    async def stored(self, deadline_s: float) -> bool:
        """Whether everything finished so far reaches the store in time; raises AuditUnavailable."""


class Pipeline(Protocol):
    """SQL in, governed SQL out."""

    async def govern(
        self,
        text: str,
        principal: Principal,
        catalog: Any,
        rulebook: Rulebook,
        *,
        actions: frozenset[str] = ...,
        deadline_s: float = ...,
    ) -> Governed:
        """The statement under the law; raises a Refusal."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything a session works with; one for a node."""

    authenticator: Authenticator
    pipeline: Pipeline
    split: Callable[[str], Sequence[str]]
    view: Callable[[Principal, Rulebook], Any]
    """The part of the catalog a principal may see; cached by the node."""
    lake_version: Callable[[], object]
    catalog: Catalog
    executor: Executor
    audit: Audit
    admission: Admission
    metrics: NodeMetrics
    clock: Clock
    texts: Callable[[AuditChoice], AuditTexts]
    """What the audit keeps of texts, by what the rulebook in force says."""
    parameter_oid: Callable[[str], int]
    """A DuckDB type's OID for ParameterDescription (0 for an empty type)."""
    limits: ConnectionLimits
    environment: str
    node: str
    usage: UsageLedger = field(default_factory=UsageLedger)
    store_wait_s: float = 0.0
    """For how long a statement's completion waits for its record to be in the store; 0: the spool is enough."""
