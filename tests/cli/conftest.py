"""One control plane for all tests of the verbs, and the verbs run in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from cli.main import main
from tests.support.stack import Stack, running_control_plane


@dataclass
class Ended:
    """How a verb ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


Run = Callable[..., Ended]


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running control plane of a home of its own."""
    with running_control_plane(tmp_path_factory.mktemp("plane")) as stack:
        yield stack


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `hatidata` in this process: `verb("keys", "list", env={...})`."""

    def run(*arguments: str, env: dict[str, str] | None = None) -> Ended:
        for name in ("HATIDATA_HOME", "HATIDATA_URL", "HATIDATA_CA", "HATIDATA_API_KEY", "HATIDATA_ENVIRONMENT"):
            monkeypatch.delenv(name, raising=False)
        for name, value in (env or {}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["hatidata", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return Ended(int(ended.value.code or 0), told.out, told.err)

    return run


@pytest.fixture
def owner(verb: Run, plane: Stack) -> Run:
    """Run `hatidata` as the Owner against `plane`."""

    def run(*arguments: str, key: str = "") -> Ended:
        env = {"HATIDATA_API_KEY": key or plane.owner_key, "HATIDATA_HOME": str(plane.home)}
        return verb(*arguments, env=env)

    return run
