"""`hatidata backup` and `restore`: one sealed file of a home, made while it runs, checked before it is used."""

from __future__ import annotations

import stat
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cli import show
from cli.chain_file import verify_lines
from cli.exits import REFUSED, UsageWrong
from cli.options import JsonOption
from governance.errors import InvalidRequest
from local.audit_verify import PUBLIC_KEY_FILE, public_key, verify
from local.backup import BackupFacts, back_up, chains_in, check, lines_of, restore
from local.clock import SystemClock
from local.control_store import SqliteControlStore
from local.home import Home
from local.sealed_stream import PASSPHRASE_BYTES_MAX

_Passphrase = Annotated[
    Path,
    typer.Option("--passphrase-file", envvar="HATIDATA_PASSPHRASE_FILE", help="A file that only you can read."),
]


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; must not exist.")],
    home: Annotated[Path, typer.Option("--home", envvar="HATIDATA_HOME", help="The home; it may be running.")],
    passphrase_file: _Passphrase,
    json: JsonOption = False,
) -> None:
    """Write a sealed backup of a home: register, chains, keys, certificates, audit."""
    try:
        facts = back_up(Home.open(home), file, _passphrase(passphrase_file), SystemClock())
    except OSError as error:
        raise InvalidRequest(f"The backup cannot be written: {error.strerror}.") from None
    if json:
        show.as_json(_document(facts))
    else:
        _say(f"{file} holds the home: {_words(facts)}. Nobody opens it without the passphrase.")


def restore_home(
    file: Annotated[Path, typer.Argument(help="A file that `hatidata backup` made.")],
    passphrase_file: _Passphrase,
    home: Annotated[Path | None, typer.Option("--home", help="The folder to make; must not exist.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Prove the audit in it too; without --home nothing is kept.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Put a home back, or prove that it could be: every file's digest, every link of every chain."""
    if home is None and not verify:
        raise UsageWrong("Say where to: --home DIR; or --verify to try the backup only.")
    passphrase = _passphrase(passphrase_file)
    proof: dict[str, Any] = {}
    try:
        if home is None:
            facts = check(file, passphrase, lambda folder: proof.update(_prove(folder)))
        else:
            facts = restore(file, home, passphrase)
            proof = _prove(home) if verify else {}
    except OSError as error:
        raise InvalidRequest(f"The backup cannot be restored: {error.strerror}.") from None
    if json:
        show.as_json(_document(facts) | proof)
    else:
        _say(f"The backup of {facts.made_at} is whole: {_words(facts)}.")
        if proof:
            _say(
                f"Its audit holds {proof['audit_records']} records and is {'sound' if proof['sound'] else 'NOT sound'}."
            )
        if home is not None:
            _say(f"It is restored to {home}. A key or user that was ended after {facts.made_at} is valid again there:")
            _say("look through the last events of the old chain, if you have it, before you serve.")
    if proof and not proof["sound"]:
        sys.exit(REFUSED)


def _prove(folder: Path) -> dict[str, Any]:
    """The query audit of a restored home, and its chains against their checkpoints, with its own key."""
    home = Home(folder)
    file = home.store_path.parent / PUBLIC_KEY_FILE
    key = file if file.exists() else None
    report = verify(home.audit_path, "", "", public_key(key) if key else None, None)
    faults = [{"kind": fault.kind, "name": fault.name, "detail": fault.detail} for fault in report.faults]
    store = SqliteControlStore(home.store_path)
    checkpoints = 0
    try:
        with store.read() as reader:
            for name in chains_in(reader):
                found = verify_lines(partial(lines_of, reader, name), name, home.audit_path, key)
                checkpoints += found["checkpoints"]
                faults += [
                    {"kind": f["kind"], "name": f["checkpoint"], "detail": f["detail"]} for f in found["findings"]
                ]
    finally:
        store.close()
    return {"sound": not faults, "audit_records": report.records, "checkpoints": checkpoints, "audit_faults": faults}


def _passphrase(path: Path) -> bytes:
    """The file's first line.

    Raises:
        UsageWrong: it cannot be read, or others may.
    """
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise UsageWrong(f"Others may read {path}: `chmod 600` it.")
            return file.readline(PASSPHRASE_BYTES_MAX + 2).rstrip(b"\r\n")
    except OSError as error:
        raise UsageWrong(f"{path} cannot be read: {error.strerror}.") from None


def _document(facts: BackupFacts) -> dict[str, Any]:
    chains = [{"environment": c.environment, "count": c.count, "head": c.head} for c in facts.chains]
    return {"made_at": facts.made_at, "files": facts.files, "bytes": facts.size, "chains": chains}


def _words(facts: BackupFacts) -> str:
    chains = ", ".join(f"{c.environment} {c.count}" for c in facts.chains)
    return f"{facts.files} files, {facts.size} bytes, chains: {chains or 'none'}"


def _say(sentence: str) -> None:
    Console(soft_wrap=True, highlight=False, markup=False).print(sentence)
