"""The door of a node: compose it from its settings, on local adapters or on AWS, and run it until told to end.

`python -m engine` is a node in AWS (settings from the environment, `engine.settings.AwsNodeSettings`);
`python -m engine ship-spool` brings what a stopped node left in its audit spool to the store, and ends.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import uvloop

from engine.audit import AuditSettings, QueryAudit
from engine.cache.encrypted_volume import encrypted_volume
from engine.node import Node, NodeAddress
from engine.settings import AwsNodeSettings, NodeSettings
from governance.audit_table import AuditTableFiles
from governance.errors import InvalidRequest, Refusal
from governance.ports import AuditStore
from local.audit_files import AuditFiles
from local.audit_table import HomeAuditTable
from local.clock import SystemClock
from local.mask_key import read_mask_key

_LOG = logging.getLogger("hatidata.node")
SHIP_SPOOL_S = 840.0
"""How long `ship-spool` tries; its unit allows 15 minutes."""
NOT_SHIPPED = 75
"""Exit code: something is still in the spool (sysexits: try again later)."""
REFUSED = 78
"""Exit code: the settings or a part refuse (sysexits: configuration)."""


async def run_node(
    settings: NodeSettings, on_ready: Callable[[NodeAddress], None], *, stop: asyncio.Event | None = None
) -> None:
    """Run a node of a home until SIGTERM, SIGINT or `stop`; a second signal ends the process at once.

    Raises:
        Refusal: a part refuses to serve.
        OSError: a port is taken, or the home cannot be written.
    """
    audit = AuditFiles(settings.home / "audit")
    table = HomeAuditTable(audit.root, settings.node_dir / "audit-table", settings.environment)
    await _run(settings, audit, read_mask_key(settings.node_dir), on_ready, stop, table)


async def run_aws_node(settings: AwsNodeSettings, on_ready: Callable[[NodeAddress], None]) -> None:
    """Run a node in AWS until SIGTERM or SIGINT: its identity and mask key opened by KMS, its audit shipped to S3.

    Raises:
        Refusal: the identity cannot be read, or a part refuses to serve.
        OSError: a port is taken, or the home cannot be written.
    """
    from aws.node_identity import read_identity

    node = settings.node
    identity = await asyncio.to_thread(
        read_identity,
        settings.region,
        settings.data_bucket,
        settings.identity_key,
        node.environment,
        settings.data_key,
    )
    identity.lay(node.tls_dir)
    await _run(node, _audit_bucket(settings), identity.mask_key, on_ready, None)


async def ship_spool(settings: AwsNodeSettings, *, timeout_s: float = SHIP_SPOOL_S) -> bool:
    """Ship what a stopped node left in its spool; whether the store holds all of it now.

    Raises:
        AuditUnavailable: the spool cannot be used, or a node still has it.
    """
    spool = AuditSettings(settings.node.node_dir / "spool", "node-shipping", ship_age_s=0.0)
    audit = QueryAudit(replace(spool, drain_timeout_s=timeout_s), _audit_bucket(settings), SystemClock())
    await audit.start()
    return await audit.stop()


def _audit_bucket(settings: AwsNodeSettings) -> AuditStore:
    # boto3 is not to be had in every home, and costs its start; only a node in AWS needs it.
    from aws.audit_bucket import AuditBucket
    from aws.clients import client

    return AuditBucket(client("s3", settings.region), settings.audit_bucket)


async def _run(
    settings: NodeSettings,
    audit_store: AuditStore,
    mask_key: bytes,
    on_ready: Callable[[NodeAddress], None],
    stop: asyncio.Event | None,
    audit_table: AuditTableFiles | None = None,
) -> None:
    ending = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_quietly)
    if settings.require_encrypted_cache:
        _LOG.info("the cache is encrypted: %s", encrypted_volume(settings.cache_dir).how)
    node = Node(settings, audit_store, SystemClock(), mask_key=mask_key, audit_table=audit_table)

    def end(number: signal.Signals) -> None:
        if ending.is_set():
            raise SystemExit(128 + number)
        ending.set()

    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, end, number)
    try:
        address = await node.start()
        gc.collect()
        gc.freeze()  # what is here now stays: looking at it again and again would only make statements wait
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


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """`python -m engine [ship-spool]`; the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    try:
        if list(arguments) not in ([], ["ship-spool"]):
            raise InvalidRequest("There is no such command.", advice="python -m engine [ship-spool]")
        settings = AwsNodeSettings.from_environment(environment)
        # The object store's own client looks for the region here.
        os.environ.setdefault("AWS_REGION", settings.region)
        if arguments:
            return 0 if asyncio.run(ship_spool(settings)) else NOT_SHIPPED
        uvloop.run(run_aws_node(settings, _announce))
    except Refusal as refusal:
        _LOG.error("%s %s (%s)", refusal.message, refusal.advice, refusal.reason)
        return REFUSED
    except OSError as error:
        _LOG.error("the node cannot run: %s", error.strerror or type(error).__name__)
        return 1
    return 0


def _announce(address: NodeAddress) -> None:
    _LOG.info("ready: clients on port %d, metrics on port %d", address.port, address.metrics_port)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
