"""The tables that exist: listed from the object store every second or so, described when their files changed.

Everything read from one listing is one immutable state, so the columns a statement was governed with and the files
it runs on come from the same moment. A table that cannot be read is listed with its fault and refused when read.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol

from engine.cache.object_store import ObjectStore, StoreFailed
from engine.cache.objects import Snapshot, StoredObject
from engine.catalog.layout import FoundTable, tables_of
from governance.errors import Refusal, SourceUnavailable
from governance.tables import Column, Table, TableName, fold

_LOG = logging.getLogger("hatidata.lake")
DAMAGED = "One of its files is damaged, or is not Parquet."
_STORE_FAULTS = {
    "denied": "The object store denies the node access to its files.",
    "key": "The node may not use the key that its files are encrypted with.",
    "credentials": "The object store does not accept the node's credentials, or they have expired.",
    "throttled": "The object store asks for patience.",
    "failed": "The object store does not answer as it should.",
}
"""What a table is at fault with that could not be described, by `SourceUnavailable.reason`."""
_STORE_ADVICE = "Retry in a minute; if it persists, report it to your administrator."

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class LakeSettings:
    """How often and how far the lake looks. Seconds."""

    refresh_s: float = 1.0
    """New and removed files are seen within this time: the store is listed anew this long after the last listing."""
    s3_refresh_s: float = 5.0
    """The same for S3, where every listing costs money."""
    objects_max: int = 200_000
    tables_max: int = 10_000
    describes_max: int = 4
    """Tables described at the same time."""
    retry_fault_s: float = 30.0
    """How long a damaged table is believed to stay so while its files do not change."""
    retry_store_s: float = 5.0
    """The same for a table that the store did not give."""
    listing_wait_s: float = 5.0
    """How long the node's start waits for the store's first answer."""
    tables_wait_s: float = 60.0
    """How long it waits for the tables of that answer to be described."""


class FileTypes(Protocol):
    """What the lake asks of the executor."""

    async def file_types(self, snapshot: Snapshot) -> tuple[tuple[tuple[str, str], ...], bool]:
        """Columns with DuckDB types, and whether all files have the same. Raises a Refusal."""


@dataclass(frozen=True, slots=True)
class _State:
    tables: Mapping[Key, Table] = field(default_factory=lambda: MappingProxyType({}))
    snapshots: Mapping[Key, Snapshot] = field(default_factory=lambda: MappingProxyType({}))
    version: str = ""


@dataclass(frozen=True, slots=True)
class _Described:
    columns: tuple[Column, ...]
    uniform: bool
    fault: str = ""
    retry_at: float = 0.0
    """When a fault is looked into again."""


class Lake:
    """Tables below the root of `store`."""

    def __init__(self, store: ObjectStore, types: FileTypes, settings: LakeSettings | None = None) -> None:
        self._store = store
        self._types = types
        self._settings = settings or LakeSettings()
        self._state = _State()
        self._described: dict[str, _Described] = {}
        self._task: asyncio.Task[None] | None = None
        self._listed = asyncio.Condition()
        self._listings = 0
        self._answered = asyncio.Event()
        self._known = asyncio.Event()
        self.fault = ""
        """Why the last listing failed, or empty."""

    @property
    def version(self) -> str:
        """Changes when tables, their columns or their faults change; not when only files do."""
        return self._state.version

    def tables(self) -> Mapping[Key, Table]:
        """Every table by folded (schema, name)."""
        return self._state.tables

    @property
    def known(self) -> bool:
        """Whether a listing was ever taken in: before that no table is known, and none is known to be missing."""
        return self._known.is_set()

    async def start(self) -> None:
        """Begin to look. Waits for the tables, but not long for a store that does not answer: it is tried again."""
        self._task = asyncio.get_running_loop().create_task(self._keep_looking())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.listing_wait_s):
                await self._answered.wait()
        if self._answered.is_set() and not self.fault:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.tables_wait_s):
                    await self._known.wait()
        if not self.known:
            _LOG.warning("the node starts without tables: the store has not answered yet")

    async def stop(self) -> None:
        """Stop looking; the last state stays readable."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def seen(self) -> None:
        """Wait until a listing that begins after this call has been taken in. For tests and `cache warm`."""
        async with self._listed:
            wanted = self._listings + 2
            await self._listed.wait_for(lambda: self._listings >= wanted)

    async def snapshot(self, table: TableName) -> Snapshot:
        """The table's files, pinned.

        Raises:
            SourceUnavailable: the table cannot be read, or is gone.
        """
        state = self._state
        known = state.tables.get(table.key)
        if known is None:
            raise SourceUnavailable(
                f"The files of table {table} are not there any more.", advice="Retry; or list the tables again."
            )
        if known.fault:
            raise SourceUnavailable(
                f"Table {table} cannot be read. {known.fault}",
                advice=_STORE_ADVICE
                if known.fault in _STORE_FAULTS.values()
                else "Ask whoever writes the table to mend it.",
            )
        return state.snapshots[table.key]

    # ------------------------------------------------------------------ looking

    async def _keep_looking(self) -> None:
        settings = self._settings
        while True:
            await self._look()
            await asyncio.sleep(settings.refresh_s if self._store.is_local else settings.s3_refresh_s)

    async def _look(self) -> None:
        try:
            found = await self._list()
        except StoreFailed as error:
            if self.fault != str(error):
                _LOG.warning("the store cannot be listed: %s", error)
            self.fault = str(error)
            self._answered.set()
        else:
            self.fault = ""
            self._answered.set()
            await self._take_in(found)
            self._known.set()
        async with self._listed:
            self._listings += 1
            self._listed.notify_all()

    async def _list(self) -> list[FoundTable]:
        objects: list[StoredObject] = []
        async for batch in self._store.list(objects_max=self._settings.objects_max):
            objects += batch
        found = tables_of(objects)
        if len(found) > self._settings.tables_max:
            raise StoreFailed("too many tables")
        return found

    async def _take_in(self, found: list[FoundTable]) -> None:
        limit = asyncio.Semaphore(self._settings.describes_max)

        async def describe(table: FoundTable) -> None:
            async with limit:
                await self._describe(table.snapshot)

        now = asyncio.get_running_loop().time()
        wanted = [table for table in found if not table.fault and self._is_new(table.snapshot, now)]
        await asyncio.gather(*(describe(table) for table in wanted))
        tables, snapshots = {}, {}
        for one in found:
            described = self._described.get(one.snapshot.id)
            if one.fault:
                tables[one.name.key] = Table(one.name, (), one.fault)
            elif described is not None:
                tables[one.name.key] = Table(one.name, described.columns, described.fault)
                snapshots[one.name.key] = replace(one.snapshot, uniform=described.uniform)
            elif one.name.key in self._state.tables:  # not described this time: what was known stays
                tables[one.name.key] = self._state.tables[one.name.key]
                if one.name.key in self._state.snapshots:
                    snapshots[one.name.key] = self._state.snapshots[one.name.key]
        kept = {one.snapshot.id for one in found}
        self._described = {i: d for i, d in self._described.items() if i in kept}
        version = self._state.version
        if tables != self._state.tables or not version:
            version = hashlib.sha256(repr(sorted(tables.items())).encode()).hexdigest()[:16]
        self._state = _State(MappingProxyType(tables), MappingProxyType(snapshots), version)

    def _is_new(self, snapshot: Snapshot, now: float) -> bool:
        known = self._described.get(snapshot.id)
        return known is None or bool(known.fault and now > known.retry_at)

    async def _describe(self, snapshot: Snapshot) -> None:
        """Learn a snapshot's columns; a failure that is not the files' is tried again at the next listing."""
        now = asyncio.get_running_loop().time()
        partitions = {fold(name) for name, _ in snapshot.partitions}
        try:
            types, uniform = await self._types.file_types(snapshot)
        except SourceUnavailable as error:
            if error.reason == "gone":
                return  # the next listing shows what is there instead
            fault = _STORE_FAULTS.get(error.reason, DAMAGED)
            wait_s = self._settings.retry_fault_s if fault is DAMAGED else self._settings.retry_store_s
            self._described[snapshot.id] = _Described((), uniform=False, fault=fault, retry_at=now + wait_s)
        except Refusal as error:
            _LOG.warning("table %s could not be described: %s", snapshot.table, error.code)
        else:
            columns = tuple(Column(name, kind, fold(name) in partitions) for name, kind in types)
            self._described[snapshot.id] = _Described(columns, uniform)
