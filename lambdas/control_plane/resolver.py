"""Powertools' load-balancer resolver, made safe for threads.

In Lambda a process serves one request at a time and powertools keeps the request on a class attribute. At home the same
handler serves several threads, and one caller's request must never be seen by another's: here the request belongs to
the thread that resolves it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.event_handler import ALBResolver
from aws_lambda_powertools.utilities.data_classes import ALBEvent


class ThreadedResolver(ALBResolver):
    """`ALBResolver` with validation on, JSON read strictly, and request state per thread."""

    def __init__(self) -> None:
        self._mine = threading.local()
        super().__init__(enable_validation=True, json_body_deserializer=strict_json)

    def build_routes(self) -> None:
        """Build every route's middleware stack now: upstream does it at the first request, which two threads may share.

        Call once, after the last route is registered.
        """
        for route in (*self._static_routes, *self._dynamic_routes):
            route._build_middleware_stack(router_middlewares=self._router_middlewares, app=self)

    def registered(self) -> list[tuple[str, str]]:
        """(method, path in OpenAPI's spelling) of each route."""
        return [(route.method, route.openapi_path) for route in (*self._static_routes, *self._dynamic_routes)]

    def resolve(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        """The load-balancer answer to `event`."""
        self.current_event = ALBEvent(dict(event), self._json_body_deserializer)
        self.lambda_context = context
        self.context = {}
        try:
            return self._build_response(self._resolve())
        finally:
            self.context = {}

    @property  # type: ignore[override]
    def current_event(self) -> ALBEvent:
        """The request of this thread."""
        event: ALBEvent = self._mine.event
        return event

    @current_event.setter
    def current_event(self, value: ALBEvent) -> None:
        self._mine.event = value

    @property
    def lambda_context(self) -> Any:
        """The Lambda context of this thread."""
        return self._mine.lambda_context

    @lambda_context.setter
    def lambda_context(self, value: Any) -> None:
        self._mine.lambda_context = value

    @property
    def context(self) -> dict[str, Any]:
        """What powertools notes about this thread's request."""
        if not hasattr(self._mine, "context"):
            self._mine.context = {}
        context: dict[str, Any] = self._mine.context
        return context

    @context.setter
    def context(self, value: dict[str, Any]) -> None:
        self._mine.context = value

    @property
    def processed_stack_frames(self) -> list[str]:
        """Powertools' debugging notes of this thread."""
        if not hasattr(self._mine, "frames"):
            self._mine.frames = []
        frames: list[str] = self._mine.frames
        return frames

    @processed_stack_frames.setter
    def processed_stack_frames(self, value: list[str]) -> None:
        self._mine.frames = value


def strict_json(text: str) -> Any:
    """JSON without duplicate keys, NaN or infinities.

    Raises:
        json.JSONDecodeError: not such JSON.
    """

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(items)
        if len(out) != len(items):
            raise json.JSONDecodeError("a key stands twice", "", 0)
        return out

    def constant(_: str) -> Any:
        raise json.JSONDecodeError("not a JSON number", "", 0)

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except json.JSONDecodeError:
        raise
    except (RecursionError, ValueError):
        raise json.JSONDecodeError("nested too deep, or a number too long", "", 0) from None
