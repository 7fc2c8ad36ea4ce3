"""The same store code against a real S3 server on loopback (moto's), with faults."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

from engine.cache.object_store import ObjectGone, ObjectStore, StoreFailed
from engine.cache.objects import StoredObject


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test-secret",
            "AWS_REGION": "eu-central-1",
        }.items():
            patch.setenv(name, value)
        yield f"http://{host}:{port}"
    server.stop()


def put(endpoint: str, bucket: str, key: str, body: bytes) -> None:
    client = boto3.client("s3", endpoint_url=endpoint, region_name="eu-central-1")
    if bucket not in {b["Name"] for b in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    client.put_object(Bucket=bucket, Key=key, Body=body)


async def listed(store: ObjectStore) -> dict[str, StoredObject]:
    found = {}
    async for batch in store.list(objects_max=10_000):
        found |= {stored.path: stored for stored in batch}
    return found


def test_listing_is_below_the_prefix_and_reads_are_ranges(endpoint: str) -> None:
    put(endpoint, "one", "lake/s/t.parquet", b"0123456789")
    put(endpoint, "one", "elsewhere/u.parquet", b"x")

    async def scene() -> None:
        store = ObjectStore("s3://one/lake")
        assert not store.is_local
        found = await listed(store)
        assert set(found) == {"s/t.parquet"}
        assert bytes(store.read(found["s/t.parquet"], 2, 6)) == b"2345"

    asyncio.run(scene())


def test_a_replaced_object_is_gone_and_so_is_a_deleted_one(endpoint: str) -> None:
    put(endpoint, "two", "s/t.parquet", b"0123456789")

    async def scene() -> None:
        store = ObjectStore("s3://two")
        stored = (await listed(store))["s/t.parquet"]
        put(endpoint, "two", "s/t.parquet", b"abcdefghij")
        with pytest.raises(ObjectGone):
            store.read(stored, 0, 4)
        boto3.client("s3", endpoint_url=endpoint, region_name="eu-central-1").delete_object(
            Bucket="two", Key="s/t.parquet"
        )
        with pytest.raises(ObjectGone):
            store.read(stored, 0, 4)

    asyncio.run(scene())


def test_a_bucket_that_is_not_there_fails_without_telling_keys(endpoint: str) -> None:
    async def scene() -> None:
        store = ObjectStore("s3://missing-bucket/x")
        with pytest.raises(StoreFailed) as caught:
            await listed(store)
        assert "secret" not in repr(caught.value)

    asyncio.run(scene())


@pytest.mark.slow
def test_more_than_one_page_of_objects_is_listed(endpoint: str) -> None:
    for number in range(1050):
        put_fast(endpoint, number)

    async def scene() -> None:
        assert len(await listed(ObjectStore("s3://pages"))) == 1050

    asyncio.run(scene())


_CLIENTS: dict[str, object] = {}


def put_fast(endpoint: str, number: int) -> None:
    if endpoint not in _CLIENTS:
        put(endpoint, "pages", "s/first.parquet", b"x")
        _CLIENTS[endpoint] = boto3.client("s3", endpoint_url=endpoint, region_name="eu-central-1")
    if number:
        _CLIENTS[endpoint].put_object(Bucket="pages", Key=f"s/{number:05}.parquet", Body=b"x")  # type: ignore[attr-defined]
