"""One synthesis per deployment and test run, shared by all workers: jsii costs seconds and 600 MB each time."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cdk_app.__main__ import EXAMPLE
from cdk_app.settings import Deployment, deployment_of
from tests.cdk.cloud import Cloud

ROOT = Path(__file__).resolve().parents[2]
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "example": {},
    "guest": {
        "network": {
            "vpc_id": "vpc-0123456789abcdef0",
            "vpc_cidr": "10.90.0.0/16",
            "subnet_ids": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
            "route_table_ids": ["rtb-0123456789abcdef0", "rtb-0123456789abcdef1"],
            "client_principals": ["arn:aws:iam::444455556666:root"],
        },
        "data": {
            "bucket": "example-corp-lake",
            "key_arn": "arn:aws:kms:ap-southeast-1:111122223333:key/12345678-1234-1234-1234-123456789012",
        },
        "nodes": {"ami_id": "ami-0123456789abcdef0"},
        "control_plane": {
            "mode": "elsewhere",
            "service_name": "com.amazonaws.vpce.ap-southeast-1.vpce-svc-0123456789abcdef0",
            "certificate_arn": "",
            "trust_bucket": "",
            "trust_key": "",
        },
        "safety": {"alarm_emails": ["oncall@example.com"]},
    },
    "emulated": {"nodes": {"ami_id": "ami-0123456789abcdef0"}},
}


def document(variant: str) -> dict[str, dict[str, Any]]:
    plain = tomllib.loads(EXAMPLE.read_text())
    return {table: {**values, **VARIANTS[variant].get(table, {})} for table, values in plain.items()}


def _toml(settings: dict[str, dict[str, Any]]) -> str:
    def value(item: Any) -> str:
        return str(item).lower() if isinstance(item, bool) else repr(item).replace("'", '"')

    return "".join(
        f"[{table}]\n" + "".join(f"{name} = {value(item)}\n" for name, item in values.items())
        for table, values in settings.items()
    )


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a variant's assembly, synthesized by whichever worker asks first."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cdk"
    shared.mkdir(exist_ok=True)

    def get(variant: str) -> Path:
        out = shared / variant
        with (shared / f"{variant}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (out / "done").exists():
                settings = shared / f"{variant}.toml"
                settings.write_text(_toml(document(variant)))
                script = [
                    sys.executable,
                    str(Path(__file__).parent / "synthesize.py"),
                    str(settings),
                    str(out),
                    *({"example": ["raw"], "emulated": ["rooms"]}.get(variant, [])),
                ]
                ran = subprocess.run(script, capture_output=True, text=True, cwd=ROOT, check=False, timeout=240)
                assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
                (out / "done").touch()
        return out / "assembly"

    return get


@pytest.fixture(scope="session")
def cloud(assembly: Callable[[str], Path]) -> Cloud:
    """The example deployment."""
    return Cloud(assembly("example"))


@pytest.fixture(scope="session")
def guest(assembly: Callable[[str], Path]) -> Cloud:
    """In the customer's VPC, over his bucket and image, with a control plane elsewhere."""
    return Cloud(assembly("guest"))


@pytest.fixture(scope="session")
def deployment() -> Deployment:
    return deployment_of(document("example"))
