"""`hatidata users`: people and service accounts, their role, attributes and status."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli import show
from cli.connection import ControlPlane, path
from cli.exits import UsageWrong
from cli.lookup import one
from cli.options import HomeOption, JsonOption
from governance.roles import Role

app = typer.Typer(help="Users.", no_args_is_help=True)
_COLUMNS = ("id", "email", "organization", "role", "attributes", "status")
_Who = Annotated[str, typer.Argument(help="The user's id or e-mail address.")]
_Attributes = Annotated[list[str] | None, typer.Option("--attribute", help="NAME=VALUE; may be given several times.")]


@app.command("list")
def list_users(
    organization: Annotated[str, typer.Option(help="Only this organization's.")] = "",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """The users of the organizations you administer."""
    with ControlPlane.connect(home) as plane:
        show.listing(plane.items("/v1/users", organization=organization), _COLUMNS, json_wanted=json)


@app.command("show")
def show_user(user: _Who, home: HomeOption = None, json: JsonOption = False) -> None:
    """One user."""
    with ControlPlane.connect(home) as plane:
        show.detail(_find(plane, user), json_wanted=json)


@app.command("create")
def create(
    email: str,
    role: Annotated[Role, typer.Option(help="What the user may do.")],
    organization: Annotated[str, typer.Option(help="Your own when not given.")] = "",
    id: Annotated[str, typer.Option("--id", help="The id filters know the user by; the address.")] = "",  # noqa: A002
    attribute: _Attributes = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make a user."""
    body: dict[str, Any] = {"email": email, "role": role.value, "attributes": attributes_of(attribute)}
    body |= {name: value for name, value in (("organization", organization), ("id", id)) if value}
    with ControlPlane.connect(home) as plane:
        show.detail(plane.post("/v1/users", body), json_wanted=json)


@app.command("update")
def update(
    user: _Who,
    role: Annotated[Role | None, typer.Option(help="What the user may do.")] = None,
    email: Annotated[str, typer.Option(help="Another address; the id stays.")] = "",
    attribute: _Attributes = None,
    remove_attribute: Annotated[list[str] | None, typer.Option(help="An attribute's name.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Change a user's role, address or attributes; what is not named stays."""
    with ControlPlane.connect(home) as plane:
        old = _find(plane, user)
        change: dict[str, Any] = {}
        if role:
            change["role"] = role.value
        if email:
            change["email"] = email
        if attribute or remove_attribute:
            kept = {k: v for k, v in old["attributes"].items() if k not in (remove_attribute or ())}
            change["attributes"] = kept | attributes_of(attribute)
        if not change:
            raise UsageWrong("Say what to change: --role, --email, --attribute or --remove-attribute.")
        show.detail(plane.patch(path("v1", "users", old["id"]), change), json_wanted=json)


@app.command("suspend")
def suspend(user: _Who, home: HomeOption = None, json: JsonOption = False) -> None:
    """Stop a user's keys and sessions until he is restored."""
    _set_status(user, "suspended", home, json)


@app.command("restore")
def restore(user: _Who, home: HomeOption = None, json: JsonOption = False) -> None:
    """End a suspension."""
    _set_status(user, "active", home, json)


@app.command("delete")
def delete(user: _Who, home: HomeOption = None, json: JsonOption = False) -> None:
    """Remove a user and revoke the user's keys."""
    with ControlPlane.connect(home) as plane:
        show.detail(plane.delete(path("v1", "users", _find(plane, user)["id"])), json_wanted=json)


def _set_status(user: str, status: str, home: HomeOption, json: bool) -> None:
    with ControlPlane.connect(home) as plane:
        found = _find(plane, user)
        show.detail(plane.patch(path("v1", "users", found["id"]), {"status": status}), json_wanted=json)


def _find(plane: ControlPlane, user: str) -> dict[str, Any]:
    return one(plane, "/v1/users", user, by=("id", "email"))


def attributes_of(pairs: list[str] | None) -> dict[str, str]:
    """`NAME=VALUE` options as attributes; UsageWrong when one is none."""
    out = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageWrong("An attribute is written NAME=VALUE.")
        out[name] = value
    return out
