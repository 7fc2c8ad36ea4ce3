"""A listener with everything real up to the pipeline's door: TLS, protocol, authentication, rulebook, admission.

Behind it stand tiny stand-ins at the Protocols: a pipeline that admits what it is told to, an executor that makes
rows from the statement's text, an audit that remembers. `tests/clients` tries the whole warehouse.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.admission import Admission
from engine.audit.texts import audit_texts
from engine.authenticate import Authenticator
from engine.control_link import ControlLinkFailed, RulebookAnswer
from engine.encoder.types import ResultColumn
from engine.metrics import NodeMetrics
from engine.pipeline.governed import _MINT, Governed, Parameter
from engine.pipeline.text_gate import split
from engine.rulebook import RulebookKeeper
from engine.server import Server
from engine.session_ports import Desk
from engine.settings import ConnectionLimits, QueryLimits
from engine.tls import server_context
from governance import rulebook as rulebook_format
from governance.api_key import new_key, public_prefix
from governance.api_key_hash import hash_key
from governance.audit_record import QueryIntent, QueryOutcome, SessionEvent
from governance.bundle import Manifest
from governance.errors import (
    AuditUnavailable,
    DeadlineExceeded,
    EngineFailed,
    ParsersDisagree,
    SyntaxRefused,
    TableUnknown,
)
from governance.principals import Agent
from governance.roles import Role
from governance.rulebook import Key, Limits, Rulebook, User
from governance.scopes import BUNDLES
from governance.timestamp import stamp
from local.certificates import ensure_certificates

TEXT = 25
INT4 = 23


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


SIGNING_KEY = Ed25519PrivateKey.generate()


def signature_holds(data: bytes, signature: bytes) -> bool:
    """Whether the control plane of these tests signed it."""
    try:
        SIGNING_KEY.public_key().verify(signature, data)
    except InvalidSignature:
        return False
    return True


@dataclass
class FakeLink:
    """Hands out whatever rulebook stands in it."""

    rulebook_now: Rulebook | None = None
    down: bool = False
    clock: SystemClock = field(default_factory=SystemClock)

    async def rulebook(self, etag: str, wait_s: float = 0.0) -> RulebookAnswer:
        if self.down or self.rulebook_now is None:
            raise ControlLinkFailed("down")
        book, now = self.rulebook_now, stamp(self.clock.now())
        body = rulebook_format.encode(replace(book, issued_at=""))
        manifest = Manifest.of(body, environment=book.environment, version=book.version, issued_at=now).encode()
        return RulebookAnswer(book.etag, None if etag == book.etag else body, manifest, SIGNING_KEY.sign(manifest))


@dataclass
class RememberingAudit:
    intents: list[QueryIntent] = field(default_factory=list)
    outcomes: list[QueryOutcome] = field(default_factory=list)
    events: list[SessionEvent] = field(default_factory=list)
    broken: bool = False

    async def intent(self, intent: QueryIntent) -> None:
        if self.broken:
            raise AuditUnavailable("The audit cannot take a record.")
        self.intents.append(intent)

    def admit(self, intent: QueryIntent, may_run: Any, refused: Any) -> None:
        if self.broken:
            raise AuditUnavailable("The audit cannot take a record.")
        self.intents.append(intent)
        may_run()

    def outcome(self, outcome: QueryOutcome) -> None:
        assert any(intent.query_id == outcome.query_id for intent in self.intents)
        self.outcomes.append(outcome)

    def event(self, event: SessionEvent) -> None:
        self.events.append(event)

    in_store: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the store answers."""

    async def stored(self, deadline_s: float) -> bool:
        try:
            await asyncio.wait_for(self.in_store.wait(), deadline_s)
        except TimeoutError:
            return False
        return True


class FakePipeline:
    """`select 1`, `rows N [slow|fail|wide]`, `echo $1`; everything else is a table nobody has, or does not parse."""

    async def govern(self, text: str, principal: Any, catalog: Any, rulebook: Rulebook, **_: Any) -> Governed:
        words = text.lower().split()
        if words[0] not in ("select", "rows", "echo"):
            raise SyntaxRefused("syntax error", position=1)
        if "hidden" in words:
            raise TableUnknown('relation "hidden" does not exist', reason="cross_organization")
        if "disagree" in words:
            raise ParsersDisagree("This statement is not understood well enough to run.")
        return Governed(
            segments=(text,),
            kind="select",
            tables=(),
            parameters=tuple(Parameter("INTEGER") for _ in range(text.count("$"))),
            columns_masked=(),
            verdicts=(),
            policy_version=rulebook.version,
            organization=principal.organization,
            _mint=_MINT,
        )


@dataclass
class FakeFrame:
    data: memoryview
    rows: int


@dataclass
class FakeFacts:
    bytes: int = 0
    execution_ms: float = 1.0
    cache_status: str = "none"
    cache_bytes: int = 0
    store_bytes: int = 0


def data_row(*values: bytes | None) -> bytes:
    body = struct.pack("!H", len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return b"D" + struct.pack("!i", len(body) + 4) + body


class FakeExecution:
    def __init__(
        self, executor: FakeExecutor, text: str, formats: Sequence[int], values: Sequence[bytes | None]
    ) -> None:
        self.executor = executor
        self.text = text
        self.binary = bool(formats and formats[0])
        self.values = values
        self.columns = (ResultColumn("n", "INTEGER", INT4, 4, -1),)
        self.facts = FakeFacts()
        self.signals = ()
        self.stopped = asyncio.Event()

    async def __aenter__(self) -> FakeExecution:
        self.executor.running += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self.executor.running -= 1

    async def cancel(self) -> None:
        self.stopped.set()

    def _cell(self, number: int) -> bytes:
        return struct.pack("!i", number) if self.binary else str(number).encode()

    async def frames(self) -> AsyncIterator[FakeFrame]:
        words = self.text.lower().split()
        if words[0] == "echo":
            yield FakeFrame(memoryview(data_row(self.values[0])), 1)
            return
        count = int(words[1]) if words[1].isdigit() else 1
        if "slow" in words:
            await asyncio.wait_for(self.stopped.wait(), 30)
            raise DeadlineExceeded("canceling statement due to statement timeout")
        if words[0] == "select":
            yield FakeFrame(memoryview(data_row(self._cell(1))), 1)
            return
        pad = b"x" * 1000 if "wide" in words else b""
        for first in range(0, count, 100):
            last = min(first + 100, count)
            rows = b"".join(data_row(pad or self._cell(n)) for n in range(first, last))
            yield FakeFrame(memoryview(rows), last - first)
            self.executor.frames_made += 1
            if self.stopped.is_set():
                raise DeadlineExceeded("canceling statement due to statement timeout")
            if "fail" in words:
                raise EngineFailed("A value could not be converted.", kind="conversion")
        self.facts.bytes = count


@dataclass
class FakeExecutor:
    running: int = 0
    frames_made: int = 0

    async def describe(self, governed: Governed, parameter_oids: Sequence[int]) -> tuple[ResultColumn, ...]:
        return (ResultColumn("n", "INTEGER", INT4, 4, -1),)

    async def run(self, governed: Governed, *, parameters: Any, formats: Any, gate: Any, **_: Any) -> FakeExecution:
        leave: list[bool] = []
        gate(lambda: leave.append(True), lambda _: None)
        assert leave
        return FakeExecution(self, governed.sql(str), formats, [p.data for p in parameters])


class NoCatalog:
    def is_catalog_query(self, text: str) -> bool:
        return False

    def plan(self, *_: Any) -> Any:
        raise NotImplementedError


@lru_cache(maxsize=1)
def key_pair() -> tuple[str, str]:
    key = new_key("production")
    return key, hash_key(key)


def make_rulebook(**changes: Any) -> Rulebook:
    """One organization, one analyst, one key."""
    key, stored = key_pair()
    made = Rulebook(
        environment="production",
        version=1,
        issued_at=datetime.now(UTC).isoformat(),
        operator_organization="1",
        organizations=(("1", "Acme"),),
        schemas=(),
        users=(User("u1", "ana@acme.example", "1", Role.ANALYST),),
        keys=(Key("k1", "ana", public_prefix(key), stored, "u1", BUNDLES["read_only"]),),
        limits=Limits(statement_timeout_s=20.0),
    )
    return replace(made, **changes)


def with_key(rulebook: Rulebook, **changes: Any) -> Rulebook:
    return replace(rulebook, version=rulebook.version + 1, keys=(replace(rulebook.keys[0], **changes),))


BOT = Agent("bot-7", "langchain")


@dataclass
class Front:
    server: Server
    desk: Desk
    keeper: RulebookKeeper
    link: FakeLink
    audit: RememberingAudit
    executor: FakeExecutor
    tls: Path

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def key(self) -> str:
        return key_pair()[0]

    def client_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.tls / "ca.crt"))
        context.set_alpn_protocols(["postgresql"])
        return context

    def dsn(self, **more: str) -> str:
        parts = {
            "host": "localhost",
            "hostaddr": "127.0.0.1",
            "port": str(self.port),
            "user": "anyone",
            "dbname": "production",
            "password": self.key,
            "sslmode": "verify-full",
            "sslrootcert": str(self.tls / "ca.crt"),
            "connect_timeout": "10",
            **more,
        }
        return " ".join(f"{name}='{value}'" for name, value in parts.items())

    async def rule(self, rulebook: Rulebook) -> None:
        self.link.rulebook_now = rulebook
        await self.keeper.refresh()


@contextlib.asynccontextmanager
async def front(
    folder: Path,
    *,
    limits: ConnectionLimits | None = None,
    queries: QueryLimits | None = None,
    rulebook: Rulebook | None = None,
    proxy_from: tuple[str, ...] = (),
    store_wait_s: float = 0.0,
) -> AsyncIterator[Front]:
    tls = folder / "tls"
    tls.mkdir(parents=True)
    ensure_certificates(tls, now=datetime.now(UTC))
    link = FakeLink(rulebook or make_rulebook())
    clock = SystemClock()
    keeper = RulebookKeeper(
        link,  # type: ignore[arg-type]
        folder / "node" / "rulebook.json",
        environment="production",
        clock=clock,
        verify=signature_holds,
        poll_s=60,
    )
    await keeper.start()
    await keeper.settled()
    limits = limits or ConnectionLimits()
    audit, executor = RememberingAudit(), FakeExecutor()
    desk = Desk(
        authenticator=Authenticator(keeper, limits, clock),
        pipeline=FakePipeline(),
        split=split,
        view=lambda principal, rulebook: None,
        lake_version=lambda: 1,
        catalog=NoCatalog(),
        executor=executor,  # type: ignore[arg-type]
        audit=audit,
        admission=Admission(queries or QueryLimits()),
        metrics=NodeMetrics(),
        clock=clock,
        texts=audit_texts(),
        parameter_oid=lambda kind: {"": 0, "INTEGER": INT4}[kind],
        limits=limits,
        environment="production",
        node="n1",
        store_wait_s=store_wait_s,
    )
    server = Server(
        desk, server_context(tls / "server.crt", tls / "server.key"), host="127.0.0.1", port=0, proxy_from=proxy_from
    )
    keeper.on_change.append(server.rulebook_changed)
    await server.start()
    try:
        yield Front(server, desk, keeper, link, audit, executor, tls)
    finally:
        await server.stop(0.5)
        await keeper.stop()
        desk.authenticator.close()


__all__ = ["BOT", "Front", "front", "make_rulebook", "pytest", "with_key"]
