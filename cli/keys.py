"""`hatidata keys`: API keys, shown once when made, rotated with grace, revoked at once."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from cli import show
from cli.connection import ControlPlane
from cli.exits import UsageWrong
from cli.lookup import one
from cli.options import EnvironmentOption, HomeOption, JsonOption

app = typer.Typer(help="API keys.", no_args_is_help=True)
_COLUMNS = ("id", "name", "user_id", "prefix", "status", "agent", "networks", "expires_at", "last_used_at")
_Which = Annotated[str, typer.Argument(help="The key's id or name.")]


@app.command("list")
def list_keys(
    user: Annotated[str, typer.Option(help="Only this user's (an id).")] = "",
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Keys of the organizations you administer, without the keys themselves."""
    with ControlPlane.connect(home, environment) as plane:
        show.listing(plane.items(plane.within("keys"), user=user), _COLUMNS, json_wanted=json)


@app.command("show")
def show_key(
    key: _Which, home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False
) -> None:
    """One key, without the key itself."""
    with ControlPlane.connect(home, environment) as plane:
        show.detail(_find(plane, key), json_wanted=json)


@app.command("create")
def create(
    name: str,
    user: Annotated[str, typer.Option(help="Whose it is: an id or e-mail address.")],
    scope: Annotated[list[str], typer.Option(help="A scope or bundle (read_only, developer, agent, admin).")],
    agent_id: Annotated[str, typer.Option(help="Bind it to this AI agent.")] = "",
    agent_framework: Annotated[str, typer.Option(help="The agent's framework.")] = "",
    agent_trust: Annotated[str, typer.Option(help="The agent's trust level, as conditions name it.")] = "",
    network: Annotated[list[str] | None, typer.Option(help="A CIDR range it may be used from.")] = None,
    allowed_table: Annotated[list[str] | None, typer.Option(help="schema.table or schema.*.")] = None,
    expires_at: Annotated[str, typer.Option(help="RFC 3339, such as 2027-01-31T00:00:00Z.")] = "",
    dialect: Annotated[str, typer.Option(help="Of its sessions: duckdb, postgres or snowflake.")] = "duckdb",
    rotate_after_days: Annotated[int, typer.Option(min=0, help="The age at which it rotates by itself; 0: never.")] = 0,
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Make a key; it is printed once."""
    if (agent_framework or agent_trust) and not agent_id:
        raise UsageWrong("An agent needs an id: --agent-id.")
    body: dict[str, Any] = {
        "name": name,
        "user": user,
        "scopes": scope,
        "networks": network or [],
        "allowed_tables": allowed_table or [],
        "expires_at": expires_at,
        "dialect": dialect,
        "rotate_after_days": rotate_after_days,
    }
    if agent_id:
        body["agent"] = {"id": agent_id, "framework": agent_framework, "trust": agent_trust}
    with ControlPlane.connect(home, environment) as plane:
        print_new_key(plane.post(plane.within("keys"), body), json)


@app.command("rotate")
def rotate(
    key: _Which,
    grace_hours: Annotated[int, typer.Option(min=0, max=72, help="How long the old key stays valid.")] = 72,
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Make a key's successor; it is printed once."""
    with ControlPlane.connect(home, environment) as plane:
        found = _find(plane, key)
        print_new_key(plane.post(plane.within("keys", found["id"], "rotate"), {"grace_hours": grace_hours}), json)


@app.command("successor")
def successor(home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False) -> None:
    """Fetch the successor of your own key (HATIDATA_API_KEY), after it rotated by itself; printed once."""
    with ControlPlane.connect(home, environment) as plane:
        print_new_key(plane.post("/v1/successor"), json)


@app.command("revoke")
def revoke(key: _Which, home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False) -> None:
    """End a key at once; its sessions end too."""
    with ControlPlane.connect(home, environment) as plane:
        show.detail(plane.delete(plane.within("keys", _find(plane, key)["id"])), json_wanted=json)


def _find(plane: ControlPlane, key: str) -> dict[str, Any]:
    return one(plane, plane.within("keys"), key)


def print_new_key(made: dict[str, Any], json_wanted: bool) -> None:
    """Print a key just made, this once."""
    if json_wanted:
        show.as_json(made)
        return
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"The key {made['name']} ({made['id']}), shown this once:\n\n    {made['key']}\n")
