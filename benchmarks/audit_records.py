"""An audit store filled with records as nodes ship them: users, agents, tables and verdicts mixed, chained, by day."""

from __future__ import annotations

import dataclasses
import gzip
import itertools
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine.audit.outbox import object_name
from governance.audit_record import (
    ChainLink,
    PolicyVerdict,
    QueryIntent,
    QueryOutcome,
    SessionFacts,
    chain_genesis,
    encode_intent,
    encode_outcome,
    join_query,
    line_digest,
)
from governance.timestamp import stamp

FIRST = datetime(2026, 10, 1, tzinfo=UTC)
DAYS = 30
USERS, AGENTS, TABLES = 200, 10, 50
BATCH = 500
"""Records of one object: what a home ships when it is busy."""
_POOL = 4000
_MOMENT = stamp(FIRST)


def user(number: int) -> str:
    """The name of a user."""
    return f"user{number:03}@acme.example"


def day(number: int) -> tuple[str, str]:
    """Beginning and end of a day of the store."""
    return stamp(FIRST + timedelta(days=number)), stamp(FIRST + timedelta(days=number + 1))


def _halves(chance: random.Random) -> list[tuple[bytes, bytes]]:
    """Encoded intents and outcomes to draw from; the moment is put in later."""
    pool = []
    for _ in range(_POOL):
        who, table = chance.randrange(USERS), f"sales.table_{chance.randrange(TABLES):02}"
        session = SessionFacts(
            session_id=f"{chance.getrandbits(64):016x}", environment="production", organization=str(1 + who % 3),
            user_id=f"u-{who:03}", user=user(who), role="analyst", key_id=f"k-{who:03}", source_ip="10.0.0.7",
            application_name="dbt", agent_id=f"bot-{chance.randrange(AGENTS)}" if who % 4 == 0 else "",
            agent_framework="langchain" if who % 4 == 0 else "", node="node-1",
        )  # fmt: skip
        sql = (
            f"SELECT region, sum(amount) AS total FROM {table} WHERE customer_id = {chance.randrange(10**6)} AND day "
            f"BETWEEN '2026-0{chance.randrange(1, 10)}-01' AND '2026-10-01' GROUP BY region ORDER BY total DESC"
        )
        verdicts = (
            PolicyVerdict("role", "access", "allowed", "role analyst may query"),
            PolicyVerdict("organization_wall", "access", "allowed", "the schema is visible", table),
            PolicyVerdict(f"rows-of-{table[-2:]}", "row_filter", "applied", "rows filtered", table),
            PolicyVerdict("ssn", "mask", "applied", "masked (partial)", table, "ssn"),
        )
        intent = QueryIntent(
            "q", session, _MOMENT, "select", sql, (table,), (f"{table}.ssn",), verdicts, 12,
            f"{chance.getrandbits(256):064x}",
        )  # fmt: skip
        status = chance.choices(("succeeded", "denied", "failed"), (95, 4, 1))[0]
        outcome = QueryOutcome(
            "q", _MOMENT, status, chance.randrange(1000), chance.randrange(10**6), chance.expovariate(0.05),
            cache_status=chance.choice(("hit", "partial", "miss")),
        )  # fmt: skip
        outcome = dataclasses.replace(outcome, error_code="" if status == "succeeded" else "permission_denied")
        pool.append((encode_intent(intent), encode_outcome(outcome)))
    return pool


def fill(root: Path, count: int) -> None:
    """Lay `count` records of one node over `DAYS` days into the store at `root`."""
    chance = random.Random(7)
    halves = _halves(chance)
    moments = (FIRST + timedelta(seconds=at * DAYS * 86_400 / count) for at in range(count))
    chain, prev = "node-1-bench.q", chain_genesis("node-1-bench.q")
    seq = 0
    old = _MOMENT.encode()
    for batch in itertools.count(1):
        lines = []
        moment = FIRST
        for moment in itertools.islice(moments, BATCH):
            seq += 1
            intent, outcome = halves[chance.randrange(_POOL)]
            now = stamp(moment).encode()
            query_id = f"{int(moment.timestamp() * 1000):012x}7{chance.getrandbits(76):019x}"  # as UUID version 7
            query_id = "-".join((query_id[:8], query_id[8:12], query_id[12:16], query_id[16:20], query_id[20:]))
            line = join_query(
                query_id, intent.replace(old, now, 1), outcome.replace(old, now, 1), ChainLink(chain, seq, prev)
            )
            prev = line_digest(line)
            lines.append(line)
        if not lines:
            return
        data = gzip.compress(b"\n".join(lines) + b"\n", 1, mtime=0)
        path = root / object_name("queries", moment, chain, batch, data)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
