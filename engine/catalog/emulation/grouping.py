"""GROUP BY: the sets that ROLLUP, CUBE and GROUPING SETS stand for.

Source: PostgreSQL 15, section 7.2.4.
"""

from __future__ import annotations

from itertools import combinations, product

from engine.catalog.emulation.tree import Expr, GroupingSets
from governance.errors import TextRefused

SETS_MAX = 4096
_CUBE_MAX = 12
Set = tuple[Expr, ...]


def sets(items: tuple[Expr | GroupingSets, ...]) -> list[Set] | None:
    """The grouping sets of a GROUP BY list; None when it is a plain one.

    Raises:
        TextRefused: more than PostgreSQL makes itself.
    """
    if not any(isinstance(item, GroupingSets) for item in items):
        return None
    choices = [_sets(item) if isinstance(item, GroupingSets) else [(item,)] for item in items]
    count = 1
    for each in choices:
        count *= len(each)
        if count > SETS_MAX:
            raise TextRefused("The catalog query has too many grouping sets.")
    return [tuple(expression for part in choice for expression in part) for choice in product(*choices)]


def _sets(node: GroupingSets) -> list[Set]:
    plain = [item for item in node.items if not isinstance(item, GroupingSets)]
    if node.kind == "rollup":
        return [_joined(plain[:length]) for length in range(len(plain), -1, -1)]
    if node.kind == "cube":
        if len(plain) > _CUBE_MAX:
            raise TextRefused("The catalog query has too many grouping sets.")
        return [_joined(list(each)) for length in range(len(plain), -1, -1) for each in combinations(plain, length)]
    found: list[Set] = []
    for item in node.items:
        found += _sets(item) if isinstance(item, GroupingSets) else [item]
    return found


def _joined(items: list[Set]) -> Set:
    return tuple(expression for item in items for expression in item)
