"""Statements over a real S3 server through a proxy that injects faults: right rows, or a clear error, never others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import duckdb
import pytest

from engine.cache.object_store import ObjectStore, StoreFailed
from engine.cache.objects import HEADER_BYTES, PART_BYTES, Snapshot
from engine.catalog.lake import Lake, LakeSettings
from governance.errors import SourceUnavailable
from governance.tables import TableName
from tests.engine.executor.rig import Rig, rig
from tests.support import ceph
from tests.support.faulty_s3 import BUCKET, ENVIRONMENT, Fault, FaultyS3, client, make_bucket, running_s3

ROWS = 300_000


class Scene:
    """A lake in S3 behind the proxy."""

    def __init__(self, running: Rig, proxy: FaultyS3, endpoint: str) -> None:
        self.endpoint = endpoint
        self.rig, self.proxy, self._s3 = running, proxy, client(endpoint)
        self._folder = running.root

    def put(self, table: str, seed: int = 0) -> TableName:
        """A table of three blocks whose every value is `seed` times itself."""
        file = self._folder / "x.parquet"
        with duckdb.connect() as connection:
            query = f"SELECT hash(i + {seed}) AS h, {seed} AS seed FROM range({ROWS}) t(i)"
            connection.execute(f"COPY ({query}) TO '{file}' (FORMAT parquet)")
        self._s3.put_object(Bucket=BUCKET, Key=f"data/s/{table}.parquet", Body=file.read_bytes())
        return TableName("s", table)

    def cold(self, table: str) -> TableName:
        """A described table of which no block is anywhere."""
        name = self.put(table)
        self.rig.seen()
        self.rig.run(self.rig.cache.clear())
        return name

    def ask(self, table: TableName) -> list[tuple[str | None, ...]]:
        return self.rig.ask("SELECT count(h), min(seed), max(seed) FROM ", table).rows


@pytest.fixture(scope="module", params=["moto", pytest.param("ceph", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real S3 server of one make or another."""
    if request.param == "moto":
        with running_s3() as endpoint:
            yield endpoint
        return
    if ceph.missing():
        pytest.skip(ceph.missing())
    with ceph.running_ceph(tmp_path_factory.mktemp("ceph"), ENVIRONMENT) as endpoint:
        make_bucket(endpoint)
        yield endpoint


@pytest.fixture(scope="module")
def made(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with FaultyS3(server) as proxy, pytest.MonkeyPatch.context() as patch:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": proxy.url}.items():
            patch.setenv(name, value)
        folder = tmp_path_factory.mktemp("faults")
        with rig(folder, url=f"s3://{BUCKET}/data", memory_bytes=1 << 30, workers_per_organization_max=1) as running:
            yield Scene(running, proxy, server)


@pytest.fixture
def scene(made: Scene) -> Iterator[Scene]:
    made.proxy.heal()
    yield made
    made.proxy.heal()


@pytest.mark.parametrize("fault", [Fault.SLOW_DOWN, Fault.RESET, Fault.SHORT, Fault.LONG])
def test_a_fault_that_passes_costs_a_retry_and_no_row(scene: Scene, fault: Fault) -> None:
    table = scene.cold(f"passing_{fault.name.lower()}")
    scene.proxy.inject(fault, path=f"{table.name}.parquet", times=2)
    assert scene.ask(table) == [(str(ROWS), "0", "0")]
    assert scene.proxy.hurt == 2


@pytest.mark.parametrize(
    ("fault", "told", "advice"),
    [
        (Fault.DENIED, "denies", "s3:GetObject"),
        (Fault.KMS_DENIED, "key that", "kms:Decrypt"),
        (Fault.EXPIRED, "expired", "Retry"),
        (Fault.SLOW_DOWN, "patience", "Retry"),
        (Fault.SHORT, "does not answer as it should", "Retry"),
    ],
)
def test_a_fault_that_stays_is_a_clear_error_that_names_the_table_only(
    scene: Scene, fault: Fault, told: str, advice: str
) -> None:
    table = scene.cold(f"lasting_{fault.name.lower()}")
    scene.proxy.inject(fault, path=f"{table.name}.parquet")
    with pytest.raises(SourceUnavailable) as caught:
        scene.ask(table)
    said = f"{caught.value.message} {caught.value.advice} {caught.value.reason} {caught.value!r}"
    assert told in caught.value.message
    assert str(table) in caught.value.message
    assert advice in caught.value.advice
    for kept in (*ENVIRONMENT.values(), "told by the store", "127.0.0.1", BUCKET + "/"):
        assert kept not in said
    scene.proxy.heal()
    assert scene.ask(table) == [(str(ROWS), "0", "0")], "the fault is forgotten with its cause"


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "of another version"])
def test_blocks_that_went_bad_on_the_volume_are_fetched_again(scene: Scene, damage: str) -> None:
    table = scene.cold(f"bad_{damage.replace(' ', '_')}")
    assert scene.ask(table) == [(str(ROWS), "0", "0")]
    scene.rig.loop.call_soon_threadsafe(scene.rig.cache._open.clear)
    for file in (scene.rig.root / "cache").glob("*/*.block"):
        whole = bytearray(file.read_bytes())
        if damage == "gone":
            file.unlink()
            continue
        if damage == "flipped":
            for at in range(HEADER_BYTES + 7, len(whole), PART_BYTES):
                whole[at] ^= 0x40
        elif damage == "cut":
            whole = whole[: len(whole) // 3]
        else:
            whole = whole[:HEADER_BYTES] + bytes(len(whole) - HEADER_BYTES)
        file.write_bytes(whole)
    scene.proxy.passed.clear()
    answer = scene.rig.ask(
        "SELECT count(h), min(seed), max(seed) FROM ", table, organization="2"
    )  # a worker without any
    assert answer.rows == [(str(ROWS), "0", "0")]
    assert [path for path in scene.proxy.passed if f"{table.name}.parquet" in path]
    assert answer.facts.store_bytes > 0


def test_an_object_replaced_while_it_is_read_is_never_mixed_with_its_successor(scene: Scene) -> None:
    table = scene.cold("replaced")
    scene.proxy.inject(Fault.DENIED, path="list-type")  # so that nobody notices before the statement does
    scene.put("replaced", seed=1)
    with pytest.raises(SourceUnavailable, match=r"s\.replaced were replaced") as caught:
        scene.ask(table)
    assert "Retry" in caught.value.advice
    scene.proxy.heal()
    scene.rig.seen()
    assert scene.ask(table) == [(str(ROWS), "1", "1")]


def test_a_table_that_could_not_be_described_says_why_and_comes_back(scene: Scene) -> None:
    scene.proxy.inject(Fault.DENIED, path="undescribed.parquet")
    table = scene.put("undescribed")
    scene.rig.seen()
    with pytest.raises(SourceUnavailable, match="denies the node access") as caught:
        scene.ask(table)
    assert "damaged" not in caught.value.message
    scene.proxy.heal()
    deadline = time.monotonic() + 20
    while scene.rig.lake.tables()[table.key].fault:
        scene.rig.seen()
        assert time.monotonic() < deadline
    assert scene.ask(table) == [(str(ROWS), "0", "0")]


@pytest.mark.parametrize(
    ("fault", "word"), [(Fault.DENIED, "denied"), (Fault.EXPIRED, "credentials"), (Fault.SLOW_DOWN, "throttled")]
)
def test_a_listing_fails_with_a_word_of_ours(scene: Scene, fault: Fault, word: str) -> None:
    scene.proxy.inject(fault, path="list-type")

    async def listed() -> None:
        async for _ in ObjectStore(f"s3://{BUCKET}/data").list(objects_max=1000):
            pass

    with pytest.raises(StoreFailed, match=rf"\A{word}\Z"):
        asyncio.run(listed())


class Columns:
    """Describes every table alike."""

    async def file_types(self, snapshot: Snapshot) -> tuple[tuple[tuple[str, str], ...], bool]:
        return (("i", "BIGINT"),), True


def test_a_store_that_does_not_answer_does_not_hold_up_the_start(scene: Scene) -> None:
    client(scene.endpoint).put_object(Bucket=BUCKET, Key="other/s/there.parquet", Body=b"x")
    scene.proxy.inject(Fault.SILENT, path="prefix=other", times=1)

    async def life() -> None:
        settings = LakeSettings(s3_refresh_s=0.05, listing_wait_s=0.2)
        lake = Lake(ObjectStore(f"s3://{BUCKET}/other"), Columns(), settings)
        began = time.monotonic()
        await lake.start()
        try:
            assert time.monotonic() - began < 10
            assert not lake.known
            assert lake.tables() == {}
            scene.proxy.closing.set()  # now it hangs up, and the client asks again
            async with asyncio.timeout(50):
                while not lake.known:
                    await lake.seen()
            assert ("s", "there") in lake.tables()
        finally:
            await lake.stop()
            scene.proxy.closing.clear()

    asyncio.run(life())
