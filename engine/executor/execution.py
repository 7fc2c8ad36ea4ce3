"""The executor's seam: what a session gives and gets (ARCHITECTURE.md, Executor)."""

from __future__ import annotations

from dataclasses import dataclass

from engine.encoder.parameters import ParameterValue
from engine.encoder.types import ResultColumn

__all__ = ["ExecutionFacts", "Frame", "ParameterValue", "ResultColumn"]


@dataclass(frozen=True, slots=True)
class Frame:
    """Whole rows, already in the client's format."""

    data: memoryview
    rows: int


@dataclass(slots=True)
class ExecutionFacts:
    """What the audit and the metrics want to know of a statement; final when its frames have ended."""

    rows: int = 0
    bytes: int = 0
    """Bytes of frames."""
    execution_ms: float = 0.0
    """From the worker's start on the statement to its last row."""
    cache_status: str = "none"
    """hit, partial, miss; none when no block was needed."""
    cache_bytes: int = 0
    """Bytes of blocks the cache volume had."""
    store_bytes: int = 0
    """Bytes of blocks fetched from the object store."""
