"""The demo's warehouse: its folder, its data, its law, and `hatidata serve` as a process of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from cli.connection import Address, ControlPlane
from cli.demo.flights import write_flights
from cli.demo.sample_data import write_samples
from cli.exits import NotStarted, Unreachable
from cli.init import prepare_home
from cli.reconcile import Reconciler
from cli.yaml_document import load
from governance.errors import Conflict
from governance.state_file import parse_state
from local.home import Home, RunningParts, write_private

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 40.0
TABLES_TIMEOUT_S = 30.0
STATE = Path(__file__).with_name("state.yaml")
_MARK = "made-by-hatidata-demo"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the parts listen; 0 is any free port."""

    clients: int = 5439
    control: int = 8080
    metrics: int = 9090


@dataclass
class Warehouse:
    """A running demo. `keys` holds the API keys by name: owner, analyst, agent, globex-analyst."""

    folder: Path
    keys: dict[str, str] = field(default_factory=dict, repr=False)
    running: RunningParts | None = None
    _process: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Home:
        """Its home."""
        return Home(self.folder / "home")

    @property
    def lake(self) -> Path:
        """Its Parquet."""
        return self.folder / "lake"

    @property
    def ca(self) -> Path:
        """The authority's certificate."""
        return self.home.tls_path / "ca.crt"

    @property
    def passfile(self) -> Path:
        """A libpq password file with the keys."""
        return self.folder / "pgpass"

    def control_plane(self) -> ControlPlane:
        """The REST API as the Owner."""
        url = self.running.url if self.running else ""
        return ControlPlane(Address(url, self.ca, "production"), self.keys["owner"])

    def start(self, ports: Ports) -> None:
        """Run `hatidata serve` and wait until it is ready.

        Raises:
            NotStarted: it did not become ready in time; it has said why on stderr.
        """
        command = [
            sys.executable, "-m", "cli.main", "serve", "--home", str(self.home.path), "--data", str(self.lake),
            "--port", str(ports.clients), "--control-port", str(ports.control), "--metrics-port", str(ports.metrics),
        ]  # fmt: skip
        self._process = subprocess.Popen(  # noqa: S603  our own command
            command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True
        )
        lines: list[bytes] = []
        ready = threading.Event()

        def read(process: subprocess.Popen[bytes]) -> None:
            for line in process.stdout or ():
                lines.append(line)
                if line.startswith(b"ready"):
                    ready.set()
            ready.set()

        threading.Thread(target=read, args=(self._process,), daemon=True).start()
        if not ready.wait(START_TIMEOUT_S) or not any(line.startswith(b"ready") for line in lines):
            raise NotStarted("The demo's warehouse did not start.", advice="Its reason stands above.")
        self.running = self.home.running()

    def apply(self) -> int:
        """Apply the demo's state; how many things were made."""
        with self.control_plane() as plane:
            outcome = Reconciler(plane, parse_state(load(STATE))).run()
        self.keys |= {made["name"]: made["key"] for made in outcome.keys}
        lines = [f"localhost:{self.running.node_port if self.running else 0}:production:{name}:{key}\n"
                 for name, key in self.keys.items()]  # fmt: skip
        write_private(self.passfile, "".join(lines).encode())
        return len(outcome.done)

    def wait_for_rulebook(self) -> None:
        """Wait until the node follows the law just applied, so that the new keys are known to it.

        Raises:
            Unreachable: it does not within the time.
        """
        deadline = time.monotonic() + TABLES_TIMEOUT_S
        wanted = {key[:16] for key in self.keys.values()}
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError):
                text = (self.home.node_path / "rulebook.json").read_text()
                if all(prefix in text for prefix in wanted):
                    return
            time.sleep(0.05)
        raise Unreachable("The node did not take up the new rulebook.")

    def wait(self) -> None:
        """Return when the warehouse has ended by itself."""
        if self._process:
            self._process.wait()

    def stop(self) -> bool:
        """End the warehouse, politely and then by force; whether it ended by itself and cleanly."""
        process, self._process = self._process, None
        if process is None:
            return True
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_TIMEOUT_S) == 0
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_TIMEOUT_S)
            return False
        finally:
            if process.stdout:
                process.stdout.close()


def need_free(ports: Ports) -> None:
    """Refuse when a port is taken.

    Raises:
        Conflict: one is; the sentence says which and for what.
    """
    for port, use in ((ports.clients, "clients"), (ports.control, "control plane"), (ports.metrics, "metrics")):
        if port == 0:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise Conflict(
                    f"Port {port} ({use}) is taken on this machine.",
                    advice="Stop what listens there, or choose ports: --port, --control-port, --metrics-port (0: any).",
                ) from None


def build(folder: Path, *, cache: Path, flights: bool, fresh: bool) -> Warehouse:
    """Make the demo's folder with its data and its home.

    Args:
        folder: what to make. With `fresh`, an earlier demo's folder of that name is removed first.
        cache: where downloads are kept from run to run.
        flights: whether to fetch and write the flights.
        fresh: see `folder`.

    Raises:
        Conflict: something else is in the folder.
        FlightsUnavailable: they cannot be had.
    """
    if fresh and (folder / _MARK).exists():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise Conflict(f"The folder {folder} is not empty.", advice="Choose another with --keep DIR.")
    (folder / _MARK).touch()
    warehouse = Warehouse(folder)
    write_samples(warehouse.lake)
    if flights:
        (warehouse.lake / "flights").mkdir()
        write_flights(cache, warehouse.lake / "flights" / "departures.parquet")
    warehouse.keys["owner"] = prepare_home(
        warehouse.home.path, organization_name="Acme", owner_email="olivia@acme.example"
    )
    return warehouse
