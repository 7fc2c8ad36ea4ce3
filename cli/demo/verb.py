"""The verb: build, start, tour, say how to go on by hand, stay up until Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from cli.exits import REFUSED

if TYPE_CHECKING:
    from cli.demo.warehouse import Warehouse

WIDTH = 132


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the tour; exit 1 if a promise was not kept.")] = False,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Make it in this folder rather than anew in ./.demo.")
    ] = None,
    no_flights: Annotated[
        bool, typer.Option("--no-flights", help="Without the real flights, which must be downloaded once.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="PostgreSQL clients.")] = 5439,
    control_port: Annotated[int, typer.Option(min=0, max=65535, help="The REST API.")] = 8080,
    metrics_port: Annotated[int, typer.Option(min=0, max=65535, help="Metrics and health.")] = 9090,
) -> None:
    """Make a warehouse of sample data, play a tour that checks its promises, stay up until Ctrl-C."""
    from cli.demo.tour import Tour  # late: no other verb waits for these
    from cli.demo.warehouse import Ports, build, need_free

    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    ports = Ports(port, control_port, metrics_port)
    need_free(ports)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both signals end the demo the same way
    console.print("Writing sample tables" + ("" if no_flights else " and the flights of 2013") + " as Parquet ...")
    warehouse = build(keep or Path(".demo"), cache=Path(".data"), flights=not no_flights, fresh=keep is None)
    kept = clean = False
    try:
        console.print("Starting the control plane, the query node and the metrics page ...")
        warehouse.start(ports)
        console.print(f"Made {warehouse.apply()} things that the state file declares.\n")
        warehouse.wait_for_rulebook()
        kept = Tour(warehouse, console).play(flights=not no_flights)
        _go_on(console, warehouse, up=not once)
        if not once:
            console.print("\nUp until Ctrl-C.")
            with contextlib.suppress(KeyboardInterrupt):
                warehouse.wait()
                console.print("The warehouse ended by itself.")
                kept = False
    finally:
        clean = warehouse.stop()
    if not clean:
        console.print("The warehouse did not end cleanly.")
    if not (kept and clean):
        sys.exit(REFUSED)


def _go_on(console: Console, warehouse: Warehouse, *, up: bool) -> None:
    """How to connect by hand: keys are in a password file, so none stands in a command line."""
    running = warehouse.home.running()
    console.rule("[bold]Go on by hand", align="left")
    program = Path(sys.executable).with_name("hatidata")
    if not up:
        serve = (
            f"{program} serve --home {warehouse.home.path} --data {warehouse.lake} --port {running.node_port} "
            f"--control-port {running.control_port} --metrics-port {running.metrics_port}"
        )
        console.print(Text(serve, style="cyan"), soft_wrap=True)
    for name in ("analyst", "owner", "agent"):
        command = (
            f"PGPASSFILE={warehouse.passfile} psql 'host=localhost port={running.node_port} dbname=production "
            f"user={name} sslmode=verify-full sslrootcert={warehouse.ca}'"
        )
        console.print(Text(command, style="cyan"), soft_wrap=True)
    console.print(
        Text(
            f"HATIDATA_API_KEY=$(grep :owner: {warehouse.passfile} | cut -d: -f5) "
            f"{program} audit search --home {warehouse.home.path}",
            style="cyan",
        ),
        soft_wrap=True,
    )
    console.print(f"metrics: http://localhost:{running.metrics_port}/metrics", soft_wrap=True)
