"""`hatidata reviews`: each quarter's report of who holds what, signed off line by line."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli import show
from cli.connection import ControlPlane, path
from cli.options import HomeOption, JsonOption

app = typer.Typer(help="Access reviews.", no_args_is_help=True)
_COLUMNS = ("id", "status", "opened_at", "due_at", "lines", "signed", "gone")
_LINE_COLUMNS = ("number", "user", "role", "privileges", "keys", "last_used_at", "changes", "said", "by")
_Which = Annotated[str, typer.Argument(help="The review's id, such as 2026-Q4.1.")]


@app.command("list")
def list_reviews(home: HomeOption = None, json: JsonOption = False) -> None:
    """Reviews, when they are due, and how far they are."""
    with ControlPlane.connect(home) as plane:
        show.listing(plane.items("/v1/access-reviews"), _COLUMNS, json_wanted=json)


@app.command("open")
def open_review(
    organization: Annotated[str, typer.Option(help="Your own when not given.")] = "",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Open this quarter's review now; else the schedule does."""
    with ControlPlane.connect(home) as plane:
        body = {"organization": organization} if organization else {}
        show.detail(plane.post("/v1/access-reviews", body), json_wanted=json)


@app.command("show")
def show_review(review: _Which, home: HomeOption = None, json: JsonOption = False) -> None:
    """Who holds what, when it was last used, what has changed, and what was said of it."""
    with ControlPlane.connect(home) as plane:
        lines = plane.items(path("v1", "access-reviews", review, "lines"))
        if json:
            show.as_json({"items": list(lines)})
        else:
            show.as_table((_row(line) for line in lines), _LINE_COLUMNS)


@app.command("sign")
def sign(
    review: _Which,
    number: Annotated[int, typer.Argument(help="The line's number.", min=1)],
    decision: Annotated[str, typer.Argument(help="keep, or revoke: the access is to be taken away.")],
    note: Annotated[str, typer.Option(help="Why; it stands in the audit.")] = "",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Sign a line off. What is said stands; the access itself is changed by other verbs."""
    body = {"decision": decision, "note": note}
    with ControlPlane.connect(home) as plane:
        line = plane.post(path("v1", "access-reviews", review, "lines", str(number)), body)
        if json:
            show.as_json(line)
        else:
            show.as_table([_row(line)], _LINE_COLUMNS)


def _row(line: dict[str, Any]) -> dict[str, Any]:
    held, signed = line["held"], line["signed"]
    return {
        "number": line["number"],
        "user": held["user_id"],
        "role": held["role"] if held["status"] == "active" else f"{held['role']} ({held['status']})",
        "privileges": held["privileges"],
        "keys": held["key_count"],
        "last_used_at": held["last_used_at"],
        "changes": held["changes"],
        "said": (signed["decision"] + (", outstanding" if line["outstanding"] else "")) if signed else "",
        "by": signed["reviewer_id"] if signed else "",
    }
