"""The audit search function: what lies in Glacier is named, what was changed is named, the rest is refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from aws.audit_bucket import AuditBucket
from aws.audit_search import BucketSearch
from aws.signing_key import KmsSigner
from governance.audit_proof import seal_finished_days
from governance.audit_shelf import ShelfItem
from governance.ports import QueryAuditFilters
from governance.signatures import verifier
from lambdas.audit_search import handler as door
from tests.support.audit_bucket import BEGIN, BUCKET, DAYS, EACH, at, audit_bucket, fill_home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    fill_home(folder)
    return folder


@pytest.fixture
def s3(home: Path) -> Iterator[Any]:
    with audit_bucket(home) as client:
        yield client


@pytest.fixture
def bucket(s3: Any) -> AuditBucket:
    return AuditBucket(s3, BUCKET)


def test_the_newest_days_come_first_and_days_outside_are_not_read(s3: Any, bucket: AuditBucket) -> None:
    page = BucketSearch(bucket).search(QueryAuditFilters(), "", 10)
    assert all(record["started_at"] >= at(DAYS - 1) for record in page.records)
    for entry in s3.list_objects_v2(Bucket=BUCKET, Prefix="audit/queries/2026/11/20/")["Contents"]:
        s3.delete_object(Bucket=BUCKET, Key=entry["Key"])
        s3.put_object(Bucket=BUCKET, Key=entry["Key"], Body=b"not to be read", StorageClass="DEEP_ARCHIVE")
    page = BucketSearch(bucket).search(QueryAuditFilters(since=at(1)), "", 1000)
    assert len(page.records) == (DAYS - 1) * EACH
    assert page.archived == ()


@pytest.fixture
def key(s3: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    arn = boto3.client("kms").create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    monkeypatch.setenv("HATIDATA_AUDIT_BUCKET", BUCKET)
    monkeypatch.setenv("HATIDATA_SIGNING_KEY", arn)
    monkeypatch.setattr(door, "client", lambda service, region: boto3.client(service))
    return str(arn)


def invoke(**event: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(json.dumps(door.handler(json.loads(json.dumps(event)), None)))
    return answer


def archive(s3: Any, day: str) -> list[str]:
    keys = [e["Key"] for e in s3.list_objects_v2(Bucket=BUCKET, Prefix=f"audit/queries/2026/11/{day}/")["Contents"]]
    for name in keys:
        body = s3.get_object(Bucket=BUCKET, Key=name)["Body"].read()
        s3.put_object(Bucket=BUCKET, Key=name, Body=body, StorageClass="GLACIER")
    return [name.removeprefix("audit/") for name in keys]


_items = AuditBucket.items


def listed_with_restores(bucket: AuditBucket, prefix: str, *, after: str = "") -> Iterator[ShelfItem]:
    """moto's listings do not tell RestoreStatus; a head does."""
    for item in _items(bucket, prefix, after=after):
        yield dataclasses.replace(item, restore=bucket.facts(item.name).item.restore)


def test_w5_9_what_lies_in_glacier_is_named_with_the_way_to_restore_it(
    s3: Any, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = archive(s3, "21")
    answer = invoke(hatidata="search", filters={"since": at(0), "until": at(3)}, limit=1000)
    assert len(answer["records"]) == 2 * EACH
    assert sorted(answer["archived"]) == names
    assert "`hatidata audit restore`" in answer["advice"]
    for name in names:
        s3.restore_object(Bucket=BUCKET, Key="audit/" + name, RestoreRequest={"Days": 1})
    monkeypatch.setattr(AuditBucket, "items", listed_with_restores)
    answer = invoke(hatidata="search", filters={"since": at(0), "until": at(3)}, limit=1000)
    assert len(answer["records"]) == 3 * EACH
    assert "advice" not in answer


def test_the_function_proves_what_it_holds_and_names_what_was_changed(s3: Any, bucket: AuditBucket, key: str) -> None:
    signer = KmsSigner(boto3.client("kms"), key)
    seal_finished_days(bucket, signer.sign, BEGIN + timedelta(days=DAYS + 1), verifier(signer.public_key()))
    proved = invoke(hatidata="verify")
    assert (proved["sound"], proved["signed"], proved["faults"]) == (True, True, [])
    assert proved["records"] == DAYS * EACH
    name = archive(s3, "21")
    proved = invoke(hatidata="verify")
    assert proved["sound"]
    assert proved["archived_objects"] == len(name)
    assert "restore" in proved["advice"]
    changed = next(iter(bucket.names("queries/2026/11/22/")))
    s3.put_object(Bucket=BUCKET, Key="audit/" + changed, Body=bucket.get(changed)[:-9])
    proved = invoke(hatidata="verify", first_day="2026-11-22", last_day="2026-11-22")
    assert not proved["sound"]
    assert changed in {fault["name"] for fault in proved["faults"]}
    s3.put_object(Bucket=BUCKET, Key="audit/manifests/2026-11-20.sig", Body=b"not a signature")
    assert "bad_signature" in {fault["kind"] for fault in invoke(hatidata="verify")["faults"]}


@pytest.mark.parametrize(
    "event",
    [
        {}, {"hatidata": "drop"}, {"hatidata": "search", "filters": {"who": "x"}},
        {"hatidata": "search", "filters": {"user": 1}}, {"hatidata": "search", "filters": []},
        {"hatidata": "search", "filters": {"since": "yesterday"}}, {"hatidata": "search", "limit": "all"},
        {"hatidata": "search", "limit": 0}, {"hatidata": "search", "limit": True}, {"hatidata": "search", "cursor": 7},
        {"hatidata": "search", "filters": {"duration_ms_min": -1}}, {"hatidata": "verify", "first_day": "x"},
        {"hatidata": "verify", "last_day": 7},
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused(key: str, event: dict[str, Any]) -> None:
    assert invoke(**event)["error"]["code"] == "invalid_request"
