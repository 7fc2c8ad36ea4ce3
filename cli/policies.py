"""`hatidata policies`: row filters, masks, conditions and minimum groups."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import policy_drafts, policy_impact, policy_tests, show, yaml_document
from cli.connection import ControlPlane
from cli.lookup import one
from cli.options import EnvironmentOption, HomeOption, JsonOption
from governance.rulebook import encode_policy
from governance.state_item import Item
from governance.state_policies import read_policy

app = typer.Typer(help="Policies.", no_args_is_help=True)
_COLUMNS = ("id", "name", "type", "table", "rule", "exempt_roles", "organization", "revision")
_Which = Annotated[str, typer.Argument(help="The policy's id or name.")]
_FileOption = Annotated[Path, typer.Option("--file", "-f", help="One policy, as a state file writes it.")]


app.command("test")(policy_tests.run_tests)
app.command("impact")(policy_impact.impact)
policy_drafts.add_to(app)


@app.command("list")
def list_policies(home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False) -> None:
    """Policies on the tables you administer."""
    with ControlPlane.connect(home, environment) as plane:
        items = plane.items(plane.within("policies"))
        if json:
            show.as_json({"items": list(items)})
        else:
            show.as_table((_row(item) for item in items), _COLUMNS)


@app.command("show")
def show_policy(
    policy: _Which, home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False
) -> None:
    """One policy."""
    with ControlPlane.connect(home, environment) as plane:
        found = one(plane, plane.within("policies"), policy)
        show.detail(found if json else {**found, **found["policy"]}, json_wanted=json)


@app.command("create")
def create(
    file: _FileOption, home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False
) -> None:
    """Write a policy."""
    body = _body(file)
    with ControlPlane.connect(home, environment) as plane:
        show.detail(plane.post(plane.within("policies"), body), json_wanted=json)


@app.command("replace")
def replace(
    policy: _Which,
    file: _FileOption,
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Put another rule in a policy's place."""
    body = _body(file)
    with ControlPlane.connect(home, environment) as plane:
        found = one(plane, plane.within("policies"), policy)
        show.detail(plane.put(plane.within("policies", found["id"]), body), json_wanted=json)


@app.command("delete")
def delete(
    policy: _Which, home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False
) -> None:
    """Delete a policy."""
    with ControlPlane.connect(home, environment) as plane:
        found = one(plane, plane.within("policies"), policy)
        show.detail(plane.delete(plane.within("policies", found["id"])), json_wanted=json)


def _body(file: Path) -> dict[str, Any]:
    item = Item.of(yaml_document.load(file), "the policy")
    policy = read_policy(item)
    item.done()
    return {name: value for name, value in encode_policy(policy).items() if name != "id"}


def _row(item: dict[str, Any]) -> dict[str, Any]:
    policy = item["policy"]
    match item["type"]:
        case "row_filter":
            rule = policy["filter"]
        case "mask":
            rule = f"{policy['column']}: {policy['function']}"
        case "minimum_group":
            rule = f"at least {policy['size']} rows"
        case _:
            rule = policy.get("effect", "")
    table = policy.get("table") or ", ".join(policy.get("tables", ()))
    return {**item, "table": table, "rule": rule, "exempt_roles": policy.get("exempt_roles")}
