"""An audit of four days in a bucket, written by the real audit of a node."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3

from aws.audit_bucket import AuditBucket
from engine.audit import QueryAudit
from governance.audit_record import PolicyVerdict, QueryIntent
from governance.timestamp import stamp
from local.audit_files import AuditFiles
from tests.engine.audit.records import SESSION, intent, outcome, settings
from tests.support.aws import REGION, in_aws

BUCKET = "audit"
BEGIN = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAYS, EACH = 4, 12


class Moving:
    """A clock that is set."""

    moment = BEGIN

    def now(self) -> datetime:
        return self.moment


def asked(number: int) -> QueryIntent:
    who = "ana@acme.example" if number % 2 else "bob@acme.example"
    return dataclasses.replace(
        intent(f"q{number:04d}", f"SELECT {number} AS Number"),
        session=dataclasses.replace(
            SESSION, user=who, user_id=f"u-{who[:3]}", agent_id="bot-7" if number % 5 == 0 else "",
            organization=str(1 + number % 3 // 2),
        ),
        started_at=stamp(BEGIN + timedelta(days=number // EACH, minutes=number)),
        tables=("sales.Orders",) if number % 4 == 0 else ("sales.customers",),
        verdicts=(PolicyVerdict("own-rows" if number % 3 else "wall", "access", "denied", "no"),),
    )  # fmt: skip


def at(days: float) -> str:
    """A moment so many days after the beginning."""
    return stamp(BEGIN + timedelta(days=days))


def fill_home(folder: Path) -> None:
    """The audit of `DAYS` days with `EACH` statements a day, in a home at `folder`."""

    async def fill() -> None:
        clock = Moving()
        audit = QueryAudit(settings(folder, ship_bytes=4000), AuditFiles(folder / "audit"), clock)
        await audit.start()
        for number in range(DAYS * EACH):
            clock.moment = BEGIN + timedelta(days=number // EACH, minutes=number + 1)
            await audit.intent(asked(number))
            done = outcome(f"q{number:04d}", "denied" if number % 10 == 3 else "succeeded")
            audit.outcome(dataclasses.replace(done, execution_ms=float(number)))
            if number % EACH == EACH - 1:
                assert await audit.stored(20)
        assert await audit.stop()

    asyncio.run(fill())


@contextmanager
def audit_bucket(home: Path) -> Iterator[Any]:
    """moto's S3 with the home's audit in `BUCKET`."""
    with in_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        here, there = AuditFiles(home / "audit"), AuditBucket(client, BUCKET)
        for name in here.names(""):
            there.put_new(name, here.get(name))
        yield client
