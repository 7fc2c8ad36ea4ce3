"""The end of a node by its task: the story, each misfortune, and any order of misfortunes."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.errors import InvalidRequest
from governance.node_life import Phase, Spool
from governance.node_ports import Standing
from governance.node_report import NodeStep
from governance.termination import Termination, decode, encode
from lambdas.luks_erase.events import TICK, CommandChanged, Terminating, Tick, parse_event
from lambdas.luks_erase.settings import LuksEraseSettings
from tests.lambdas.world import INSTANCE, SETTINGS, Crash, Luck, World, event

TERMINATE = parse_event(event("terminate"), SETTINGS.group, SETTINGS.hook)
MINUTE = 60.0


def run(world: World, minutes: int = 200) -> Termination:
    """Ring once, then each minute, until nothing is left to do."""
    world.ending.handle(TERMINATE)
    for _ in range(minutes):
        if world.only().closed:
            break
        world.pass_time(MINUTE)
        world.ending.handle(Tick())
    return world.only()


def luck(**answers: str) -> Luck:
    """The given answers, else the best."""
    return Luck(lambda question, offered: answers.get(question, offered[0]))


# ---------------------------------------------------------------- the story


def test_w6_1_w2_7_the_node_dies_only_after_the_proof() -> None:
    world = World()
    ended = run(world)
    assert ended.life.phase is Phase.RELEASED
    assert world.sent == [NodeStep.DRAIN, NodeStep.ERASE, NodeStep.PROVE]
    assert world.completions == [True]
    assert not world.released_wrongly
    assert world.alarms_ == []


def test_every_step_is_recorded_and_the_record_lies_in_the_audit_store() -> None:
    world = World()
    ended = run(world)
    (name,) = world.laid
    assert name == f"nodes/2026/11/22/{INSTANCE}-87654321-4321-4321-4321-210987654321.json"
    laid = decode(world.laid[name].decode())
    assert [note.fact for note in laid.notes] == ["terminating", "shipped", "erased", "proved", "completed"]
    assert all(note.at for note in laid.notes)
    assert "slots=0" in laid.notes[3].detail
    assert ended.recorded


def test_the_command_event_takes_the_next_step_without_waiting_for_the_minute() -> None:
    slow = {"look": "still running"}
    world = World(luck=Luck(lambda question, offered: slow.get(question, offered[0])))
    world.ending.handle(TERMINATE)
    assert world.only().life.phase is Phase.DRAINING
    slow.clear()
    world.ending.handle(CommandChanged(world.only().command_id))
    assert world.only().life.phase is Phase.RELEASED


def test_a_command_of_others_changes_nothing() -> None:
    world = World(luck=luck(look="still running"))
    world.ending.handle(TERMINATE)
    before = dict(world.kept)
    world.ending.handle(parse_event(event("command_invocation"), SETTINGS.group, SETTINGS.hook))
    assert world.kept == before


def test_heartbeats_while_it_waits() -> None:
    world = World(luck=luck(look="still running"))
    world.ending.handle(TERMINATE)
    before = world.heartbeats
    for _ in range(3):
        world.pass_time(MINUTE)
        world.ending.handle(Tick())
    assert world.heartbeats == before + 3


def test_idempotent_on_the_action_token() -> None:
    world = World(luck=luck(look="still running"))
    for _ in range(3):
        world.ending.handle(TERMINATE)
    assert world.sent == [NodeStep.DRAIN]
    assert len(world.kept) == 1
    done = World()
    run(done)
    laid, kept = dict(done.laid), dict(done.kept)
    done.ending.handle(TERMINATE)
    assert (done.laid, done.kept, done.completions) == (laid, kept, [True])


def test_a_node_whose_event_never_came_is_found_waiting() -> None:
    world = World()
    world.ending.handle(Tick())
    assert world.only().action.token == ""
    assert world.only().life.phase is Phase.RELEASED
    world = World(luck=luck(look="still running"))
    world.ending.handle(Tick())
    world.ending.handle(TERMINATE)
    assert len(world.kept) == 1, "the late event is of the same end"


# ---------------------------------------------------------------- misfortunes, one by one


def test_a_spool_not_shipped_by_the_deadline_erases_the_cache_keeps_the_node_and_alarms() -> None:
    world = World(luck=luck(ship="not"))
    ended = run(world)
    assert ended.life.phase is Phase.RETAINED
    assert world.erased
    assert world.completions == [False]
    ((subject, facts),) = world.alarms_
    assert subject == f"HatiData: node {INSTANCE} is kept"
    assert (facts["spool"], facts["cache_proved_erased"]) == ("unshipped", "yes")


@pytest.mark.parametrize("fate", ["never delivered", "cut short", "failed", "says what nobody knows"])
def test_commands_that_never_work_end_in_retention_and_alarm(fate: str) -> None:
    world = World(luck=luck(command=fate))
    ended = run(world)
    assert ended.life.phase is Phase.RETAINED
    assert world.completions == [False]
    assert len(world.alarms_) == 1
    assert world.alarms_[0][1]["cache_proved_erased"] == "no"


def test_run_command_that_takes_nothing_ends_in_retention_and_alarm() -> None:
    world = World(luck=luck(send="refused"))
    ended = run(world)
    assert ended.life.phase is Phase.RETAINED
    assert world.sent == []
    assert any(note.fact == "command_not_taken" and note.detail == "InvalidInstanceId" for note in ended.notes)


def test_slots_that_stay_end_in_retention_and_alarm() -> None:
    world = World(luck=luck(erase="slots stay"))
    assert run(world).life.phase is Phase.RETAINED
    assert world.sent.count(NodeStep.ERASE) == 3
    assert not world.released_wrongly


def test_an_answer_that_never_comes_is_late_at_each_steps_own_deadline() -> None:
    world = World(luck=luck(look="still running"))
    ended = run(world)
    assert ended.life.phase is Phase.RETAINED
    assert [note.fact for note in ended.notes][:2] == ["terminating", "step_late"]
    assert (world.now_ - World().now_).total_seconds() <= SETTINGS.total_s + 5 * MINUTE


def test_an_alarm_nobody_hears_is_told_again_until_somebody_does() -> None:
    deaf = {"alarm": "nobody", "ship": "not"}
    world = World(luck=Luck(lambda question, offered: deaf.get(question, offered[0])))
    summary = world.ending.handle(TERMINATE)
    assert summary.failures == 1
    assert world.alarms_ == []
    del deaf["alarm"]
    assert run(world).life.phase is Phase.RETAINED
    assert len(world.alarms_) == 1


def test_a_node_taken_by_the_world_is_alarmed_as_lost() -> None:
    world = World(luck=luck(look="still running"))
    world.ending.handle(TERMINATE)
    world.standing_ = Standing.LEAVING
    world.pass_time(MINUTE)
    world.ending.handle(Tick())
    assert world.only().life.phase is Phase.LOST
    assert world.alarms_[0][0].endswith("left without leave")


def test_a_release_whose_answer_is_lost_is_no_lost_node() -> None:
    world = World(luck=luck(complete="taken, answer lost"))
    ended = run(world)
    assert ended.life.phase is Phase.RELEASED
    assert world.completions == [True]
    assert world.alarms_ == []


def test_one_node_that_fails_keeps_no_other_waiting() -> None:
    world = World()
    other = {**event("terminate")}
    other["detail"] = {**other["detail"], "EC2InstanceId": "i-0fffffff", "LifecycleActionToken": "0"}
    broken = {"ring": True}
    world.luck = Luck(lambda question, offered: "away" if question == "put" and broken["ring"] else offered[0])
    assert world.ending.handle(TERMINATE).failures == 1
    broken["ring"] = False
    world.ending.handle(parse_event(other, SETTINGS.group, SETTINGS.hook))
    assert decode(world.kept["0"]).life.phase is Phase.RELEASED


def test_evidence_waits_for_an_audit_store_that_is_away() -> None:
    world = World(unshippable=True)
    ended = run(world, minutes=5)
    assert ended.life.phase is Phase.RETAINED
    assert not ended.closed
    world.unshippable = False
    world.ending.handle(Tick())
    assert world.only().closed
    assert len(world.laid) == 1


# ---------------------------------------------------------------- any order of misfortunes


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_w2_7_no_luck_releases_an_unerased_node_or_leaves_one_hanging(data: st.DataObject) -> None:
    """Crashes at every port call, lost answers, refusals, a store that is away: for a while; then the world calms."""
    unlucky = data.draw(st.integers(0, 60), label="unlucky answers")
    left = {"n": unlucky}

    def choose(question: str, offered: list[str]) -> str:
        if left["n"] <= 0:
            return offered[0]
        answer = data.draw(st.sampled_from(offered), label=question)
        left["n"] -= answer != offered[0]
        return answer

    world = World(luck=Luck(choose), unshippable=data.draw(st.booleans(), label="audit store away"))
    bell: Any = TERMINATE
    for _ in range(400):
        with contextlib.suppress(Crash):
            world.ending.handle(bell)
        assert not world.released_wrongly
        ends = [decode(text) for text in world.kept.values()]
        if ends and all(end.life.ended and not end.orders for end in ends):
            break
        world.pass_time(MINUTE)
        bell = Tick()
    assert not world.released_wrongly
    (ended,) = [decode(text) for text in world.kept.values()]
    assert ended.life.ended
    if ended.life.phase is Phase.RELEASED:
        assert world.completions == [True]
        assert world.erased
        assert world.shipped
        assert not world.mapped
    else:
        assert world.alarms_
        assert ended.life.phase is Phase.RETAINED or world.standing_ is Standing.LEAVING


# ---------------------------------------------------------------- what may ring


def test_events_as_aws_documents_them() -> None:
    assert isinstance(TERMINATE, Terminating)
    assert (TERMINATE.action.instance_id, TERMINATE.action.destination) == (INSTANCE, "EC2")
    root = parse_event(event("replace_root_volume"), SETTINGS.group, SETTINGS.hook)
    assert isinstance(root, Terminating)
    assert root.action.destination == "AutoScalingGroup", "the volume with the spool goes: drained and erased alike"
    changed = parse_event(event("command_invocation"), SETTINGS.group, SETTINGS.hook)
    assert changed == CommandChanged("e8d3c0e4-71f7-4491-898f-c9b35bee5f3b")
    assert parse_event(TICK, SETTINGS.group, SETTINGS.hook) == Tick()


def wrong(**detail: Any) -> dict[str, Any]:
    made = event("terminate")
    made["detail"] |= detail
    return made


@pytest.mark.parametrize(
    "ring",
    [
        {},
        {"hatidata": "tock"},
        {**TICK, "more": 1},
        event("launch"),
        {**event("terminate"), "source": "my.app"},
        {**event("terminate"), "detail": None},
        wrong(AutoScalingGroupName="other"),
        wrong(LifecycleHookName="other"),
        wrong(EC2InstanceId="i-1; reboot"),
        wrong(EC2InstanceId=None),
        wrong(LifecycleActionToken=""),
        wrong(LifecycleActionToken="x" * 100),
        wrong(LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING"),
    ],
)
def test_what_is_not_understood_is_refused(ring: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        parse_event(ring, SETTINGS.group, SETTINGS.hook)


# ---------------------------------------------------------------- settings and the record


def test_settings_survive_their_environment() -> None:
    again = LuksEraseSettings.from_environment({**SETTINGS.environment(), "AWS_REGION": "eu-central-1"})
    assert again == SETTINGS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "") for name in SETTINGS.environment() if not name.endswith("_S")),
        ("HATIDATA_DRAIN_S", "soon"),
        ("HATIDATA_DRAIN_S", "4000"),
        ("HATIDATA_END_OF_NODE_S", "60"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest):
        LuksEraseSettings.from_environment({**SETTINGS.environment(), name: value})


def test_a_record_of_another_version_is_not_guessed_at() -> None:
    world = World()
    run(world)
    document = json.loads(world.kept.popitem()[1])
    assert document["life"]["spool"] == Spool.SHIPPED
    for change in ({"v": 2}, {"life": None}, {"notes": 3}, {"surprise": 1}):
        with pytest.raises(ValueError, match="termination"):
            decode(json.dumps({**document, **change}))


def test_notes_are_bounded() -> None:
    world = World()
    run(world)
    ended = world.only()
    for _ in range(500):
        ended = ended.noted(world.now_, "x", detail="y" * 1000)
    assert len(encode(ended)) < 200_000
    assert decode(encode(replace(ended, recorded=False))).notes == ended.notes
