"""`hatidata audit`: search the query audit, read the administrative chain, verify it online or from a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cli import show
from cli.chain_file import verify_file
from cli.connection import ControlPlane
from cli.exits import REFUSED, UsageWrong
from cli.options import EnvironmentOption, HomeOption, JsonOption
from governance import chain
from governance.errors import InvalidRequest

app = typer.Typer(help="The query audit and the chain of administrative events.", no_args_is_help=True)
_QUERY_COLUMNS = ("started_at", "user", "agent_id", "status", "rows_returned", "execution_ms", "sql", "error_reason")
_EVENT_COLUMNS = ("sequence", "at", "type", "actor", "target", "organization")
_Limit = Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")]
_Since = Annotated[str, typer.Option(help="RFC 3339, inclusive.")]
_Until = Annotated[str, typer.Option(help="RFC 3339, exclusive.")]


@app.command("search")
@app.command("queries", hidden=True)
def search(
    since: _Since = "",
    until: _Until = "",
    user: Annotated[str, typer.Option(help="User id or e-mail address.")] = "",
    agent: Annotated[str, typer.Option(help="Agent id.")] = "",
    key: Annotated[str, typer.Option(help="The id of an API key.")] = "",
    organization: Annotated[str, typer.Option(help="The operator may look at one organization.")] = "",
    table: Annotated[str, typer.Option(help="schema.table")] = "",
    status: Annotated[str, typer.Option(help="succeeded, denied, failed, cancelled, timed_out, ...")] = "",
    verdict: Annotated[str, typer.Option(help="A policy's name, or applied, exempt, allowed, denied.")] = "",
    query_id: Annotated[str, typer.Option(help="One query.")] = "",
    cache: Annotated[str, typer.Option(help="hit, partial, miss or none.")] = "",
    slower_than: Annotated[float, typer.Option(min=0, help="Milliseconds in the engine, at least.")] = 0.0,
    faster_than: Annotated[float, typer.Option(min=0, help="Milliseconds in the engine, at most; 0: any.")] = 0.0,
    text: Annotated[str, typer.Option(help="A piece of the redacted SQL.")] = "",
    limit: _Limit = 50,
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Search the query audit, newest first."""
    filters = {
        "since": since, "until": until, "user": user, "agent": agent, "key_id": key, "organization": organization,
        "table": table, "status": status, "verdict": verdict, "query_id": query_id, "cache_status": cache,
        "duration_ms_min": slower_than, "duration_ms_max": faster_than, "text": text,
    }  # fmt: skip
    archived: set[str] = set()
    with ControlPlane.connect(home, environment) as plane:
        within = plane.within("audit", "queries")
        found = plane.items(within, most=limit, seen=lambda page: archived.update(page.get("archived", ())), **filters)
        if json:
            show.as_json({"items": list(found), "archived": sorted(archived)})
        else:
            show.as_table(found, _QUERY_COLUMNS)
    if archived:
        days = sorted({name[8:18].replace("/", "-") for name in archived})
        print(
            f"{len(archived)} objects lie in Glacier and were passed over. Restore them with:\n"
            f"  hatidata audit restore --from {days[0]} --to {days[-1]}",
            file=sys.stderr,
        )


@app.command("admin")
def admin(
    type: Annotated[str, typer.Option("--type", help="One kind of event, such as policy_updated.")] = "",  # noqa: A002
    target: Annotated[str, typer.Option(help="The id of what was changed.")] = "",
    user: Annotated[str, typer.Option(help="The id of who changed it.")] = "",
    since: _Since = "",
    until: _Until = "",
    limit: _Limit = 50,
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Administrative events, newest first."""
    filters: dict[str, Any] = {"type": type, "target": target, "user": user, "since": since, "until": until}
    with ControlPlane.connect(home, environment) as plane:
        found = plane.items(plane.within("audit", "admin"), most=limit, **filters)
        if json:
            show.as_json({"items": list(found)})
        else:
            show.as_table(({**event, "actor": event["actor"]["user_id"]} for event in found), _EVENT_COLUMNS)


@app.command("export-chain")
def export_chain(
    file: Annotated[Path, typer.Argument(help="The file to write; must not exist.")],
    home: HomeOption = None,
    environment: EnvironmentOption = "",
) -> None:
    """Write the whole chain to a file, a canonical line per event, for `verify-chain FILE`."""
    with ControlPlane.connect(home, environment) as plane, _new(file) as out:
        for event in plane.items(plane.within("audit", "admin"), order="oldest"):
            out.write(chain.canonical(event) + b"\n")


@app.command("verify-chain")
def verify_chain(
    file: Annotated[Path | None, typer.Argument(help="A file of chain lines; offline, nothing else is asked.")] = None,
    expect_head: Annotated[str, typer.Option(help="The hash the last event must have.")] = "",
    checkpoints: Annotated[
        Path | None, typer.Option(help="A folder with checkpoints, such as a copy of the audit store.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="The public key (PEM) that checkpoints are signed with.")] = None,
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Verify the chain of administrative events; exits 1 when it does not hold or checkpoints disagree."""
    if file is not None:
        found = verify_file(file, environment, checkpoints, key)
    elif checkpoints is not None:
        raise UsageWrong("Checkpoints are compared with a file: export the chain first (`audit export-chain`).")
    else:
        with ControlPlane.connect(home, environment) as plane:
            found = plane.get(plane.within("audit", "admin", "verify-chain"))
    if expect_head and found["holds"] and found["head"] != expect_head:
        found |= {"holds": False, "first_break": {"line": found["count"], "sequence": None, "reason": "head"}}
    if json:
        show.as_json(found)
    else:
        _tell(found)
    if not found["holds"]:
        sys.exit(REFUSED)


def _new(file: Path) -> Any:
    try:
        return file.open("xb")
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be made: {error.strerror}.") from None


def _tell(found: dict[str, Any]) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    if found["holds"]:
        console.print(f"The chain holds: {found['count']} events, head {found['head']}.")
        if "checkpoints" in found:
            last = found["last_checkpoint_at"] or "no time"
            signatures = "signatures hold" if found["signed"] else "signatures were not checked: no --key"
            console.print(f"It agrees with {found['checkpoints']} checkpoints, the last at {last} ({signatures}).")
        return
    for finding in found.get("findings", ()):
        console.print(f"{finding['kind']}: {finding['checkpoint']}: {finding['detail']}.")
    broken = found["first_break"]
    if broken is None:
        console.print(f"The chain is whole in itself ({found['count']} events), but NOT what the checkpoints say.")
        return
    console.print(f"The chain BREAKS at line {broken['line']} (sequence {broken['sequence']}): {broken['reason']}.")
