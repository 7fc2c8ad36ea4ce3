"""`hatidata invitations`: an address is invited; whoever holds the token accepts and gets a first key."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from cli import show
from cli.connection import ControlPlane, find, path
from cli.exits import UsageWrong
from cli.keys import print_new_key
from cli.options import HomeOption, JsonOption
from cli.users import attributes_of
from governance.roles import Role

app = typer.Typer(help="Invitations.", no_args_is_help=True)
TOKEN_VARIABLE = "HATIDATA_INVITATION"  # noqa: S105  a variable's name
_COLUMNS = ("id", "email", "organization", "role", "environment", "invited_by", "expires_at")
_TOKEN_CHARS_MAX = 128


@app.command("list")
def list_invitations(home: HomeOption = None, json: JsonOption = False) -> None:
    """Open invitations to the organizations you administer."""
    with ControlPlane.connect(home) as plane:
        show.listing(plane.items("/v1/invitations"), _COLUMNS, json_wanted=json)


@app.command("create")
def create(
    email: str,
    role: Annotated[Role, typer.Option(help="What the user may do.")],
    organization: Annotated[str, typer.Option(help="Your own when not given.")] = "",
    key_environment: Annotated[str, typer.Option(help="Where the first key is for.")] = "production",
    scope: Annotated[list[str] | None, typer.Option(help="Of the first key; usual ones when not given.")] = None,
    attribute: Annotated[list[str] | None, typer.Option("--attribute", help="NAME=VALUE; may be repeated.")] = None,
    hours: Annotated[int, typer.Option(min=1, max=168, help="How long it stays open.")] = 72,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Invite an address; the token is printed once."""
    body: dict[str, Any] = {
        "email": email,
        "role": role.value,
        "environment": key_environment,
        "scopes": scope or [],
        "attributes": attributes_of(attribute),
        "hours": hours,
    }
    if organization:
        body["organization"] = organization
    with ControlPlane.connect(home) as plane:
        made = plane.post("/v1/invitations", body)
    if json:
        show.as_json(made)
        return
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"Hand this token to {made['email']}; it is shown this once:\n\n    {made['token']}\n")
    console.print(f"It is open until {made['expires_at']}.")


@app.command("cancel")
def cancel(
    invitation: Annotated[str, typer.Argument(help="The invitation's id.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Take an invitation back."""
    with ControlPlane.connect(home) as plane:
        show.detail(plane.delete(path("v1", "invitations", invitation)), json_wanted=json)


@app.command("accept")
def accept(
    email: Annotated[str, typer.Argument(help="The address that was invited.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Accept with the token in HATIDATA_INVITATION or on standard input; your first key is printed once."""
    token = os.environ.get(TOKEN_VARIABLE, "") or sys.stdin.readline(_TOKEN_CHARS_MAX + 1).strip()
    if not token:
        raise UsageWrong(f"Put the token into the environment variable {TOKEN_VARIABLE}, or pipe it in.")
    with ControlPlane(find(home), "") as plane:
        print_new_key(plane.post("/v1/invitations/accept", {"token": token, "email": email}), json)
