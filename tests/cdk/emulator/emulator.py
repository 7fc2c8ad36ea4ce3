"""MiniStack, an emulator of AWS in Python, as a process on loopback.

`make test-emulator` installs it in a folder of its own, apart from the project's libraries, for it pins others.
Functions run as processes of the project's own interpreter, so that what is locked for tests stands in for the layer,
whose wheels are for arm64.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.cdk.cloud import ACCOUNT, REGION
from tests.support.stack import PROJECT

PYTHON = PROJECT / "build" / "emulator" / "bin" / "python"
_START_S = 60.0
_LAUNCH = "import sys; sys.executable = sys.argv.pop(); from ministack.app import main; sys.exit(main())"


def missing() -> str:
    """What stands against running it; empty: nothing."""
    return "" if PYTHON.exists() else "the emulator is not installed (make test-emulator installs it)"


def credentials(endpoint: str) -> dict[str, str]:
    """What a process needs to take the emulator for AWS; the key's id is the account."""
    return {
        "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": "emulated",
        "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip


@cache
def client(service: str, endpoint: str) -> Any:
    """A client of a service there; the same one each time, for making one takes half a second."""
    return boto3.client(
        service, endpoint_url=endpoint, region_name=REGION, aws_access_key_id=ACCOUNT,
        aws_secret_access_key="emulated", config=Config(retries={"total_max_attempts": 1}, read_timeout=70),
    )  # fmt: skip


@dataclass
class Emulator:
    """The running emulator."""

    endpoint: str
    log: Path

    def client(self, service: str) -> Any:
        """A client of a service there."""
        return client(service, self.endpoint)


@contextmanager
def running_emulator(folder: Path, functions_call: str) -> Iterator[Emulator]:
    """The emulator with its files in `folder`, ended with everything it started.

    Functions are told `functions_call` as the address of every service.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    log = folder / "emulator.log"
    told = {
        **credentials(functions_call), "PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder),
        "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION, "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0",
    }  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(PYTHON), "-c", _LAUNCH, sys.executable], env=told, cwd=folder, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        _wait_for(port, process, log)
        yield Emulator(f"http://127.0.0.1:{port}", log)
    finally:
        _end(process)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        threading.Event().wait(0.1)
    raise AssertionError(f"the emulator does not answer: {log.read_text()[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """It has a session of its own, which its functions' processes share."""
    for number in (15, 9):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            continue
        if number == 9:
            return
