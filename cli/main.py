"""The door of the `hatidata` command."""

from __future__ import annotations

import typer

app = typer.Typer(name="hatidata", no_args_is_help=True, add_completion=True)


def main() -> None:
    """Run the command line."""
    app()
