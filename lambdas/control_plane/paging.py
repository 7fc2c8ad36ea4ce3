"""A page of a list, read from the store as far as it goes and no further."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from governance.ports import ControlReader
from governance.register import Observation, Record
from lambdas.control_plane.models import decode_cursor, encode_cursor

R = TypeVar("R", bound=Record | Observation)

SCANNED_MAX = 5000
"""Records looked at for one page; a page may be short and still have a next."""
AT_ONCE_MAX = 1000


def stored_page(
    reader: ControlReader,
    kind: type[R],
    environment: str,
    cursor: str,
    limit: int,
    *,
    where: Callable[[R], bool] | None = None,
) -> tuple[list[R], str | None]:
    """At most `limit` records past `cursor` in the order of their ids, and the cursor that follows them.

    Raises:
        InvalidRequest: a cursor that no page gave.
    """
    after, seen = decode_cursor(cursor), 0
    found: list[R] = []
    at_once = min(AT_ONCE_MAX, limit + 1)
    while True:
        batch = reader.page(kind, environment, after=after, limit=at_once)
        for record in batch:
            if where is None or where(record):
                if len(found) == limit:
                    return found, encode_cursor(found[-1].id)
                found.append(record)
            after, seen = record.id, seen + 1
        if len(batch) < at_once:
            return found, None
        if seen >= SCANNED_MAX:
            return found, encode_cursor(after)
        at_once = AT_ONCE_MAX
