"""A process that audits as fast as it can until it is killed: `python -m tests.engine.audit.loaded_node FOLDER ROUND`.

Writes the id of every accepted intent to standard output, a line each, right after `intent` has returned.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from engine.audit import AuditSettings, QueryAudit
from local.audit_files import AuditFiles
from local.clock import SystemClock
from tests.engine.audit.records import intent, outcome


async def main(folder: Path, turn: str) -> None:
    audit = QueryAudit(
        AuditSettings(folder / "spool", "node-1", ship_age_s=0.02, ship_bytes=30_000, segment_bytes=64 << 10),
        AuditFiles(folder / "audit"),
        SystemClock(),
    )
    await audit.start()

    async def client(name: int) -> None:
        number = 0
        while True:
            number += 1
            query_id = f"{turn}-{name}-{number}"
            await audit.intent(intent(query_id))
            os.write(1, query_id.encode() + b"\n")
            await asyncio.sleep(0)
            audit.outcome(outcome(query_id))

    await asyncio.gather(*(client(name) for name in range(8)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
