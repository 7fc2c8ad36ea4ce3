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
    bytea_output: str


_SESSION = frozenset({"time_zone", "interval_style", "bytea_output"})


def spelling(options: Mapping[str, Any]) -> Spelling:
    """What the session says of values; what it does not say is PostgreSQL's default."""
    return {
        "timezone": str(options.get("time_zone", "UTC")),
        "interval_style": str(options.get("interval_style", "postgres")),
        "bytea_output": str(options.get("bytea_output", "hex")),
    }


def copy_options(work: Work) -> CopyOptions:
    """The options of a COPY."""
    own = {name: value for name, value in work.row_options.items() if name not in _SESSION}
    return CopyOptions.parse(work.row_format.removeprefix("copy_"), own)
