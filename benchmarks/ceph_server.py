"""A real S3 server for the cold reads: Ceph's gateway on loopback, with TPC-H in its bucket.

nginx (`benchmarks.s3_server`) answers out of the page cache and checks nothing, which no S3 does: it shows what a node
costs. Here an answer costs what a server that checks signatures, finds an object and streams it takes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3

from benchmarks import data
from benchmarks.s3_server import BUCKET, ENVIRONMENT, Sent
from tests.support import ceph

missing = ceph.missing


@dataclass(frozen=True)
class UncountedS3:
    """A server that does not tell what it sent."""

    endpoint: str

    def sent(self) -> Sent:
        """Nothing, ever."""
        return Sent((), 0, 0)


@contextmanager
def serving(folder: Path) -> Iterator[UncountedS3]:
    """TPC-H's tables below `folder` in the bucket `BUCKET` of a new cluster in memory.

    Raises:
        RuntimeError: a part of Ceph does not start.
    """
    with (
        tempfile.TemporaryDirectory(prefix="hd-ceph-") as home,
        ceph.running_ceph(Path(home), ENVIRONMENT) as endpoint,
    ):
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
            region_name="us-east-1",  # elsewhere a bucket's place must be named, and this gateway knows of none
        )
        client.create_bucket(Bucket=BUCKET)
        for table in (*data.TABLES, "lineitem"):
            file = folder / "lake" / data.SCHEMA / f"{table}.parquet"
            client.put_object(Bucket=BUCKET, Key=file.relative_to(folder).as_posix(), Body=file.read_bytes())
        yield UncountedS3(endpoint)
