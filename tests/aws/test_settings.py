"""Settings from the environment: what is said comes back the same, what cannot be meant is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.settings import AwsNodeSettings, NodeSettings, QueryLimits
from governance.errors import InvalidRequest
from lambdas.audit_search.settings import AuditSearchSettings
from lambdas.control_plane.settings import ControlPlaneSettings

NODE = AwsNodeSettings(
    NodeSettings(
        Path("/var/lib/hatidata"), "s3://lake/prefix", "production", "https://control.example:8443",
        listen="0.0.0.0", metrics_listen="0.0.0.0", proxy_from=("10.0.0.0/8", "fd00::/8"), drain_timeout_s=120.0,
        require_sandbox=True, audit_ship_s=60.0, cache=Path("/var/cache/hatidata"), tls=Path("/run/hatidata/tls"),
        require_encrypted_cache=True, queries=QueryLimits(running_max=64),
    ),
    "eu-central-1", "audit", ".hatidata/nodes/production/identity.sealed", "arn:aws:kms:eu-central-1:1:key/k",
)  # fmt: skip


def test_a_nodes_settings_come_back_from_its_environment() -> None:
    assert AwsNodeSettings.from_environment(NODE.environment()) == NODE
    assert NODE.data_bucket == "lake"


NEEDED = (
    "HATIDATA_HOME", "HATIDATA_DATA", "HATIDATA_ENVIRONMENT", "HATIDATA_CONTROL_URL", "HATIDATA_CACHE", "HATIDATA_TLS",
    "HATIDATA_REGION", "HATIDATA_AUDIT_BUCKET", "HATIDATA_IDENTITY_KEY", "HATIDATA_DATA_KEY",
)  # fmt: skip


@pytest.mark.parametrize("name", NEEDED)
def test_what_has_no_default_is_asked_for_by_name(name: str) -> None:
    with pytest.raises(InvalidRequest, match=name):
        AwsNodeSettings.from_environment({**NODE.environment(), name: ""})


def test_everything_else_has_a_default() -> None:
    needed = {name: NODE.environment()[name] for name in NEEDED}
    assert AwsNodeSettings.from_environment(needed).node.port == 5439


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HATIDATA_PORT", "70000"), ("HATIDATA_PORT", "x"), ("HATIDATA_DATA", "/tmp"), ("HATIDATA_DRAIN_S", "nan"),
        ("HATIDATA_DRAIN_S", "-1"), ("HATIDATA_PROXY_FROM", "10.0.0.1/8"), ("HATIDATA_QUERIES_MAX", "0"),
        ("HATIDATA_REQUIRE_ENCRYPTED_CACHE", "true"), ("HATIDATA_CONTROL_URL", "http://x"),
        ("HATIDATA_CACHE_BYTES_MAX", "1e9"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest):
        AwsNodeSettings.from_environment({**NODE.environment(), name: value})


def test_w2_2_encryption_of_the_cache_is_required_unless_it_is_said_otherwise() -> None:
    left = {name: value for name, value in NODE.environment().items() if name != "HATIDATA_REQUIRE_ENCRYPTED_CACHE"}
    assert AwsNodeSettings.from_environment(left).node.require_encrypted_cache
    assert AwsNodeSettings.from_environment(left).node.require_sandbox


@given(st.sampled_from(["table", "t-1"]), st.sampled_from(["", "bucket"]), st.sampled_from(["", "arn:aws:kms:x"]))
def test_the_functions_settings_come_back_from_their_environment(table: str, bucket: str, key: str) -> None:
    control = ControlPlaneSettings(table, audit_bucket=bucket, signing_key=key)
    assert ControlPlaneSettings.from_environment(control.environment()) == control
    if bucket:
        search = AuditSearchSettings(bucket, signing_key=key, scan_s=3.0)
        assert AuditSearchSettings.from_environment(search.environment()) == search


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"HATIDATA_AUDIT_BUCKET": "b", "HATIDATA_SCAN_S": "0"},
        {"HATIDATA_AUDIT_BUCKET": "b", "HATIDATA_SCAN_S": "soon"},
        {"HATIDATA_AUDIT_BUCKET": "b", "HATIDATA_SCAN_BYTES_MAX": "-1"},
    ],
)
def test_a_function_without_its_settings_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        AuditSearchSettings.from_environment(environment)
    with pytest.raises(InvalidRequest):
        ControlPlaneSettings.from_environment(environment)
