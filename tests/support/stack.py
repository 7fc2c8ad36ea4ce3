"""A whole warehouse for tests: a home, the control plane and a node on ephemeral ports, always cleaned up.

    with running_stack(tmp_path, data=folder) as stack:
        keys = stack.apply(state)
        with stack.connect(keys["ana"]) as connection: ...

`init` and `serve` run as a user runs them: the `hatidata` command in processes of its own.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import yaml

from local.home import Home, RunningParts

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 40.0
VERB_TIMEOUT_S = 60.0
PROJECT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "cli.main")


class StackFailed(Exception):
    """A command did not do what the tests need; the message holds its output."""


@dataclass
class Stack:
    """A running warehouse."""

    home: Path
    data: str
    owner_key: str = field(repr=False)
    port: int = 0
    control_url: str = ""
    metrics_port: int = 0
    process: subprocess.Popen[str] | None = None
    keys: dict[str, str] = field(default_factory=dict, repr=False)
    """Keys made by the `state` given to `running_stack`."""
    command: tuple[str, ...] = COMMAND
    """What serves; benchmarks give another."""
    output: list[str] = field(default_factory=list, repr=False)
    """Lines of `hatidata serve`, stdout and stderr as they came."""
    _pumping: threading.Thread | None = field(default=None, repr=False)

    @property
    def ca(self) -> Path:
        """The authority's certificate."""
        return self.home / "tls" / "ca.crt"

    @property
    def metrics_url(self) -> str:
        """Of the plain HTTP door."""
        return f"http://127.0.0.1:{self.metrics_port}"

    def dsn(self, key: str, *, database: str = "production", user: str = "test") -> str:
        """A libpq connection string with full verification. Holds the key: not for argv."""
        return (
            f"host=localhost port={self.port} dbname={database} user={user} password={key} "
            f"sslmode=verify-full sslrootcert={self.ca} connect_timeout=20 gssencmode=disable"
        )

    def connect(self, key: str, *, autocommit: bool = True, **more: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """A psycopg connection."""
        return psycopg.connect(self.dsn(key), autocommit=autocommit, **more)

    def query(self, key: str, sql: str, parameters: tuple[Any, ...] | None = None) -> list[tuple[Any, ...]]:
        """Rows of one statement on a connection of its own."""
        with self.connect(key) as connection:
            return connection.execute(sql.encode(), parameters).fetchall()

    def api(self, key: str = "") -> httpx.Client:
        """A client of the REST API; close it (or use it as a context manager)."""
        context = ssl.create_default_context(cafile=str(self.ca))
        return httpx.Client(
            base_url=self.control_url,
            verify=context,
            headers={"Authorization": f"Bearer {key or self.owner_key}"},
            timeout=20,
            trust_env=False,
        )

    def run(self, *arguments: str, key: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """A `hatidata` verb against this home, with `key` (the Owner's by default) in its environment."""
        done = hatidata(*arguments, env={"HATIDATA_API_KEY": key or self.owner_key, "HATIDATA_HOME": str(self.home)})
        if check and done.returncode != 0:
            raise StackFailed(f"hatidata {' '.join(arguments)} -> {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def apply(self, state: Mapping[str, Any], *, settle: bool = True) -> dict[str, str]:
        """Bring the declared state about; keys made now, by name. With `settle`, wait until the node follows."""
        file = self.home.parent / f"{self.home.name}.state.yaml"
        file.write_text(yaml.safe_dump(dict(state), sort_keys=False))
        made = json.loads(self.run("apply", "-f", str(file), "--json").stdout)["keys"]
        if settle and self.port:
            self.settle()
        return {entry["name"]: entry["key"] for entry in made}

    def settle(self, timeout_s: float = 20.0) -> None:
        """Wait until the node holds the rulebook that the control plane gives now."""
        wanted = self.rulebook_version()
        deadline = time.monotonic() + timeout_s
        path = self.home / "node" / "rulebook.json"
        while time.monotonic() < deadline:
            try:
                document = json.loads(path.read_bytes())
                if document.get("rulebook", document).get("version", -1) >= wanted:
                    return
            except (FileNotFoundError, ValueError, AttributeError):
                pass
            time.sleep(0.02)
        raise StackFailed(f"the node did not take rulebook {wanted} within {timeout_s} s")

    def rulebook_version(self) -> int:
        """The version the control plane gives a node now."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(self.home / "tls" / "node.crt", self.home / "tls" / "node.key")
        with httpx.Client(base_url=self.control_url, verify=context, timeout=20, trust_env=False) as client:
            answer = client.get("/v1/nodes/rulebook")
            answer.raise_for_status()
            return int(answer.json()["version"])

    def start(
        self, *, port: int = 0, control_port: int = 0, metrics_port: int = 0, extra: tuple[str, ...] = ()
    ) -> None:
        """Run `hatidata serve` and wait until it is ready."""
        self.process = subprocess.Popen(
            [
                *self.command, "serve", "--home", str(self.home), "--data", self.data, "--port", str(port),
                "--control-port", str(control_port), "--metrics-port", str(metrics_port), *extra,
            ],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, cwd=PROJECT,
            env=_environment({}), start_new_session=True,
        )  # fmt: skip
        lines: queue.Queue[str | None] = queue.Queue()
        self._pumping = threading.Thread(target=self._pump, args=(self.process, lines), daemon=True)
        self._pumping.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                line = lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                self.stop()
                raise StackFailed("hatidata serve is not ready:\n" + "".join(self.output))
            if line.startswith("ready"):
                break
        running = self.running()
        self.control_url, self.port, self.metrics_port = running.url, running.node_port, running.metrics_port

    def running(self) -> RunningParts:
        """What the home says of its parts now."""
        return Home(self.home).running()

    def _pump(self, process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
        for line in process.stdout or ():
            self.output.append(line)
            lines.put(line)
        lines.put(None)

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """End `hatidata serve` (by force past the deadline) and return its exit code."""
        process, self.process = self.process, None
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(signal_number)
        try:
            code = process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)
            raise StackFailed("hatidata serve did not stop:\n" + "".join(self.output)) from None
        finally:
            if self._pumping:
                self._pumping.join(10)
            if process.stdout and not (self._pumping and self._pumping.is_alive()):
                process.stdout.close()
        return code


def hatidata(*arguments: str, env: Mapping[str, str] = {}, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run the `hatidata` command as a user does, `given` on its standard input; never raises for its exit code."""
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=VERB_TIMEOUT_S, cwd=PROJECT,
        env=_environment(env), input=given, check=False,
    )  # fmt: skip


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the developer's own HATIDATA_ settings reaches a test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HATIDATA_", "PG"))}
    return {**kept, "COLUMNS": "200", **more}


def make_home(folder: Path, *, organization: str = "Acme", organization_id: str = "1", email: str = "") -> str:
    """`hatidata init`; returns the Owner's key."""
    arguments = ["init", "--home", str(folder), "--org", organization, "--org-id", organization_id, "--json"]
    done = hatidata(*arguments, *(["--owner-email", email] if email else []))
    if done.returncode != 0:
        raise StackFailed(f"hatidata init -> {done.returncode}\n{done.stdout}\n{done.stderr}")
    return str(json.loads(done.stdout)["owner_key"])


@contextmanager
def running_stack(
    folder: Path,
    data: Path | str,
    *,
    state: Mapping[str, Any] | None = None,
    extra: tuple[str, ...] = (),
    command: tuple[str, ...] = COMMAND,
) -> Iterator[Stack]:
    """A home in `folder`/home served over `data`, `state` applied (see `Stack.keys`), stopped at the end."""
    home = folder / "home"
    stack = Stack(home=home, data=str(data), owner_key=make_home(home), command=command)
    try:
        stack.start(extra=extra)
        if state is not None:
            stack.keys = stack.apply(state)
        yield stack
    finally:
        stack.stop()


@contextmanager
def running_control_plane(folder: Path, *, organization: str = "Acme") -> Iterator[Stack]:
    """The control plane of a new home, without a node: enough for the administering verbs."""
    home = folder / "home"
    stack = Stack(home=home, data="", owner_key=make_home(home, organization=organization))
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.control_process", str(home), "127.0.0.1", "0"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT, env=_environment({}),
    )  # fmt: skip
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise StackFailed("the control plane did not start")
            stack.control_url = f"https://127.0.0.1:{json.loads(line)['port']}"
            Home(home).announce(RunningParts(url=stack.control_url, pid=process.pid))
            yield stack
        finally:
            process.communicate(timeout=STOP_TIMEOUT_S)
