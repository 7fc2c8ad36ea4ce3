"""What is watched: every alarm, in one list, and one dashboard that shows them (claim H10)."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_app.figures import FIGURES, Watched
from cdk_app.settings import Deployment
from lambdas.figures import NAMESPACE

_OVER = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD
_UNDER = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
_QUIET = cloudwatch.TreatMissingData.NOT_BREACHING
_SILENCE_ALARMS = cloudwatch.TreatMissingData.BREACHING


class WatchStack(cdk.Stack):
    """Alarms and the dashboard."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        deployment: Deployment,
        alarms: sns.ITopic,
        functions: Mapping[str, lambda_.Function],
        dead_letters: Mapping[str, sqs.Queue],
        front: elbv2.NetworkLoadBalancer,
        target_group: elbv2.NetworkTargetGroup,
        control_plane: elbv2.ApplicationLoadBalancer | None,
        env: cdk.Environment,
    ) -> None:
        super().__init__(scope, construct_id, env=env, description="HatiData: alarms and dashboard")
        self._deployment = deployment
        self._action = actions.SnsAction(alarms)
        self._all: list[cloudwatch.Alarm] = []
        for watched in FIGURES:
            if deployment.own_control_plane or not watched.control_plane_only:
                self._figure(watched)
        self._front(front, target_group)
        for room, function in functions.items():
            self._function(room, function, dead_letters[room])
        if control_plane is not None:
            self._control_plane(control_plane)
        if deployment.own_control_plane:
            self._tables()
        self._dashboard()

    def _alarm(
        self,
        name: str,
        metric: cloudwatch.IMetric,
        says: str,
        *,
        threshold: float = 0,
        comparison: cloudwatch.ComparisonOperator = _OVER,
        missing: cloudwatch.TreatMissingData = _QUIET,
        periods: int = 1,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            "".join(part.capitalize() for part in name.split("-")),
            alarm_name=self._deployment.name(name),
            alarm_description=says,
            metric=metric,
            threshold=threshold,
            comparison_operator=comparison,
            evaluation_periods=periods,
            treat_missing_data=missing,
        )
        alarm.add_alarm_action(self._action)
        alarm.add_ok_action(self._action)
        self._all.append(alarm)

    def _metric(self, figure: str, minutes: int) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=figure,
            dimensions_map={"Environment": self._deployment.place.environment},
            statistic="Maximum",
            period=cdk.Duration.minutes(minutes),
        )

    def _figure(self, watched: Watched) -> None:
        metric: cloudwatch.IMetric = self._metric(watched.figure, watched.minutes)
        if watched.rate_per_minute:
            metric = cloudwatch.MathExpression(
                expression="RATE(total) * 60",
                using_metrics={"total": metric},
                period=cdk.Duration.minutes(watched.minutes),
            )
        self._alarm(
            watched.name,
            metric,
            watched.says,
            threshold=watched.over if watched.under is None else watched.under,
            comparison=_OVER if watched.under is None else _UNDER,
            missing=_SILENCE_ALARMS if watched.silence_alarms else _QUIET,
        )

    def _front(self, front: elbv2.NetworkLoadBalancer, group: elbv2.NetworkTargetGroup) -> None:
        minute = cdk.Duration.minutes(1)
        self._alarm(
            "node-unhealthy",
            group.metrics.un_healthy_host_count(period=minute, statistic="Maximum"),
            "A query node is not ready.",
            periods=5,
        )
        self._alarm(
            "too-few-nodes",
            group.metrics.healthy_host_count(period=minute, statistic="Minimum"),
            "Fewer nodes are ready than the group must have.",
            threshold=self._deployment.nodes.nodes_min,
            comparison=_UNDER,
            missing=_SILENCE_ALARMS,
            periods=5,
        )
        self._alarm(
            "connection-flood",
            front.metrics.new_flow_count(period=minute, statistic="Sum"),
            "More than 1,000 connections a second come in (W1.10).",
            threshold=60_000,
            periods=3,
        )

    def _function(self, room: str, function: lambda_.Function, queue: sqs.Queue) -> None:
        name = room.replace("_", "-")
        five = cdk.Duration.minutes(5)
        self._alarm(f"{name}-errors", function.metric_errors(period=five), f"The function {name} fails.")
        self._alarm(f"{name}-throttled", function.metric_throttles(period=five), f"The function {name} is throttled.")
        self._alarm(
            f"{name}-dead-letters",
            queue.metric_approximate_number_of_messages_visible(period=five, statistic="Maximum"),
            f"Events that the function {name} could not take wait in its queue.",
        )

    def _control_plane(self, balancer: elbv2.ApplicationLoadBalancer) -> None:
        five = cdk.Duration.minutes(5)
        for code, label in (
            (elbv2.HttpCodeElb.ELB_5XX_COUNT, "refused"),
            (elbv2.HttpCodeTarget.TARGET_5XX_COUNT, "failing"),
        ):
            metric = (
                balancer.metrics.http_code_elb(code, period=five)
                if isinstance(code, elbv2.HttpCodeElb)
                else balancer.metrics.http_code_target(code, period=five)
            )
            self._alarm(f"control-plane-{label}", metric, "The control plane answers with 5xx.", threshold=5)

    def _tables(self) -> None:
        self._alarm(
            "backup-failed",
            cloudwatch.Metric(
                namespace="AWS/Backup",
                metric_name="NumberOfBackupJobsFailed",
                dimensions_map={"BackupVaultName": self._deployment.name("vault")},
                statistic="Sum",
                period=cdk.Duration.hours(24),
            ),
            "A daily backup failed (H6).",
        )
        self._alarm(
            "table-throttled",
            cloudwatch.Metric(
                namespace="AWS/DynamoDB",
                metric_name="ThrottledRequests",
                dimensions_map={"TableName": self._deployment.name("control")},
                statistic="Sum",
                period=cdk.Duration.minutes(5),
            ),
            "The control table throttles.",
            threshold=10,
        )

    def _dashboard(self) -> None:
        def graph(title: str, *figures: str) -> cloudwatch.GraphWidget:
            return cloudwatch.GraphWidget(title=title, width=12, left=[self._metric(figure, 1) for figure in figures])

        cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=self._deployment.name("overview"),
            widgets=[
                [cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(self._all), width=24, height=6)],
                [graph("Queries", "QueriesRunning", "QueriesQueued"), graph("Audit", "AuditLagSeconds")],
                [graph("Law", "RulebookAgeSeconds"), graph("Ends of nodes", "NodesEnding", "NodesRetained")],
            ],
        )
