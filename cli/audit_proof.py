"""`hatidata audit verify` and `seal`: the proof over a home's audit store, offline, and the manifests it rests on."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli import show
from cli.exits import REFUSED
from cli.options import JsonOption
from governance.audit_proof import Report
from governance.errors import InvalidRequest, Refusal
from local.audit_verify import (
    PUBLIC_KEY_FILE,
    newest_manifest,
    public_key,
    seal_finished_days,
    signing_key,
    verify,
)
from local.clock import SystemClock
from local.home import Home

SEAL_EVERY_S = 3600.0
FAULTS_SHOWN = 100

_Home = Annotated[Path | None, typer.Option("--home", envvar="HATIDATA_HOME", help="The home whose audit is meant.")]
_Path = Annotated[Path | None, typer.Option("--path", help="The folder of audit objects, when it is not a home's.")]
_Key = Annotated[Path | None, typer.Option("--key", help="The public key (PEM); a home's own by default.")]


def add_to(app: typer.Typer) -> None:
    """Give the `audit` verbs these two."""
    app.command("verify")(verify_audit)
    app.command("seal")(seal_audit)


def verify_audit(
    first: Annotated[str, typer.Option("--from", help="YYYY-MM-DD, inclusive; the beginning by default.")] = "",
    last: Annotated[str, typer.Option("--to", help="YYYY-MM-DD, inclusive; the end by default.")] = "",
    home: _Home = None,
    path: _Path = None,
    key: _Key = None,
    last_manifest: Annotated[
        str, typer.Option("--last-manifest", help="SHA-256 of a manifest seen before: it must be there still.")
    ] = "",
    json: JsonOption = False,
) -> None:
    """Prove that the query audit is complete, unmodified and in order; exits 1 and names what is not."""
    spool = memory = None
    if path is None:
        if home is None:
            raise InvalidRequest("Which audit?", advice="Give --home DIR, or --path DIR and --key FILE.")
        opened = Home.open(home)
        path, spool, memory = opened.audit_path, opened.node_path / "spool", _key_folder(opened)
        own = _key_folder(opened) / PUBLIC_KEY_FILE
        key = key or (own if own.exists() else None)
    try:
        checks = public_key(key) if key is not None else None
        report = verify(path, first, last, checks, spool, memory, last_manifest.lower())
        newest = newest_manifest(path)
    except OSError as error:
        raise InvalidRequest(f"The audit cannot be read: {error.strerror}.") from None
    if json:
        show.as_json(
            {
                "sound": report.sound,
                "objects": report.objects,
                "records": report.records,
                "manifests": report.manifests,
                "unsealed_objects": report.unsealed_objects,
                "signed": report.signed,
                "last_manifest": {"day": newest.day, "sha256": newest.digest} if newest else None,
                "faults": [{"kind": f.kind, "name": f.name, "detail": f.detail} for f in report.faults],
            }
        )
    else:
        _tell(report)
        if newest is not None:
            print(f"The last manifest is {newest.day}, {newest.digest}: keep it with someone else (--last-manifest).")
    if not report.sound:
        sys.exit(REFUSED)


def _tell(report: Report) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    signed = "signatures hold" if report.signed else "signatures were not checked (no public key)"
    seen = f"{report.records} records in {report.objects} objects, {report.manifests} manifests"
    if report.sound:
        console.print(f"The audit is sound: {seen}, {signed}; {report.unsealed_objects} objects are not sealed yet.")
        return
    show.as_table(
        ({"kind": f.kind, "name": f.name, "detail": f.detail} for f in report.faults[:FAULTS_SHOWN]),
        ("kind", "name", "detail"),
    )
    console.print(f"The audit is NOT sound: {len(report.faults)} faults among {seen}.")


def seal_audit(home: Annotated[Path, typer.Option("--home", envvar="HATIDATA_HOME")], json: JsonOption = False) -> None:
    """Make and sign the manifest of every finished day that has none; a running home does so by itself."""
    opened = Home.open(home)
    try:
        days = _seal(opened)
    except OSError as error:
        raise InvalidRequest(f"The audit cannot be sealed: {error.strerror}.") from None
    except ValueError:
        raise InvalidRequest("The last manifest is damaged.", advice="`hatidata audit verify` says which.") from None
    if json:
        show.as_json({"sealed": days})
    else:
        print("Sealed: " + (", ".join(days) or "nothing new") + ".")


async def seal_each_day(home: Home) -> None:
    """Seal finished days now and every hour, until cancelled; a failure is said and tried again."""
    while True:
        try:
            await asyncio.to_thread(_seal, home)
        except (OSError, ValueError, Refusal) as error:
            print(f"hatidata: audit days could not be sealed: {type(error).__name__}", file=sys.stderr)
        await asyncio.sleep(SEAL_EVERY_S)


def _seal(home: Home) -> list[str]:
    folder = _key_folder(home)
    return seal_finished_days(home.audit_path, signing_key(folder), SystemClock(), folder)


def _key_folder(home: Home) -> Path:
    return home.store_path.parent
