"""What the executor asserts on results: plainly selected masked columns must look masked. It never masks again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from engine.pipeline.relation import SecuredTable
from engine.pipeline.survey import Node
from governance.policies import Mask, MaskFunction
from governance.sql_types import is_text, normal
from governance.tables import Table, fold


def _check(mask: Mask, type_: str) -> str:
    if mask.function is MaskFunction.FULL and not is_text(normal(type_)) and not mask.as_text:
        return "null"
    if mask.function is MaskFunction.PARTIAL:
        return f"partial:{max(0, mask.visible)}"
    return mask.function.value


def _only_table(tree: Node, secured: Mapping[tuple[str, str], SecuredTable]) -> SecuredTable | None:
    node = tree["node"]
    source = node.get("from_table", {})
    plain = node["type"] == "SELECT_NODE" and source.get("type") == "BASE_TABLE" and not node.get("cte_map")
    if not plain or source.get("column_name_alias"):
        return None
    return secured.get((fold(source.get("schema_name") or "main"), fold(source["table_name"])))


def result_checks(tree: Node, secured: Mapping[tuple[str, str], SecuredTable]) -> tuple[tuple[str, str], ...]:
    """(result column, check) for bare columns and `*` of a SELECT over one table; names that occur once only."""
    one = _only_table(tree, secured)
    if one is None or not one.masks:
        return ()
    table: Table = one.table
    shown: list[tuple[str, str]] = []
    items = tree["node"].get("select_list", ())
    for item in items:
        if item["class"] == "STAR":
            if item.keys() - {"class", "type", "query_location", "relation_name"}:
                return ()
            shown += [(c.name, fold(c.name)) for c in table.columns]
        elif item["class"] == "COLUMN_REF" and len(item["column_names"]) <= 2:
            name = item["column_names"][-1]
            column = table.column(name)
            shown.append((item.get("alias") or (column.name if column else name), fold(name)))
        else:
            shown.append((item.get("alias", ""), ""))
    counts = Counter(label for label, _ in shown)
    checks = []
    for label, name in shown:
        column = table.column(name) if name else None
        if column is not None and name in one.masks and counts[label] == 1:
            checks.append((label, _check(one.masks[name], column.type)))
    return tuple(checks)
