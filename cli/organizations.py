"""`hatidata organizations`: the firms whose data is kept apart; only the operator's Owner declares others."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import show
from cli.connection import ControlPlane, path
from cli.options import HomeOption, JsonOption

app = typer.Typer(help="Organizations.", no_args_is_help=True)
_COLUMNS = ("id", "name", "status", "operator", "created_at")
_Id = Annotated[str, typer.Argument(help="The organization's id.")]


@app.command("list")
def list_organizations(home: HomeOption = None, json: JsonOption = False) -> None:
    """The organizations you administer."""
    with ControlPlane.connect(home) as plane:
        show.listing(plane.items("/v1/organizations"), _COLUMNS, json_wanted=json)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Its name.")],
    id: Annotated[str, typer.Option("--id", help="Its id; made up when not given.")] = "",  # noqa: A002
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Declare an organization."""
    with ControlPlane.connect(home) as plane:
        body = {"name": name, "id": id} if id else {"name": name}
        show.detail(plane.post("/v1/organizations", body), json_wanted=json)


@app.command("rename")
def rename(id: _Id, name: str, home: HomeOption = None, json: JsonOption = False) -> None:  # noqa: A002
    """Give an organization another name."""
    with ControlPlane.connect(home) as plane:
        show.detail(plane.patch(path("v1", "organizations", id), {"name": name}), json_wanted=json)


@app.command("transfer")
def transfer(
    id: _Id,  # noqa: A002
    user: Annotated[str, typer.Argument(help="The next Owner's id or e-mail address.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Hand an organization over; its present Owner becomes an Admin."""
    with ControlPlane.connect(home) as plane:
        show.detail(plane.post(path("v1", "organizations", id, "owner"), {"user": user}), json_wanted=json)


@app.command("suspend")
def suspend(id: _Id, home: HomeOption = None, json: JsonOption = False) -> None:  # noqa: A002
    """Stop an organization's users and keys until it is restored."""
    with ControlPlane.connect(home) as plane:
        show.detail(plane.patch(path("v1", "organizations", id), {"status": "suspended"}), json_wanted=json)


@app.command("restore")
def restore(id: _Id, home: HomeOption = None, json: JsonOption = False) -> None:  # noqa: A002
    """End a suspension."""
    with ControlPlane.connect(home) as plane:
        show.detail(plane.patch(path("v1", "organizations", id), {"status": "active"}), json_wanted=json)
