"""Time zones that are an offset and no place: `5`, `-3.5`, `UTC+3`, `<+05>-05`, as PostgreSQL 15 reads them."""

from __future__ import annotations

import re
from functools import lru_cache

_NUMBER = re.compile(r"[+-]?\d{1,2}(?:\.\d{1,4})?")
_POSIX = re.compile(r"(?:[A-Za-z]{3,10}|<[A-Za-z0-9+:\-]{1,16}>)?([+-]?)(\d{1,2})(?::([0-5]\d)(?::([0-5]\d))?)?")
_LIMIT_S = 16 * 3600


@lru_cache(maxsize=256)
def offset_s(text: str) -> int | None:
    """Seconds east of UTC of a POSIX zone without summer time (`UTC+3` lies west); None when `text` is no such zone."""
    found = _POSIX.fullmatch(text)
    if found is None:
        return None
    sign, hours, minutes, seconds = found.groups()
    west = int(hours) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    if west >= _LIMIT_S:
        return None
    return west if sign == "-" else -west


def fixed_zone(text: str) -> str | None:
    """The name under which PostgreSQL keeps an offset, None when `text` is none.

    Hours east of UTC get one (`5` is `<+05>-05`), POSIX zones keep theirs.
    """
    if _NUMBER.fullmatch(text):
        return zone_of(round(float(text) * 3600))
    return text if offset_s(text) is not None else None


def zone_of(east_s: int) -> str | None:
    """The POSIX zone that lies `east_s` seconds east of UTC; None when there is none so far away."""
    if abs(east_s) >= _LIMIT_S:
        return None
    if not east_s:
        return "UTC"
    hours, rest = divmod(abs(east_s), 3600)
    minutes, seconds = divmod(rest, 60)
    size = f"{hours:02d}" + (f":{minutes:02d}" if rest else "") + (f":{seconds:02d}" if seconds else "")
    east, west = ("+", "-") if east_s > 0 else ("-", "+")
    return f"<{east}{size}>{west}{size}"
