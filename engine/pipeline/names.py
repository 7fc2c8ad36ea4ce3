"""What an expression reads, by name and through every alias a name may stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from engine.pipeline.prover import Prover
from engine.pipeline.survey import Node, Survey
from governance.tables import fold


def hides_names(survey: Survey, columns: Mapping[str, Sequence[str]]) -> bool:
    """Whether some expression makes columns whose names say nothing of what they hold."""
    if survey.opaque or any(star.get("columns") or star.get("expr") or star.get("unpacked") for star in survey.stars):
        return True
    prover = Prover(survey, columns)
    return any(s.get("relation_name") and not prover.is_relation(fold(s["relation_name"])) for s in survey.stars)


def names_behind(nodes: Iterable[Node], survey: Survey, columns: Mapping[str, Sequence[str]]) -> frozenset[str] | None:
    """Folded names of everything the expressions read, through every alias; None when that may be any column."""
    pending: list[Node] = list(nodes)
    if pending and hides_names(survey, columns):
        return None
    tainted: set[str] = set()
    while pending:
        for read in _reads(pending.pop()):
            if read["class"] != "COLUMN_REF" or survey.may_be_other(fold(read["column_names"][-1]), columns):
                return None
            for name in map(fold, read["column_names"]):
                if name in tainted:
                    continue
                tainted.add(name)
                definitions = survey.definitions.get(name, ())
                if name not in columns and not definitions and name not in survey.relation_names:
                    return None
                if any(definition is None for definition in definitions):
                    return None
                pending += [definition for definition in definitions if definition is not None]
    return frozenset(tainted)


def _reads(node: Node) -> Iterable[Node]:
    """Every column, star or positional reference below an expression, sub-queries included."""
    stack: list[object] = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            if item.get("class") in ("COLUMN_REF", "STAR", "POSITIONAL_REFERENCE"):
                yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
