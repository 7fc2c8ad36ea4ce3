"""What each function may do, written out: one list of statements per use, one resource list per statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import aws_iam as iam

from aws import names
from cdk_app.settings import Deployment
from cdk_app.staff import Employee, Use

REPORTS_PREFIX = f"{names.AUDIT_PREFIX}reports/"
EVIDENCE_PREFIX = f"{names.AUDIT_PREFIX}nodes/"
ROLE_TAG, ROLE_OF_NODES = "hatidata-role", "node"
"""The tag by which commands tell a node from any other instance of the account."""


@dataclass(frozen=True, slots=True)
class Things:
    """ARNs of what functions work on."""

    here: str
    """`region:account`, as it stands in ARNs."""
    deployment: str
    control_table: str
    termination_table: str
    document: str
    """The Run Command document of a node's end."""
    group: str
    """The auto scaling group of the nodes."""
    audit_bucket: str
    control_key: str
    audit_key: str
    signing_key: str
    signals_key: str
    queues_key: str
    rotated: tuple[tuple[str, str], ...]
    """Our names of the symmetric keys, and their ARNs."""
    alarms: str


def things_of(deployment: Deployment, key_arns: Mapping[str, str]) -> Things:
    """The ARNs; those of keys as given, the others by name."""
    here = f"{deployment.place.region}:{deployment.place.account}"
    group = deployment.name("nodes")
    return Things(
        here=here,
        deployment=deployment.place.name,
        termination_table=f"arn:aws:dynamodb:{here}:table/{deployment.name('terminations')}",
        document=f"arn:aws:ssm:{here}:document/{deployment.name('end-of-node')}",
        group=f"arn:aws:autoscaling:{here}:autoScalingGroup:*:autoScalingGroupName/{group}",
        control_table=f"arn:aws:dynamodb:{here}:table/{deployment.name('control')}",
        audit_bucket=f"arn:aws:s3:::{deployment.bucket('audit')}",
        control_key=key_arns["control"],
        audit_key=key_arns["audit"],
        signing_key=key_arns["signing"],
        signals_key=key_arns["signals"],
        queues_key=key_arns["queues"],
        rotated=tuple((name, arn) for name, arn in key_arns.items() if name != "signing"),
        alarms=f"arn:aws:sns:{here}:{deployment.name('alarms')}",
    )


def statements_of(employee: Employee, things: Things) -> list[iam.PolicyStatement]:
    """The statements of the function's uses, in the order of `Use`."""
    return [statement for use in Use if use in employee.uses for statement in _STATEMENTS[use](things)]


def _allow(sid: str, actions: list[str], *resources: str, **conditions: Mapping[str, object]) -> iam.PolicyStatement:
    return iam.PolicyStatement(sid=sid, actions=actions, resources=list(resources), conditions=dict(conditions) or None)


def _register(things: Things) -> list[iam.PolicyStatement]:
    return [
        _allow(
            "Register",
            [
                "dynamodb:BatchGetItem",
                "dynamodb:ConditionCheckItem",
                "dynamodb:DeleteItem",
                "dynamodb:GetItem",
                "dynamodb:PutItem",
                "dynamodb:Query",
                "dynamodb:UpdateItem",
            ],
            things.control_table,
            f"{things.control_table}/index/{names.UNIQUE_INDEX}",
            f"{things.control_table}/index/{names.LOOKUP_INDEX}",
        ),
    ]


def _register_read(things: Things) -> list[iam.PolicyStatement]:
    return [_allow("ReadTheRegister", ["dynamodb:GetItem", "dynamodb:Query"], things.control_table)]


def _audit_read(things: Things) -> list[iam.PolicyStatement]:
    return [
        _allow(
            "ReadTheAudit", ["s3:GetObject", "s3:GetObjectRetention"], f"{things.audit_bucket}/{names.AUDIT_PREFIX}*"
        ),
        _allow("ListTheAudit", ["s3:ListBucket"], things.audit_bucket),
        _allow("OpenTheAudit", ["kms:Decrypt"], things.audit_key),
    ]


def _audit_restore(things: Things) -> list[iam.PolicyStatement]:
    return [_allow("RestoreFromArchive", ["s3:RestoreObject"], f"{things.audit_bucket}/{names.AUDIT_PREFIX}*")]


def _add(things: Things, what: str, *prefixes: str) -> list[iam.PolicyStatement]:
    return [
        _allow(f"Add{what}", ["s3:PutObject"], *(f"{things.audit_bucket}/{prefix}*" for prefix in prefixes)),
        _allow(f"Seal{what}", ["kms:GenerateDataKey"], things.audit_key),
    ]


def _manifests(things: Things) -> list[iam.PolicyStatement]:
    return _add(things, "Manifests", names.MANIFESTS_PREFIX, REPORTS_PREFIX)


def _checkpoints(things: Things) -> list[iam.PolicyStatement]:
    return _add(things, "Checkpoints", names.CHECKPOINTS_PREFIX)


def _evidence(things: Things) -> list[iam.PolicyStatement]:
    return _add(things, "Evidence", EVIDENCE_PREFIX)


def _sign(things: Things) -> list[iam.PolicyStatement]:
    return [_allow("Sign", ["kms:Sign", "kms:GetPublicKey"], things.signing_key)]


def _check_signatures(things: Things) -> list[iam.PolicyStatement]:
    return [_allow("PublicKey", ["kms:GetPublicKey"], things.signing_key)]


def _seal_secrets(things: Things) -> list[iam.PolicyStatement]:
    return [_allow("SealSecretsOfWebhooks", ["kms:Encrypt"], things.control_key)]


def _open_secrets(things: Things) -> list[iam.PolicyStatement]:
    return [_allow("OpenSecretsOfWebhooks", ["kms:Decrypt"], things.control_key)]


def _rotate_keys(things: Things) -> list[iam.PolicyStatement]:
    return [
        _allow(
            "RotateKeys",
            ["kms:GetKeyRotationStatus", "kms:ListKeyRotations", "kms:RotateKeyOnDemand"],
            *(arn for _, arn in things.rotated),
        )
    ]


def _end_nodes(things: Things) -> list[iam.PolicyStatement]:
    return [
        _allow("OneDocument", ["ssm:SendCommand"], things.document),
        _allow(
            "ToNodesOnly",
            ["ssm:SendCommand"],
            f"arn:aws:ec2:{things.here}:instance/*",
            StringEquals={
                f"ssm:resourceTag/{ROLE_TAG}": ROLE_OF_NODES,
                "ssm:resourceTag/deployment": things.deployment,
            },
        ),
        # The service has no resources to name for these.
        _allow("WhatBecameOfIt", ["ssm:GetCommandInvocation"], "*"),
        _allow(
            "WhereNodesStand",
            ["autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances"],
            "*",
        ),
        _allow(
            "LetGo", ["autoscaling:CompleteLifecycleAction", "autoscaling:RecordLifecycleActionHeartbeat"], things.group
        ),
    ]


def _see_nodes(_things: Things) -> list[iam.PolicyStatement]:
    # The service has no resources to name for it.
    return [_allow("WhichNodes", ["autoscaling:DescribeAutoScalingGroups"], "*")]


def _journal(things: Things) -> list[iam.PolicyStatement]:
    actions = ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"]
    return [_allow("Journal", actions, things.termination_table)]


def _alarm(things: Things) -> list[iam.PolicyStatement]:
    return [
        _allow("Alarm", ["sns:Publish"], things.alarms),
        _allow("AlarmUnderKey", ["kms:Decrypt", "kms:GenerateDataKey"], things.signals_key),
    ]


_STATEMENTS = {
    Use.REGISTER: _register,
    Use.REGISTER_READ: _register_read,
    Use.AUDIT_READ: _audit_read,
    Use.AUDIT_RESTORE: _audit_restore,
    Use.MANIFESTS: _manifests,
    Use.CHECKPOINTS: _checkpoints,
    Use.EVIDENCE: _evidence,
    Use.SIGN: _sign,
    Use.CHECK_SIGNATURES: _check_signatures,
    Use.SEAL_SECRETS: _seal_secrets,
    Use.OPEN_SECRETS: _open_secrets,
    Use.ROTATE_KEYS: _rotate_keys,
    Use.END_NODES: _end_nodes,
    Use.SEE_NODES: _see_nodes,
    Use.JOURNAL: _journal,
    Use.ALARM: _alarm,
}
