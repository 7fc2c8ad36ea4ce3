"""`hatidata environments`: production and staging, and what each allows."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import show
from cli.connection import ControlPlane, path
from cli.options import HomeOption, JsonOption

app = typer.Typer(help="Environments.", no_args_is_help=True)
_COLUMNS = (
    "name",
    "statement_timeout_ms",
    "rulebook_age_max_ms",
    "result_rows_max",
    "retention_days",
    "audit_sql_form",
)


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
    retention_days: Annotated[int | None, typer.Option(help="How long the audit is kept; may only grow.")] = None,
    audit_sql_form: Annotated[
        str | None, typer.Option(help="What the audit keeps of SQL from now on: redacted, fingerprint or none.")
    ] = None,
    redaction_pattern: Annotated[
        list[str] | None,
        typer.Option(help="NAME=EXPRESSION (RE2), also replaced in the audit; all of them, an empty one for none."),
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Set an environment up, or change its settings; what is not named stays."""
    settings = {
        "statement_timeout_ms": statement_timeout_ms,
        "rulebook_age_max_ms": rulebook_age_max_ms,
        "result_rows_max": result_rows_max,
        "retention_days": retention_days,
        "audit_sql_form": audit_sql_form,
        "redaction_patterns": _patterns(redaction_pattern) if redaction_pattern else None,
    }
    body = {setting: value for setting, value in settings.items() if value is not None}
    with ControlPlane.connect(home) as plane:
        show.detail(plane.put(path("v1", "environments", name), body), json_wanted=json)


def _patterns(given: list[str]) -> list[dict[str, str]]:
    """`NAME=EXPRESSION` each, as the API takes them."""
    parts = [text.partition("=") for text in given if text]
    return [{"name": name, "expression": expression} for name, _, expression in parts]
