"""`hatidata audit literal`: what stands in the audit for a value, where an environment keeps only shapes of SQL."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import show
from cli.options import JsonOption
from engine.audit.texts import literal_key
from governance.errors import InvalidRequest
from governance.fingerprint import literal_digest
from local.home import Home
from local.mask_key import read_mask_key

CHARS_MAX = 65_536


def add_to(app: typer.Typer) -> None:
    """Give the `audit` verbs this one."""
    app.command("literal")(show_literal)


def show_literal(
    home: Annotated[Path, typer.Option("--home", envvar="HATIDATA_HOME", help="The home whose audit is meant.")],
    json: JsonOption = False,
) -> None:
    """Read a value from standard input, one line, and print its keyed digest: search the audit's text for that."""
    line = sys.stdin.readline(CHARS_MAX + 1)
    if len(line) > CHARS_MAX:
        raise InvalidRequest(f"A value has at most {CHARS_MAX} characters.")
    key = literal_key(read_mask_key(Home.open(home).node_path))
    if not key:
        raise InvalidRequest("This home has no mask key, so its audit keeps no digests of literals.")
    digest = literal_digest(line.removesuffix("\n"), key)
    if json:
        show.as_json({"digest": digest})
    else:
        print(digest)
