"""`hatidata policies impact`: audited queries replayed, not run, under the policies in force and under others."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import show, yaml_document
from cli.connection import ControlPlane
from cli.exits import UsageWrong
from cli.options import EnvironmentOption, HomeOption, JsonOption
from governance.errors import InvalidRequest
from governance.policies import Policy
from governance.rulebook import decode_policy
from governance.state_file import parse_state
from governance.timestamp import parse, stamp

QUERIES_MAX = 50_000
_SPAN = re.compile(r"\A(\d{1,4})(m|h|d|w)\Z")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SHOWN_MAX = 200


def impact(
    new: Annotated[str, typer.Argument(help="A draft's number, or a state file with policies.")],
    since: Annotated[str, typer.Option(help="How far back: 30m, 12h, 7d, 4w, or a moment (RFC 3339).")] = "7d",
    most: Annotated[int, typer.Option("--limit", min=1, max=QUERIES_MAX, help="Audited queries at most.")] = 10_000,
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Replay audited queries under other policies, and tell which verdicts, filters and masks would change."""
    from cli.policy_replay import Law, replay  # the engine is slow to load, and other verbs do without

    begin = _since(since)
    with ControlPlane.connect(home, environment) as plane:
        law = Law.read(plane)
        wanted = _wanted(new, plane, law.rulebook.policies)
        records = list(plane.items(plane.within("audit", "queries"), since=begin, most=most))
    report = replay(records, law, replace(law.rulebook, policies=wanted))
    document = {"since": begin, **report.document()}
    if json:
        show.as_json(document)
    else:
        _print(document)


def _since(text: str) -> str:
    span = _SPAN.match(text)
    if span is not None:
        return stamp(datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])}))
    try:
        return stamp(parse(text))
    except ValueError:
        raise UsageWrong("--since is written like 7d, 12h, or 2026-11-22T00:00:00Z.") from None


def _wanted(new: str, plane: ControlPlane, present: tuple[Policy, ...]) -> tuple[Policy, ...]:
    """The policies to compare with: a draft's, or those of a state file in place of the ones of their names."""
    if new.isdecimal():
        draft = plane.get(plane.within("policy-drafts", new))
        return tuple(decode_policy(policy) for policy in draft["policies"])
    file = Path(new)
    if not file.is_file():
        raise UsageWrong(f"{new} is neither a draft's number nor a file.")
    declared = {policy.name: policy for policy in parse_state(yaml_document.load(file)).policies}
    if not declared:
        raise InvalidRequest("The state file declares no policies.")
    return (*(policy for policy in present if policy.name not in declared), *declared.values())


def _print(document: dict[str, Any]) -> None:
    columns = ("principal", "table", "aspect", "before", "after", "queries")
    rows = document["changes"]
    show.as_table(rows[:_SHOWN_MAX], columns, empty="Nothing would change.")
    if len(rows) > _SHOWN_MAX:
        print(f"and {len(rows) - _SHOWN_MAX} more; --json tells all")
    print(
        f"{document['queries']} queries since {document['since']}: {document['replayed']} replayed, "
        f"{document['changed']} of them would change"
    )
    for entry in document["not_replayed"]:
        print(f"  not replayed: {entry['queries']} ({entry['reason']}), such as {entry['example']}")
