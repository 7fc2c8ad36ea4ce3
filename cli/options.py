"""Options that several verbs take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", envvar="HATIDATA_HOME", help="The home whose control plane is meant (or HATIDATA_URL)."),
]
EnvironmentOption = Annotated[
    str, typer.Option("--environment", envvar="HATIDATA_ENVIRONMENT", help="production or staging; the home's own.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
