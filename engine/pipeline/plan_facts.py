"""Whether a statement could learn, by failing or not, how many rows are hidden.

DuckDB orders joins by the number of rows a table holds, hidden ones included, and does not evaluate one side of a join
when the other turns out empty. So an expression of the client's own that fails below a join fails or not according to
the plan, and the plan follows the number of hidden rows. In such statements filtered tables are given a fixed number
of rows to plan with. What cannot fail, and what stands above every join, is planned with the true numbers: TPC-H is
1.5 times slower without them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.pipeline import functions
from engine.pipeline.prover import Prover
from engine.pipeline.survey import Node, Survey, children
from governance.sql_types import decimal_shape, is_integer
from governance.tables import fold

_STEADY_SUMS_DIGITS = 18
"""A DECIMAL of so many digits is summed in a HUGEINT, which no number of rows a table holds overflows."""
_SUMS = frozenset({"sum", "avg"})
_RANKS = frozenset(
    {"row_number", "rank", "dense_rank", "rank_dense", "percent_rank", "cume_dist", "first_value", "last_value"}
)
_STEADY = frozenset(
    {"count", "count_star", "min", "max", "any_value", "first", "last", "arbitrary", "bool_and", "bool_or"}
)


def fails_by_plan(tree: Node, prover: Prover) -> bool:
    """Whether some expression below a join or in a sub-query may fail.

    `tree` is DuckDB's, the one that the prover's survey is of. Of conditions it asks only what is done in them to
    aggregates, windows and sub-queries: the rest is proven, or held back by a barrier.
    """
    survey = prover.survey
    above = set()
    node: Any = tree["node"]
    while isinstance(node, dict) and node.get("type") == "SELECT_NODE":
        above |= {id(node), id(node.get("having")), id(node.get("qualify"))}
        source = node.get("from_table") or {}
        node = source["subquery"]["node"] if source.get("type") == "SUBQUERY" else None
    strict = Prover(survey, prover.columns, strict=True)
    conditions = [node for node in survey.conditions if id(node) not in above]
    return any(not _steady(item, strict) for item in [*_below(survey, above), *conditions])


def _below(survey: Survey, above: set[int]) -> Iterator[Node]:
    """The expressions that are evaluated below the topmost SELECTs, which are told by identity."""
    for select in survey.selects:
        if id(select) not in above:
            yield from select.get("select_list", ())
            yield from select.get("group_expressions", ())
    yield from survey.fed


def _steady(node: Node, strict: Prover) -> bool:
    """Whether an expression gives a value on every row, its aggregates' arguments included."""
    if node["class"] == "STAR":
        return not (node.get("replace_list") or node.get("expr"))
    if strict.expression(node) is None:
        return False
    return all(_aggregate_steady(call, strict) for call in _held(node))


def _held(node: Node) -> Iterator[Node]:
    """The aggregates and windows of an expression; what stands in sub-queries is asked by itself."""
    if node["class"] == "WINDOW" or _is_aggregate(node):
        yield node
    else:
        for child in children(node):
            yield from _held(child)


def _is_aggregate(node: Node) -> bool:
    return node["class"] == "FUNCTION" and fold(node["function_name"]) in functions.AGGREGATES


def _aggregate_steady(node: Node, strict: Prover) -> bool:
    below = list(children(node))
    proofs = [strict.expression(child) for child in below]
    if any(proof is None or any(_held(child)) for proof, child in zip(proofs, below, strict=True)):
        return False
    name = fold(node["function_name"])
    if name in _STEADY or (node["class"] == "WINDOW" and name in _RANKS):
        return True
    return name in _SUMS and all(_sums(proof.type) for proof in proofs[: len(node.get("children", ()))] if proof)


def _sums(type_: str) -> bool:
    shape = decimal_shape(type_)
    return (is_integer(type_) and "HUGE" not in type_) or (shape is not None and shape[0] <= _STEADY_SUMS_DIGITS)
