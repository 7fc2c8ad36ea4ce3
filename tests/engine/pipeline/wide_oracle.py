# ruff: noqa: E501
"""Generated schemas, policies and queries: the wide oracle.

The permitted, masked database is made by the obvious definition, in DuckDB's own words: one CREATE TABLE AS per table,
with the placeholders written out. `oracle.py` keeps a narrower world whose filters are judged by Python instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from governance.policies import Mask, MaskFunction, Policy, RowFilter
from governance.sql_literals import identifier
from governance.tables import TableName

SCHEMA = "s"
ATTRIBUTES = {"region": "emea", "department": "O'Brien"}
PLACEHOLDERS = {"{org_id}": "'1'", "{region}": "'emea'", "{department}": "'O''Brien'"}

VALUES: dict[str, tuple[str, ...]] = {
    "INTEGER": ("0", "1", "2", "-1", "7", "40", "99", "32768", "2147483647", "NULL"),
    "BIGINT": ("0", "1", "2", "5000000000", "-9223372036854775807", "NULL"),
    "SMALLINT": ("0", "1", "3", "32767", "NULL"),
    "DOUBLE": ("0.0", "-0.0", "1.5", "1e300", "'NaN'::DOUBLE", "'inf'::DOUBLE", "NULL"),
    "DECIMAL(10,2)": ("0.00", "1.50", "-3.25", "99999999.99", "NULL"),
    "VARCHAR": ("''", "'emea'", "'amer'", "'EMEA'", "'1'", "'2'", "'O''Brien'", "'111-11-1111'", "'***'", "'é́x'", "'1%_'", "NULL"),
    "DATE": ("'1999-12-31'::DATE", "'2020-01-01'::DATE", "'2024-02-29'::DATE", "'infinity'::DATE", "NULL"),
    "TIMESTAMP": ("'2020-01-01 01:02:03'::TIMESTAMP", "'1970-01-01'::TIMESTAMP", "NULL"),
    "BOOLEAN": ("TRUE", "FALSE", "NULL"),
    "INTEGER[]": ("[]::INTEGER[]", "[1, NULL, 3]::INTEGER[]", "[7]::INTEGER[]", "NULL"),
    "STRUCT(x INTEGER, y VARCHAR)": ("{'x': 1, 'y': 'emea'}", "{'x': NULL, 'y': '1'}", "{'x': 40, 'y': NULL}", "NULL"),
}  # fmt: skip
KINDS = {
    "INTEGER": "n", "BIGINT": "n", "SMALLINT": "n", "DOUBLE": "f", "DECIMAL(10,2)": "n", "VARCHAR": "t", "DATE": "d",
    "TIMESTAMP": "d", "BOOLEAN": "b", "INTEGER[]": "l", "STRUCT(x INTEGER, y VARCHAR)": "s",
}  # fmt: skip
STRICTEST_FIRST = [MaskFunction.NULL, MaskFunction.FULL, MaskFunction.HASH, MaskFunction.PARTIAL]
NAMES = ("id", "ssn", "Total Cost", "order", "k", "region", "d", "value", "ID2", "x", "naïve")
TABLES = ("c", "o", "Big Table")


@dataclass(frozen=True)
class WideTable:
    """One generated table: rows are SQL literals."""

    name: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]
    filters: tuple[RowFilter, ...]
    masks: tuple[Mask, ...]

    @property
    def sql_name(self) -> str:
        return f"{SCHEMA}.{identifier(self.name)}"

    def create(self) -> list[str]:
        out = [f"CREATE TABLE {self.sql_name}({', '.join(f'{identifier(n)} {t}' for n, t in self.columns)})"]
        if self.rows:
            out.append(f"INSERT INTO {self.sql_name} VALUES {', '.join('(' + ', '.join(r) + ')' for r in self.rows)}")
        return out

    def permitted(self) -> list[str]:
        """The same table with the permitted rows and the masked values, and nothing else."""
        hidden = f"{SCHEMA}.{identifier('~ ' + self.name)}"
        items = []
        for name, type_ in self.columns:
            mask = strictest([m for m in self.masks if m.column == name])
            items.append(f"{_masked(mask, identifier(name), type_)} AS {identifier(name)}")
        must = [_written_out(f.filter) for f in self.filters if not f.permissive]
        may = [_written_out(f.filter) for f in self.filters if f.permissive]
        conditions = [f"({c})" for c in must] + (["(" + " OR ".join(f"({c})" for c in may) + ")"] if may else [])
        create, *insert = self.create()
        return [
            create.replace(self.sql_name, hidden, 1),
            *(statement.replace(self.sql_name, hidden, 1) for statement in insert),
            f"CREATE TABLE {self.sql_name} AS SELECT {', '.join(items)} FROM {hidden}"
            + (f" WHERE {' AND '.join(conditions)}" if conditions else ""),
            f"DROP TABLE {hidden}",
        ]

    @property
    def kinds(self) -> dict[str, str]:
        """What the client may write per column: kinds as shown, not as stored."""
        shown = {}
        for name, type_ in self.columns:
            mask = strictest([m for m in self.masks if m.column == name])
            changed = mask is not None and mask.function in (MaskFunction.HASH, MaskFunction.PARTIAL)
            shown[identifier(name)] = "t" if changed or (mask is not None and mask.as_text) else KINDS[type_]
        return shown


def strictest(masks: list[Mask]) -> Mask | None:
    """The rule that holds, by the sentence in the specification; none of none."""

    def rank(mask: Mask) -> tuple[int, int, bool]:
        visible = mask.visible if mask.function is MaskFunction.PARTIAL else 0
        return STRICTEST_FIRST.index(mask.function), visible, mask.as_text

    return min(masks, key=rank, default=None)


def _written_out(text: str) -> str:
    for placeholder, literal in PLACEHOLDERS.items():
        text = text.replace(placeholder, literal)
    return text


def _masked(mask: Mask | None, column: str, type_: str) -> str:
    text = f"{column}::VARCHAR"
    match mask and mask.function:
        case None:
            return column
        case MaskFunction.NULL:
            return f"NULL::{type_}"
        case MaskFunction.FULL:
            if type_ == "VARCHAR" or (mask and mask.as_text):
                return f"CASE WHEN {column} IS NOT NULL THEN '***' END"
            return f"NULL::{type_}"
        case MaskFunction.HASH:
            return f"sha256({text})"
        case MaskFunction.PARTIAL:
            n = mask.visible if mask else 0
            return f"CASE WHEN {column} IS NULL THEN NULL WHEN length({text}) > {n} AND {n} > 0 THEN '***' || right({text}, {n}) ELSE '***' END"
        case other:
            raise AssertionError(other)


@dataclass(frozen=True)
class WideWorld:
    """Tables with their rows and policies."""

    tables: tuple[WideTable, ...]

    @property
    def policies(self) -> list[Policy]:
        return [rule for table in self.tables for rule in (*table.filters, *table.masks)]

    def statements(self) -> list[str]:
        return [f"CREATE SCHEMA {SCHEMA}", *(s for t in self.tables for s in t.create())]

    def permitted(self) -> list[str]:
        return [f"CREATE SCHEMA {SCHEMA}", *(s for t in self.tables for s in t.permitted())]


@st.composite
def _filter_text(draw: Callable[..., Any], columns: tuple[tuple[str, str], ...], depth: int = 2) -> str:
    pick = lambda *options: draw(st.sampled_from(options))  # noqa: E731
    usable = [(n, t) for n, t in columns if KINDS[t] in "ntdbf"]
    if depth and pick(True, False, False):
        left, right = draw(_filter_text(columns, depth - 1)), draw(_filter_text(columns, depth - 1))
        return f"({left} {pick('AND', 'OR')} {right})"
    if depth and pick(True, False, False, False):
        return f"NOT ({draw(_filter_text(columns, depth - 1))})"
    if not usable or pick(*[False] * 9, True):
        return str(pick("TRUE", "FALSE", "{region} = 'emea'", "{org_id} = '2'"))
    name, type_ = pick(*usable)
    column = identifier(name)
    match KINDS[type_]:
        case "t":
            return str(
                pick(
                    f"{column} = {{region}}", f"{column} <> {{department}}", f"{column} IN ('emea', {{org_id}}, '')",
                    f"{column} IS NOT NULL", f"lower({column}) LIKE 'e%'", f"{column} IS DISTINCT FROM {{region}}",
                    f"coalesce({column}, 'emea') = 'emea'", f"length({column}) BETWEEN 1 AND 4",
                    f"TRY_CAST({column} AS INTEGER) = 1", f"left({column}, 1) || 'x' = 'ex'", f"{column} NOT LIKE '%1%'",
                )
            )  # fmt: skip
        case "n":
            return str(
                pick(
                    f"{column} >= 1", f"{column} = 1", f"{column} IS NULL", f"{column} NOT IN (1, 2)",
                    f"{column} BETWEEN 0 AND 50", f"CAST({column} AS VARCHAR) = {{org_id}}", f"-1 < {column}",
                )
            )  # fmt: skip
        case "f":
            return str(pick(f"{column} > 0", f"{column} IS NOT NULL", f"{column} <= 1.5"))
        case "d":
            return str(pick(f"{column} >= '2020-01-01'", f"year({column}) = 2020", f"{column} IS NULL"))
        case _:
            return str(pick(column, f"NOT {column}", f"{column} = TRUE", f"{column} IS NULL"))


@st.composite
def _tables(draw: Callable[..., Any], name: str) -> WideTable:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=6, unique_by=str.lower))
    columns = tuple((n, draw(st.sampled_from(sorted(VALUES)))) for n in names)
    rows = draw(st.lists(st.tuples(*(st.sampled_from(VALUES[t]) for _, t in columns)), max_size=9))
    table = TableName(SCHEMA, name)
    filters = tuple(
        RowFilter(f"f{i}-{name}", f"f{i}-{name}", table, draw(_filter_text(columns)), permissive=draw(st.booleans()))
        for i in range(draw(st.sampled_from([0, 1, 1, 1, 2, 3])))
    )
    masks = []
    for i in range(draw(st.sampled_from([0, 0, 1, 1, 2, 3]))):
        column, type_ = draw(st.sampled_from(columns))
        simple = KINDS[type_] in "ntdb"
        functions = [MaskFunction.NULL, MaskFunction.FULL] + (
            [MaskFunction.HASH, MaskFunction.PARTIAL] if simple else []
        )
        function = draw(st.sampled_from(functions))
        as_text = function is MaskFunction.FULL and type_ != "VARCHAR" and draw(st.booleans())
        masks.append(
            Mask(f"m{i}-{name}", f"m{i}-{name}", table, column, function, draw(st.integers(0, 5)), as_text=as_text)
        )
    return WideTable(name, columns, tuple(rows), filters, tuple(masks))


WIDE_WORLDS = st.builds(lambda *tables: WideWorld(tables), *(_tables(name) for name in TABLES))
