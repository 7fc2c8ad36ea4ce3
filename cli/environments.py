"""`hatidata environments`: production and staging, and what each allows."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import show
from cli.connection import ControlPlane, path
from cli.options import HomeOption, JsonOption

app = typer.Typer(help="Environments.", no_args_is_help=True)
_COLUMNS = ("name", "statement_timeout_ms", "rulebook_age_max_ms", "result_rows_max", "retention_days")


@app.command("list")
def list_environments(home: HomeOption = None, json: JsonOption = False) -> None:
    """The environments your key opens."""
    with ControlPlane.connect(home) as plane:
        show.listing(plane.items("/v1/environments"), _COLUMNS, json_wanted=json)


@app.command("set")
def set_environment(
    name: Annotated[str, typer.Argument(help="production or staging; made when it is not there yet.")],
    statement_timeout_ms: Annotated[int | None, typer.Option(help="How long a statement may run.")] = None,
    rulebook_age_max_ms: Annotated[int | None, typer.Option(help="How old a node's rulebook may be.")] = None,
    result_rows_max: Annotated[int | None, typer.Option(help="Rows of one result; 0 is unlimited.")] = None,
    retention_days: Annotated[int | None, typer.Option(help="How long the audit is kept.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Set an environment up, or change its settings; what is not named stays."""
    settings = {
        "statement_timeout_ms": statement_timeout_ms,
        "rulebook_age_max_ms": rulebook_age_max_ms,
        "result_rows_max": result_rows_max,
        "retention_days": retention_days,
    }
    body = {setting: value for setting, value in settings.items() if value is not None}
    with ControlPlane.connect(home) as plane:
        show.detail(plane.put(path("v1", "environments", name), body), json_wanted=json)
