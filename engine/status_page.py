"""Plain HTTP on 9090 for the monitoring network: /metrics, /healthz (alive), /readyz (may be sent clients).

A network load balancer that sends the PROXY protocol to clients' port sends it with its health checks too, whatever
their port; from the networks it may come from, such a header is read over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import cast

from aiohttp import web

from engine.metrics import NodeMetrics
from engine.wire import proxy
from engine.wire.violations import ProtocolViolation

_HEADER_TIMEOUT_S = 10.0


class StatusPage:
    """Serves figures and states; nothing of anybody's data."""

    def __init__(
        self,
        metrics: NodeMetrics,
        *,
        refresh: Callable[[], None],
        faults: Callable[[], list[str]],
        host: str,
        port: int,
        proxy_from: tuple[str, ...] = (),
    ) -> None:
        """`proxy_from`: networks whose connections may begin with a PROXY protocol header."""
        self._metrics = metrics
        self._refresh = refresh
        self._faults = faults
        self._host = host
        self._port = port
        self._proxy_from = tuple(ip_network(text) for text in proxy_from)
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port listened on."""
        assert self._server is not None  # noqa: S101 - started
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        app = web.Application(client_max_size=1024)
        app.router.add_get("/metrics", self._serve_metrics)
        app.router.add_get("/healthz", self._serve_health)
        app.router.add_get("/readyz", self._serve_readiness)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, keepalive_timeout=30)
        await runner.setup()
        self._runner = runner
        http = runner.server
        assert http is not None  # noqa: S101 - set up
        self._server = await asyncio.get_running_loop().create_server(
            (lambda: _AfterHeader(http, self._trusts)) if self._proxy_from else http,
            self._host,
            self._port,
            backlog=64,
        )

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve_metrics(self, _request: web.Request) -> web.Response:
        self._refresh()
        return web.Response(body=self._metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _serve_health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"}, headers={"Cache-Control": "no-store"})

    async def _serve_readiness(self, _request: web.Request) -> web.Response:
        faults = self._faults()
        return web.json_response(
            {"status": "not ready" if faults else "ready", "faults": faults},
            status=503 if faults else 200,
            headers={"Cache-Control": "no-store"},
        )

    def _trusts(self, peer: str) -> bool:
        source = ip_address(peer)
        return any(source in network for network in self._proxy_from)


class _AfterHeader(asyncio.Protocol):
    """Reads over a PROXY protocol header, if there is one, and hands the connection to what speaks HTTP."""

    def __init__(self, http: Callable[[], asyncio.BaseProtocol], trusts: Callable[[str], bool]) -> None:
        self._http = http
        self._trusts = trusts
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio; a connection that stays silent is closed."""
        self._transport = cast(asyncio.Transport, transport)
        self._late = asyncio.get_running_loop().call_later(_HEADER_TIMEOUT_S, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """See asyncio."""
        self._late.cancel()

    def data_received(self, data: bytes) -> None:
        """Hold what comes until it is clear whether a header begins it."""
        self._held += data
        begins = self._held[: len(proxy.SIGNATURE)]
        if begins != proxy.SIGNATURE[: len(begins)]:
            self._hand_over(self._held)
        elif len(self._held) >= proxy.HEAD_BYTES:
            try:
                length = proxy.HEAD_BYTES + proxy.rest_length(self._held[: proxy.HEAD_BYTES])
            except ProtocolViolation:
                self._transport.abort()
                return
            if not self._trusts(self._transport.get_extra_info("peername")[0]):
                self._transport.abort()
            elif len(self._held) >= length:
                self._hand_over(self._held[length:])

    def _hand_over(self, rest: bytes) -> None:
        self._late.cancel()
        inner = cast(asyncio.Protocol, self._http())
        self._transport.set_protocol(inner)
        inner.connection_made(self._transport)
        if rest:
            inner.data_received(rest)
