"""What wakes functions: schedules, each with a dead-letter queue for what could not be delivered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_app.settings import Deployment
from cdk_app.staff import Employee

RETRIES = 3
EVENT_AGE_S = 3600


class Schedules(Construct):
    """One schedule for each function that has one, and the role that rings for all of them."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        deployment: Deployment,
        staff: Sequence[Employee],
        functions: Mapping[str, lambda_.Function],
        dead_letters: Mapping[str, sqs.Queue],
        queues_key_arn: str,
    ) -> None:
        super().__init__(scope, construct_id)
        place = deployment.place
        woken = [employee for employee in staff if employee.every_minutes]
        if not woken:
            return
        role = iam.Role(
            self,
            "Ringer",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": place.account}}
            ),
            description="Wakes functions on schedule",
        )
        policy = iam.CfnRolePolicy(
            self,
            "RingerMay",
            role_name=role.role_name,
            policy_name="ring",
            policy_document=iam.PolicyDocument(
                statements=[
                    iam.PolicyStatement(
                        sid="Wake",
                        actions=["lambda:InvokeFunction"],
                        resources=[functions[employee.room].function_arn for employee in woken],
                    ),
                    iam.PolicyStatement(
                        sid="DeadLetters",
                        actions=["sqs:SendMessage"],
                        resources=[dead_letters[employee.room].queue_arn for employee in woken],
                    ),
                    iam.PolicyStatement(
                        sid="DeadLettersUnderKey",
                        actions=["kms:Decrypt", "kms:GenerateDataKey"],
                        resources=[queues_key_arn],
                    ),
                ]
            ),
        )
        for employee in woken:
            schedule = scheduler.CfnSchedule(
                self,
                "".join(part.capitalize() for part in employee.room.split("_")),
                name=deployment.name(employee.room.replace("_", "-")),
                schedule_expression=_rate(employee.every_minutes),
                flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
                target=scheduler.CfnSchedule.TargetProperty(
                    arn=functions[employee.room].function_arn,
                    role_arn=role.role_arn,
                    input=employee.scheduled_input,
                    dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(
                        arn=dead_letters[employee.room].queue_arn
                    ),
                    retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                        maximum_event_age_in_seconds=EVENT_AGE_S, maximum_retry_attempts=RETRIES
                    ),
                ),
            )
            schedule.node.add_dependency(policy)


def _rate(minutes: int) -> str:
    if minutes % 1440 == 0:
        days = minutes // 1440
        return "rate(1 day)" if days == 1 else f"rate({days} days)"
    return "rate(1 minute)" if minutes == 1 else f"rate({minutes} minutes)"
