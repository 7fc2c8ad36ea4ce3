"""`hatidata whoami`: who a key is to the control plane."""

from __future__ import annotations

from cli import show
from cli.connection import ControlPlane
from cli.options import EnvironmentOption, HomeOption, JsonOption


def whoami(home: HomeOption = None, environment: EnvironmentOption = "", json: JsonOption = False) -> None:
    """Who your key is: user, organization, role, scopes."""
    with ControlPlane.connect(home, environment) as plane:
        show.detail(plane.get("/v1/whoami"), json_wanted=json)
