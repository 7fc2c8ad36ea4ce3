"""`hatidata_audit.queries` on a node: the files that a statement of one organization reads, pinned like any table's.

Where nobody makes such files (every node but a home's), there is no such table.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from engine.audit.query_audit import QueryAudit
from engine.cache.objects import Snapshot, StoredObject
from governance.audit_table import QUERIES, AuditTableFiles, TableFile
from governance.errors import AuditUnavailable, SourceUnavailable

WAITING_BYTES_MAX = 256 << 20
"""More than this waits for the store only when the store is away; then the table cannot be whole."""


WAIT_S = 30.0
"""How long a statement waits for its files, those of statements before it included."""


class AuditTable:
    """One per node. Files are made one statement after the other, on a thread of their own."""

    def __init__(self, files: AuditTableFiles, audit: QueryAudit) -> None:
        self._files = files
        self._audit = audit
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit-table")

    def close(self) -> None:
        """Make no more files; waits for those under way."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def snapshot(self, organization: str) -> Snapshot:
        """The organization's records as they are now.

        Raises:
            SourceUnavailable: they cannot be read now, or too many wait to be shipped.
        """
        if self._audit.spool_bytes > WAITING_BYTES_MAX:
            raise _unavailable(
                "Too many audit records wait to be shipped: the table would not be whole.", "records wait"
            )
        with contextlib.suppress(AuditUnavailable):  # then the statement itself is refused
            await self._audit.settled()
        try:
            async with asyncio.timeout(WAIT_S):
                files = await asyncio.get_running_loop().run_in_executor(self._thread, self._make, organization)
        except (TimeoutError, AuditUnavailable, OSError, RuntimeError) as error:
            raise _unavailable("The audit cannot be read as a table now.", type(error).__name__) from None
        root = f"{QUERIES.schema}/{QUERIES.name}"
        objects = tuple(StoredObject(f"{root}/{file.path.name}", "", file.size, str(file.path)) for file in files)
        return Snapshot(str(QUERIES), root, objects, uniform=True)

    def _make(self, organization: str) -> Sequence[TableFile]:
        return self._files.files(organization, self._audit.waiting())


def _unavailable(sentence: str, reason: str) -> SourceUnavailable:
    return SourceUnavailable(
        sentence,
        advice="Try again in a moment; if it stays so, ask the operator to look at the audit store.",
        reason=f"audit table: {reason}",
    )
