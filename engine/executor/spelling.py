"""How a request wants its values written: the session's time zone and style of intervals, and the options of COPY."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from engine.encoder.copy import CopyOptions
from engine.executor.messages import Work


class Spelling(TypedDict):
    """As the encoders take it."""

    timezone: str
    interval_style: str


def spelling(options: Mapping[str, Any]) -> Spelling:
    """What the session says of values; what it does not say is PostgreSQL's default."""
    zone, style = options.get("time_zone", "UTC"), options.get("interval_style", "postgres")
    return {"timezone": str(zone), "interval_style": str(style)}


def copy_options(work: Work) -> CopyOptions:
    """The options of a COPY."""
    own = {name: value for name, value in work.row_options.items() if name not in ("time_zone", "interval_style")}
    return CopyOptions.parse(work.row_format.removeprefix("copy_"), own)
