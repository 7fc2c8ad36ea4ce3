"""What AWS wakes by schedules, woken at home: webhooks, keys that rotate and end, access reviews, checkpoints."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from governance.checkpoints import EVERY
from governance.errors import Refusal
from governance.ports import ControlStore
from lambdas.access_review import task as access_review
from lambdas.chain_checkpoint import task as chain_checkpoint
from lambdas.key_expiry import task as key_expiry
from lambdas.key_rotation import task as key_rotation
from lambdas.webhook_delivery.sender import HttpSender
from lambdas.webhook_delivery.task import deliver_due
from local.audit_files import AuditFiles
from local.clock import SystemClock
from local.home import Home
from local.secret_box import HomeSecretBox
from local.signing import HomeSigner

DELIVER_EVERY_S = 2.0
KEYS_EVERY_S = 60.0
ACCESS_EVERY_S = 300.0

_LOG = logging.getLogger("hatidata.housekeeping")


async def keep_house(home: Home, store: ControlStore) -> None:
    """Do what is due, again and again, until cancelled."""
    clock = SystemClock()
    box, sender = HomeSecretBox(home.store_path.parent, clock), HttpSender()

    async def deliver() -> None:
        await deliver_due(store, box, sender, clock)

    async def keys() -> None:
        await asyncio.to_thread(key_expiry.run, store, clock)
        report = await asyncio.to_thread(key_rotation.run, store, box, clock)
        for name in report.alarming:
            _LOG.error("the encryption key %s needs somebody to look at it", name)

    async def access() -> None:
        report = await asyncio.to_thread(access_review.run, store, clock)
        for name in report.overdue:
            _LOG.warning("the access review %s is overdue", name)

    async def checkpoints() -> None:
        signer = HomeSigner(home.store_path.parent)
        await asyncio.to_thread(chain_checkpoint.run, store, AuditFiles(home.audit_path), signer, clock)

    async with asyncio.TaskGroup() as group:
        group.create_task(_again_and_again(checkpoints, EVERY.total_seconds()))
        group.create_task(_again_and_again(deliver, DELIVER_EVERY_S))
        group.create_task(_again_and_again(keys, KEYS_EVERY_S))
        group.create_task(_again_and_again(access, ACCESS_EVERY_S))


async def _again_and_again(act: Callable[[], Awaitable[None]], every_s: float) -> None:
    while True:
        try:
            await act()
        except Refusal as refusal:  # the store is busy, the disk is full: the next time may do
            _LOG.error("%s: %s", act.__name__, refusal.code)
        except Exception as error:  # its words may quote what no log should hold
            _LOG.error("%s: %s", act.__name__, type(error).__name__)
        await asyncio.sleep(every_s)
