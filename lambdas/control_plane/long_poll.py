"""Long polls of the rulebook in AWS, as a function of its own: it waits, so that the API's functions need not.

The load balancer sends it the requests of nodes that carry `wait_s`. It answers as the API does, except that it holds
back the word that nothing changed until something does, or the wait is over. At home `serve` does the same without
asking the store again and again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from governance.ports import ControlStore
from lambdas.control_plane.handler import Handler, in_aws
from lambdas.control_plane.request import WAIT_S_MAX, waited
from lambdas.control_plane.settings import ControlPlaneSettings

LOOK_EVERY_S = 1.0
MARGIN_S = 2.0
"""Left of the function's own time when it answers at the latest."""


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """The door in AWS: the load-balancer answer to a node that waits for a new rulebook.

    Raises:
        InvalidRequest: the function's environment names no table.
    """
    store, handle = in_aws(ControlPlaneSettings.from_environment(os.environ))
    return long_polling(handle, store)(event, context)


def long_polling(
    handler: Handler,
    store: ControlStore,
    *,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Handler:
    """`handler`, with its 304s held back as long as the request and the function's deadline allow."""

    def handle(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        environment, wait_s = waited(event)
        ends = monotonic() + min(wait_s, _left_s(context))
        while True:
            before = _version(store, environment) if wait_s else 0
            answer = handler(event, context)
            if answer["statusCode"] != 304 or monotonic() >= ends:
                return answer
            while monotonic() < ends and _version(store, environment) == before:
                sleep(min(LOOK_EVERY_S, max(0.0, ends - monotonic())))

    return handle


def _version(store: ControlStore, environment: str) -> int:
    with store.read() as reader:
        return reader.version(environment)


def _left_s(context: Any) -> float:
    """Seconds until the function is ended."""
    tell = getattr(context, "get_remaining_time_in_millis", None)
    return max(0.0, tell() / 1000 - MARGIN_S) if callable(tell) else WAIT_S_MAX
