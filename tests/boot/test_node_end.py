"""Drain, erase and prove on the node, and the door that Run Command knocks at."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from cdk_app.boot.__main__ import main
from cdk_app.boot.cache_volume import CacheVolume
from cdk_app.boot.node_end import NodeEnd
from cdk_app.boot.paths import ENGINE_UNIT, SHIP_UNIT
from engine.settings import AwsNodeSettings
from governance.node_life import Fact
from governance.node_report import NodeStep, decode_report, encode_report, fact_of
from tests.boot.machine import INSTANCE, Machine, needs_cryptsetup

ENVIRONMENT = {
    "HATIDATA_HOME": "/var/lib/hatidata",
    "HATIDATA_DATA": "s3://lake/tables",
    "HATIDATA_ENVIRONMENT": "production",
    "HATIDATA_CONTROL_URL": "https://control.example:8443",
    "HATIDATA_CACHE": "/var/cache/hatidata",
    "HATIDATA_TLS": "/run/hatidata/tls",
    "HATIDATA_REGION": "eu-central-1",
    "HATIDATA_AUDIT_BUCKET": "audit",
    "HATIDATA_IDENTITY_KEY": ".hatidata/nodes/production/identity.sealed",
    "HATIDATA_DATA_KEY": "arn:aws:kms:eu-central-1:111122223333:key/0",
}


def node_end(machine: Machine) -> NodeEnd:
    ticks = itertools.count()
    return NodeEnd(
        CacheVolume(machine.settings, machine, pause=lambda _: None), machine, drain_s=5,
        ending=machine.root / "run" / "ending", pause=lambda _: None, monotonic=lambda: float(next(ticks)),
    )  # fmt: skip


def systemctl(machine: Machine) -> list[tuple[str, ...]]:
    return [call.argv[1:] for call in machine.calls if call.argv[0] == "systemctl" and call.argv[1] != "show"]


def test_a_drain_ends_the_engine_and_then_ships(machine: Machine) -> None:
    machine.states = ["active", "deactivating", "inactive"]
    report = node_end(machine).step(NodeStep.DRAIN)
    assert fact_of(report, NodeStep.DRAIN) is Fact.SHIPPED
    assert systemctl(machine) == [
        ("kill", "--kill-whom=main", "--signal=SIGTERM", ENGINE_UNIT),
        ("stop", ENGINE_UNIT),
        ("start", SHIP_UNIT),
    ]
    assert (machine.root / "run" / "ending").exists(), "no unit starts the engine again"


def test_an_engine_that_does_not_end_is_killed_at_the_deadline(machine: Machine) -> None:
    machine.states = ["active"] * 5 + ["inactive"]
    assert fact_of(node_end(machine).step(NodeStep.DRAIN), NodeStep.DRAIN) is Fact.SHIPPED
    assert ("kill", "--signal=SIGKILL", ENGINE_UNIT) in systemctl(machine)


def test_a_spool_that_is_not_shipped_is_said(machine: Machine) -> None:
    machine.broken[f"systemctl start {SHIP_UNIT}"] = 1
    report = node_end(machine).step(NodeStep.DRAIN)
    assert report.troubles == ("spool_not_shipped",)
    assert fact_of(report, NodeStep.DRAIN) is Fact.UNSHIPPED


def test_a_systemd_that_does_not_answer_is_no_ended_engine(machine: Machine) -> None:
    machine.broken["systemctl show"] = 1
    report = node_end(machine).step(NodeStep.DRAIN)
    assert "engine_still_runs" in report.troubles
    assert fact_of(report, NodeStep.DRAIN) is Fact.UNSHIPPED


@needs_cryptsetup
def test_an_erase_ends_the_engine_first(machine: Machine) -> None:
    machine.add_device("nvme1n1")
    machine.states = ["active", "inactive"]
    assert fact_of(node_end(machine).step(NodeStep.ERASE), NodeStep.ERASE) is Fact.ERASED
    assert systemctl(machine)[0][0] == "kill"


def door(machine: Machine, *argv: str, environment: dict[str, str] | None = None) -> tuple[int, list[str]]:
    said: list[str] = []
    identity = machine.root / "identity"
    identity.write_text(f"{INSTANCE}\n")
    code = main(
        argv, ENVIRONMENT if environment is None else environment, commands=machine, volume=machine.settings,
        ending=machine.root / "run" / "ending", instance_id=identity, say=said.append,
    )  # fmt: skip
    return code, said


def test_the_door_says_one_line_that_the_lambda_reads(machine: Machine) -> None:
    code, said = door(machine, "drain")
    assert code == 0
    assert fact_of(decode_report(said[-1]), NodeStep.DRAIN) is Fact.SHIPPED
    machine.broken[f"systemctl start {SHIP_UNIT}"] = 1
    code, said = door(machine, "drain")
    assert code == 1
    assert fact_of(decode_report(said[-1]), NodeStep.DRAIN) is Fact.UNSHIPPED


def test_settings_that_are_missing_are_said_as_such(machine: Machine) -> None:
    code, said = door(machine, "prove", environment={})
    assert code == 1
    assert decode_report(said[0]).troubles == ("settings_refused",)
    assert json.loads(door(machine, "open", environment={})[1][0]) == {"done": False, "trouble": "settings_refused"}


def test_an_ending_node_is_not_opened_again(machine: Machine) -> None:
    machine.add_device("nvme1n1")
    (machine.root / "run" / "ending").touch()
    assert door(machine, "open") == (1, ['{"done": false, "trouble": "node_is_ending"}'])
    assert machine.calls == []


@pytest.mark.parametrize("argv", [(), ("wipe",), ("open", "drain"), ("--help",)])
def test_any_other_verb_is_refused(machine: Machine, argv: tuple[str, ...]) -> None:
    assert door(machine, *argv)[0] == 2
    assert machine.calls == []


def test_the_environment_of_the_tests_is_one_a_stack_would_write() -> None:
    settings = AwsNodeSettings.from_environment(ENVIRONMENT)
    assert settings.environment() == settings.environment() | ENVIRONMENT


# ---------------------------------------------------------------- reports


def line(**changes: Any) -> str:
    good: dict[str, Any] = {
        "version": 1, "step": "prove", "done": True, "spool": "unknown", "mapped": False, "mounted": False,
        "volumes": [{"device": "dev/nvme1n1", "present": True, "luks": True, "key_slots": 0}], "troubles": [],
    }  # fmt: skip
    return json.dumps(good | changes)


def test_a_report_survives_its_line() -> None:
    report = decode_report("some chatter\n" + line() + "\n")
    assert decode_report(encode_report(report)) == report
    assert fact_of(report, NodeStep.PROVE) is Fact.PROVED


@pytest.mark.parametrize(
    "changes",
    [
        {"mapped": True},
        {"mounted": True},
        {"done": False},
        {"volumes": [{"device": "dev/nvme1n1", "present": True, "luks": True, "key_slots": 1}]},
        {"volumes": [{"device": "dev/nvme1n1", "present": False, "luks": False, "key_slots": 0}]},
    ],
)
def test_w2_7_anything_left_is_no_proof(changes: dict[str, Any]) -> None:
    assert fact_of(decode_report(line(**changes)), NodeStep.PROVE) is Fact.UNPROVED


def test_the_report_of_another_step_is_a_failure() -> None:
    assert fact_of(decode_report(line()), NodeStep.ERASE) is Fact.COMMAND_FAILED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        "[]",
        "null",
        "[" * 4000,
        line(version=2),
        line(version=True),
        line(step="dance"),
        line(done="yes"),
        line(done=1),
        line(mapped=None),
        line(volumes={}),
        line(volumes=[{"device": "x"}]),
        line(volumes=[{"device": "x", "present": True, "luks": True, "key_slots": -1}]),
        line(volumes=[{"device": "x", "present": True, "luks": True, "key_slots": True}]),
        line(troubles=["a message; with words"]),
        line(troubles=["x"] * 65),
        line(spool="gone"),
        line() + " trailing",
        "x" * 10_000,
    ],
)
def test_what_is_not_understood_is_no_report(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        decode_report(text)
