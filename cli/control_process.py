"""The control plane as a process of its own: `python -m cli.control_process HOME HOST PORT`.

Prints one JSON line with its port once it listens, and ends on SIGTERM or when its standard input closes, so that it
never outlives the `hatidata serve` that started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path

from cli.audit_proof import seal_each_day
from cli.exits import explain
from cli.housekeeping import keep_house
from governance.errors import Refusal
from lambdas.control_plane.serve import start_control_plane
from local.home import Home


async def _serve(home: Home, host: str, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    running = await start_control_plane(
        store_path=home.store_path,
        audit_path=home.audit_path,
        tls_dir=home.tls_path,
        host=host,
        port=port,
        environment=home.settings().environment,
    )
    sealing = asyncio.create_task(seal_each_day(home))
    housekeeping = asyncio.create_task(keep_house(home, running.store))
    try:
        print(json.dumps({"port": running.port}), flush=True)
        reader = asyncio.StreamReader()
        with contextlib.suppress(
            ValueError, PermissionError
        ):  # a standard input that cannot be watched, such as a file
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
            closed = asyncio.ensure_future(reader.read())
            closed.add_done_callback(lambda _: stop.set())
        await stop.wait()
    finally:
        sealing.cancel()
        housekeeping.cancel()
        await asyncio.gather(housekeeping, return_exceptions=True)
        await running.stop()


def main() -> int:
    """Serve until told to stop; the exit code of `cli.exits`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it drains the node first
    try:
        home, host, port = sys.argv[1:]
        asyncio.run(_serve(Home.open(Path(home)), host, int(port)))
    except Refusal as refusal:
        return explain(refusal)
    except OSError as error:
        print(f"hatidata: the control plane cannot listen: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
