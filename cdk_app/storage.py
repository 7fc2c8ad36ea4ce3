"""Where things are kept: the lake, the audit under lock, the control plane's table, and their daily backup."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_backup as backup
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from aws import names
from cdk_app.keys import KeyRing, Roles
from cdk_app.permissions import EVIDENCE_PREFIX, REPORTS_PREFIX
from cdk_app.settings import Deployment
from governance.audit_plan import DEEP_ARCHIVE_AFTER_DAYS, GLACIER_AFTER_DAYS, MOVING_PREFIXES

BACKUP_DAYS = 35


class StorageStack(cdk.Stack):
    """Buckets, the control table, backups."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        deployment: Deployment,
        keys: KeyRing,
        roles: Roles,
        env: cdk.Environment,
    ) -> None:
        super().__init__(scope, construct_id, env=env, description="HatiData: lake, audit, control table")
        self._deployment = deployment
        self._roles = roles
        self._access_logs = self._log_bucket()
        self.audit_bucket = self._audit_bucket(self._imported("AuditKey", keys.audit))
        if not deployment.data.bucket:
            self._data_bucket(self._imported("DataKey", keys.data))
        control_key = self._imported("ControlKey", keys.control)
        tables = [self._table("terminations", control_key)]
        if deployment.own_control_plane:
            tables.append(self._control_table(control_key))
        self._backups(tables, control_key)

    def _imported(self, name: str, key: kms.IKey) -> kms.IKey:
        """The key by its ARN only, so that CDK adds no statement of its own to its policy."""
        return kms.Key.from_key_arn(self, name, key.key_arn)

    # ------------------------------------------------------------ buckets

    def _log_bucket(self) -> s3.Bucket:
        """Access logs. S3 writes them to no bucket under a KMS key, so this one alone is under SSE-S3."""
        return s3.Bucket(
            self,
            "AccessLogs",
            bucket_name=self._deployment.bucket("access-logs"),
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=1.3,
            versioned=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            blocked_encryption_types=[s3.BlockedEncryptionType.SSE_C],  # a key that only its bearer has
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="one-year",
                    expiration=cdk.Duration.days(365),
                    noncurrent_version_expiration=cdk.Duration.days(30),
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(7),
                )
            ],
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )

    def _audit_bucket(self, key: kms.IKey) -> s3.Bucket:
        days = self._deployment.data.audit_retention_days
        bucket = s3.Bucket(
            self,
            "Audit",
            bucket_name=self._deployment.bucket("audit"),
            encryption=s3.BucketEncryption.KMS,
            encryption_key=key,
            bucket_key_enabled=True,
            enforce_ssl=True,
            minimum_tls_version=1.3,
            versioned=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            blocked_encryption_types=[s3.BlockedEncryptionType.SSE_C],  # a key that only its bearer has
            object_lock_enabled=True,
            object_lock_default_retention=s3.ObjectLockRetention.governance(cdk.Duration.days(days)),
            transition_default_minimum_object_size=s3.TransitionDefaultMinimumObjectSize.VARIES_BY_STORAGE_CLASS,
            server_access_logs_bucket=self._access_logs,
            server_access_logs_prefix="audit/",
            lifecycle_rules=[
                # Records move; their proofs (manifests, checkpoints, reports) stay at hand, so that what was sealed can
                # be proved and the next day sealed without an archive (`governance.audit_plan`).
                *(
                    s3.LifecycleRule(
                        id=f"tiers-{prefix.strip('/')}",
                        prefix=f"{names.AUDIT_PREFIX}{prefix}",
                        transitions=[
                            s3.Transition(
                                storage_class=s3.StorageClass.GLACIER,
                                transition_after=cdk.Duration.days(GLACIER_AFTER_DAYS),
                            ),
                            s3.Transition(
                                storage_class=s3.StorageClass.DEEP_ARCHIVE,
                                transition_after=cdk.Duration.days(DEEP_ARCHIVE_AFTER_DAYS),
                            ),
                        ],
                    )
                    for prefix in MOVING_PREFIXES
                ),
                s3.LifecycleRule(
                    id="end",
                    # Expiring lays a marker on top; the version below goes only after its retention has ended.
                    expiration=cdk.Duration.days(days + 1),
                    noncurrent_version_expiration=cdk.Duration.days(1),
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(7),
                ),
            ],
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        self._guard_audit(bucket, key)
        return bucket

    def _guard_audit(self, bucket: s3.Bucket, key: kms.IKey) -> None:
        glass = self._deployment.safety.break_glass_role_arn
        everything = [bucket.bucket_arn, bucket.arn_for_objects("*")]
        self._deny(
            bucket,
            "OnlyBreakGlassMayShortenTheAudit",
            [
                "s3:BypassGovernanceRetention",
                "s3:DeleteObject",  # leaves the version, but hides it from whoever lists
                "s3:DeleteObjectVersion",
                "s3:PutObjectLegalHold",
                "s3:PutObjectRetention",
            ],
            everything,
            {"ArnNotEquals": {"aws:PrincipalArn": glass}},
        )
        self._deny(
            bucket,
            "OnlyBreakGlassAndTheStackMayChangeTheLock",
            [
                "s3:PutBucketObjectLockConfiguration",
                "s3:PutLifecycleConfiguration",
                "s3:PutBucketVersioning",
                "s3:PutEncryptionConfiguration",
                "s3:PutReplicationConfiguration",
                "s3:PutBucketPolicy",
                "s3:DeleteBucketPolicy",
                "s3:DeleteBucket",
            ],
            [bucket.bucket_arn],
            {"ArnNotEquals": {"aws:PrincipalArn": [glass, self._deployer()]}},
        )
        # Every writer lays an object down once (`aws.audit_bucket`); whoever took over one of them cannot cover what
        # lies there with another version, and cannot take an upload by parts round this.
        self._deny(
            bucket,
            "NothingIsWrittenOver",
            ["s3:PutObject"],
            [bucket.arn_for_objects("*")],
            {"Null": {"s3:if-none-match": "true"}},
        )
        # A node lays down its own records, and neither proofs nor the evidence of nodes' ends.
        self._deny(
            bucket,
            "NodesLayDownRecordsOnly",
            ["s3:PutObject"],
            [
                bucket.arn_for_objects(f"{prefix}*")
                for prefix in (names.MANIFESTS_PREFIX, names.CHECKPOINTS_PREFIX, EVIDENCE_PREFIX, REPORTS_PREFIX)
            ],
            {"ArnEquals": {"aws:PrincipalArn": self._roles.node.role_arn}},
        )
        self._only_under(bucket, key)
        self._only_from(bucket, everything)

    def _deployer(self) -> str:
        """The role by which CloudFormation acts: it sets lock, versions, tiers and policy when the stack changes.

        By its whole name: a pattern would let whoever may make roles make one that fits.
        """
        place = self._deployment.place
        qualifier = self.node.try_get_context("@aws-cdk/core:bootstrapQualifier") or (
            cdk.DefaultStackSynthesizer.DEFAULT_QUALIFIER
        )
        return f"arn:aws:iam::{place.account}:role/cdk-{qualifier}-cfn-exec-role-{place.account}-{place.region}"

    def _only_under(self, bucket: s3.Bucket, key: kms.IKey) -> None:
        """Whoever names a key names this one; whoever names none gets it by default."""
        self._deny(
            bucket,
            "OnlyUnderItsKey",
            ["s3:PutObject"],
            [bucket.arn_for_objects("*")],
            {
                "StringNotEqualsIfExists": {"s3:x-amz-server-side-encryption-aws-kms-key-id": key.key_arn},
                "Null": {"s3:x-amz-server-side-encryption": "false"},
            },
        )

    def _only_from(self, bucket: s3.Bucket, resources: Sequence[str]) -> None:
        """Nobody of another account, whatever another policy says."""
        self._deny(
            bucket,
            "OnlyThisAccount",
            ["s3:*"],
            resources,
            {
                "StringNotEquals": {"aws:PrincipalAccount": self._deployment.place.account},
                "Bool": {"aws:PrincipalIsAWSService": "false"},
            },
        )

    @staticmethod
    def _deny(
        bucket: s3.Bucket, sid: str, actions: Sequence[str], resources: Sequence[str], conditions: dict[str, object]
    ) -> None:
        bucket.add_to_resource_policy(
            iam.PolicyStatement(
                sid=sid,
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=list(actions),
                resources=list(resources),
                conditions=conditions,
            )
        )

    def _data_bucket(self, key: kms.IKey) -> None:
        bucket = s3.Bucket(
            self,
            "Data",
            bucket_name=self._deployment.data_bucket,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=key,
            bucket_key_enabled=True,
            enforce_ssl=True,
            minimum_tls_version=1.3,
            versioned=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            blocked_encryption_types=[s3.BlockedEncryptionType.SSE_C],  # a key that only its bearer has
            server_access_logs_bucket=self._access_logs,
            server_access_logs_prefix="data/",
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="versions",
                    noncurrent_version_expiration=cdk.Duration.days(30),
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(7),
                )
            ],
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        self._only_under(bucket, key)
        self._only_from(bucket, [bucket.bucket_arn, bucket.arn_for_objects("*")])

    # ------------------------------------------------------------ the control plane's table

    def _table(self, name: str, key: kms.IKey, *, stream: dynamodb.StreamViewType | None = None) -> dynamodb.Table:
        text = dynamodb.AttributeType.STRING
        return dynamodb.Table(
            self,
            name.capitalize(),
            table_name=self._deployment.name(name),
            partition_key=dynamodb.Attribute(name=names.PARTITION_KEY, type=text),
            sort_key=dynamodb.Attribute(name=names.SORT_KEY, type=text),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True, recovery_period_in_days=BACKUP_DAYS
            ),
            deletion_protection=True,
            time_to_live_attribute=names.EXPIRES,
            stream=stream,
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )

    def _control_table(self, key: kms.IKey) -> dynamodb.Table:
        """The register and the chain; its stream carries each administrative event."""
        table = self._table("control", key, stream=dynamodb.StreamViewType.NEW_IMAGE)
        for index, attribute in ((names.UNIQUE_INDEX, names.UNIQUE_KEY), (names.LOOKUP_INDEX, names.LOOKUP_KEY)):
            table.add_local_secondary_index(
                index_name=index,
                sort_key=dynamodb.Attribute(name=attribute, type=dynamodb.AttributeType.STRING),
                projection_type=dynamodb.ProjectionType.ALL,
            )
        return table

    def _backups(self, tables: Sequence[dynamodb.Table], key: kms.IKey) -> None:
        """Every day, encrypted, kept `BACKUP_DAYS`, in a vault that nobody may empty early (claim H6)."""
        vault = backup.BackupVault(
            self,
            "Vault",
            backup_vault_name=self._deployment.name("vault"),
            encryption_key=key,
            lock_configuration=backup.LockConfiguration(
                min_retention=cdk.Duration.days(BACKUP_DAYS), max_retention=cdk.Duration.days(366)
            ),
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        plan = backup.BackupPlan(self, "Backups", backup_plan_name=self._deployment.name("daily"), backup_vault=vault)
        plan.add_rule(
            backup.BackupPlanRule(
                rule_name="daily",
                schedule_expression=events.Schedule.cron(hour="17", minute="0"),
                start_window=cdk.Duration.hours(1),
                completion_window=cdk.Duration.hours(4),
                delete_after=cdk.Duration.days(BACKUP_DAYS),
            )
        )
        backup.CfnBackupSelection(
            self,
            "BackedUp",
            backup_plan_id=plan.backup_plan_id,
            backup_selection=backup.CfnBackupSelection.BackupSelectionResourceTypeProperty(
                selection_name="tables",
                iam_role_arn=self._roles.backup.role_arn,
                resources=[table.table_arn for table in tables],
            ),
        )
        iam.CfnRolePolicy(
            self,
            "BackupMay",
            role_name=self._roles.backup.role_name,
            policy_name="tables",
            policy_document=iam.PolicyDocument(
                statements=[
                    iam.PolicyStatement(
                        actions=[
                            "dynamodb:DescribeTable", "dynamodb:CreateBackup", "dynamodb:ListTagsOfResource",
                            "dynamodb:StartAwsBackupJob",
                        ],
                        resources=[table.table_arn for table in tables],
                    ),
                    iam.PolicyStatement(
                        actions=["backup:DescribeBackupVault", "backup:CopyIntoBackupVault"],
                        resources=[vault.backup_vault_arn],
                    ),
                ]
            ),
        )  # fmt: skip
