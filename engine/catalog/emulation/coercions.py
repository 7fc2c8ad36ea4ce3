"""Which type alternatives meet in, after PostgreSQL's own table of casts."""

from __future__ import annotations

from functools import cache

from engine.catalog.emulation import types as t
from engine.catalog.emulation.rows import static


@cache
def _implicit() -> frozenset[tuple[int, int]]:
    return frozenset((int(r["castsource"]), int(r["casttarget"])) for r in static("pg_cast") if r["castcontext"] == "i")


def implicitly(source: int, target: int) -> bool:
    """Whether PostgreSQL turns one into the other unasked."""
    held, wanted = t.element_of(source), t.element_of(target)
    if held is not None and wanted is not None:
        return held == wanted or implicitly(held, wanted)
    return source == target or (source, target) in _implicit()


def common_type(first: int, second: int) -> int:
    """The type two alternatives meet in (CASE, UNION, COALESCE, ARRAY), 0 when there is none.

    Source: PostgreSQL 15, section 10.5 (UNION, CASE and related constructs), rules 4 to 6.
    """
    if first == second or second == t.UNKNOWN:
        return first
    if first == t.UNKNOWN:
        return second
    one, other = t.types().get(first), t.types().get(second)
    if one is None or other is None or one.category != other.category:
        return 0
    if not one.preferred and implicitly(first, second) and not implicitly(second, first):
        return second
    return first


def comparable(first: int, second: int) -> bool:
    """Whether values of two types compare once DuckDB has cast them itself."""
    if first == second or t.duck(first) == t.duck(second):
        return True
    if first in t.NUMBERS and second in t.NUMBERS:
        return True
    whole = t.OID_LIKE | t.INTEGERS
    if first in whole and second in whole:
        return True
    return t.is_text(first) and t.is_text(second)
