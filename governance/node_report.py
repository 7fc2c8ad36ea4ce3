"""What a node says of its own end, one JSON line for each step, and the fact that it makes true. Pure.

The boot files write it, Run Command carries it, `lambdas.luks_erase` reads it; what is not understood is a failed
command, never a success.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from governance.node_life import Fact, Spool

VERSION = 1
LINE_CHARS_MAX = 8192
_TROUBLE = re.compile(r"\A[a-z][a-z0-9_]{0,63}\Z")
_DEVICE = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9_./-]{0,99}\Z")
_LIST_MAX = 64


class NodeStep(StrEnum):
    """What a node is asked to do at its end; also the argument of the boot command."""

    DRAIN = "drain"
    ERASE = "erase"
    PROVE = "prove"


@dataclass(frozen=True, slots=True)
class VolumeState:
    """One block device that held, or may hold, the cache."""

    device: str
    present: bool
    luks: bool
    """Whether it bears a LUKS header."""
    key_slots: int
    """Slots through which the header can be opened; 0 after an erase."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """One step as the node saw it."""

    step: NodeStep
    done: bool
    """Whether the step did what it is for."""
    spool: Spool = Spool.UNKNOWN
    volumes: tuple[VolumeState, ...] = ()
    mapped: bool = False
    """Whether the kernel still holds the opened volume's key."""
    mounted: bool = False
    troubles: tuple[str, ...] = ()
    """Stable codes of what went wrong, in order; never a message."""


def encode_report(report: NodeReport) -> str:
    """The report as one line of ASCII JSON."""
    return json.dumps({"version": VERSION, **asdict(report)}, sort_keys=True)


def decode_report(text: str) -> NodeReport:
    """The report in the last line of a command's output.

    Raises:
        ValueError: there is none, it is of another version, or a field is not what it should be.
    """
    lines = text.strip().splitlines()
    if not lines or len(lines[-1]) > LINE_CHARS_MAX:
        raise ValueError("no report of a node")
    try:
        document = json.loads(lines[-1])
        if document["version"] != VERSION or isinstance(document["version"], bool):
            raise ValueError("a report of a version not known here")
        volumes = tuple(
            VolumeState(
                _text(each["device"], _DEVICE),
                _flag(each["present"]),
                _flag(each["luks"]),
                _count(each["key_slots"]),
            )
            for each in _list(document["volumes"])
        )
        return NodeReport(
            NodeStep(document["step"]),
            _flag(document["done"]),
            Spool(document["spool"]),
            volumes,
            _flag(document["mapped"]),
            _flag(document["mounted"]),
            tuple(_text(each, _TROUBLE) for each in _list(document["troubles"])),
        )
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("not a report of a node") from error


def fact_of(report: NodeReport, asked: NodeStep) -> Fact:
    """The fact that a report makes true for the step that was asked for."""
    if report.step is not asked:
        return Fact.COMMAND_FAILED
    if asked is NodeStep.DRAIN:
        return Fact.SHIPPED if report.done and report.spool is Spool.SHIPPED else Fact.UNSHIPPED
    if asked is NodeStep.ERASE:
        return Fact.ERASED if report.done else Fact.COMMAND_FAILED
    clean = all(volume.present and volume.key_slots == 0 for volume in report.volumes)
    return Fact.PROVED if report.done and clean and not report.mapped and not report.mounted else Fact.UNPROVED


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 1000:
        raise TypeError
    return value


def _text(value: Any, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not pattern.match(value):
        raise TypeError
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > _LIST_MAX:
        raise TypeError
    return value
