"""`hatidata audit restore`: copies of archived audit records, asked for and followed (claim W5.9)."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import typer

from cli import show
from cli.exits import UsageWrong
from cli.options import JsonOption
from governance.errors import InvalidRequest

FUNCTION = "audit-tiering"
CALLS_MAX = 10_000
_MEANINGS = {
    "ongoing": "being restored: bulk takes 5 to 12 hours, from Deep Archive up to two days",
    "ready": "a copy can be read",
    "none": "archived, and nobody asked for a copy",
    "at_hand": "never archived: can be read",
    "missing": "there is no such object",
}


def add_to(app: typer.Typer) -> None:
    """Give the `audit` verbs this one."""
    app.command("restore")(restore_audit)


def restore_audit(
    region: Annotated[str, typer.Option("--region", envvar="AWS_REGION", help="The deployment's region.")],
    names: Annotated[list[str] | None, typer.Argument(help="Objects, as `archived` of a search names them.")] = None,
    first: Annotated[str, typer.Option("--from", help="YYYY-MM-DD: everything of the days from this one on.")] = "",
    last: Annotated[str, typer.Option("--to", help="YYYY-MM-DD, inclusive; the same day by default.")] = "",
    days: Annotated[int, typer.Option(min=1, max=365, help="How long the copies are to last.")] = 7,
    speed: Annotated[str, typer.Option(help="bulk, standard or expedited; the sooner the dearer.")] = "bulk",
    status: Annotated[bool, typer.Option("--status", help="Ask for nothing; tell how far the copies are.")] = False,
    name: Annotated[str, typer.Option("--name", help="The deployment's name.")] = "hatidata",
    json: JsonOption = False,
) -> None:
    """Have archived audit records restored, by the deployment's own function; records of a home are never archived.

    Uses the AWS credentials of the shell it is run in, which need lambda:InvokeFunction and nothing else.
    """
    from aws.clients import client
    from aws.function_call import call_function

    if bool(names) == bool(first):
        raise UsageWrong("Which records? Give names of objects, or --from DAY and --to DAY.")
    event: dict[str, Any] = {"hatidata": "restore_status" if status else "restore"}
    event |= {} if status else {"days": days, "speed": speed}
    event |= {"names": names} if names else {"first_day": first, "last_day": last or first, "after": ""}
    service = client("lambda", region)
    objects: dict[str, str] = {}
    at_hand = 0
    for _ in range(CALLS_MAX):
        answer = call_function(service, f"{name}-{FUNCTION}", event)
        objects |= answer["objects"]
        at_hand += answer["at_hand"]
        if not answer["next"]:
            break
        event["after"] = answer["next"]
    else:
        raise InvalidRequest("These are too many objects for one request.", advice="Ask for fewer days.")
    if json:
        show.as_json({"objects": objects, "at_hand": at_hand})
        return
    counts = Counter(objects.values()) + Counter(at_hand=at_hand)
    show.as_table(
        (
            {"objects": str(count), "state": state, "meaning": _MEANINGS.get(state, "")}
            for state, count in counts.items()
        ),
        ("objects", "state", "meaning"),
    )
    if counts["ongoing"]:
        print("Ask again with --status; when all are ready, the same search finds their records.")
