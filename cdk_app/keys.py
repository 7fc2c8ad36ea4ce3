"""Customer-managed keys, the roles that use them, and key policies that name each role and its use (W2.1 to W2.5).

Roles are made here, bare, because a key policy can name only a role that exists; what a role may do besides is
attached where the things it works on are made. The account's root may administer keys and use none: whoever is not
named in a key policy cannot read what the key protects, whatever his IAM policies say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from aws import names
from cdk_app.settings import Deployment
from cdk_app.staff import Use, staff_of

ROTATION_DAYS = 365

_ADMINISTER = [
    "kms:CancelKeyDeletion", "kms:DescribeKey", "kms:DisableKeyRotation", "kms:EnableKey", "kms:EnableKeyRotation",
    "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListGrants", "kms:ListKeyPolicies", "kms:ListKeyRotations",
    "kms:ListResourceTags", "kms:PutKeyPolicy", "kms:RevokeGrant", "kms:RotateKeyOnDemand", "kms:TagResource",
    "kms:UntagResource", "kms:UpdateKeyDescription", "kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias",
    "kms:GetPublicKey",
]  # fmt: skip
_DESTROY = ["kms:ScheduleKeyDeletion", "kms:DisableKey", "kms:DeleteImportedKeyMaterial"]
_SPEAK = ["kms:Decrypt", "kms:GenerateDataKey*"]
"""What sending to an encrypted topic or queue takes."""
_PURPOSE = "kms:EncryptionContext:purpose"
_USE = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys, by what they protect."""

    data: kms.IKey
    audit: kms.Key
    control: kms.Key
    """The control plane's tables, functions' settings and log groups."""
    volumes: kms.Key
    signals: kms.Key
    """Topics of alarms and notices."""
    queues: kms.Key
    """Dead letters; a key of its own, because a topic and its queue on one key name each other in a circle."""
    signing: kms.Key
    """Asymmetric: signs manifests of the audit, bundles and checkpoints."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Who acts."""

    node: iam.Role
    builder: iam.Role | None
    """Bakes the nodes' image; None when the customer brings an image."""
    backup: iam.Role
    staff: Mapping[str, iam.Role]
    """The functions' roles, by room."""


class KeysStack(cdk.Stack):
    """The roles, bare, and the keys that name them."""

    def __init__(self, scope: Construct, construct_id: str, *, deployment: Deployment, env: cdk.Environment) -> None:
        super().__init__(scope, construct_id, env=env, description="HatiData: keys and who may use them")
        self._deployment = deployment
        self._here = deployment.place.region
        self._account = deployment.place.account
        self._staff = staff_of(deployment)
        self.roles = self._roles()
        self.keys = KeyRing(
            data=self._data_key(),
            audit=self._audit_key(),
            control=self._control_key(),
            volumes=self._volumes_key(),
            signals=self._signals_key(),
            queues=self._queues_key(),
            signing=self._signing_key(),
        )

    # ------------------------------------------------------------ roles

    def _roles(self) -> Roles:
        own = {"StringEquals": {"aws:SourceAccount": self._account}}
        builder = None
        if not self._deployment.nodes.ami_id:
            builder = iam.Role(
                self,
                "Builder",
                assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
                description="Bakes the nodes' image",
            )
        return Roles(
            node=iam.Role(
                self, "Node", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
                description="A query node: exactly the four permissions of claim W6.4",
            ),
            builder=builder,
            backup=iam.Role(
                self, "Backup", assumed_by=iam.ServicePrincipal("backup.amazonaws.com", conditions=own),
                description="Daily backups of the control plane's tables",
            ),
            staff={
                employee.room: iam.Role(
                    self, _title(employee.room), assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
                    description=employee.purpose,
                )
                for employee in self._staff
            },
        )  # fmt: skip

    def _who(self, *uses: Use) -> list[iam.IPrincipal]:
        """The roles of the functions whose work needs one of `uses`; of all functions when none is named."""
        return [
            iam.ArnPrincipal(self.roles.staff[employee.room].role_arn)
            for employee in self._staff
            if not uses or employee.uses & set(uses)
        ]

    # ------------------------------------------------------------ keys

    def _key(self, name: str, purpose: str, statements: Sequence[iam.PolicyStatement]) -> kms.Key:
        key = kms.Key(
            self,
            name,
            description=f"HatiData: {purpose}",
            enable_key_rotation=True,
            rotation_period=cdk.Duration.days(ROTATION_DAYS),
            pending_window=cdk.Duration.days(30),
            removal_policy=cdk.RemovalPolicy.RETAIN,
            policy=iam.PolicyDocument(statements=[*self._administration(), *statements]),
        )
        kms.Alias(self, f"{name}Alias", alias_name=f"alias/{self._deployment.name(name.lower())}", target_key=key)
        return key

    def _administration(self) -> list[iam.PolicyStatement]:
        glass = self._deployment.safety.break_glass_role_arn
        return [
            iam.PolicyStatement(
                sid="Administration", principals=[iam.AccountRootPrincipal()], actions=_ADMINISTER, resources=["*"]
            ),
            iam.PolicyStatement(
                sid="BreakGlass",
                principals=[iam.AccountRootPrincipal()],
                actions=_DESTROY,
                resources=["*"],
                conditions={"ArnEquals": {"aws:PrincipalArn": glass}},
            ),
            iam.PolicyStatement(
                sid="NobodyElseDestroys",
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=_DESTROY,
                resources=["*"],
                conditions={"ArnNotEquals": {"aws:PrincipalArn": glass}},
            ),
        ]

    def _by_service(
        self, sid: str, service: str, principals: Sequence[iam.IPrincipal], actions: Sequence[str], **more: object
    ) -> list[iam.PolicyStatement]:
        """These principals, through this service of this region only; nothing when there is nobody."""
        if not principals:
            return []
        equals = {
            "kms:ViaService": f"{service}.{self._here}.amazonaws.com",
            "kms:CallerAccount": self._account,
            **more,
        }
        return [
            iam.PolicyStatement(
                sid=sid, principals=list(principals), actions=list(actions), resources=["*"],
                conditions={"StringEquals": equals},
            )
        ]  # fmt: skip

    def _linked(self, service: str, name: str) -> iam.ArnPrincipal:
        """A service-linked role of the account; docs/deploy.md says how to make those that are missing."""
        role = f"role/aws-service-role/{service}.amazonaws.com/AWSServiceRoleFor{name}"
        return iam.ArnPrincipal(f"arn:aws:iam::{self._account}:{role}")

    def _data_key(self) -> kms.IKey:
        if self._deployment.data.key_arn:
            return kms.Key.from_key_arn(self, "Data", self._deployment.data.key_arn)
        node = iam.ArnPrincipal(self.roles.node.role_arn)
        bucket = f"arn:aws:s3:::{self._deployment.data_bucket}"
        return self._key(
            "Data",
            "the lake",
            [
                iam.PolicyStatement(
                    sid="NodesRead", principals=[node], actions=["kms:Decrypt"], resources=["*"],
                    conditions={"StringEquals": {"kms:CallerAccount": self._account}},
                ),
                # The customer's loaders write tables with policies of their own; this key follows them, through S3.
                *self._by_service(
                    "LoadersByTheirOwnPolicies",
                    "s3",
                    [iam.AccountRootPrincipal()],
                    ["kms:Decrypt", "kms:GenerateDataKey"],
                    **{"kms:EncryptionContext:aws:s3:arn": bucket},
                ),
                # Whoever provisions a node's identity and seed seals them; only nodes open them.
                iam.PolicyStatement(
                    sid="ProvisionersByTheirOwnPolicies",
                    principals=[iam.AccountRootPrincipal()],
                    actions=["kms:Encrypt", "kms:GenerateDataKeyWithoutPlaintext"],
                    resources=["*"],
                    conditions={
                        "StringEquals": {
                            _PURPOSE: [names.IDENTITY_PURPOSE, names.VOLUME_SEED_PURPOSE],
                            "kms:EncryptionContext:environment": self._deployment.place.environment,
                        }
                    },
                ),
            ],
        )  # fmt: skip

    def _who_statement(
        self, sid: str, uses: Sequence[Use], actions: Sequence[str], **conditions: object
    ) -> list[iam.PolicyStatement]:
        principals = self._who(*uses)
        if not principals:
            return []
        return [
            iam.PolicyStatement(
                sid=sid, principals=principals, actions=list(actions), resources=["*"], conditions=conditions or None
            )
        ]

    def _audit_key(self) -> kms.Key:
        context = {"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{self._deployment.bucket('audit')}"}
        node = iam.ArnPrincipal(self.roles.node.role_arn)
        return self._key(
            "Audit",
            "the audit",
            [
                # S3 asks KMS as the caller. The node's own policy has no such right (W6.4): it stands here.
                *self._by_service("NodesWriteThroughS3", "s3", [node], ["kms:GenerateDataKey"], **context),
                *self._by_service(
                    "WritersThroughS3",
                    "s3",
                    self._who(Use.MANIFESTS, Use.CHECKPOINTS, Use.EVIDENCE),
                    ["kms:GenerateDataKey"],
                    **context,
                ),
                *self._by_service("ReadersThroughS3", "s3", self._who(Use.AUDIT_READ), ["kms:Decrypt"], **context),
                # Auditors read with policies of their own, through S3 only.
                *self._by_service(
                    "AuditorsByTheirOwnPolicies", "s3", [iam.AccountRootPrincipal()], ["kms:Decrypt"], **context
                ),
            ],
        )

    def _control_key(self) -> kms.Key:
        root = iam.AccountRootPrincipal()
        place = self._deployment.place
        secrets = {_PURPOSE: names.SEALED_PURPOSE}
        grant = ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*"]
        return self._key(
            "Control",
            "the control plane's tables, settings of functions and logs",
            [
                # CloudFormation's role makes the tables and functions; the services then hold grants of their own.
                *self._by_service("TablesByTheirOwnPolicies", "dynamodb", [root], grant),
                *self._by_service("FunctionsByTheirOwnPolicies", "lambda", [root], grant),
                *self._by_service("BackupsByTheirOwnPolicies", "backup", [root], grant),
                *self._by_service(
                    "Tables",
                    "dynamodb",
                    self._who(Use.REGISTER, Use.REGISTER_READ, Use.JOURNAL),
                    ["kms:Decrypt", "kms:DescribeKey"],
                ),
                *self._by_service("BackupsOfTables", "dynamodb", [iam.ArnPrincipal(self.roles.backup.role_arn)], grant),
                # Every function opens its own settings; what is sealed for a purpose opens to those of that purpose.
                *self._who_statement("SettingsOfFunctions", [], ["kms:Decrypt"], Null={_PURPOSE: "true"}),
                *self._who_statement(
                    "SealSecretsOfWebhooks", [Use.SEAL_SECRETS], ["kms:Encrypt"], StringEquals=secrets
                ),
                *self._who_statement(
                    "OpenSecretsOfWebhooks", [Use.OPEN_SECRETS], ["kms:Decrypt"], StringEquals=secrets
                ),
                iam.PolicyStatement(
                    sid="Logs",
                    principals=[iam.ServicePrincipal(f"logs.{self._here}.amazonaws.com")],
                    actions=_USE,
                    resources=["*"],
                    conditions={
                        "ArnLike": {
                            "kms:EncryptionContext:aws:logs:arn": [
                                f"arn:aws:logs:{self._here}:{self._account}:log-group:/{place.name}/*",
                                f"arn:aws:logs:{self._here}:{self._account}:log-group:aws-waf-logs-{place.name}",
                                f"arn:aws:logs:{self._here}:{self._account}:log-group:/aws/imagebuilder/{place.name}/*",
                            ]
                        }
                    },
                ),
            ],
        )

    def _volumes_key(self) -> kms.Key:
        who: list[iam.IPrincipal] = [self._linked("autoscaling", "AutoScaling")]
        if self.roles.builder is not None:
            who += [self._linked("imagebuilder", "ImageBuilder"), iam.ArnPrincipal(self.roles.builder.role_arn)]
        return self._key(
            "Volumes",
            "volumes and images of nodes",
            [
                iam.PolicyStatement(sid="Volumes", principals=who, actions=_USE, resources=["*"]),
                iam.PolicyStatement(
                    sid="VolumesOfInstances",
                    principals=who,
                    actions=["kms:CreateGrant"],
                    resources=["*"],
                    conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}},
                ),
            ],
        )

    def _signals_key(self) -> kms.Key:
        return self._key(
            "Signals",
            "topics of alarms",
            [
                iam.PolicyStatement(
                    sid="Alarms",
                    principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                    actions=_SPEAK,
                    resources=["*"],
                    conditions={"StringEquals": {"aws:SourceAccount": self._account}},
                ),
                iam.PolicyStatement(
                    sid="GroupOfNodes",
                    principals=[self._linked("autoscaling", "AutoScaling")],
                    actions=_SPEAK,
                    resources=["*"],
                ),
                *self._by_service("Staff", "sns", self._who(Use.ALARM), _SPEAK),
            ],
        )

    def _queues_key(self) -> kms.Key:
        return self._key(
            "Queues",
            "queues of dead letters",
            [
                # EventBridge sends no aws:SourceAccount to KMS: a condition here would lose its letters silently.
                iam.PolicyStatement(
                    sid="Events",
                    principals=[iam.ServicePrincipal("events.amazonaws.com")],
                    actions=_SPEAK,
                    resources=["*"],
                ),
                *self._by_service("Staff", "sqs", self._who(), _SPEAK),
                *self._by_service("OperatorsByTheirOwnPolicies", "sqs", [iam.AccountRootPrincipal()], _SPEAK),
            ],
        )

    def _signing_key(self) -> kms.Key:
        key = kms.Key(
            self,
            "Signing",
            description="HatiData: signs manifests, bundles and checkpoints",
            key_spec=kms.KeySpec.ECC_NIST_P256,
            key_usage=kms.KeyUsage.SIGN_VERIFY,
            pending_window=cdk.Duration.days(30),
            removal_policy=cdk.RemovalPolicy.RETAIN,
            policy=iam.PolicyDocument(
                statements=[
                    *self._administration(),
                    *self._who_statement("Sign", [Use.SIGN], ["kms:Sign", "kms:GetPublicKey"]),
                    *self._who_statement("Check", [Use.CHECK_SIGNATURES], ["kms:GetPublicKey"]),
                ]
            ),
        )
        kms.Alias(self, "SigningAlias", alias_name=f"alias/{self._deployment.name('signing')}", target_key=key)
        return key


def _title(room: str) -> str:
    return "".join(part.capitalize() for part in room.split("_"))
