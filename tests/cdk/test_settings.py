"""A deployment that cannot be meant is refused, with the setting's name and no more."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from cdk_app.settings import ControlPlaneMode, deployment_of, read_deployment
from governance.errors import InvalidRequest
from tests.cdk.conftest import VARIANTS, document

WRONG: list[tuple[str, str, Any]] = [
    ("place", "account", "12345"),
    ("place", "account", 111122223333),
    ("place", "region", "Singapore"),
    ("place", "zones", ["ap-southeast-1a"]),
    ("place", "zones", ["ap-southeast-1a", "ap-southeast-1a"]),
    ("place", "zones", ["ap-southeast-1a", "us-east-1b"]),
    ("place", "name", "Hati_Data"),
    ("place", "name", "x" * 21),
    ("network", "client_cidrs", []),
    ("network", "client_cidrs", ["0.0.0.0/0"]),
    ("network", "client_cidrs", ["10.0.0.1/8"]),
    ("network", "client_cidrs", ["fd00::/8"]),
    ("network", "monitoring_cidrs", ["0.0.0.0/0"]),
    ("network", "admin_cidrs", ["anywhere"]),
    ("network", "cidr", "10.0.0.0/8"),
    ("network", "vpc_id", "vpc-0123456789abcdef0"),
    ("network", "s3_prefix_list", "com.amazonaws.ap-southeast-1.s3"),
    ("network", "webhook_cidrs", ["8.8.8.0/24"]),
    ("network", "client_principals", ["*"]),
    ("network", "webhooks_outside", "yes"),
    ("data", "bucket", "example-corp-lake"),
    ("data", "key_arn", "arn:aws:kms:ap-southeast-1:111122223333:key/x"),
    ("data", "prefix", "no-slash"),
    ("data", "prefix", "o'brien/"),
    ("data", "prefix", "lake (1)/"),
    ("data", "prefix", "$(id)/"),
    ("data", "audit_retention_years", 6),
    ("nodes", "instance_type", "r8g.2xlarge"),
    ("nodes", "instance_type", "r7i.2xlarge"),
    ("nodes", "instance_type", "i4i.2xlarge"),
    ("nodes", "nodes_min", 0),
    ("nodes", "nodes_max", 1),
    ("nodes", "queries_per_node", 101),
    ("nodes", "ami_id", "latest"),
    ("nodes", "nodes_min", True),
    ("control_plane", "mode", "somewhere"),
    ("control_plane", "domain", "localhost"),
    ("control_plane", "certificate_arn", ""),
    ("control_plane", "certificate_arn", "arn:aws:acm:us-east-1:111122223333:certificate/x"),
    ("control_plane", "trust_key", "nodes.txt"),
    ("control_plane", "service_name", "com.amazonaws.vpce.ap-southeast-1.vpce-svc-0123456789abcdef0"),
    ("safety", "break_glass_role_arn", "arn:aws:iam::111122223333:root"),
    ("safety", "break_glass_role_arn", "arn:aws:iam::999900001111:role/glass"),
    ("safety", "alarm_emails", ["nobody"]),
    ("safety", "unknown_setting", 1),
]


@pytest.mark.parametrize(("table", "name", "value"), WRONG)
def test_what_cannot_be_meant_is_refused_by_name(table: str, name: str, value: Any) -> None:
    settings = copy.deepcopy(document("example"))
    settings[table][name] = value
    with pytest.raises(InvalidRequest) as refusal:
        deployment_of(settings)
    assert "setting" in refusal.value.message
    assert table in refusal.value.message or name in refusal.value.message
    assert refusal.value.advice.endswith(".")


@pytest.mark.parametrize("table", ["place", "network", "control_plane", "safety"])
def test_what_must_be_given_is_asked_for(table: str) -> None:
    settings = {name: values for name, values in document("example").items() if name != table}
    with pytest.raises(InvalidRequest, match=rf"{table}\.\w+ cannot be used"):
        deployment_of(settings)


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="nodez"):
        deployment_of({**document("example"), "nodez": {}})


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_the_variants_are_deployments(variant: str) -> None:
    assert deployment_of(document(variant)).own_control_plane is (variant != "guest")


def test_a_control_plane_elsewhere_needs_its_service_and_nothing_of_ours() -> None:
    settings = document("guest")
    assert deployment_of(settings).control_plane.mode is ControlPlaneMode.ELSEWHERE
    settings["control_plane"]["certificate_arn"] = "arn:aws:acm:ap-southeast-1:111122223333:certificate/x"
    with pytest.raises(InvalidRequest, match=r"control_plane\.mode"):
        deployment_of(settings)


def test_a_file_that_is_not_there_or_not_toml_is_refused_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"read: gone\.toml\.$"):
        read_deployment(tmp_path / "gone.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[place\n")
    with pytest.raises(InvalidRequest, match=r"^broken\.toml is not TOML"):
        read_deployment(broken)


def test_names_of_buckets_fit_what_s3_takes() -> None:
    settings = document("example")
    settings["place"]["name"] = "x" * 20
    deployment = deployment_of(settings)
    assert max(len(deployment.bucket(purpose)) for purpose in ("data", "audit", "access-logs")) <= 63
