"""`hatidata cache`: what the nodes' caches hold, warming and clearing them.

By the control plane for every node; with `--here`, and always for `warm`, by the administrative socket of the node
whose home is given, as the user that node runs as.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import show
from cli.connection import ControlPlane
from cli.exits import Unreachable, UsageWrong
from cli.options import EnvironmentOption, HomeOption, JsonOption

app = typer.Typer(help="The nodes' caches.", no_args_is_help=True)
HereOption = Annotated[bool, typer.Option("--here", help="Only the node of this home, by its administrative socket.")]


@app.command("status")
def status(
    home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False, here: HereOption = False
) -> None:
    """The last figures every node gave of its cache; with --here, one node's now."""
    if here:
        show.detail(_ask(home, "status"), json_wanted=json)
        return
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


@app.command("warm")
def warm(
    table: Annotated[str, typer.Argument(help="schema.table")], home: HomeOption = None, json: JsonOption = False
) -> None:
    """Bring a whole table to the cache of this home's node."""
    show.detail(_ask(home, "warm", table), json_wanted=json)


@app.command("clear")
def clear(
    home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False, here: HereOption = False
) -> None:
    """Have every node clear its cache when it next hears from the control plane; with --here, one node now."""
    if here:
        show.detail(_ask(home, "clear"), json_wanted=json)
        return
    with ControlPlane.connect(home, environment) as plane:
        show.detail(plane.post(plane.within("cache", "clear")), json_wanted=json)


def _ask(home: Path | None, verb: str, table: str = "") -> dict[str, Any]:
    from engine.cache.cache_socket import ask  # no other verb needs it

    if home is None:
        raise UsageWrong("Say which node is meant: --home DIR.")
    try:
        return ask(home / "node", verb, table)
    except PermissionError:
        raise Unreachable("Only the user that the node runs as may ask it.") from None
    except (OSError, ValueError):
        raise Unreachable("No node answers in this home.") from None
