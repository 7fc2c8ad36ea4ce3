"""The adapters and the door of the end of nodes: moto where it behaves, Stubber for what moto never says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult
from moto.ssm.models import SimpleSystemManagerBackend

from aws.alarm_topic import AlarmTopic
from aws.names import PARTITION_KEY, SORT_KEY
from aws.node_commands import SsmNodeCommands
from aws.termination_hook import GroupHook
from aws.termination_table import TerminationTable
from governance.errors import Conflict, StoreUnavailable
from governance.node_life import NodeLife, Phase, Spool
from governance.node_ports import CommandNotTaken, HookFailed, Standing
from governance.node_report import NodeReport, NodeStep, VolumeState, encode_report
from governance.termination import LifecycleAction, Outcome, Termination, decode
from lambdas.luks_erase.events import TICK
from lambdas.luks_erase.handler import handler
from tests.lambdas.world import INSTANCE, SETTINGS, event
from tests.support.aws import REGION, in_aws

ACTION = LifecycleAction("my-asg", "my-lifecycle-hook", INSTANCE, "87654321-4321-4321-4321-210987654321", "EC2")


class Now:
    def now(self) -> datetime:
        return datetime(2026, 11, 22, 3, tzinfo=UTC)


@pytest.fixture
def account() -> Iterator[None]:
    with in_aws():
        yield


@lru_cache(maxsize=8)
def once(service: str) -> Any:
    """A client that does not try again, made once: making one takes longest."""
    return boto3.client(service, region_name=REGION, config=Config(retries={"total_max_attempts": 1}))


# ---------------------------------------------------------------- Run Command


@pytest.fixture
def ssm(account: None) -> Iterator[tuple[SsmNodeCommands, Stubber]]:
    made = once("ssm")
    with Stubber(made) as stubber:
        yield SsmNodeCommands(made, SETTINGS.document), stubber


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("Pending", Outcome.RUNNING),
        ("In Progress", Outcome.RUNNING),
        ("InProgress", Outcome.RUNNING),
        ("Delayed", Outcome.RUNNING),
        ("Cancelling", Outcome.RUNNING),
        ("Success", Outcome.SUCCEEDED),
        ("Failed", Outcome.FAILED),
        ("Delivery Timed Out", Outcome.NOT_DELIVERED),
        ("DeliveryTimedOut", Outcome.NOT_DELIVERED),
        ("Undeliverable", Outcome.NOT_DELIVERED),
        ("Execution Timed Out", Outcome.TIMED_OUT),
        ("TimedOut", Outcome.TIMED_OUT),
        ("Cancelled", Outcome.CANCELLED),
        ("Terminated", Outcome.CANCELLED),
        ("Invalid Platform", Outcome.NOT_UNDERSTOOD),
        ("Access Denied", Outcome.NOT_UNDERSTOOD),
        ("", Outcome.NOT_UNDERSTOOD),
    ],
)
def test_w6_1_every_word_of_run_command_is_mapped(
    ssm: tuple[SsmNodeCommands, Stubber], said: str, outcome: Outcome
) -> None:
    commands, stubber = ssm
    answer = {"StatusDetails": said, "StandardOutputContent": "line", "ResponseCode": 0}
    stubber.add_response("get_command_invocation", answer, {"CommandId": COMMAND, "InstanceId": INSTANCE})
    state = commands.state(INSTANCE, COMMAND)
    assert (state.outcome, state.output) == (outcome, "line")


COMMAND = "e8d3c0e4-71f7-4491-898f-c9b35bee5f3b"


def test_the_plain_status_serves_where_there_are_no_details(ssm: tuple[SsmNodeCommands, Stubber]) -> None:
    commands, stubber = ssm
    stubber.add_response("get_command_invocation", {"Status": "Success", "StandardOutputContent": "x"})
    assert commands.state(INSTANCE, COMMAND).outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("InvocationDoesNotExist", Outcome.RUNNING),
        ("InvalidCommandId", Outcome.NOT_DELIVERED),
        ("InvalidInstanceId", Outcome.NOT_DELIVERED),
        ("InvalidPluginName", Outcome.NOT_DELIVERED),
        ("InternalServerError", Outcome.UNSEEN),
        ("ThrottlingException", Outcome.UNSEEN),
        ("AccessDeniedException", Outcome.UNSEEN),
    ],
)
def test_every_error_of_asking_is_mapped(ssm: tuple[SsmNodeCommands, Stubber], code: str, outcome: Outcome) -> None:
    commands, stubber = ssm
    stubber.add_client_error("get_command_invocation", code)
    assert commands.state(INSTANCE, COMMAND).outcome is outcome


@pytest.mark.parametrize(
    "code",
    [
        "InvalidInstanceId",
        "DuplicateInstanceId",
        "InvalidDocument",
        "InvalidParameters",
        "UnsupportedPlatformType",
        "AccessDeniedException",
        "ThrottlingException",
    ],
)
def test_a_command_that_is_not_taken_says_by_which_code(ssm: tuple[SsmNodeCommands, Stubber], code: str) -> None:
    commands, stubber = ssm
    stubber.add_client_error("send_command", code, "a message with i-1234567890abcdef0")
    with pytest.raises(CommandNotTaken) as refusal:
        commands.send(INSTANCE, NodeStep.DRAIN, 720)
    assert refusal.value.reason == code


def test_a_command_names_the_document_one_node_and_one_word(ssm: tuple[SsmNodeCommands, Stubber]) -> None:
    commands, stubber = ssm
    stubber.add_response(
        "send_command",
        {"Command": {"CommandId": COMMAND}},
        {
            "InstanceIds": [INSTANCE],
            "DocumentName": SETTINGS.document,
            "Parameters": {"step": ["erase"], "timeoutSeconds": ["240"]},
            "TimeoutSeconds": 60,
            "Comment": "HatiData end of node: erase",
        },
    )
    assert commands.send(INSTANCE, NodeStep.ERASE, 240) == COMMAND


# ---------------------------------------------------------------- the group


@pytest.fixture
def group(account: None) -> Iterator[tuple[GroupHook, Stubber]]:
    made = once("autoscaling")
    with Stubber(made) as stubber:
        yield GroupHook(made), stubber


@pytest.mark.parametrize(
    ("state", "standing"),
    [
        ("InService", Standing.WAITING),
        ("Terminating", Standing.WAITING),
        ("Terminating:Wait", Standing.WAITING),
        ("Warmed:Terminating:Wait", Standing.WAITING),
        ("Terminating:Proceed", Standing.LEAVING),
        ("Warmed:Terminating:Proceed", Standing.LEAVING),
        ("Terminated", Standing.LEAVING),
        ("Detached", Standing.LEAVING),
        ("Terminating:Retained", Standing.RETAINED),
        ("Warmed:Terminating:Retained", Standing.RETAINED),
        ("A state of next year", Standing.WAITING),
    ],
)
def test_how_the_group_sees_a_node(group: tuple[GroupHook, Stubber], state: str, standing: Standing) -> None:
    hook, stubber = group
    instance = {
        "InstanceId": INSTANCE, "AutoScalingGroupName": "my-asg", "AvailabilityZone": "eu-central-1a",
        "LifecycleState": state, "HealthStatus": "HEALTHY", "ProtectedFromScaleIn": False,
    }  # fmt: skip
    stubber.add_response("describe_auto_scaling_instances", {"AutoScalingInstances": [instance]})
    assert hook.standing(INSTANCE) is standing


def test_a_node_the_group_does_not_know_has_left(group: tuple[GroupHook, Stubber]) -> None:
    hook, stubber = group
    stubber.add_response("describe_auto_scaling_instances", {"AutoScalingInstances": []})
    assert hook.standing(INSTANCE) is Standing.LEAVING
    stubber.add_client_error("describe_auto_scaling_instances", "Throttling")
    assert hook.standing(INSTANCE) is Standing.UNSEEN


@pytest.mark.parametrize(("release", "result"), [(True, "CONTINUE"), (False, "ABANDON")])
@pytest.mark.parametrize("token", [ACTION.token, ""])
def test_completing_names_the_action(group: tuple[GroupHook, Stubber], release: bool, result: str, token: str) -> None:
    hook, stubber = group
    which = {"LifecycleActionToken": token} if token else {"InstanceId": INSTANCE}
    expected = {
        "AutoScalingGroupName": "my-asg",
        "LifecycleHookName": "my-lifecycle-hook",
        "LifecycleActionResult": result,
    }
    stubber.add_response("complete_lifecycle_action", {}, {**expected, **which})
    hook.complete(LifecycleAction("my-asg", "my-lifecycle-hook", INSTANCE, token), release=release)


def test_what_the_group_does_not_take_is_said_by_its_code(group: tuple[GroupHook, Stubber]) -> None:
    hook, stubber = group
    for operation in ("record_lifecycle_action_heartbeat", "complete_lifecycle_action", "describe_auto_scaling_groups"):
        stubber.add_client_error(operation, "ValidationError", "No active Lifecycle Action found")
    for call in (
        lambda: hook.heartbeat(ACTION),
        lambda: hook.complete(ACTION, release=True),
        lambda: hook.waiting("my-asg"),
    ):
        with pytest.raises(HookFailed) as failure:
            call()
        assert failure.value.reason == "ValidationError"


# ---------------------------------------------------------------- the journal


def make_table() -> TerminationTable:
    made = once("dynamodb")
    keys = ((PARTITION_KEY, "HASH"), (SORT_KEY, "RANGE"))
    made.create_table(
        TableName=SETTINGS.table, BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
    )  # fmt: skip
    return TerminationTable(made, SETTINGS.table, Now())


def test_the_journal_keeps_what_it_was_given_and_one_writer_wins(account: None) -> None:
    journal = make_table()
    first = journal.put(Termination(ACTION, "2026-11-22T03:00:00.000000Z"))
    assert first.version == 1
    assert journal.get(ACTION.token) == first
    assert journal.unfinished() == [first]
    with pytest.raises(Conflict):
        journal.put(Termination(ACTION, "2026-11-22T03:00:01.000000Z"))
    second = journal.put(first)
    with pytest.raises(Conflict):
        journal.put(first)
    assert journal.get("unknown") is None
    assert journal.get(ACTION.token) == second


def test_a_closed_end_leaves_the_open_partition_and_is_still_found(account: None) -> None:
    journal = make_table()
    begun = journal.put(Termination(ACTION, "2026-11-22T03:00:00.000000Z"))
    over = replace(begun, life=NodeLife(Phase.RELEASED, Spool.SHIPPED, proved=True), recorded=True)
    closed = journal.put(over)
    assert journal.unfinished() == []
    assert journal.get(ACTION.token) == closed
    with pytest.raises(Conflict):
        journal.put(over)


def test_one_unreadable_end_hides_no_other(account: None, caplog: pytest.LogCaptureFixture) -> None:
    journal = make_table()
    kept = journal.put(Termination(ACTION, "2026-11-22T03:00:00.000000Z"))
    once("dynamodb").put_item(
        TableName=SETTINGS.table, Item={PARTITION_KEY: {"S": "open"}, SORT_KEY: {"S": "x"}, "doc": {"S": "{}"}}
    )
    assert journal.unfinished() == [kept]
    assert "cannot be read" in caplog.text


def test_a_journal_that_is_away_is_said(account: None) -> None:
    journal = TerminationTable(once("dynamodb"), "no-such-table", Now())
    with pytest.raises(StoreUnavailable):
        journal.unfinished()
    with pytest.raises(StoreUnavailable):
        AlarmTopic(once("sns"), "arn:aws:sns:eu-central-1:123456789012:none").alarm("x", {})


# ---------------------------------------------------------------- the door, on moto's account


GOOD = {
    "drain": NodeReport(NodeStep.DRAIN, True, Spool.SHIPPED),
    "erase": NodeReport(NodeStep.ERASE, True, volumes=(VolumeState("dev/nvme1n1", True, True, 0),)),
    "prove": NodeReport(NodeStep.PROVE, True, volumes=(VolumeState("dev/nvme1n1", True, True, 0),)),
}


class Account:
    """An account with a group of one node; moto has no lifecycle actions and no nodes, so these are played here."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.completed: list[str] = []
        self.heartbeats = 0
        self.reports = dict(GOOD)
        self.sent: list[str] = []
        self._steps: dict[str, str] = {}
        for name, value in SETTINGS.environment().items():
            patch.setenv(name, value)
        make_table()
        topic = once("sns").create_topic(Name="alarms")["TopicArn"]
        patch.setenv("HATIDATA_ALARM_TOPIC", topic)
        self.queue = once("sqs").create_queue(QueueName="people")["QueueUrl"]
        arn = once("sqs").get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])
        once("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["Attributes"]["QueueArn"])
        self.s3 = once("s3")
        self.s3.create_bucket(Bucket="audit", CreateBucketConfiguration={"LocationConstraint": REGION})
        account = self
        facts = {"InstanceId": INSTANCE, "LifecycleState": "Terminating:Wait"}

        def seen(response: AutoScalingResponse) -> ActionResult:
            return ActionResult({"AutoScalingInstances": [] if account.completed else [facts]})

        def group(response: AutoScalingResponse) -> ActionResult:
            return ActionResult({"AutoScalingGroups": []})

        patch.setattr(AutoScalingResponse, "describe_auto_scaling_instances", seen)
        patch.setattr(AutoScalingResponse, "describe_auto_scaling_groups", group)

        def complete(response: AutoScalingResponse) -> EmptyResult:
            account.completed.append(response._get_param("LifecycleActionResult"))
            return EmptyResult()

        def heartbeat(response: AutoScalingResponse) -> EmptyResult:
            account.heartbeats += 1
            return EmptyResult()

        patch.setattr(AutoScalingResponse, "complete_lifecycle_action", complete, raising=False)
        patch.setattr(AutoScalingResponse, "record_lifecycle_action_heartbeat", heartbeat, raising=False)
        told, sent = SimpleSystemManagerBackend.get_command_invocation, SimpleSystemManagerBackend.send_command

        def send(backend: Any, *arguments: Any, **keywords: Any) -> Any:
            command = sent(backend, *arguments, **keywords)
            account.sent.append(keywords["parameters"]["step"][0])
            account._steps[command.command_id] = account.sent[-1]
            return command

        def tell(backend: Any, command_id: str, *arguments: Any) -> dict[str, Any]:
            report = account.reports[account._steps[command_id]]
            said = "Success" if report.done else "Failed"
            output = {"StandardOutputContent": encode_report(report), "StatusDetails": said}
            return {**told(backend, command_id, *arguments), **output}

        patch.setattr(SimpleSystemManagerBackend, "send_command", send)
        patch.setattr(SimpleSystemManagerBackend, "get_command_invocation", tell)

    def ring(self) -> dict[str, float]:
        return handler(event("terminate"), None)

    def mail(self) -> list[dict[str, Any]]:
        found = once("sqs").receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
        return [json.loads(json.loads(each["Body"])["Message"]) for each in found.get("Messages", [])]

    def evidence(self) -> list[Termination]:
        names = [each["Key"] for each in self.s3.list_objects_v2(Bucket="audit").get("Contents", [])]
        assert all(name.startswith("audit/nodes/") for name in names)
        return [decode(self.s3.get_object(Bucket="audit", Key=name)["Body"].read().decode()) for name in names]


@pytest.fixture
def played(account: None, monkeypatch: pytest.MonkeyPatch) -> Account:
    return Account(monkeypatch)


def test_w6_1_the_hook_starts_the_function_and_the_node_is_let_go_after_the_proof(
    played: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    played.ring()
    for _ in range(3):
        handler(TICK, None)
    assert played.sent == ["drain", "erase", "prove"]
    assert played.completed == ["CONTINUE"]
    assert played.heartbeats > 0
    (record,) = played.evidence()
    assert record.life.phase is Phase.RELEASED
    assert played.mail() == []
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert said[0]["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "HatiData"
    assert sum(line["NodesReleased"] for line in said) == 1


def test_an_unshipped_spool_is_kept_and_told(played: Account) -> None:
    played.reports["drain"] = NodeReport(NodeStep.DRAIN, False, Spool.UNSHIPPED, troubles=("spool_not_shipped",))
    played.ring()
    for _ in range(3):
        handler(TICK, None)
    assert played.completed == ["ABANDON"]
    (mail,) = played.mail()
    assert mail["instance"] == INSTANCE
    assert mail["spool"] == "unshipped"
    assert played.evidence()[0].life.phase is Phase.RETAINED


def test_a_slot_that_stays_is_kept_and_told(played: Account) -> None:
    left = (VolumeState("dev/nvme1n1", True, True, 1),)
    played.reports |= {
        "erase": NodeReport(NodeStep.ERASE, False, volumes=left, troubles=("luks_erase_failed",)),
        "prove": NodeReport(NodeStep.PROVE, True, volumes=left),
    }
    played.ring()
    for _ in range(5):
        handler(TICK, None)
    assert played.completed == ["ABANDON"]
    assert played.mail()[0]["cache_proved_erased"] == "no"
