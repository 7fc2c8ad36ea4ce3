"""`hatidata cache`: what the nodes' caches hold, and clearing them."""

from __future__ import annotations

import typer

from cli import show
from cli.connection import ControlPlane
from cli.options import EnvironmentOption, HomeOption, JsonOption

app = typer.Typer(help="The nodes' caches.", no_args_is_help=True)


@app.command("status")
def status(home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False) -> None:
    """The last figures every node gave of its cache."""
    with ControlPlane.connect(home, environment) as plane:
        nodes = list(plane.items(plane.within("nodes")))
    if json:
        show.as_json({"items": nodes})
        return
    rows = [
        {"node": node["node"], "at": node["at"], "figure": name, "value": value}
        for node in nodes
        for name, value in sorted(node["figures"].items())
        if name.startswith("cache")
    ]
    show.as_table(rows, ("node", "at", "figure", "value"), empty="No node has told its figures yet.")


@app.command("clear")
def clear(home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False) -> None:
    """Have every node clear its cache; each does when it next hears from the control plane."""
    with ControlPlane.connect(home, environment) as plane:
        show.detail(plane.post(plane.within("cache", "clear")), json_wanted=json)
