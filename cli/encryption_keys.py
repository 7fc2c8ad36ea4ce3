"""`hatidata encryption-keys`: how the installation's keys rotate, and asking for a rotation now."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import show
from cli.connection import ControlPlane, path
from cli.options import EnvironmentOption, HomeOption, JsonOption

app = typer.Typer(help="The installation's encryption keys.", no_args_is_help=True)
_COLUMNS = ("name", "status", "automatic", "on_demand", "on_demand_max", "asked_at", "rotated_at")


@app.command("list")
def list_keys(home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False) -> None:
    """The keys, and how they rotate."""
    with ControlPlane.connect(home, environment) as plane:
        show.listing(plane.get("/v1/encryption-keys")["items"], _COLUMNS, json_wanted=json)


@app.command("rotate")
def rotate(
    name: Annotated[str, typer.Argument(help="The key's name, as listed.")],
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Ask for a rotation now; each key allows 25 in its life."""
    with ControlPlane.connect(home, environment) as plane:
        show.detail(plane.post(path("v1", "encryption-keys", name, "rotate")), json_wanted=json)
