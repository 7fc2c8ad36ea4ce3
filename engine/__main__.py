"""The door of a node: compose it from its settings on the local adapters, and run it until told to end."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable

from engine.node import Node, NodeAddress
from engine.settings import NodeSettings
from local.audit_files import AuditFiles
from local.clock import SystemClock
from local.mask_key import read_mask_key

_LOG = logging.getLogger("hatidata.node")


async def run_node(
    settings: NodeSettings, on_ready: Callable[[NodeAddress], None], *, stop: asyncio.Event | None = None
) -> None:
    """Run a node until SIGTERM, SIGINT or `stop`; a second signal ends the process at once.

    Raises:
        Refusal: a part refuses to serve.
        OSError: a port is taken, or the home cannot be written.
    """
    ending = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_quietly)
    node = Node(settings, AuditFiles(settings.home / "audit"), SystemClock(), mask_key=read_mask_key(settings.node_dir))

    def end(number: signal.Signals) -> None:
        if ending.is_set():
            raise SystemExit(128 + number)
        ending.set()

    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, end, number)
    try:
        address = await node.start()
        on_ready(address)
        await ending.wait()
        await node.stop()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _quietly(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """What asyncio would print with a trace: only the class, never a text that may quote a client."""
    error = context.get("exception")
    if error is not None and not isinstance(error, OSError | EOFError):
        _LOG.error("loop: %s", type(error).__name__)
