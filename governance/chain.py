"""The hash chain of administrative events (claims W5.5 to W5.8), pure; `docs/control-plane.md` has it byte by byte.

A line is the canonical JSON (RFC 8785, without fractions) of one event with its `hash`; the hash is the SHA-256 of the
canonical JSON of the same event without `hash`; `previous` is the hash of the line before, and of the first line the
genesis of its environment. Nothing here needs more than the standard library, so an auditor may read and run it alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

VERSION = 1
INTEGER_MAX = 2**53 - 1
"""The largest whole number that every JSON reader keeps exactly (RFC 8785, section 3.2.2.3)."""
LINE_CHARS_MAX = 1_048_576
DEPTH_MAX = 16
FIELDS = frozenset(
    {
        "v",
        "sequence",
        "environment",
        "at",
        "type",
        "actor",
        "organization",
        "target",
        "source_ip",
        "request_id",
        "before",
        "after",
        "previous",
        "hash",
    }
)
"""The fields of a line of version 1: all of them, and no others."""


def canonical(value: Any) -> bytes:
    """The one spelling of `value` in UTF-8: RFC 8785 for null, booleans, whole numbers, strings, arrays and objects.

    Raises:
        ValueError: a fraction, a number past 2^53-1, a lone surrogate, a key that is no string, or too deep.
    """
    _check_spellable(value, 0)
    # Python orders keys by code point, RFC 8785 by UTF-16 code units: the same as long as nothing lies past U+D7FF.
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    try:
        return (text if text.isascii() or max(text) < "\ud800" else _spelled(value)).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("a lone surrogate has no canonical form") from None


def _check_spellable(value: Any, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise ValueError("nested too deep for the chain")
    if value is None or isinstance(value, bool | str):
        return
    if isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise ValueError("a whole number past 2^53-1 has no canonical form")
    elif isinstance(value, list | tuple):
        for item in value:
            _check_spellable(item, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError("a key is no string")  # noqa: TRY004  one error for all that has no spelling
            _check_spellable(item, depth + 1)
    else:
        raise ValueError(f"{type(value).__name__} has no canonical form")  # noqa: TRY004  as above


def _spelled(value: Any) -> str:
    """As `canonical`, whatever characters keys hold."""
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_spelled, value)) + "]"
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(f"{_spelled(key)}:{_spelled(value[key])}" for key in keys) + "}"
    return json.dumps(value, ensure_ascii=False)


def genesis(environment: str) -> str:
    """What the first event of an environment names as the hash before it."""
    return hashlib.sha256(f"hatidata admin chain 1 {environment}".encode()).hexdigest()


def digest(event: Mapping[str, Any]) -> str:
    """The hash of an event, whether or not it holds its `hash` already."""
    return hashlib.sha256(canonical({k: v for k, v in event.items() if k != "hash"})).hexdigest()


@dataclass(frozen=True, slots=True)
class Link:
    """One sealed event, ready to be stored."""

    sequence: int
    previous: str
    hash: str
    line: str
    """Canonical JSON, without a line end."""


def seal(event: Mapping[str, Any], *, sequence: int, previous: str) -> Link:
    """`event` (every field but v, sequence, previous and hash) as the link after `previous`.

    Raises:
        ValueError: a field is missing or unknown, or something in it has no canonical form.
    """
    whole = {"v": VERSION, "sequence": sequence, "previous": previous, **event}
    whole["hash"] = digest(whole)
    if set(whole) != FIELDS:
        raise ValueError(f"fields of an event: {sorted(set(whole) ^ FIELDS)} missing or unknown")
    line = canonical(whole).decode()
    if len(line) > LINE_CHARS_MAX:
        raise ValueError("an event is too long for the chain")
    return Link(sequence, previous, whole["hash"], line)


@dataclass(frozen=True, slots=True)
class Break:
    """The first place where a chain does not hold."""

    line: int
    """1-based."""
    sequence: int | None
    """The sequence the line claims, when it can be read."""
    reason: str
    """unreadable, not_canonical, fields, version, environment, sequence, previous, hash."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What verifying found: `count` links hold from the start, `head` is the hash of the last of them."""

    environment: str
    count: int
    head: str
    first_break: Break | None
    marked: Mapping[int, str] = field(default_factory=dict)
    """The hashes of the events that were asked for, by sequence, as far as they hold."""

    @property
    def holds(self) -> bool:
        """Whether every line holds."""
        return self.first_break is None


def verify(lines: Iterable[str], environment: str = "", *, marks: Container[int] = ()) -> Verification:
    """Follow the chain from its first line; stops at the first break.

    Says nothing of lines missing at the end: compare with checkpoints kept elsewhere (`governance.checkpoints`).

    Args:
        lines: with or without line ends; an empty chain holds.
        environment: whose chain it must be; empty takes the first line's word.
        marks: sequences whose hashes are wanted.
    """
    count, head = 0, genesis(environment) if environment else ""
    marked: dict[int, str] = {}
    for number, raw in enumerate(lines, start=1):
        found = _check(raw.rstrip("\n"), environment, count + 1, head)
        if isinstance(found, str):
            return Verification(environment, count, head, Break(number, _claimed_sequence(raw), found), marked)
        environment, count, head = found["environment"], count + 1, found["hash"]
        if count in marks:
            marked[count] = head
    return Verification(environment, count, head, None, marked)


def _check(line: str, environment: str, sequence: int, previous: str) -> dict[str, Any] | str:
    """The event of a line that holds, or the reason why it does not."""
    if len(line) > LINE_CHARS_MAX:
        return "unreadable"
    try:
        event = json.loads(line)
        spelled = canonical(event).decode()
    except (ValueError, RecursionError):
        return "unreadable"
    if not isinstance(event, dict) or spelled != line:
        return "not_canonical"
    if set(event) != FIELDS or not isinstance(event["environment"], str):
        return "fields"
    if event["v"] != VERSION or isinstance(event["v"], bool):
        return "version"
    if environment and event["environment"] != environment:
        return "environment"
    if event["sequence"] != sequence or isinstance(event["sequence"], bool):
        return "sequence"
    if event["previous"] != (previous or genesis(event["environment"])):
        return "previous"
    if event["hash"] != digest(event):
        return "hash"
    return event


def _claimed_sequence(raw: str) -> int | None:
    try:
        claimed = json.loads(raw[:LINE_CHARS_MAX])["sequence"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return claimed if isinstance(claimed, int) and not isinstance(claimed, bool) else None
