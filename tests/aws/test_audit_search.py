"""Searching the audit in a bucket: the same answers as a home's index gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from aws.audit_bucket import AuditBucket
from aws.audit_search import BucketSearch
from governance.errors import AuditUnavailable, InvalidRequest
from governance.ports import QueryAuditFilters
from local.audit_search import AuditSearch
from tests.support.audit_bucket import BUCKET, at, audit_bucket, fill_home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    fill_home(folder)
    return folder


@pytest.fixture(scope="module")
def s3(home: Path) -> Iterator[Any]:
    with audit_bucket(home) as client:
        yield client


@pytest.fixture
def bucket(s3: Any) -> AuditBucket:
    return AuditBucket(s3, BUCKET)


def walked(search: Any, filters: QueryAuditFilters, limit: int) -> list[str]:
    found: list[str] = []
    cursor = ""
    for _ in range(200):
        page = search.search(filters, cursor, limit)
        assert len(page.records) <= limit
        found += [record["query_id"] for record in page.records]
        cursor = page.next
        if not cursor:
            return found
    raise AssertionError("the pages do not end")


FILTERS: list[dict[str, Any]] = [
    {}, {"user": "ana@acme.example"}, {"user": "u-bob"}, {"agent": "bot-7"}, {"organization": "2"},
    {"environment": "production"}, {"environment": "staging"}, {"table": "SALES.orders"}, {"verdict": "denied"},
    {"table": "sales.orders", "verdict": "wall"}, {"status": "denied"}, {"query_id": "q0042"}, {"cache_status": "hit"},
    {"duration_ms_min": 40.0}, {"duration_ms_min": 10.0, "duration_ms_max": 20.0}, {"text": "select 4"},
    {"since": at(1), "until": at(2)}, {"since": at(2.01)}, {"until": at(1.01)}, {"since": at(9)}, {"until": at(-9)},
]  # fmt: skip


@pytest.mark.parametrize("given", FILTERS, ids=lambda given: " ".join(given) or "all")
def test_a_bucket_is_searched_as_a_home_is(home: Path, bucket: AuditBucket, given: dict[str, Any]) -> None:
    filters = QueryAuditFilters(**given)
    local = AuditSearch(home / "audit")
    try:
        wanted = walked(local, filters, 1000)
    finally:
        local.close()
    for limit in (1000, 5):
        found = walked(BucketSearch(bucket), filters, limit)
        assert len(found) == len(set(found))
        assert sorted(found, reverse=True) == wanted


def test_a_page_that_may_not_read_more_says_where_to_go_on(bucket: AuditBucket) -> None:
    every = walked(BucketSearch(bucket), QueryAuditFilters(), 1000)
    assert sorted(walked(BucketSearch(bucket, scan_bytes_max=1), QueryAuditFilters(), 1000)) == sorted(every)
    assert sorted(walked(BucketSearch(bucket, scan_s=-1.0), QueryAuditFilters(), 1000)) == sorted(every)
    assert BucketSearch(bucket, scan_bytes_max=1).search(QueryAuditFilters(query_id="none"), "", 9).next


@pytest.mark.parametrize("cursor", ["x", "W10", "WyIiLDBd", "bnVsbA", "WyJhIiwtMV0"])
def test_a_cursor_of_someone_elses_is_refused(bucket: AuditBucket, cursor: str) -> None:
    with pytest.raises(InvalidRequest):
        BucketSearch(bucket).search(QueryAuditFilters(), cursor, 10)


def test_a_bucket_that_refuses_is_said_in_our_words(s3: Any, bucket: AuditBucket) -> None:
    with Stubber(s3) as stub:
        stub.add_client_error("list_objects_v2", "AccessDenied", "audit/queries/secret")
        with pytest.raises(AuditUnavailable) as said:
            BucketSearch(bucket).search(QueryAuditFilters(), "", 10)
    assert "secret" not in said.value.message + said.value.reason
