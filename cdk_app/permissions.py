"""What each function may do, written out: one list of statements per use, one resource list per statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import aws_iam as iam

from aws import names
from cdk_app.settings import Deployment
from cdk_app.staff import Employee, Use


@dataclass(frozen=True, slots=True)
class Things:
    """ARNs of what functions work on."""

    control_table: str
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
    return Things(
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


def _tables(things: Things) -> list[iam.PolicyStatement]:
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


def _audit_read(things: Things) -> list[iam.PolicyStatement]:
    return [
        _allow(
            "ReadTheAudit",
            ["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectRetention"],
            f"{things.audit_bucket}/{names.AUDIT_PREFIX}*",
        ),
        _allow("ListTheAudit", ["s3:ListBucket", "s3:ListBucketVersions"], things.audit_bucket),
        _allow("OpenTheAudit", ["kms:Decrypt"], things.audit_key),
    ]


def _manifests(things: Things) -> list[iam.PolicyStatement]:
    return [
        _allow(
            "AddManifestsAndCheckpoints",
            ["s3:PutObject"],
            f"{things.audit_bucket}/{names.MANIFESTS_PREFIX}*",
            f"{things.audit_bucket}/{names.CHECKPOINTS_PREFIX}*",
        ),
        _allow("SealWhatIsAdded", ["kms:GenerateDataKey"], things.audit_key),
    ]


def _sign(things: Things) -> list[iam.PolicyStatement]:
    return [_allow("Sign", ["kms:Sign", "kms:GetPublicKey"], things.signing_key)]


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


def _alarm(things: Things) -> list[iam.PolicyStatement]:
    return [
        _allow("Alarm", ["sns:Publish"], things.alarms),
        _allow("AlarmUnderKey", ["kms:Decrypt", "kms:GenerateDataKey"], things.signals_key),
    ]


_STATEMENTS = {
    Use.TABLES: _tables,
    Use.AUDIT_READ: _audit_read,
    Use.MANIFESTS: _manifests,
    Use.SIGN: _sign,
    Use.SEAL_SECRETS: _seal_secrets,
    Use.OPEN_SECRETS: _open_secrets,
    Use.ROTATE_KEYS: _rotate_keys,
    Use.ALARM: _alarm,
}
