"""`hatidata apply`: bring organizations, schemas, users, keys, views and policies to the state a file declares."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli import show, yaml_document
from cli.connection import ControlPlane
from cli.options import EnvironmentOption, HomeOption, JsonOption
from cli.reconcile import Outcome, Reconciler
from governance.state_file import parse_state


def apply(
    file: Annotated[Path, typer.Option("--file", "-f", help="The state file (YAML or JSON).")],
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Bring the declared state about; a second run changes nothing."""
    state = parse_state(yaml_document.load(file))
    with ControlPlane.connect(home, environment or state.environment) as plane:
        reconciler = Reconciler(plane, state)
        try:
            reconciler.run()
        finally:  # also when it was refused halfway: keys made until then are shown here or never
            _print(reconciler.outcome, json_wanted=json)


def _print(outcome: Outcome, *, json_wanted: bool) -> None:
    if json_wanted:
        show.as_json({"keys": outcome.keys, "done": [asdict(done) for done in outcome.done]})
        return
    show.as_table(
        [asdict(done) for done in outcome.done], ("action", "kind", "name"), empty="Everything is as declared."
    )
    if outcome.keys:
        console = Console(soft_wrap=True, highlight=False, markup=False)
        console.print("\nNew keys, shown this once:")
        for made in outcome.keys:
            console.print(f"  {made['name']}: {made['key']}")
