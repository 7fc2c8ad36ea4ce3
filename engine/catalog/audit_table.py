"""`hatidata_audit.queries` on a node: the files that a statement of one organization reads, pinned like any table's.

Where nobody makes such files (every node but a home's), there is no such table.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from engine.audit.query_audit import QueryAudit
from engine.cache.objects import Snapshot, StoredObject
from governance.audit_table import QUERIES, AuditTableFiles, TableFile
from governance.errors import AuditUnavailable, SourceUnavailable

WAITING_BYTES_MAX = 256 << 20
"""More than this waits for the store only when the store is away; then the table cannot be whole."""


class AuditTable:
    """One per node; one statement's files are made at a time."""

    def __init__(self, files: AuditTableFiles, audit: QueryAudit) -> None:
        self._files = files
        self._audit = audit
        self._one = asyncio.Lock()

    async def snapshot(self, organization: str) -> Snapshot:
        """The organization's records as they are now.

        Raises:
            SourceUnavailable: they cannot be read now, or too many wait to be shipped.
        """
        if self._audit.spool_bytes > WAITING_BYTES_MAX:
            raise SourceUnavailable(
                "Too many audit records wait to be shipped: the table would not be whole.",
                advice="Ask the operator to look at the audit store; try again when it is back.",
                reason="audit table: records wait",
            )
        async with self._one:
            with contextlib.suppress(AuditUnavailable):  # then the statement itself is refused
                await self._audit.settled()
            files = await asyncio.to_thread(self._make, organization)
        objects = tuple(
            StoredObject(f"{QUERIES.schema}/{QUERIES.name}/{file.path.name}", "", file.size, str(file.path))
            for file in files
        )
        return Snapshot(str(QUERIES), f"{QUERIES.schema}/{QUERIES.name}", objects, uniform=True)

    def _make(self, organization: str) -> Sequence[TableFile]:
        return self._files.files(organization, self._audit.waiting())
