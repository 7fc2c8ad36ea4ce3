"""What a translated text means by its columns' types: sqlglot does not know them, DuckDB's tree and the catalog do.

Numbers with a floating point are written otherwise as text (`2` in PostgreSQL and Snowflake, `2.0` in DuckDB), and
rounded otherwise to whole numbers in Snowflake (half away from zero). Where the type is not known, nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.pipeline.prover import Prover, columns_of
from engine.pipeline.survey import Node, Survey, children
from governance.errors import StatementRefused
from governance.sql_types import BOOLEAN, FLOATS, TEXT, decimal_shape, is_integer, is_text, normal
from governance.tables import Table, fold

_WRITTEN_ALIKE = {
    "postgres": frozenset({BOOLEAN, "DATE", "TIMESTAMP", "UUID", "NULL", "STRING_LITERAL"}),
    "snowflake": frozenset({BOOLEAN, "DATE", "UUID", "NULL", "STRING_LITERAL"}),
}
"""Types besides texts, whole numbers and decimals that DuckDB writes as the dialect does."""
_MAKES_TEXTS = frozenset(
    {"||", "lower", "upper", "trim", "ltrim", "rtrim", "replace", "left", "right", "substring", "split_part", "listagg"}
    | {"string_agg"}
)
_MAKES_OTHERS = _MAKES_TEXTS | frozenset(
    {"strpos", "length", "date_part", "count", "count_star", "count_if", "octet_length"}
)
"""Functions that make texts and counts."""
_KEEPS_TYPES = frozenset({"+", "-", "*", "%", "abs", "mod", "greatest", "least", "nullif", "coalesce", "sum"})


def check_translated(survey: Survey, shown: Iterable[Table], dialect: str) -> None:
    """Hold casts to text and to whole numbers, and the joining of texts, against the types of what they take.

    `shown` carry the types that are shown.

    Raises:
        StatementRefused: a number with a floating point, or what may be one, would be written or rounded otherwise.
    """
    prover = Prover(survey, columns_of(shown))
    texts = [c for call in survey.calls if call.name == "||" for c in children(call.node)]
    texts += [cast["child"] for cast in survey.casts if cast["cast_type"].get("id") == TEXT]
    wholes = [cast["child"] for cast in survey.casts if is_integer(cast["cast_type"].get("id", ""))]
    types = _Types(prover, _WRITTEN_ALIKE[dialect])
    for items in survey.aligned:
        for places in zip(*items, strict=True):
            if any(map(_is_literal, places)) and not all(_is_text(prover, each) for each in places):
                raise _refuse("a text stands in one column with other values")  # the dialect makes a number of it
    for column in survey.columns:
        name = fold(column["column_names"][-1])
        if name in survey.relation_names and name not in prover.columns and name not in survey.definitions:
            raise _refuse("a whole row is written otherwise")
    if not all(map(types.alike, texts)):
        raise _refuse("a text is made of what may be a number with a floating point")
    means = [c for call in survey.calls if call.name == "avg" for c in call.node.get("children", ())]
    if dialect == "snowflake" and not all(_is_floating(prover, each) for each in means):
        raise _refuse("an average that may be a decimal number is rounded to six places there")
    if dialect == "snowflake" and not all(map(types.alike, wholes)):
        raise _refuse("a number with a floating point would be rounded otherwise")


def _is_literal(node: Node) -> bool:
    return bool(node["class"] == "CONSTANT" and node["value"]["type"]["id"] == TEXT)


def _is_floating(prover: Prover, node: Node) -> bool:
    if node["class"] == "CAST":
        return node["cast_type"].get("id") in FLOATS
    proof = prover.expression(node)
    return proof is not None and proof.type in FLOATS


def _is_text(prover: Prover, node: Node) -> bool:
    if node["class"] == "CAST":
        return is_text(node["cast_type"].get("id", ""))
    if node["class"] == "FUNCTION" and fold(node["function_name"]) in _MAKES_TEXTS:
        return True
    proof = prover.expression(node)
    return proof is not None and (is_text(proof.type) or proof.type in ("NULL", "STRING_LITERAL"))


def _refuse(what: str) -> StatementRefused:
    return StatementRefused(
        f"This statement cannot be translated exactly: {what}.", advice="Write it in DuckDB's dialect."
    )


@dataclass(slots=True)
class _Types:
    """What is known of the types of expressions, by name: everything a name may stand for must agree."""

    prover: Prover
    others: frozenset[str]
    open: set[str] = field(default_factory=set)

    def alike(self, node: Node) -> bool:
        """Whether an expression surely is of a type that DuckDB writes as the dialect does."""
        kind = node["class"]
        if kind == "PARAMETER":
            return True  # a text: its type follows from where it stands
        if kind == "COLUMN_REF":
            return self._column([fold(name) for name in node["column_names"]])
        proof = self.prover.expression(node)
        if proof is not None and proof.type:
            return self._is_alike(proof.type)
        if kind == "CAST":
            return self._is_alike(node["cast_type"].get("id", ""))
        if kind == "CASE":
            outcomes = [check["then_expr"] for check in node["case_checks"]]
            return all(map(self.alike, outcomes + ([node["else_expr"]] if node.get("else_expr") else [])))
        if kind in ("COMPARISON", "CONJUNCTION", "BETWEEN"):
            return True
        if kind == "FUNCTION" or node.get("type") == "OPERATOR_COALESCE":
            name = fold(node.get("function_name", "coalesce"))
            return name in _MAKES_OTHERS or (name in _KEEPS_TYPES and all(map(self.alike, children(node))))
        return False

    def _column(self, names: list[str]) -> bool:
        name = names[-1]
        if len(names) > 1 and not self.prover.is_relation(names[-2]):
            return False
        if name in self.open:
            return True  # what it repeats is asked already
        self.open.add(name)
        types, made = self.prover.columns.get(name, ()), self.prover.survey.definitions.get(name, ())
        known = all(map(self._is_alike, types)) and all(d is not None and self.alike(d) for d in made)
        self.open.discard(name)
        return known and bool(types or made)

    def _is_alike(self, type_: str) -> bool:
        plain = normal(type_)
        return is_text(plain) or is_integer(plain) or decimal_shape(plain) is not None or plain in self.others
