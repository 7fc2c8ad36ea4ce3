"""What the audit of a node is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Where the spool lies, how soon it is shipped, and every bound."""

    spool: Path
    """A folder on a volume that outlives the process; made with mode 0700 when missing."""
    node: str
    """The node's name; letters, digits, dash and dot."""
    ship_age_s: float = 60.0
    """A record waits at most this long for others to be shipped with."""
    ship_bytes: int = 8 << 20
    """... or until a batch has this many bytes before compression."""
    spool_bytes_max: int = 1 << 30
    """Beyond this, statements are refused rather than left unaudited."""
    segment_bytes: int = 8 << 20
    record_bytes_max: int = 1 << 20
    waiting_max: int = 20_000
    """Records that may wait for the writer at once."""
    drain_timeout_s: float = 20.0
    """How long `stop` tries to ship what is left; the rest stays in the spool for the next start."""
    intent_timeout_s: float = 10.0
    """A disk that has not answered by then counts as failing: the statement is refused."""
    retry_s_max: float = 30.0
    carry_after_s: float = 60.0
    """A sealed segment kept only by statements that still run is freed after this by writing their intents anew."""
