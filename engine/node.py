"""A node: its parts started in order, stopped in the reverse one, drained when told to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from engine.admission import Admission
from engine.audit import AuditSettings, QueryAudit
from engine.audit.texts import audit_texts
from engine.authenticate import Authenticator
from engine.cache.block_cache import BlockCache, CacheSettings
from engine.cache.cache_socket import CacheSocket
from engine.cache.encrypted_volume import encrypted_volume
from engine.cache.object_store import ObjectStore
from engine.catalog.audit_table import AuditTable
from engine.catalog.lake import Lake
from engine.catalog.view import PrincipalCatalog
from engine.control_link import ControlLink, ControlLinkFailed
from engine.encoder import pg_type
from engine.executor.canary import check_engine
from engine.executor.executor import Executor
from engine.executor.pool import ExecutorSettings
from engine.executor.second_parser import DuckDBParser
from engine.governing import Governing
from engine.metrics import NodeMetrics
from engine.pipeline import Pipeline
from engine.pipeline.text_gate import split
from engine.rulebook import RulebookKeeper
from engine.server import Server
from engine.session_catalog import EmulatedCatalog, view_columns
from engine.session_ports import Desk
from engine.settings import NodeSettings
from engine.status_page import StatusPage
from engine.tls import client_context, server_context
from engine.usage import UsageLedger
from governance.audit_table import TABLE, AuditTableFiles
from governance.errors import InvalidRequest
from governance.ports import AuditStore, Clock
from governance.principals import Principal
from governance.rulebook import Rulebook
from governance.signatures import Verify, verifier
from governance.tables import Table

_LOG = logging.getLogger("hatidata.node")
_VIEWS_MAX = 512
_FIGURES_EVERY_S = 10.0
_LAKE_EVERY_S = 1.0
_AGE_S_MAX = 1e6


_TEXT_CHARS_CACHED_MAX = 4096


@lru_cache(maxsize=2048)
def _remembered_split(text: str) -> tuple[str, ...]:
    return tuple(split(text))


def _cached_split(text: str) -> Sequence[str]:
    return _remembered_split(text) if len(text) <= _TEXT_CHARS_CACHED_MAX else split(text)


def _signature_check(path: Path) -> Verify:
    """What checks rulebooks: the public key of this installation.

    Raises:
        InvalidRequest: it is missing, or no key; nothing would ever be believed.
    """
    try:
        return verifier(path.read_bytes())
    except OSError:
        raise InvalidRequest(
            "The key that rulebooks are checked with is missing.",
            advice="`signing.pub` belongs beside the node's certificates; `hatidata serve` lays it there.",
        ) from None


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """Where a started node listens."""

    port: int
    metrics_port: int


class Node:
    """Everything between port 5439 and the lake."""

    def __init__(
        self,
        settings: NodeSettings,
        audit_store: AuditStore,
        clock: Clock,
        *,
        mask_key: bytes = b"",
        audit_table: AuditTableFiles | None = None,
    ) -> None:
        """Put the parts together; `audit_table` makes files for `hatidata_audit.queries`, where there is that table."""
        self._settings = settings
        self.name = f"node-{secrets.token_hex(4)}"
        tls, own = settings.tls_dir, settings.node_dir
        self.metrics = NodeMetrics()
        self.usage = UsageLedger(clock.now)
        self._link = ControlLink(
            settings.control_url,
            client_context(tls / "ca.crt", tls / "node.crt", tls / "node.key"),
            settings.environment,
        )
        self.keeper = RulebookKeeper(
            self._link, own / "rulebook.json",
            environment=settings.environment, clock=clock, verify=_signature_check(tls / "signing.pub"),
            poll_s=settings.rulebook_poll_s, wait_s=settings.rulebook_wait_s,
        )  # fmt: skip
        store = ObjectStore(settings.data)
        self._cache = BlockCache(CacheSettings(settings.cache_dir / "cache", settings.cache_bytes_max), store)
        self._executor = Executor(
            ExecutorSettings(settings.cache_dir / "spill", require_sandbox=settings.require_sandbox, mask_key=mask_key),
            None,
            self._cache,
        )
        self.lake = Lake(store, self._executor)
        self._executor.lake = self.lake
        self._cache_socket = CacheSocket(own, self._cache, self.lake)
        self.audit = QueryAudit(
            AuditSettings(own / "spool", self.name, ship_age_s=settings.audit_ship_s), audit_store, clock
        )
        self._audit_table = AuditTable(audit_table, self.audit) if audit_table is not None else None
        self._executor.audit = self._audit_table
        self._parser = DuckDBParser()
        self._authenticator = Authenticator(self.keeper, settings.connections, clock)
        self._admission = Admission(settings.queries)
        self._views: OrderedDict[Principal, tuple[object, object, PrincipalCatalog]] = OrderedDict()
        pipeline = Pipeline(self._parser)
        self._patient_parser = DuckDBParser()
        self._governing = Governing(pipeline, Pipeline(self._patient_parser), self._link)
        self._desk = Desk(
            authenticator=self._authenticator,
            pipeline=self._governing,
            split=_cached_split,
            view=self._view,
            lake_version=lambda: self.lake.version,
            catalog=EmulatedCatalog(
                self._executor, view_columns=view_columns(self._governing, self._executor), clock=clock.now
            ),
            executor=self._executor,
            audit=self.audit,
            admission=self._admission,
            metrics=self.metrics,
            clock=clock,
            texts=audit_texts(mask_key),
            parameter_oid=lambda kind: pg_type(kind).oid if kind else 0,
            limits=settings.connections,
            environment=settings.environment,
            node=self.name,
            usage=self.usage,
            store_wait_s=settings.audit_store_wait_s if settings.audit_durability == "store" else 0.0,
        )
        self._server = Server(
            self._desk, server_context(tls / "server.crt", tls / "server.key"),
            host=settings.listen, port=settings.port, proxy_from=settings.proxy_from,
        )  # fmt: skip
        self._page = StatusPage(
            self.metrics, refresh=self._refresh, faults=self.faults,
            host=settings.metrics_listen, port=settings.metrics_port, proxy_from=settings.proxy_from,
        )  # fmt: skip
        self.keeper.on_change.append(self._server.rulebook_changed)
        self.keeper.on_change.append(self._obey)
        self.keeper.on_poll.append(self._server.recheck)
        self._cache_generation = 0
        self._stops: list[Callable[[], Awaitable[object]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = False

    # ------------------------------------------------------------ life

    async def start(self) -> NodeAddress:
        """Start every part; the listener last. What was started is stopped again when a part fails.

        Raises:
            Refusal: a part refuses to serve.
            OSError: a port is taken, or the home cannot be written.
        """
        settings = self._settings
        settings.node_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            await asyncio.to_thread(check_engine)
            if settings.require_encrypted_cache:
                await asyncio.to_thread(self._check_volume)
            await self._started_with(self.audit.start(), self.audit.stop)
            await self._started_with(self._page.start(), self._page.stop)
            await self._started_with(self._cache.start(), self._cache.stop)
            await self._started_with(self._executor.start(), self._executor.stop)
            await self._started_with(self.lake.start(), self.lake.stop)
            await self._started_with(self._cache_socket.start(), self._cache_socket.stop)
            await self._started_with(self.keeper.start(), self._stop_keeper)
            await self.keeper.settled()
            self._in_background(self._report())
            await self._started_with(self._server.start(), lambda: self._server.stop(settings.drain_timeout_s))
        except BaseException:
            await self.stop()
            raise
        self._started = True
        return NodeAddress(self._server.port, self._page.port)

    def _check_volume(self) -> None:
        """Blocks and spilled rows go to an encrypted device or nowhere; raises as `encrypted_volume`."""
        for name in ("cache", "spill"):
            folder = self._settings.cache_dir / name
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _LOG.info("%s on %s", name, encrypted_volume(folder).how)

    async def _started_with(self, start: Awaitable[object], stop: Callable[[], Awaitable[object]]) -> None:
        await start
        self._stops.append(stop)

    async def _stop_keeper(self) -> None:
        await self.keeper.stop()
        with contextlib.suppress(ControlLinkFailed):
            await self._report_usage()  # what ran since the last report; nobody will tell it later
        await self._link.close()

    async def stop(self) -> None:
        """Drain, then stop the parts in the reverse order; one that fails does not keep the others."""
        while self._stops:
            stop = self._stops.pop()
            try:
                await stop()
            except Exception as error:
                _LOG.warning("a part did not stop cleanly: %s", type(error).__name__)
            if not self._stops or self._server.draining:
                for task in list(self._tasks):
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._audit_table is not None:
            self._audit_table.close()
        self._authenticator.close()
        self._governing.close()
        self._parser.close()
        self._patient_parser.close()

    # ------------------------------------------------------------ what parts ask of each other

    def _view(self, principal: Principal, rulebook: Rulebook) -> PrincipalCatalog:
        """The part of the lake that `principal` sees, kept until rulebook or lake change."""
        version = self.lake.version
        found = self._views.get(principal)
        if found is not None and found[0] is rulebook and found[1] == version:
            return found[2]
        view = PrincipalCatalog(self._tables(), rulebook, principal, version, known=self.lake.known)
        self._views[principal] = (rulebook, version, view)
        self._views.move_to_end(principal)
        if len(self._views) > _VIEWS_MAX:
            self._views.popitem(last=False)
        return view

    def _tables(self) -> Mapping[tuple[str, str], Table]:
        """The lake's tables, and the audit's where there is one."""
        tables = self.lake.tables()
        return tables if self._audit_table is None else {**tables, TABLE.name.key: TABLE}

    def _obey(self, rulebook: Rulebook) -> None:
        """Orders that come with the rulebook: clear the cache when its generation grows."""
        generation = rulebook.limits.cache_generation
        if self._cache_generation and generation > self._cache_generation:
            self._in_background(self._cache.clear())
        self._cache_generation = max(generation, self._cache_generation, 1)

    def _in_background(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            await work

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def faults(self) -> list[str]:
        """Why the node should not be sent clients now; empty when it may."""
        checks = {
            "starting": self._started,
            "draining": not self._server.draining,
            "rulebook": self.keeper.fresh,
            "audit": self.audit.available,
            "lake": self.lake.known,
        }
        return [name for name, well in checks.items() if not well]

    def _refresh(self) -> None:
        metrics, cache = self.metrics, self._cache.status()
        metrics.running.set(self._admission.running)
        metrics.queued.set(self._admission.queued)
        metrics.resting.set(self._admission.resting)
        metrics.rulebook_age.set(min(self.keeper.age_s, 1e9))
        metrics.rulebook_version.set(self.keeper.version)
        metrics.audit_lag.set(self.audit.lag_s)
        metrics.audit_spool_bytes.set(self.audit.spool_bytes)
        metrics.cache_bytes.set(cache.bytes_held)
        metrics.cache_evictions.set(cache.evictions)
        metrics.workers_lost.set(self._executor.pool.lost_workers)

    # ------------------------------------------------------------ reports to the control plane

    async def _report(self) -> None:
        """Tables when they change, figures now and then; a control plane that is down is told later."""
        told: object = None
        figures_at = 0.0
        loop = asyncio.get_running_loop()
        while True:
            version = self.lake.version
            with contextlib.suppress(ControlLinkFailed):
                if version != told:
                    await self._link.report_tables(list(self._tables().values()))
                    told = version
                if loop.time() >= figures_at:
                    await self._link.report_figures(self._figures())
                    await self._report_usage()
                    figures_at = loop.time() + _FIGURES_EVERY_S
            await asyncio.sleep(_LAKE_EVERY_S)

    async def _report_usage(self) -> None:
        """Tell what was counted, and learn what other nodes have; raises as the link does."""
        entries, day = self.usage.report(), self.usage.today
        self.usage.told(entries, day, await self._link.report_usage(self.name, day, entries))

    def _figures(self) -> dict[str, object]:
        cache = self._cache.status()
        return {
            "node": self.name,
            "environment": self._settings.environment,
            "keys_used": self._authenticator.take_uses(),
            "figures": {
                "rulebook_version": self.keeper.version,
                "connections": self._server.connections,
                "running": self._admission.running,
                "queued": self._admission.queued,
                "audit_lag_s": round(self.audit.lag_s, 3),
                # A node without a rulebook has one of infinite age, which JSON cannot say.
                "rulebook_age_s": round(min(self.keeper.age_s, _AGE_S_MAX), 3),
                "cache_blocks": cache.blocks,
                "cache_bytes": cache.bytes_held,
                "cache_hits": cache.hits,
                "cache_misses": cache.misses,
                "cache_evictions": cache.evictions,
            },
        }
