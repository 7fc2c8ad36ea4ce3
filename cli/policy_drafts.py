"""`hatidata policies draft, drafts, activate, discard, history, roll-back`: the life of a policy set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import show, yaml_document
from cli.connection import ControlPlane
from cli.exits import UsageWrong
from cli.options import EnvironmentOption, HomeOption, JsonOption
from governance.rulebook import encode_policy
from governance.state_file import parse_state

_Number = Annotated[int, typer.Argument(min=1, help="The draft's number.")]
_Version = Annotated[int, typer.Argument(min=0, help="A version of the history; 0 is the beginning.")]
_Note = Annotated[str, typer.Option(help="Why; kept with it.")]


def add_to(app: typer.Typer) -> None:
    """Add the verbs to `hatidata policies`."""
    app.command("draft")(draft)
    app.command("drafts")(drafts)
    app.command("show-draft")(show_draft)
    app.command("activate")(activate)
    app.command("discard")(discard)
    app.command("history")(history)
    app.command("roll-back")(roll_back)


def draft(
    file: Annotated[Path | None, typer.Option("--file", "-f", help="A state file; its policies are drafted.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="A policy to remove, by id or name; repeatable.")] = None,
    note: _Note = "",
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Write policies as a draft: checked, tried with EXPLAIN POLICY USING DRAFT and impact, not in force."""
    if file is None and not remove:
        raise UsageWrong("Say what to draft: --file, --remove, or both.")
    policies = parse_state(yaml_document.load(file)).policies if file is not None else ()
    body = {
        "policies": [{k: v for k, v in encode_policy(policy).items() if k != "id"} for policy in policies],
        "remove": list(remove or ()),
        "note": note,
    }
    with ControlPlane.connect(home, environment) as plane:
        _tell(plane.post(plane.within("policy-drafts"), body), json_wanted=json)


def drafts(home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False) -> None:
    """Drafts that are neither activated nor discarded."""
    with ControlPlane.connect(home, environment) as plane:
        items = [_summary(item) if not json else item for item in plane.items(plane.within("policy-drafts"))]
        show.listing(items, ("number", "author", "created_at", "note", "changes"), json_wanted=json)


def show_draft(
    number: _Number, home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False
) -> None:
    """What a draft would change."""
    with ControlPlane.connect(home, environment) as plane:
        _tell(plane.get(plane.within("policy-drafts", str(number))), json_wanted=json)


def activate(
    number: _Number, home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False
) -> None:
    """Bring a draft into force, whole."""
    with ControlPlane.connect(home, environment) as plane:
        _tell(plane.post(plane.within("policy-drafts", str(number), "activate")), json_wanted=json)


def discard(
    number: _Number, home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False
) -> None:
    """Discard a draft."""
    with ControlPlane.connect(home, environment) as plane:
        _tell(plane.delete(plane.within("policy-drafts", str(number))), json_wanted=json)


def history(
    most: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many at most.")] = 50,
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """What came into force when, by whom, newest first."""
    with ControlPlane.connect(home, environment) as plane:
        found = plane.items(plane.within("policy-versions"), most=most)
        items = [_summary(item) if not json else item for item in found]
        show.listing(items, ("version", "at", "author", "cause", "source", "note", "changes"), json_wanted=json)


def roll_back(
    version: _Version,
    note: _Note = "",
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Bring the policies back as they stood at a version."""
    with ControlPlane.connect(home, environment) as plane:
        where = plane.within("policy-versions", str(version), "roll-back")
        _tell(plane.post(where, {"note": note}), json_wanted=json)


def _summary(item: Mapping[str, Any]) -> dict[str, Any]:
    return {**item, "changes": ", ".join(f"{change['name']} {change['action']}" for change in item["changes"])}


def _tell(document: dict[str, Any], *, json_wanted: bool) -> None:
    if json_wanted:
        show.as_json(document)
        return
    facts = {k: v for k, v in document.items() if k not in ("changes", "policies")}
    show.detail(facts, json_wanted=False)
    show.as_table(document["changes"], ("action", "name", "before", "after"))
