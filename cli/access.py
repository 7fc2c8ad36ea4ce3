"""`hatidata access`: a role asked for, lent by somebody else for minutes, and used through a key of its own."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli import show
from cli.connection import ControlPlane
from cli.keys import print_new_key
from cli.options import EnvironmentOption, HomeOption, JsonOption

app = typer.Typer(help="Just-in-time access.", no_args_is_help=True)
_COLUMNS = ("id", "user_id", "role", "minutes", "status", "approver_id", "ends_at", "reason")
_Which = Annotated[str, typer.Argument(help="The request's id.")]


@app.command("ask")
def ask(
    role: Annotated[str, typer.Argument(help="admin, analyst, auditor or developer.")],
    minutes: Annotated[int, typer.Option(min=1, max=480, help="For how long.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit.")],
    scope: Annotated[list[str] | None, typer.Option(help="A scope or bundle; usual ones when not given.")] = None,
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Ask for a role."""
    body = {"role": role, "minutes": minutes, "reason": reason, "scopes": scope or []}
    with ControlPlane.connect(home, environment) as plane:
        show.detail(plane.post(plane.within("access-requests"), body), json_wanted=json)


@app.command("list")
def list_requests(
    status: Annotated[str, typer.Option(help="requested, granted, denied, canceled, revoked or ended.")] = "",
    user: Annotated[str, typer.Option(help="Only this user's (an id).")] = "",
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Your own requests, and those of users you manage."""
    with ControlPlane.connect(home, environment) as plane:
        found = plane.items(plane.within("access-requests"), status=status, user=user)
        show.listing(found, _COLUMNS, json_wanted=json)


@app.command("approve")
def approve(
    request: _Which,
    minutes: Annotated[int, typer.Option(min=1, max=480, help="Shorten the time.")] = 480,
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Lend the role, from now on."""
    _step(request, "approve", {"minutes": minutes}, home, environment, json)


@app.command("deny")
def deny(
    request: _Which, home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False
) -> None:
    """Refuse a request."""
    _step(request, "deny", {}, home, environment, json)


@app.command("revoke")
def revoke(
    request: _Which, home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False
) -> None:
    """Take a lent role back at once; its sessions end."""
    _step(request, "revoke", {}, home, environment, json)


@app.command("withdraw")
def withdraw(
    request: _Which, home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False
) -> None:
    """Withdraw your own request, or give a lent role back."""
    with ControlPlane.connect(home, environment) as plane:
        show.detail(plane.delete(plane.within("access-requests", request)), json_wanted=json)


@app.command("key")
def fetch_key(
    request: _Which, home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False
) -> None:
    """Fetch the key of a role that was lent to you, with the key you asked with; it is printed once."""
    with ControlPlane.connect(home, environment) as plane:
        print_new_key(plane.post(plane.within("access-requests", request, "key")), json)


def _step(
    request: str, step: str, body: dict[str, Any], home: HomeOption, environment: EnvironmentOption, json: bool
) -> None:
    with ControlPlane.connect(home, environment) as plane:
        show.detail(plane.post(plane.within("access-requests", request, step), body), json_wanted=json)
