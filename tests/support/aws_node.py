"""A node as it runs in AWS, for tests: what it finds in its account, and `python -m engine` told by variables alone."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from aws.node_identity import FILES, NodeIdentity
from aws.provision import lay_identity
from local.signing import ensure_public_key
from tests.support.aws import REGION, RunningAws
from tests.support.stack import PROJECT, Stack

START_S = 60.0
DATA, AUDIT = "data-bucket", "audit-bucket"


def people() -> bytes:
    """A table of 500 rows, `id` and `name`, as Parquet."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        file = Path(folder) / "people.parquet"
        connection.execute(f"COPY (SELECT range AS id, 'n' || range AS name FROM range(500)) TO '{file}'")
        return file.read_bytes()


def make_identity(control: Stack) -> NodeIdentity:
    """What proves a node of a home's control plane."""
    ensure_public_key(control.home / "control", control.home / "tls")
    files = {name: (control.home / "tls" / name).read_bytes() for name in FILES}
    return NodeIdentity(files, (control.home / "node" / "mask.key").read_bytes())


def lay_account(aws: RunningAws, control: Stack) -> str:
    """Both buckets, a key, the identity and a table `main.people` below `lake/`; the key's ARN."""
    s3, kms = aws.client("s3"), aws.client("kms")
    for bucket in (DATA, AUDIT):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    key = str(kms.create_key()["KeyMetadata"]["Arn"])
    lay_identity(REGION, DATA, "production", key, make_identity(control), s3=s3, kms=kms)
    s3.put_object(Bucket=DATA, Key="lake/main/people.parquet", Body=people())
    return key


@dataclass
class EngineProcess:
    """The engine, started and stopped as often as a test wants; what it writes is kept."""

    environment: Mapping[str, str]
    ca: Path
    """The authority that clients trust."""
    process: subprocess.Popen[str] | None = None
    lines: list[str] = field(default_factory=list)
    port: int = 0
    _pumping: threading.Thread | None = field(default=None, repr=False)

    def run(self, *arguments: str, **change: str) -> subprocess.Popen[str]:
        """A process of the engine's, on any free port; `ship-spool` is another verb of it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HATIDATA_", "PG"))}
        return subprocess.Popen(
            [sys.executable, "-m", "engine", *arguments],
            env={**kept, **self.environment, "HATIDATA_PORT": "0", **change},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=PROJECT,
        )  # fmt: skip

    def start(self) -> None:
        """Until clients are served."""
        self.process = self.run()
        heard: queue.Queue[str] = queue.Queue()
        self._pumping = threading.Thread(target=self._pump, args=(self.process, heard), daemon=True)
        self._pumping.start()
        deadline = time.monotonic() + START_S
        while True:
            line = heard.get(timeout=max(0.01, deadline - time.monotonic()))
            if "ready: clients on port" in line:
                self.port = int(line.split("clients on port ")[1].split(",")[0])
                return
            assert line, "".join(self.lines)

    def _pump(self, process: subprocess.Popen[str], heard: queue.Queue[str]) -> None:
        for line in process.stdout or ():
            self.lines.append(line)
            heard.put(line)
        heard.put("")

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    def send(self, number: int) -> None:
        """Send it a signal, when it runs."""
        if self.process is not None and self.running:
            self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it, by force past a minute; its exit code."""
        if self.process is None:
            return 0
        self.send(number)
        process, self.process = self.process, None
        try:
            return process.wait(60)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(10)
            if self._pumping is not None:
                self._pumping.join(10)
            if process.stdout is not None:
                process.stdout.close()

    def query(self, key: str, sql: str) -> list[tuple[Any, ...]]:
        """Rows of one statement, on a connection of its own that checks whom it speaks to."""
        dsn = (
            f"host=localhost port={self.port} dbname=production user=u password={key}"
            f" sslmode=verify-full sslrootcert={self.ca} connect_timeout=20 gssencmode=disable"
        )
        with psycopg.connect(dsn, autocommit=True) as connection:
            return connection.execute(sql.encode()).fetchall()
