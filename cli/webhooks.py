"""`hatidata webhooks`: who is told of what; signing secrets are shown once."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from cli import show
from cli.connection import ControlPlane
from cli.exits import UsageWrong
from cli.lookup import one
from cli.options import EnvironmentOption, HomeOption, JsonOption

app = typer.Typer(help="Webhooks: signed notices of events.", no_args_is_help=True)
_COLUMNS = ("id", "url", "event_types", "status", "organization", "key_generation")
_DELIVERY_COLUMNS = ("at", "event_type", "status", "attempts", "code", "failure", "next_at", "event_id")
_Which = Annotated[str, typer.Argument(help="The webhook's id or URL.")]
_EventTypes = Annotated[list[str] | None, typer.Option("--event", help="An event type, such as key.expiring; repeat.")]


@app.command("list")
def list_webhooks(home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False) -> None:
    """Webhooks of the organizations you administer."""
    with ControlPlane.connect(home, environment) as plane:
        show.listing(plane.items(plane.within("webhooks")), _COLUMNS, json_wanted=json)


@app.command("create")
def create(
    url: str,
    event: _EventTypes = None,
    organization: Annotated[str, typer.Option(help="Another organization's than your own.")] = "",
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Register a webhook; its signing secret is printed once."""
    if not event:
        raise UsageWrong("Name at least one event type: --event key.expiring.")
    body = {"url": url, "event_types": event, "organization": organization}
    with ControlPlane.connect(home, environment) as plane:
        _print_secret(plane.post(plane.within("webhooks"), body), json)


@app.command("update")
def update(
    webhook: _Which,
    url: Annotated[str, typer.Option(help="Where to deliver from now on.")] = "",
    event: _EventTypes = None,
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Change the URL or the event types."""
    if not url and not event:
        raise UsageWrong("Nothing to change: give --url or --event.")
    _patch(webhook, {"url": url or None, "event_types": event or None}, home, environment, json)


@app.command("pause")
def pause(
    webhook: _Which, home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False
) -> None:
    """Tell it nothing until it is resumed; what waits is given up."""
    _patch(webhook, {"status": "paused"}, home, environment, json)


@app.command("resume")
def resume(
    webhook: _Which, home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False
) -> None:
    """Tell it again."""
    _patch(webhook, {"status": "active"}, home, environment, json)


@app.command("delete")
def delete(
    webhook: _Which, home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False
) -> None:
    """Remove a webhook."""
    with ControlPlane.connect(home, environment) as plane:
        show.detail(plane.delete(plane.within("webhooks", _find(plane, webhook)["id"])), json_wanted=json)


@app.command("secret")
def secret(
    webhook: _Which, home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False
) -> None:
    """Replace the signing secret; the new one is printed once, the old one signs beside it for 24 hours."""
    with ControlPlane.connect(home, environment) as plane:
        _print_secret(plane.post(plane.within("webhooks", _find(plane, webhook)["id"], "secret")), json)


@app.command("test")
def send_test(
    webhook: _Which, home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False
) -> None:
    """Send a test delivery; `hatidata webhooks deliveries` tells how it went."""
    with ControlPlane.connect(home, environment) as plane:
        show.detail(plane.post(plane.within("webhooks", _find(plane, webhook)["id"], "test")), json_wanted=json)


@app.command("deliveries")
def deliveries(
    webhook: _Which,
    most: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many at most.")] = 50,
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """The delivery log, newest first."""
    with ControlPlane.connect(home, environment) as plane:
        where = plane.within("webhooks", _find(plane, webhook)["id"], "deliveries")
        show.listing(plane.items(where, most=most), _DELIVERY_COLUMNS, json_wanted=json)


@app.command("networks")
def networks(
    allow: Annotated[list[str] | None, typer.Option(help="A private network (CIDR) to allow; repeat.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Allow none.")] = False,
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Show or set the private networks that deliveries may enter."""
    if allow and none:
        raise UsageWrong("Either --allow or --none.")
    with ControlPlane.connect(home, environment) as plane:
        where = plane.within("webhook-networks")
        found = plane.put(where, {"networks": allow or []}) if allow or none else plane.get(where)
        show.detail(found, json_wanted=json)


def _find(plane: ControlPlane, webhook: str) -> dict[str, Any]:
    return one(plane, plane.within("webhooks"), webhook, by=("id", "url"))


def _patch(webhook: str, change: dict[str, Any], home: HomeOption, environment: str, json: bool) -> None:
    body = {name: value for name, value in change.items() if value is not None}
    with ControlPlane.connect(home, environment) as plane:
        show.detail(plane.patch(plane.within("webhooks", _find(plane, webhook)["id"]), body), json_wanted=json)


def _print_secret(made: dict[str, Any], json_wanted: bool) -> None:
    if json_wanted:
        show.as_json(made)
        return
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"The signing secret of {made['id']}, shown this once:\n\n    {made['secret']}\n")
