# ruff: noqa: E501
"""The oracle: the permitted, masked database built by the slow, obvious definition, and a generator of queries."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from governance.policies import Mask, MaskFunction, RowFilter
from governance.tables import TableName

C, ORDERS = TableName("s", "c"), TableName("s", "o")
C_COLUMNS = {
    "id": "INTEGER",
    "org": "INTEGER",
    "region": "VARCHAR",
    "ssn": "VARCHAR",
    "bal": "DECIMAL(12,2)",
    "d": "DATE",
    "k": "BIGINT",
}
O_COLUMNS = {
    "oid": "INTEGER",
    "org": "INTEGER",
    "cid": "INTEGER",
    "amt": "INTEGER",
    "note": "VARCHAR",
    "ts": "TIMESTAMP",
}
NUMBERS, TEXTS = ("id", "bal", "k", "oid", "cid", "amt"), ("region", "ssn", "note")

Row = tuple[Any, ...]
FILTERS: dict[str, dict[str, Callable[[dict[str, Any]], bool | None]]] = {
    "c": {
        "org = {org_id}": lambda r: None if r["org"] is None else r["org"] == 1,
        "org = {org_id} AND region IN ('emea', 'amer')": lambda r: r["org"] == 1 and r["region"] in ("emea", "amer"),
        "region = {region}": lambda r: r["region"] == "emea",
        "NOT (bal > 100) OR ssn IS NULL": lambda r: (r["bal"] is not None and not r["bal"] > 100) or r["ssn"] is None,
        "d >= '2020-01-01' AND lower(region) LIKE 'e%'": lambda r: (
            r["d"] is not None and r["d"] >= date(2020, 1, 1) and r["region"] is not None and r["region"].lower()[:1] == "e"
        ),
        "FALSE": lambda r: False,
    },
    "o": {
        "org = {org_id}": lambda r: r["org"] == 1,
        "amt BETWEEN 0 AND 50 OR note IS NULL": lambda r: (r["amt"] is not None and 0 <= r["amt"] <= 50) or r["note"] is None,
    },
}  # fmt: skip


def _shown(mask: Mask | None, value: Any, text: bool) -> Any:
    if mask is None or value is None:
        return value
    plain = value if text else str(value)
    match mask.function:
        case MaskFunction.NULL:
            return None
        case MaskFunction.FULL:
            return "***" if text else None
        case MaskFunction.HASH:
            return hashlib.sha256(plain.encode()).hexdigest()
        case MaskFunction.PARTIAL:
            return "***" + plain[-mask.visible :] if len(plain) > mask.visible and mask.visible else "***"
    raise AssertionError(mask)


def shown_type(mask: Mask | None, type_: str) -> str:
    if mask is None or mask.function is MaskFunction.NULL:
        return type_
    return type_ if mask.function is MaskFunction.FULL and type_ != "VARCHAR" else "VARCHAR"


@dataclass(frozen=True)
class World:
    """Rows and policies of one example."""

    rows: dict[str, list[Row]]
    filters: dict[str, str]
    masks: dict[str, tuple[Mask, ...]]

    @property
    def policies(self) -> list[RowFilter | Mask]:
        names = {"c": C, "o": ORDERS}
        found: list[RowFilter | Mask] = [
            RowFilter(f"f-{t}", f"f-{t}", names[t], text) for t, text in self.filters.items() if text
        ]
        return found + [m for masks in self.masks.values() for m in masks]

    def statements(self) -> list[str]:
        """The true database."""
        return self._build(self.rows, {"c": C_COLUMNS, "o": O_COLUMNS})

    def permitted(self) -> list[str]:
        """The database that holds the permitted rows with masked values."""
        rows: dict[str, list[Row]] = {}
        types: dict[str, dict[str, str]] = {}
        for table, columns in (("c", C_COLUMNS), ("o", O_COLUMNS)):
            masks = {m.column: m for m in self.masks.get(table, ())}
            keep = FILTERS[table][self.filters[table]] if self.filters.get(table) else lambda r: True
            rows[table] = [
                tuple(_shown(masks.get(n), v, columns[n] == "VARCHAR") for n, v in zip(columns, row, strict=True))
                for row in self.rows[table]
                if keep(dict(zip(columns, row, strict=True)))
            ]
            types[table] = {n: shown_type(masks.get(n), t) for n, t in columns.items()}
        return self._build(rows, types)

    @staticmethod
    def _build(rows: dict[str, list[Row]], types: dict[str, dict[str, str]]) -> list[str]:
        out = ["CREATE SCHEMA s"]
        for table, columns in types.items():
            out.append(f"CREATE TABLE s.{table}({', '.join(f'{n} {t}' for n, t in columns.items())})")
            if rows[table]:
                values = ", ".join("(" + ", ".join(_literal(v) for v in row) + ")" for row in rows[table])
                out.append(f"INSERT INTO s.{table} VALUES {values}")
        return out


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int | Decimal):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


_REGIONS = st.sampled_from(["emea", "amer", "apac", "EMEA", "emea ", "x", "", None])
_ORGS = st.sampled_from([1, 1, 1, 2, 3, None])
_NUMBER = st.sampled_from([-1, 0, 1, 2, 3, 7, 40, 99, 32768, 2147483647, None])
_SSN = st.sampled_from(["111-11-1111", "12", "1234", "", "999-99-9999", "5", "ab-cdé", None])
_DATES = st.sampled_from([date(1999, 12, 31), date(2020, 1, 1), date(2024, 2, 29), None])
_BALANCES = st.sampled_from([Decimal("-1.50"), Decimal("0.00"), Decimal("100.00"), Decimal("9999999999.99"), None])
_TIMES = st.sampled_from([datetime.fromisoformat("2020-01-01 01:02:03"), datetime.fromisoformat("1970-01-01"), None])
_C_ROWS = st.lists(st.tuples(_NUMBER, _ORGS, _REGIONS, _SSN, _BALANCES, _DATES, _NUMBER), max_size=10)
_O_ROWS = st.lists(
    st.tuples(_NUMBER, _ORGS, _NUMBER, _NUMBER, st.sampled_from(["a", "1", "HID", "", None]), _TIMES), max_size=10
)


def _masks(table: TableName, columns: dict[str, str]) -> st.SearchStrategy[tuple[Mask, ...]]:
    one = st.builds(
        lambda column, function, visible: Mask(f"m-{column}", f"m-{column}", table, column, function, visible),
        st.sampled_from(sorted(columns)),
        st.sampled_from([MaskFunction.NULL, MaskFunction.FULL, MaskFunction.HASH, MaskFunction.PARTIAL]),
        st.integers(0, 5),
    )
    return st.lists(one, max_size=2, unique_by=lambda m: m.column).map(tuple)


WORLDS = st.builds(
    lambda c, o, fc, fo, mc, mo: World({"c": c, "o": o}, {"c": fc, "o": fo}, {"c": mc, "o": mo}),
    _C_ROWS,
    _O_ROWS,
    st.sampled_from([*FILTERS["c"], ""]),
    st.sampled_from([*FILTERS["o"], ""]),
    _masks(C, {"region": "VARCHAR", "ssn": "VARCHAR", "bal": "", "d": ""}),
    _masks(ORDERS, {"note": "VARCHAR", "amt": ""}),
)


class _Grammar:
    """Draws one query; `alias` maps names in scope to their columns."""

    def __init__(self, draw: Callable[..., Any]) -> None:
        self.draw = draw
        self.serial = 0

    def pick(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def fresh(self, stem: str) -> str:
        self.serial += 1
        return f"{stem}{self.serial}"

    def column(self, scope: dict[str, dict[str, str]], kinds: tuple[str, ...] = ()) -> str:
        found = [
            f"{alias}.{name}" for alias, columns in scope.items() for name, kind in columns.items() if not kinds or kind in kinds
        ]  # fmt: skip
        return str(self.pick(*found)) if found else "NULL"

    def number(self, scope: dict[str, dict[str, str]], depth: int) -> str:
        column = self.column(scope, ("n",))
        match self.pick(*range(10 if depth else 3)):
            case 0 | 1:
                return column
            case 2:
                return str(self.pick("0", "1", "2", "-3", "40", "1.5", "2147483647"))
            case 3:
                return f"({self.number(scope, depth - 1)} {self.pick('+', '-', '*')} {self.number(scope, depth - 1)})"
            case 4:
                return f"length({self.text(scope, depth - 1)})"
            case 5:
                return f"TRY_CAST({self.text(scope, depth - 1)} AS {self.pick('INTEGER', 'SMALLINT', 'DOUBLE')})"
            case 6:
                return f"CAST({column} AS {self.pick('BIGINT', 'SMALLINT', 'VARCHAR')})"
            case 7:
                return f"CASE WHEN {self.condition(scope, depth - 1)} THEN {column} ELSE 0 END"
            case 8:
                return f"coalesce({column}, 0)"
            case _:
                inner, name = self.source(depth - 1)
                agg = self.pick("count(*)", f"max({self.column({name: inner[1]}, ('n',))})")
                return f"(SELECT {agg} FROM {inner[0]} WHERE {self.condition({**scope, name: inner[1]}, 0)})"

    def text(self, scope: dict[str, dict[str, str]], depth: int) -> str:
        column = self.column(scope, ("t",))
        match self.pick(*range(6 if depth else 2)):
            case 0:
                return column
            case 1:
                return str(self.pick("'emea'", "'***'", "'1'", "''", "'111-11-1111'"))
            case 2:
                return f"{self.pick('upper', 'lower', 'trim', 'reverse')}({self.text(scope, depth - 1)})"
            case 3:
                return f"({self.text(scope, depth - 1)} || {self.text(scope, depth - 1)})"
            case 4:
                return f"substr({column}, {self.pick(1, 2, -2)}, {self.pick(1, 3)})"
            case _:
                return f"CAST({self.column(scope)} AS VARCHAR)"

    def condition(self, scope: dict[str, dict[str, str]], depth: int) -> str:
        match self.pick(*range(12 if depth else 6)):
            case 0:
                return f"{self.number(scope, depth)} {self.pick('=', '<', '>=', '<>')} {self.number(scope, 0)}"
            case 1:
                return (
                    f"{self.text(scope, depth)} {self.pick('=', '<', '<>', 'IS DISTINCT FROM')} {self.text(scope, 0)}"
                )
            case 2:
                return f"{self.column(scope)} IS {self.pick('', 'NOT ')}NULL"
            case 3:
                return f"{self.text(scope, 0)} LIKE {self.pick(chr(39) + '%1%' + chr(39), chr(39) + 'e%' + chr(39))}"
            case 4:
                return f"{self.column(scope, ('n',))} BETWEEN 0 AND {self.pick(5, 100)}"
            case 5:
                return f"{self.column(scope, ('t',))} IN ('emea', '1', '***')"
            case 6:
                return f"NOT ({self.condition(scope, depth - 1)})"
            case 7 | 8:
                left, right = self.condition(scope, depth - 1), self.condition(scope, depth - 1)
                return f"({left} {self.pick('AND', 'OR')} {right})"
            case 9:
                inner, name = self.source(depth - 1)
                link = f"{self.column({name: inner[1]}, ('n',))} = {self.column(scope, ('n',))}"
                return f"{self.pick('', 'NOT ')}EXISTS (SELECT 1 FROM {inner[0]} WHERE {link})"
            case 10:
                inner, name = self.source(depth - 1)
                item = self.column({name: inner[1]}, ("n",))
                return f"{self.column(scope, ('n',))} {self.pick('', 'NOT ')}IN (SELECT {item} FROM {inner[0]})"
            case _:
                return (
                    f"CAST({self.column(scope)} AS {self.pick('INTEGER', 'SMALLINT', 'DATE', 'BOOLEAN')}) IS NOT NULL"
                )

    def source(self, depth: int) -> tuple[tuple[str, dict[str, str]], str]:
        """A table or derived table: ((text with alias, columns), alias)."""
        name = self.fresh("t")
        kind = self.pick("c", "o", "c", "derived" if depth > 0 else "o")
        if kind == "derived":
            text, columns = self.select(depth - 1)
            return (f"({text}) AS {name}", columns), name
        columns = C_COLUMNS if kind == "c" else O_COLUMNS
        kinds = {n: "n" if n in (*NUMBERS, "org") else "t" if n in TEXTS else "d" for n in columns}
        return (f"s.{kind} AS {name}", kinds), name

    def select(self, depth: int) -> tuple[str, dict[str, str]]:
        """A SELECT and the kinds of its columns (n, t or d)."""
        (text, columns), name = self.source(depth)
        scope = {name: columns}
        if depth > 0 and self.pick(True, False):
            (other, more), second = self.source(depth - 1)
            join = self.pick("JOIN", "LEFT JOIN", "FULL JOIN", "CROSS JOIN", ",")
            link = f"{self.column({name: columns}, ('n',))} = {self.column({second: more}, ('n',))}"
            scope[second] = more
            text += f" {join} {other}" + (f" ON {link}" if "JOIN" in join and join != "CROSS JOIN" else "")
        where = f" WHERE {self.condition(scope, depth)}" if self.pick(True, True, False) else ""
        match self.pick("plain", "plain", "group", "window", "distinct"):
            case "group":
                key = self.column(scope, ("t",))
                having = (
                    f" HAVING {self.pick('count(*) > 1', f'max({self.column(scope)}) IS NOT NULL')}"
                    if self.pick(True, False)
                    else ""
                )
                number = self.column(scope, ("n",))
                items = f"{key} AS g1, count(*) AS g2, max({number}) AS g3, count(DISTINCT {self.column(scope)}) AS g4"
                return f"SELECT {items} FROM {text}{where} GROUP BY {key}{having}", {
                    "g1": "t",
                    "g2": "n",
                    "g3": "n",
                    "g4": "n",
                }
            case "window":
                part, order = self.column(scope), self.column(scope, ("n",))
                window = (
                    f"{self.pick('rank()', 'dense_rank()', 'count(*)')} OVER (PARTITION BY {part} ORDER BY {order})"
                )
                qualify = f" QUALIFY {window} <= 2" if self.pick(True, False) else ""
                return f"SELECT {self.text(scope, 0)} AS w1, {window} AS w2 FROM {text}{where}{qualify}", {
                    "w1": "t",
                    "w2": "n",
                }
            case "distinct":
                return (
                    f"SELECT DISTINCT {self.text(scope, depth)} AS x1, {self.number(scope, 0)} AS x2 FROM {text}{where}",
                    {"x1": "t", "x2": "n"},
                )
            case _:
                first, second = self.text(scope, depth), self.number(scope, depth)
                return f"SELECT {first} AS p1, {second} AS p2 FROM {text}{where}", {"p1": "t", "p2": "n"}

    def query(self) -> str:
        depth = self.pick(0, 1, 2)
        match self.pick(*range(14)):
            case 0:
                return f"SELECT * FROM s.{self.pick('c', 'o')}"
            case 1:
                one, two = self.select(depth)[0], self.select(0)[0]
                return f"({one}) {self.pick('UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT')} ({two})"
            case 2:
                text, _ = self.select(depth)
                return f"WITH a AS {self.pick('', 'MATERIALIZED ')}({text}), b AS (FROM a) SELECT count(*), (SELECT count(*) FROM a) FROM b"
            case 3:
                return f"FROM s.c SELECT count(*), min(ssn), max(bal) {self.pick('', 'WHERE ' + self.condition({'c': {'region': 't', 'ssn': 't', 'id': 'n', 'bal': 'n', 'd': 'd'}}, depth))}"
            case 4:
                return "SELECT c AS whole FROM s.c"
            case 5:
                return "SELECT COLUMNS('.*') FROM s.o WHERE amt >= 0"
            case 6:
                return f"SELECT * EXCLUDE (ssn) REPLACE (upper(region) AS region) FROM s.c WHERE {self.condition({'c': {'id': 'n', 'ssn': 't'}}, depth)}"
            case 7:
                return "PIVOT s.c ON region IN ('emea', 'amer', 'x') USING count(*), max(ssn) GROUP BY org"
            case 8:
                return f"SELECT * FROM (UNPIVOT s.c ON {self.pick('region, ssn', 'COLUMNS(ssn)')} INTO NAME n VALUE v) ORDER BY ALL"
            case 9:
                return f"SELECT c.id, x.m FROM s.c, LATERAL (SELECT max(o.amt) AS m FROM s.o WHERE o.cid = c.id AND {self.condition({'o': {'amt': 'n', 'note': 't', 'oid': 'n'}}, 0)}) x"
            case 10:
                return "SELECT s.c.ssn, s.o.note FROM s.c JOIN s.o ON s.c.id = s.o.cid"
            case 11:
                return "SELECT region, list(ssn ORDER BY ssn, id), [y || '!' FOR y IN list(ssn ORDER BY ssn)] FROM s.c GROUP BY ALL"
            case 12:
                return "WITH RECURSIVE r(n) AS (SELECT min(id) FROM s.c UNION SELECT n + 1 FROM r, s.o WHERE n < least(o.oid, 5) AND n > -3) SELECT count(*) FROM r"
            case _:
                return self.select(depth)[0]


@st.composite
def queries(draw: Callable[..., Any]) -> str:
    return _Grammar(draw).query()
