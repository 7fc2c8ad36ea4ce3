"""Which calls may fail on a value that stands in a dictionary only: what they read is sealed.

DuckDB runs a function once over the dictionary of a dictionary-encoded column, hidden rows' values included, when it
believes that the function cannot fail. Whether it believes so rightly was measured by name and by type: `+` of numbers
is safe, `+` of a TIMESTAMP WITH TIME ZONE is not; `left` by a written count is, by a column's is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from engine.pipeline import functions
from engine.pipeline.names import names_behind
from engine.pipeline.proven import is_small
from engine.pipeline.survey import Node, Survey
from engine.pipeline.totals import DICTIONARY_SAFE, TOTAL_TEXT
from governance.sql_types import BOOLEAN, FLOATS, INTEGER_RANGES, TEXT, normal
from governance.tables import fold

_OF_ANY_TYPE = functions.AGGREGATES | functions.ALLOWED["windows"] | {"list_value", "struct_pack", "row"}
"""What only gathers its arguments, or is given the rows that are left, never a dictionary."""
_MEASURED = frozenset(INTEGER_RANGES) | FLOATS | {TEXT, BOOLEAN, "DECIMAL", "DATE", "TIMESTAMP", "STRUCT"}
_WORD = re.compile(r"\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*'|\w+|[^\s\w]")
_SHAPE = re.compile(r"\(\s*\d+\s*(?:,\s*\d+\s*)?\)")


def risky_calls(survey: Survey, columns: Mapping[str, Sequence[str]]) -> list[Node]:
    """The calls of a statement that may fail on a dictionary; `columns` has the types by folded column name."""
    plain = _measured(type_ for types in columns.values() for type_ in types)
    return [
        call.node
        for call in survey.calls
        if not call.table and not _is_safe(fold(call.name), call.node, survey, columns, plain=plain)
    ]


def _is_safe(name: str, call: Node, survey: Survey, columns: Mapping[str, Sequence[str]], *, plain: bool) -> bool:
    """Whether a call was measured to be safe; `plain` says that every column of the statement has a measured type."""
    if name not in DICTIONARY_SAFE:
        return False
    if name in _OF_ANY_TYPE:
        return True
    arguments = call.get("children", ())
    shape = TOTAL_TEXT.get(name)
    if shape is not None:
        kinds = zip(shape, arguments, strict=False)
        if len(arguments) > len(shape) or not all(is_small(node) for kind, node in kinds if kind == "c"):
            return False
    if plain:
        return True
    names = names_behind(arguments, survey, columns)
    return names is not None and _measured(type_ for n in names for type_ in columns.get(n, ()))


def _measured(types: Iterable[str]) -> bool:
    return all(map(is_measured, set(types)))


def is_measured(type_: str) -> bool:
    """Whether every type in a type was measured; a struct's are those of its fields."""
    words = _WORD.findall(_SHAPE.sub("", normal(type_)))
    inside = [i for i, word in enumerate(words) if word not in "(),"]
    named = {i for i in inside if i and words[i - 1] in "(,"}  # names of a struct's fields, each with a type behind it
    return all((i + 1 in inside) if i in named else words[i].upper() in _MEASURED for i in inside)
