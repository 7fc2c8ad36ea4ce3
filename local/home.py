"""The home of an embedded installation: one folder, owner-only, with everything that must survive a restart.

Layout (see `ARCHITECTURE.md`): `home.json` (settings), `control/` (the store), `tls/` (certificates), `node/` (what the
query node keeps), `audit/` (the audit store) and `run/` (where a running control plane says how to reach it).
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from governance.errors import Conflict, InvalidRequest, NotFound

FORMAT = 1
ENVIRONMENTS = ("production", "staging")
FOLDERS = ("control", "tls", "node", "audit", "run")
_DOCUMENT_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class HomeSettings:
    """What a home was made for; never changed by running."""

    organization_id: str
    organization_name: str
    environment: str = "production"
    """The environment this home serves: the database name on the wire."""
    tls_names: tuple[str, ...] = ("localhost",)
    """DNS names and addresses, beside the loopback ones, that the server certificate is made for."""


@dataclass(frozen=True, slots=True)
class RunningParts:
    """Where the parts of a home listen at the moment (`run/control.json`)."""

    url: str
    pid: int
    """The control plane's process."""
    node_port: int = 0
    """Where PostgreSQL clients connect; 0 while the node is not ready."""
    metrics_port: int = 0

    @property
    def control_port(self) -> int:
        """The port in `url`."""
        return int(self.url.rpartition(":")[2])


@dataclass(frozen=True, slots=True)
class Home:
    """Paths of one home folder."""

    path: Path

    @classmethod
    def create(cls, path: Path, settings: HomeSettings) -> Home:
        """Make the folder, its rooms and `home.json`.

        Raises:
            Conflict: something is there already.
            InvalidRequest: the environment is not one of `ENVIRONMENTS`.
        """
        if settings.environment not in ENVIRONMENTS:
            raise InvalidRequest("The environment is not known.", advice="Use one of: " + ", ".join(ENVIRONMENTS) + ".")
        home = cls(path.absolute())
        home.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(home.path.iterdir()):
            raise Conflict("The home folder is not empty.", advice="Choose a folder that does not exist yet.")
        home.path.chmod(0o700)
        for name in FOLDERS:
            (home.path / name).mkdir(mode=0o700)
        write_private(home.settings_path, _encode({"format": FORMAT, **asdict(settings)}))
        return home

    @classmethod
    def open(cls, path: Path) -> Home:
        """The home at `path`, made before by `create`.

        Raises:
            NotFound: there is no home there.
            InvalidRequest: its format is not understood, or others may write to it.
        """
        home = cls(path.absolute())
        try:
            mode = home.path.stat().st_mode
            home.settings()
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(
                "There is no home in this folder.", advice="Make one with `hatidata init --home DIR --org NAME`."
            ) from None
        if stat.S_IMODE(mode) & 0o077:
            raise InvalidRequest(
                "Others may read this home folder.", advice="Take their rights away with `chmod 700` on the folder."
            )
        return home

    def settings(self) -> HomeSettings:
        """What `home.json` says.

        Raises:
            InvalidRequest: a format this version does not understand.
            FileNotFoundError: there is none.
        """
        document = _decode(self.settings_path)
        try:
            if document.pop("format") != FORMAT:
                raise InvalidRequest("This home was made by another version.", advice="Use that version of hatidata.")
            return HomeSettings(**{**document, "tls_names": tuple(document["tls_names"])})
        except (KeyError, TypeError) as error:
            raise InvalidRequest("The home's settings are damaged.", reason=type(error).__name__) from None

    def running(self) -> RunningParts:
        """Where the parts listen.

        Raises:
            NotFound: none has said so.
        """
        try:
            document = _decode(self.running_path)
            return RunningParts(
                url=str(document["url"]),
                pid=int(document["pid"]),
                node_port=int(document["node_port"]),
                metrics_port=int(document["metrics_port"]),
            )
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            raise NotFound(
                "No control plane runs in this home.", advice="Start one with `hatidata serve --home DIR --data PATH`."
            ) from None

    def announce(self, running: RunningParts) -> None:
        """Write `run/control.json`."""
        write_private(self.running_path, _encode(asdict(running)))

    def withdraw(self) -> None:
        """Take `run/control.json` away."""
        self.running_path.unlink(missing_ok=True)

    @property
    def settings_path(self) -> Path:
        """`home.json`."""
        return self.path / "home.json"

    @property
    def running_path(self) -> Path:
        """`run/control.json`."""
        return self.path / "run" / "control.json"

    @property
    def store_path(self) -> Path:
        """The control plane's store."""
        return self.path / "control" / "store.sqlite"

    @property
    def tls_path(self) -> Path:
        """Certificates and keys."""
        return self.path / "tls"

    @property
    def node_path(self) -> Path:
        """What the query node keeps: rulebook, spool, cache, spill."""
        return self.path / "node"

    @property
    def audit_path(self) -> Path:
        """The audit store."""
        return self.path / "audit"

    @property
    def lock_path(self) -> Path:
        """Held by the one `hatidata serve` of this home."""
        return self.path / "run" / "serve.lock"


def write_private(path: Path, data: bytes) -> None:
    """Write `data` to `path` (mode 0600) so that a reader sees the old content or the new, never a part."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=2, sort_keys=True).encode() + b"\n"


def _decode(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        data = file.read(_DOCUMENT_BYTES_MAX + 1)
    try:
        document = json.loads(data)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise InvalidRequest("A settings file of the home is damaged.", reason=f"{path.name} is not a JSON object")
    return document
