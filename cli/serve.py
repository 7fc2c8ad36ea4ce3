"""`hatidata serve`: the control plane as a child process and the query node in this one, until told to stop."""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.exits import NotStarted, UsageWrong
from cli.supervisor import ControlPlaneSupervisor, Listening
from governance.errors import Conflict
from local.certificates import ensure_certificates
from local.clock import SystemClock
from local.home import Home, RunningParts
from local.signing import ensure_public_key

if TYPE_CHECKING:
    from engine.node import NodeAddress
    from engine.settings import NodeSettings


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Where the parts listen; port 0 is any free one."""

    data: str
    port: int = 5439
    control_port: int = 8080
    metrics_port: int = 9090
    listen: str = "127.0.0.1"
    proxy_from: tuple[str, ...] = ()
    audit_durability: str = "spool"


def serve(
    home: Annotated[Path, typer.Option("--home", envvar="HATIDATA_HOME", help="A home made by `hatidata init`.")],
    data: Annotated[str, typer.Option("--data", help="A folder of Parquet, or s3://bucket/prefix.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="PostgreSQL clients.")] = 5439,
    control_port: Annotated[int, typer.Option(min=0, max=65535, help="The REST API.")] = 8080,
    metrics_port: Annotated[int, typer.Option(min=0, max=65535, help="Metrics and health, plain HTTP.")] = 9090,
    listen: Annotated[str, typer.Option(help="The address all of them listen on.")] = "127.0.0.1",
    proxy_from: Annotated[
        list[str] | None, typer.Option(help="A network whose connections begin with a PROXY protocol header.")
    ] = None,
    audit_durability: Annotated[
        str, typer.Option(help="spool, or store: no statement is complete before its record is in the audit store.")
    ] = "spool",
) -> None:
    """Serve your own Parquet; ends cleanly on Ctrl-C or SIGTERM (a second one ends at once)."""
    if not data.startswith("s3://") and not Path(data).is_dir():
        raise UsageWrong(f"--data: there is no folder {data}.")
    import uvloop

    opened = Home.open(home)
    settings = ServeSettings(data, port, control_port, metrics_port, listen, tuple(proxy_from or ()), audit_durability)
    with _only_one(opened):
        ensure_certificates(opened.tls_path, names=opened.settings().tls_names, now=SystemClock().now())
        ensure_public_key(opened.store_path.parent, opened.tls_path)
        try:
            uvloop.run(serve_home(opened, settings))
        except OSError as error:
            raise NotStarted(
                f"The node cannot start: {error.strerror or type(error).__name__}.",
                advice="A port may be taken (--port, --metrics-port; 0 takes any free one), or the disk be full.",
            ) from None


async def serve_home(home: Home, settings: ServeSettings) -> None:
    """Run the parts of `home` until a signal ends the node, then the control plane.

    Raises:
        NotStarted: the control plane did not start.
        OSError: a port is taken.
    """
    host = reachable_host(settings.listen)
    announced: dict[str, int] = {"node_port": 0, "metrics_port": 0}
    url = ""

    def on_control_start(listening: Listening) -> None:
        nonlocal url
        url = f"https://{host}:{listening.port}"
        home.announce(RunningParts(url=url, pid=listening.pid, **announced))

    def on_ready(address: NodeAddress) -> None:
        announced.update(node_port=address.port, metrics_port=address.metrics_port)
        home.announce(RunningParts(url=url, pid=supervisor.pid, **announced))
        print(
            f"ready: clients on port {address.port}, control plane at {url}, "
            f"metrics at http://{host}:{address.metrics_port}/metrics",
            flush=True,
        )

    supervisor = ControlPlaneSupervisor(home, settings.listen, settings.control_port, on_control_start)
    try:
        # The child starts while this process still reads the engine's code.
        _, (run_node, settings_of) = await asyncio.gather(supervisor.start(), asyncio.to_thread(_engine))
        await run_node(
            settings_of(
                home=home.path,
                data=settings.data,
                environment=home.settings().environment,
                control_url=url,
                listen=settings.listen,
                port=settings.port,
                metrics_listen=settings.listen,
                metrics_port=settings.metrics_port,
                proxy_from=settings.proxy_from,
                audit_durability=settings.audit_durability,
            ),
            on_ready,
        )
    finally:
        await supervisor.stop()
        home.withdraw()


def _engine() -> tuple[Callable[..., Awaitable[None]], type[NodeSettings]]:
    """The node's door, imported late: no other verb waits for it."""
    from engine.__main__ import run_node
    from engine.settings import NodeSettings

    return run_node, NodeSettings


def reachable_host(listen: str) -> str:
    """The host by which this machine reaches a listener on `listen`, as it stands in a URL."""
    try:
        address = ipaddress.ip_address(listen)
    except ValueError:
        return listen
    if address.is_unspecified:
        address = ipaddress.ip_address("::1" if address.version == 6 else "127.0.0.1")
    return f"[{address}]" if address.version == 6 else str(address)


@contextmanager
def _only_one(home: Home) -> Iterator[None]:
    """Hold the home's lock: two nodes must not share a spool and a cache."""
    with home.lock_path.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("This home is being served already.", advice="Stop that `hatidata serve` first.") from None
        yield
