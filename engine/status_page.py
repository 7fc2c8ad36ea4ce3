"""Plain HTTP on 9090 for the monitoring network: /metrics, /healthz (alive), /readyz (may be sent clients)."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from engine.metrics import NodeMetrics


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
    ) -> None:
        self._metrics = metrics
        self._refresh = refresh
        self._faults = faults
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port listened on."""
        assert self._runner is not None  # noqa: S101 - started
        return int(self._runner.addresses[0][1])

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
        await web.TCPSite(runner, self._host, self._port, backlog=64).start()
        self._runner = runner

    async def stop(self) -> None:
        """Stop listening."""
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
