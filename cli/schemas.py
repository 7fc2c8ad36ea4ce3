"""`hatidata schemas`: whose each schema is, and the tables nodes see in them."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import show
from cli.connection import ControlPlane
from cli.options import EnvironmentOption, HomeOption, JsonOption

app = typer.Typer(help="Schemas and tables.", no_args_is_help=True)


@app.command("list")
def list_schemas(home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False) -> None:
    """Declared schemas and their owners; others belong to the operator organization."""
    with ControlPlane.connect(home, environment) as plane:
        show.listing(plane.items(plane.within("schemas")), ("name", "organization"), json_wanted=json)


@app.command("assign")
def assign(
    name: str,
    organization: Annotated[str, typer.Argument(help="An organization's id, or shared.")],
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Give a schema to an organization."""
    with ControlPlane.connect(home, environment) as plane:
        show.detail(plane.put(plane.within("schemas", name), {"organization": organization}), json_wanted=json)


@app.command("tables")
def tables(home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False) -> None:
    """The tables you see, with their columns, as nodes reported them."""
    with ControlPlane.connect(home, environment) as plane:
        items = plane.items(plane.within("tables"))
        if json:
            show.as_json({"items": list(items)})
            return
        rows = (
            {**item, "columns": ", ".join(f"{column['name']} {column['type']}" for column in item["columns"])}
            for item in items
        )
        show.as_table(rows, ("schema", "name", "columns"))
