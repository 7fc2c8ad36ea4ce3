"""`serve --data s3://bucket/prefix` against a real S3-speaking server on loopback (moto's)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import duckdb
import httpx
import psycopg
import pytest
from moto.server import ThreadedMotoServer

from tests.support.faulty_s3 import ENVIRONMENT, Fault, FaultyS3
from tests.support.stack import Stack, running_stack
from tests.support.waiting import until

BUCKET = "lake-for-real"
"""A name of its own: moto keeps the buckets of all its servers in one process together."""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def client(endpoint: str) -> Any:
    return boto3.client(
        "s3", endpoint_url=endpoint, region_name="eu-central-1", aws_access_key_id="test", aws_secret_access_key="test"
    )


def put(endpoint: str, folder: Path, name: str, sql: str) -> None:
    file = folder / "x.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({sql}) TO '{file}' (FORMAT parquet)")
    client(endpoint).put_object(Bucket=BUCKET, Key=name, Body=file.read_bytes())


@pytest.fixture(scope="module")
def stack(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("s3")
    client(endpoint).create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    put(endpoint, folder, "prefix/main/people.parquet", "SELECT range AS id, 'n' || range AS name FROM range(5000)")
    for day in (1, 2):
        sql = f"SELECT range AS id FROM range({day * 10})"
        put(endpoint, folder, f"prefix/sales/orders/day={day}/part.parquet", sql)
    environment = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "eu-central-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with running_stack(folder / "home", f"s3://{BUCKET}/prefix") as running:
            yield running


def test_tables_of_a_bucket_are_served(stack: Stack) -> None:
    assert stack.query(stack.owner_key, "SELECT count(*), max(name) FROM main.people") == [(5000, "n999")]


def test_hive_partitions_of_a_bucket_prune(stack: Stack) -> None:
    sql = "SELECT day, count(*) FROM sales.orders WHERE day < 3 GROUP BY day ORDER BY day"
    rows = stack.query(stack.owner_key, sql)
    assert rows == [(1, 10), (2, 20)]


def test_a_new_object_is_seen_without_a_restart(stack: Stack, endpoint: str, tmp_path: Path) -> None:
    put(endpoint, tmp_path, "prefix/sales/orders/day=3/part.parquet", "SELECT 7::BIGINT AS id")
    until(lambda: stack.query(stack.owner_key, "SELECT id FROM sales.orders WHERE day = 3") == [(7,)])


def test_a_second_read_comes_from_the_cache(stack: Stack, endpoint: str, tmp_path: Path) -> None:
    put(endpoint, tmp_path, "prefix/main/cached.parquet", "SELECT range AS id FROM range(100)")
    until(lambda: exists(stack, "main.cached"))
    stack.query(stack.owner_key, "SELECT sum(id) FROM main.cached")
    before = hits(stack)
    assert stack.query(stack.owner_key, "SELECT sum(id) FROM main.cached") == [(4950,)]
    assert hits(stack) == before + 1


def test_a_removed_object_is_a_clear_error_that_names_no_key(stack: Stack, endpoint: str, tmp_path: Path) -> None:
    put(endpoint, tmp_path, "prefix/main/gone.parquet", "SELECT range AS id FROM range(100)")
    until(lambda: exists(stack, "main.gone"))
    client(endpoint).delete_object(Bucket=BUCKET, Key="prefix/main/gone.parquet")
    until(lambda: not exists(stack, "main.gone"))
    with pytest.raises(psycopg.Error) as caught:
        stack.query(stack.owner_key, "SELECT * FROM main.gone")
    assert caught.value.sqlstate in ("42P01", "58030")
    assert "prefix" not in str(caught.value)
    assert "test" not in str(caught.value)


def hits(stack: Stack) -> float:
    """Statements that were answered from the cache alone, as port 9090 counts them."""
    text = httpx.get(f"http://127.0.0.1:{stack.metrics_port}/metrics").text
    found = re.search(r'hatidata_statements_by_cache_total\{status="hit"\} ([0-9.e+]+)', text)
    return float(found[1]) if found else 0.0


def exists(stack: Stack, table: str) -> bool:
    try:
        stack.query(stack.owner_key, f"SELECT 1 FROM {table} LIMIT 1")
    except psycopg.Error:
        return False
    return True


def test_a_node_starts_while_its_store_is_silent_and_says_that_it_is_not_ready(endpoint: str, tmp_path: Path) -> None:
    bucket = "silent"
    client(endpoint).create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    file = tmp_path / "x.parquet"
    duckdb.sql("SELECT 42 AS i").write_parquet(str(file))
    client(endpoint).put_object(Bucket=bucket, Key="main/t.parquet", Body=file.read_bytes())
    with FaultyS3(endpoint) as proxy, pytest.MonkeyPatch.context() as patch:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": proxy.url}.items():
            patch.setenv(name, value)
        proxy.inject(Fault.SILENT)
        with running_stack(tmp_path / "home", f"s3://{bucket}") as silent:
            answer = httpx.get(f"{silent.metrics_url}/readyz")
            assert (answer.status_code, answer.json()["faults"]) == (503, ["lake"])
            assert silent.query(silent.owner_key, "SELECT 1") == [(1,)]
            with pytest.raises(psycopg.Error) as caught:
                silent.query(silent.owner_key, "SELECT i FROM t")
            assert caught.value.sqlstate == "58030"
            proxy.heal()
            proxy.closing.set()
            until(lambda: httpx.get(f"{silent.metrics_url}/readyz").status_code == 200)
            assert silent.query(silent.owner_key, "SELECT i FROM t") == [(42,)]
