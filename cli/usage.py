"""`hatidata usage` and `hatidata quotas`: how much was asked, how long it took, and how much may be asked."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli import show
from cli.connection import ControlPlane
from cli.lookup import one
from cli.options import EnvironmentOption, HomeOption, JsonOption

quotas = typer.Typer(help="Quotas of keys and organizations.", no_args_is_help=True)
_COLUMNS = ("day", "key_name", "user_id", "organization", "count", "succeeded", "p50_ms", "p95_ms", "p99_ms")
_QUOTA_COLUMNS = ("subject", "id", "organization", "queries_per_day", "queries_per_minute")
_PerDay = Annotated[int, typer.Option("--per-day", min=0, help="Statements a day (UTC); 0 is no limit.")]
_PerMinute = Annotated[int, typer.Option("--per-minute", min=0, help="Statements a minute, on each node; 0: no limit.")]


def usage(
    since: Annotated[str, typer.Option(help="The first day, such as 2026-11-22.")] = "",
    until: Annotated[str, typer.Option(help="The last day.")] = "",
    key: Annotated[str, typer.Option(help="Only this key's: an id or name.")] = "",
    organization: Annotated[str, typer.Option(help="Only this organization's.")] = "",
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Counts and latencies by key and day; nothing in them names data."""
    with ControlPlane.connect(home, environment) as plane:
        key_id = one(plane, plane.within("keys"), key)["id"] if key else ""
        found = plane.items(plane.within("usage"), since=since, until=until, key_id=key_id, organization=organization)
        if json:
            show.as_json({"items": list(found)})
            return
        rows = ({**item, "succeeded": item["statements"].get("succeeded", 0)} for item in found)
        show.as_table(rows, _COLUMNS)


@quotas.command("list")
def list_quotas(home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False) -> None:
    """Quotas of the organizations and keys you administer."""
    with ControlPlane.connect(home, environment) as plane:
        show.listing(plane.items(plane.within("quotas")), _QUOTA_COLUMNS, json_wanted=json)


@quotas.command("key")
def set_key(
    key: Annotated[str, typer.Argument(help="The key's id or name.")],
    per_day: _PerDay = 0,
    per_minute: _PerMinute = 0,
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Set what a key may ask; without options the quota is lifted."""
    with ControlPlane.connect(home, environment) as plane:
        found = one(plane, plane.within("keys"), key)
        show.detail(
            plane.put(plane.within("quotas", "keys", found["id"]), _body(per_day, per_minute)), json_wanted=json
        )


@quotas.command("organization")
def set_organization(
    organization: Annotated[str, typer.Argument(help="The organization's id.")],
    per_day: _PerDay = 0,
    per_minute: _PerMinute = 0,
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Set what all keys of an organization may ask together; without options the quota is lifted."""
    with ControlPlane.connect(home, environment) as plane:
        where = plane.within("quotas", "organizations", organization)
        show.detail(plane.put(where, _body(per_day, per_minute)), json_wanted=json)


def _body(per_day: int, per_minute: int) -> dict[str, Any]:
    return {"queries_per_day": per_day, "queries_per_minute": per_minute}
