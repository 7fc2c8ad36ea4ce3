"""Records, stores and a clock for the audit's tests."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from engine.audit import AuditSettings, QueryAudit
from governance.audit_record import PolicyVerdict, QueryIntent, QueryOutcome, SessionEvent, SessionFacts

SESSION = SessionFacts(
    session_id="s-1",
    environment="production",
    organization="1",
    user_id="u-1",
    user="ana@acme.example",
    role="analyst",
    key_id="k-1",
    source_ip="127.0.0.1",
    application_name="psql",
    agent_id="bot-7",
    agent_framework="langchain",
    node="node-1",
)


def intent(query_id: str, sql: str = "SELECT 1", session: SessionFacts = SESSION) -> QueryIntent:
    return QueryIntent(
        query_id=query_id,
        session=session,
        started_at="2026-11-22T03:00:00.000000Z",
        statement_kind="select",
        sql=sql,
        tables=("sales.customers",),
        columns_masked=("sales.customers.ssn",),
        verdicts=(PolicyVerdict("own-rows", "row_filter", "applied", "applies to everyone", "sales.customers"),),
        policy_version=7,
        fingerprint="ab" * 32,
    )


def outcome(query_id: str, status: str = "succeeded") -> QueryOutcome:
    return QueryOutcome(
        query_id=query_id,
        ended_at="2026-11-22T03:00:01.000000Z",
        status=status,
        rows_returned=5,
        bytes_returned=100,
        execution_ms=1.5,
        cache_status="hit",
    )


def event(event_id: str, kind: str = "login") -> SessionEvent:
    return SessionEvent(event_id, "2026-11-22T03:00:00.000000Z", kind, "127.0.0.1", session=SESSION)


class SteppedClock:
    """A clock that jumps by `step` at every look."""

    def __init__(self, step: timedelta = timedelta(milliseconds=1)) -> None:
        self.moment = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
        self.step = step

    def now(self) -> datetime:
        self.moment += self.step
        return self.moment


class MemoryStore:
    """An audit store in memory whose behavior a test decides: `on_put` may raise before or after storing."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.puts: list[str] = []
        self.before: Callable[[str], None] = lambda name: None
        self.after: Callable[[str], None] = lambda name: None
        self._lock = threading.Lock()

    def put_new(self, name: str, data: bytes) -> bool:
        self.before(name)
        with self._lock:
            self.puts.append(name)
            new = name not in self.objects
            self.objects.setdefault(name, data)
        self.after(name)
        return new

    def get(self, name: str) -> bytes:
        try:
            return self.objects[name]
        except KeyError:
            raise FileNotFoundError(name) from None

    def names(self, prefix: str) -> list[str]:
        return sorted(name for name in self.objects if name.startswith(prefix))


def settings(folder: Path, **changes: Any) -> AuditSettings:
    given: dict[str, Any] = {"spool": folder / "spool", "node": "node-1", "ship_age_s": 3600.0, "drain_timeout_s": 5.0}
    return AuditSettings(**(given | changes))


def lines(objects: dict[str, bytes], prefix: str = "queries/") -> list[dict[str, Any]]:
    """Every record of the objects under `prefix`, in order of names."""
    return [
        json.loads(line)
        for name in sorted(objects)
        if name.startswith(prefix)
        for line in gzip.decompress(objects[name]).splitlines()
    ]


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.jsonl.gz")}


def audit_on(folder: Path, store: MemoryStore, **changes: object) -> QueryAudit:
    return QueryAudit(settings(folder, **changes), store, SteppedClock())


async def fill(audit: QueryAudit, accepted: list[str], count: int, *, finish: bool) -> None:
    for number in range(count):
        await audit.intent(intent(f"q{number}"))
        if finish:
            audit.outcome(outcome(f"q{number}"))
        accepted.append(f"q{number}")
