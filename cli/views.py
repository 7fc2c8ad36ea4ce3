"""`hatidata views`: SELECTs stored by administrators; they run with their caller's policies."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli import show
from cli.connection import ControlPlane
from cli.lookup import one
from cli.options import EnvironmentOption, HomeOption, JsonOption

app = typer.Typer(help="Views.", no_args_is_help=True)
_COLUMNS = ("id", "name", "organization", "sql")
_Which = Annotated[str, typer.Argument(help="The view's id or schema.name.")]


@app.command("list")
def list_views(home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False) -> None:
    """Views in the schemas you administer."""
    with ControlPlane.connect(home, environment) as plane:
        show.listing(plane.items(plane.within("views")), _COLUMNS, json_wanted=json)


@app.command("show")
def show_view(
    view: _Which, home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False
) -> None:
    """One view."""
    with ControlPlane.connect(home, environment) as plane:
        show.detail(_find(plane, view), json_wanted=json)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="schema.name")],
    sql: Annotated[str, typer.Argument(help="One SELECT.")],
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Store a view."""
    with ControlPlane.connect(home, environment) as plane:
        show.detail(plane.post(plane.within("views"), {"name": name, "sql": sql}), json_wanted=json)


@app.command("replace")
def replace(
    view: _Which,
    sql: Annotated[str, typer.Argument(help="One SELECT.")],
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Put another SELECT in a view's place."""
    with ControlPlane.connect(home, environment) as plane:
        found = _find(plane, view)
        body = {"name": found["name"], "sql": sql}
        show.detail(plane.put(plane.within("views", found["id"]), body), json_wanted=json)


@app.command("delete")
def delete(
    view: _Which, home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False
) -> None:
    """Delete a view."""
    with ControlPlane.connect(home, environment) as plane:
        show.detail(plane.delete(plane.within("views", _find(plane, view)["id"])), json_wanted=json)


def _find(plane: ControlPlane, view: str) -> dict[str, Any]:
    return one(plane, plane.within("views"), view)
