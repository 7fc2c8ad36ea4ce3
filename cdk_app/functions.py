"""The functions: each from its room, with its own log, its own dead letters and no more rights than it needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from cdk_app.bells import EVENT_AGE_S, RETRIES, Schedules
from cdk_app.boot.run_document import run_document
from cdk_app.function_settings import ERASE_HOOK, environment_of
from cdk_app.keys import KeyRing, Roles
from cdk_app.network import Doors
from cdk_app.permissions import Things, statements_of, things_of
from cdk_app.settings import Deployment
from cdk_app.software import Software
from cdk_app.staff import KEY_ROTATION, LUKS_ERASE, NODE_PROBE, Employee, staff_of

RUNTIME = lambda_.Runtime.PYTHON_3_14
_INTERFACES = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
]


class FunctionsStack(cdk.Stack):
    """Every function of `lambdas/` that this deployment needs."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        deployment: Deployment,
        software: Software,
        vpc: ec2.IVpc,
        subnets: ec2.SubnetSelection,
        doors: Doors,
        keys: KeyRing,
        roles: Roles,
        env: cdk.Environment,
    ) -> None:
        super().__init__(scope, construct_id, env=env, description="HatiData: functions")
        self._deployment = deployment
        self._vpc, self._subnets, self._doors = vpc, subnets, doors
        self._roles = roles
        self._log_key = kms.Key.from_key_arn(self, "ControlKey", keys.control.key_arn)
        self._queue_key = kms.Key.from_key_arn(self, "QueuesKey", keys.queues.key_arn)
        self._things = things_of(
            deployment,
            {field.name: getattr(keys, field.name).key_arn for field in dataclasses.fields(keys)},
        )
        self._code = lambda_.Code.from_asset(str(software.functions))
        self._layer = lambda_.LayerVersion(
            self,
            "Libraries",
            layer_version_name=deployment.name("libraries"),
            code=lambda_.Code.from_asset(str(software.layer)),
            compatible_architectures=[lambda_.Architecture.ARM_64],
            compatible_runtimes=[RUNTIME],
            description="Locked libraries of requirements.lock",
        )
        self.dead_letters: dict[str, sqs.Queue] = {}
        staff = staff_of(deployment)
        self.functions: Mapping[str, lambda_.Function] = {employee.room: self._function(employee) for employee in staff}
        self._end_of_nodes()
        Schedules(
            self,
            "Schedules",
            staff=staff,
            functions=self.functions,
            dead_letters=self.dead_letters,
            queues_key_arn=keys.queues.key_arn,
            deployment=deployment,
        )

    def _function(self, employee: Employee) -> lambda_.Function:
        title = "".join(part.capitalize() for part in employee.room.split("_"))
        name = self._name(employee)
        role = self._roles.staff[employee.room]
        group = logs.LogGroup(
            self,
            f"{title}Log",
            log_group_name=f"/{self._deployment.place.name}/{employee.room}",
            encryption_key=self._log_key,
            retention=logs.RetentionDays.ONE_YEAR,
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        queue = sqs.Queue(
            self,
            f"{title}DeadLetters",
            queue_name=f"{name}-dead-letters",
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=self._queue_key,
            enforce_ssl=True,
            retention_period=cdk.Duration.days(14),
        )
        self.dead_letters[employee.room] = queue
        policy = self._policy(title, role, employee, group, queue)
        function = lambda_.Function(
            self,
            title,
            function_name=name,
            description=employee.purpose,
            runtime=RUNTIME,
            architecture=lambda_.Architecture.ARM_64,
            handler=employee.handler,
            code=self._code,
            layers=[self._layer],
            role=iam.Role.from_role_arn(self, f"{title}Role", role.role_arn, mutable=False),
            environment=environment_of(employee.room, self._deployment, self._things),
            environment_encryption=self._log_key,
            memory_size=employee.memory_mb,
            timeout=cdk.Duration.seconds(employee.timeout_s),
            reserved_concurrent_executions=employee.concurrency,
            tracing=lambda_.Tracing.ACTIVE,
            log_group=group,
            logging_format=lambda_.LoggingFormat.JSON,
            dead_letter_queue=queue,
            vpc=self._vpc if employee.in_vpc else None,
            vpc_subnets=self._subnets if employee.in_vpc else None,
            security_groups=[self._door(employee)] if employee.in_vpc else None,
        )
        function.node.add_dependency(policy)
        return function

    def _policy(
        self, title: str, role: iam.Role, employee: Employee, group: logs.LogGroup, queue: sqs.Queue
    ) -> iam.CfnRolePolicy:
        statements = [
            iam.PolicyStatement(
                sid="OwnLog",
                actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                resources=[f"{group.log_group_arn}"],
            ),
            iam.PolicyStatement(sid="OwnDeadLetters", actions=["sqs:SendMessage"], resources=[queue.queue_arn]),
            iam.PolicyStatement(
                sid="DeadLettersUnderKey",
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=[self._things.queues_key],
            ),
            iam.PolicyStatement(sid="OwnSettings", actions=["kms:Decrypt"], resources=[self._things.control_key]),
            iam.PolicyStatement(
                sid="Traces", actions=["xray:PutTraceSegments", "xray:PutTelemetryRecords"], resources=["*"]
            ),
            *statements_of(employee, self._things),
        ]
        if employee.in_vpc:
            place = self._deployment.place
            # Lambda itself needs these to place the function in the VPC; its code is denied them.
            statements += [
                iam.PolicyStatement(sid="NetworkInterfaces", actions=_INTERFACES, resources=["*"]),
                iam.PolicyStatement(
                    sid="NotByItsOwnCode",
                    effect=iam.Effect.DENY,
                    actions=_INTERFACES,
                    resources=["*"],
                    conditions={
                        "ArnEquals": {
                            "lambda:SourceFunctionArn": f"arn:aws:lambda:{place.region}:{place.account}:function:"
                            + self._name(employee)
                        }
                    },
                ),
            ]
        return iam.CfnRolePolicy(
            self,
            f"{title}May",
            role_name=role.role_name,
            policy_name=employee.room.replace("_", "-"),
            policy_document=iam.PolicyDocument(statements=statements),
        )

    def _end_of_nodes(self) -> None:
        """The document that may be sent to nodes, and the events that wake whoever sends it."""
        place, group = self._deployment.place, self._deployment.name("nodes")
        document = ssm.CfnDocument(
            self,
            "EndOfNode",
            name=self._deployment.name("end-of-node"),
            document_type="Command",
            document_format="JSON",
            target_type="/AWS::EC2::Instance",
            update_method="NewVersion",
            content=run_document(),
        )
        self._ring(
            "NodeTerminating",
            LUKS_ERASE,
            events.EventPattern(
                source=["aws.autoscaling"],
                detail_type=["EC2 Instance-terminate Lifecycle Action"],
                detail={"AutoScalingGroupName": [group], "LifecycleHookName": [ERASE_HOOK]},
            ),
        )
        self._ring(
            "NodeCommandChanged",
            LUKS_ERASE,
            events.EventPattern(
                source=["aws.ssm"],
                detail_type=["EC2 Command Invocation Status-change Notification"],
                detail={"document-name": [document.ref]},
            ),
        )
        if KEY_ROTATION in self.functions:
            pattern = events.EventPattern(source=["aws.kms"], detail_type=["KMS CMK Rotation"], account=[place.account])
            self._ring("KeyRotated", KEY_ROTATION, pattern)

    def _ring(self, name: str, room: str, pattern: events.EventPattern) -> None:
        """Wake the function of `room` when AWS tells of such an event."""
        rule = events.Rule(
            self,
            name,
            rule_name=self._deployment.name(f"{room.replace('_', '-')}-{name.lower()}"),
            event_pattern=pattern,
        )
        rule.add_target(
            targets.LambdaFunction(
                self.functions[room],
                dead_letter_queue=self.dead_letters[room],
                retry_attempts=RETRIES,
                max_event_age=cdk.Duration.seconds(EVENT_AGE_S),
            )
        )

    def _door(self, employee: Employee) -> ec2.SecurityGroup:
        return (self._doors.probe if employee.room == NODE_PROBE else None) or self._doors.functions

    def _name(self, employee: Employee) -> str:
        return self._deployment.name(employee.room.replace("_", "-"))

    @property
    def things(self) -> Things:
        """ARNs of what the functions work on."""
        return self._things
