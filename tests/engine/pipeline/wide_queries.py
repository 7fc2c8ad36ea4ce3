# ruff: noqa: E501
"""A grammar of queries over any tables: joins, CTEs, windows, set operations, LATERAL, PIVOT, row values, nested values.

Scopes map an alias to its columns, a column to its kind: n integer or exact number, f float, t text, d date or time,
b boolean, l list of integers, s struct(x INTEGER, y VARCHAR).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Columns = dict[str, str]
Scope = dict[str, Columns]


class WideGrammar:
    """Draws one query over `tables`: SQL name to columns."""

    def __init__(self, draw: Callable[..., Any], tables: dict[str, Columns]) -> None:
        self.draw = draw
        self.tables = tables
        self.ctes: dict[str, Columns] = {}
        self.serial = 0

    # ------------------------------------------------------------ choices

    def pick(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def fresh(self, stem: str) -> str:
        self.serial += 1
        return f"{stem}{self.serial}"

    def maybe(self) -> bool:
        return bool(self.pick(True, False))

    def column(self, scope: Scope, kinds: str = "ntdbfls") -> str:
        found = [f"{a}.{c}" for a, columns in scope.items() for c, kind in columns.items() if kind in kinds]
        return str(self.pick(*found)) if found else "NULL"

    # ------------------------------------------------------------ expressions

    def number(self, scope: Scope, depth: int) -> str:
        match self.pick(*range(14 if depth > 0 else 4)):
            case 0 | 1:
                return self.column(scope, "n")
            case 2:
                return str(self.pick("0", "1", "2", "-3", "40", "1.5", "2147483647"))
            case 3:
                return f"{self.column(scope, 's')}.x" if "s" in self.kinds(scope) else self.column(scope, "n")
            case 4:
                return f"({self.number(scope, depth - 1)} {self.pick('+', '-', '*', '//', '%')} {self.number(scope, depth - 1)})"
            case 5:
                return f"length({self.text(scope, depth - 1)})"
            case 6:
                return f"TRY_CAST({self.text(scope, depth - 1)} AS {self.pick('INTEGER', 'SMALLINT', 'BIGINT')})"
            case 7:
                return f"({self.number(scope, depth - 1)})::{self.pick('SMALLINT', 'BIGINT', 'DECIMAL(18,3)')}"
            case 8:
                return f"CASE {self.pick('', 'WHEN NULL THEN 1 ')}WHEN {self.condition(scope, depth - 1)} THEN {self.number(scope, 0)} ELSE {self.number(scope, 0)} END"
            case 9:
                return f"{self.pick('coalesce', 'greatest', 'least')}({self.number(scope, 0)}, {self.number(scope, 0)})"
            case 10:
                text, columns = self.select(depth - 1, outer=scope, one=True)
                return (
                    f"(SELECT max({self.pick(*columns)}) FROM ({text}))"
                    if "n" in columns.values() and len(set(columns.values())) == 1
                    else f"(SELECT count(*) FROM ({text}))"
                )
            case 11:
                return f"list_sum([v + 1 FOR v IN {self.column(scope, 'l')}])" if "l" in self.kinds(scope) else "0"
            case 12:
                return f"len({self.column(scope, 'l')})" if "l" in self.kinds(scope) else "1"
            case _:
                return f"{self.pick('abs', 'sign')}({self.column(scope, 'n')})"

    def text(self, scope: Scope, depth: int) -> str:
        match self.pick(*range(11 if depth > 0 else 3)):
            case 0 | 1:
                return self.column(scope, "t")
            case 2:
                return str(self.pick("'emea'", "'***'", "'1'", "''", "'111-11-1111'", "'O''Brien'"))
            case 3:
                return (
                    f"{self.pick('upper', 'lower', 'trim', 'reverse', 'md5', 'sha256')}({self.text(scope, depth - 1)})"
                )
            case 4:
                return f"({self.text(scope, depth - 1)} || {self.text(scope, depth - 1)})"
            case 5:
                return f"({self.text(scope, 0)})[{self.pick('1:2', '1', '-1', '2:')}]"
            case 6:
                return f"({self.column(scope)})::VARCHAR"
            case 7:
                return f"nullif({self.text(scope, 0)}, {self.text(scope, 0)})"
            case 8:
                return f"{self.column(scope, 's')}.y" if "s" in self.kinds(scope) else "'y'"
            case 9:
                return f"format('{{}}-{{}}', {self.text(scope, 0)}, {self.number(scope, 0)})"
            case _:
                return f"regexp_replace({self.text(scope, 0)}, '[0-9]', '#', 'g')"

    def condition(self, scope: Scope, depth: int) -> str:
        match self.pick(*range(18 if depth > 0 else 8)):
            case 0:
                return f"{self.number(scope, depth)} {self.pick('=', '<', '>=', '<>', 'IS DISTINCT FROM')} {self.number(scope, 0)}"
            case 1:
                return f"{self.text(scope, depth)} {self.pick('=', '<', '<>', 'IS NOT DISTINCT FROM')} {self.text(scope, 0)}"
            case 2:
                return f"{self.column(scope)} IS {self.pick('', 'NOT ')}NULL"
            case 3:
                return f"{self.text(scope, 0)} {self.pick('', 'NOT ')}{self.pick('LIKE', 'ILIKE')} {self.pick(chr(39) + '%1%' + chr(39), chr(39) + 'e%' + chr(39))}"
            case 4:
                return f"{self.column(scope, 'n')} {self.pick('', 'NOT ')}BETWEEN 0 AND {self.pick(5, 100)}"
            case 5:
                return f"{self.column(scope, 't')} {self.pick('', 'NOT ')}IN ('emea', '1', '***')"
            case 6:
                return self.column(scope, "b")
            case 7:
                return f"{self.column(scope, 'd')} {self.pick('>=', '<', '=')} DATE '2020-01-01'"
            case 8:
                return f"NOT ({self.condition(scope, depth - 1)})"
            case 9 | 10:
                return (
                    f"({self.condition(scope, depth - 1)} {self.pick('AND', 'OR')} {self.condition(scope, depth - 1)})"
                )
            case 11:  # one correlation by equality: DuckDB 1.5 answers <> with > wrongly (governance-notes, fact 10)
                source, name, columns = self.source(depth - 1)
                link = f"{self.column({name: columns}, 'n')} = {self.column(scope, 'n')}"
                return f"{self.pick('', 'NOT ')}EXISTS (SELECT 1 FROM {source} WHERE {link})"
            case 12:
                text, columns = self.select(depth - 1, one=True)
                kind = next(iter(columns.values()))
                return f"{self.column(scope, kind)} {self.pick('', 'NOT ')}IN ({text})"
            case 13:
                return f"({self.number(scope, 0)}, {self.text(scope, 0)}) {self.pick('=', '<', '<>')} ({self.number(scope, 0)}, {self.text(scope, 0)})"
            case 14:
                return f"{self.text(scope, 0)} {self.pick('~', 'SIMILAR TO')} {self.pick(chr(39) + '[0-9]+' + chr(39), chr(39) + '.*e.*' + chr(39))}"
            case 15:
                return f"TRY_CAST({self.column(scope)} AS VARCHAR) = {self.text(scope, 0)}"
            case 16:
                return (
                    f"list_contains({self.column(scope, 'l')}, {self.number(scope, 0)}::INTEGER)"
                    if "l" in self.kinds(scope)
                    else "TRUE"
                )
            case _:
                return f"({self.column(scope, 'nt')})::{self.pick('INTEGER', 'SMALLINT', 'VARCHAR')} IS NOT NULL"

    def kinds(self, scope: Scope) -> set[str]:
        return {kind for columns in scope.values() for kind in columns.values()}

    # ------------------------------------------------------------ relations

    def source(self, depth: int) -> tuple[str, str, Columns]:
        """Text with its alias, the alias, its columns."""
        name = self.fresh("t")
        kind = self.pick(
            "table", "table", "table", "cte" if self.ctes else "table", *(["derived"] if depth > 0 else [])
        )
        if kind == "derived":
            text, columns = self.select(depth - 1)
            return f"({text}) AS {name}", name, columns
        if kind == "cte":
            cte = str(self.pick(*self.ctes))
            return f"{cte} AS {name}", name, self.ctes[cte]
        table = str(self.pick(*self.tables))
        return f"{table} {self.pick('AS ', '')}{name}", name, self.tables[table]

    def joined(self, depth: int, outer: Scope) -> tuple[str, Scope]:
        text, name, columns = self.source(depth)
        scope: Scope = {name: columns}
        for _ in range(self.pick(0, 0, 1, 1, 2) if depth > 0 else 0):
            style = self.pick(
                "JOIN",
                "LEFT JOIN",
                "RIGHT JOIN",
                "FULL JOIN",
                "CROSS JOIN",
                ",",
                "SEMI JOIN",
                "ANTI JOIN",
                "LATERAL",
                "ASOF",
            )
            other, second, more = self.source(depth - 1)
            if style == "LATERAL":
                second = self.fresh("t")
                inner, more = self.select(depth - 1, outer={**outer, **scope})
                text += f" {self.pick(',', 'CROSS JOIN', 'LEFT JOIN')} LATERAL ({inner}) AS {second}"
                text += " ON TRUE" if "LEFT JOIN LATERAL" in text[-len(inner) - 60 :] else ""
            elif style == "ASOF":
                left, right = self.column(scope, "n"), self.column({second: more}, "n")
                if "NULL" in (left, right):
                    text += f", {other}"
                else:
                    text += f" ASOF {self.pick('JOIN', 'LEFT JOIN')} {other} ON {left} >= {right}"
            elif style in ("CROSS JOIN", ","):
                text += f" {style} {other}"
            else:
                link = f"{self.column(scope, 'n')} = {self.column({second: more}, 'n')}"
                text += f" {style} {other} ON {link}"
                if style in ("JOIN", "LEFT JOIN") and self.maybe():
                    text += f" AND {self.condition({**scope, second: more}, 0)}"
            if style not in ("SEMI JOIN", "ANTI JOIN"):
                scope[second] = more
        return text, {**outer, **scope} if outer else scope

    def select(self, depth: int, *, outer: Scope | None = None, one: bool = False) -> tuple[str, Columns]:
        """A SELECT and its columns; `one` asks for a single plain column."""
        text, scope = self.joined(depth, outer or {})
        where = f" WHERE {self.condition(scope, depth)}" if self.pick(True, True, False) else ""
        if one:
            kind = self.pick("n", "t")
            item = self.number(scope, 0) if kind == "n" else self.text(scope, 0)
            return f"SELECT {item} AS e1 FROM {text}{where}", {"e1": kind}
        match self.pick(
            "plain", "plain", "plain", "group", "sets", "window", "distinct", "from", "aggregate", "lateral alias"
        ):
            case "group":
                key = self.column(scope, "tn")
                having = (
                    f" HAVING {self.pick('count(*) > 1', f'max({self.column(scope)}) IS NOT NULL', 'bool_or(' + self.condition(scope, 0) + ')')}"
                    if self.maybe()
                    else ""
                )
                items = f"{key} AS g1, count(*) AS g2, max({self.column(scope, 'n')}) AS g3, count(DISTINCT {self.column(scope)}) AS g4"
                return f"SELECT {items} FROM {text}{where} GROUP BY {self.pick(key, 'ALL', '1')}{having}", {
                    "g1": "t" if key == "NULL" else self.kind_of(scope, key),
                    "g2": "n",
                    "g3": "n",
                    "g4": "n",
                }
            case "sets":
                a, b = self.column(scope, "tn"), self.column(scope, "tndb")
                sets = self.pick(f"ROLLUP ({a}, {b})", f"CUBE ({a}, {b})", f"GROUPING SETS (({a}), ({b}), ())")
                if "NULL" in (a, b) or a == b:
                    return f"SELECT count(*) AS s3 FROM {text}{where}", {"s3": "n"}
                return f"SELECT {a} AS s1, {b} AS s2, count(*) AS s3 FROM {text}{where} GROUP BY {sets}", {
                    "s1": self.kind_of(scope, a),
                    "s2": self.kind_of(scope, b),
                    "s3": "n",
                }
            case "window":
                frame = self.pick(
                    "",
                    " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
                    " RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
                )
                over = f"(PARTITION BY {self.column(scope)} ORDER BY {self.column(scope, 'n')}{frame})"
                function = self.pick(
                    "rank()",
                    "dense_rank()",
                    "count(*)",
                    f"max({self.column(scope, 'n')})",
                    f"min({self.column(scope, 't')})",
                )
                if frame and function.endswith("rank()"):
                    function = "count(*)"
                qualify = (
                    f" QUALIFY {self.pick('count(*)', 'rank()') if not frame else 'count(*)'} OVER w <= 2"
                    if self.maybe()
                    else ""
                )
                named = f" WINDOW w AS {over}"
                return (
                    f"SELECT {self.text(scope, 0)} AS w1, count(*) OVER w AS w2, {function} OVER w IS NULL AS w3 FROM {text}{where}{named}{qualify}",
                    {"w1": "t", "w2": "n", "w3": "b"},
                )
            case "distinct":
                return (
                    f"SELECT DISTINCT {self.text(scope, depth)} AS x1, {self.number(scope, 0)} AS x2 FROM {text}{where}",
                    {"x1": "t", "x2": "n"},
                )
            case "from":
                return (
                    f"FROM {text} SELECT {self.text(scope, depth)} AS f1, {self.column(scope)} IS NULL AS f2{where}",
                    {"f1": "t", "f2": "b"},
                )
            case "aggregate":
                filter_ = f" FILTER (WHERE {self.condition(scope, 0)})"
                return (
                    f"SELECT count(*){filter_} AS a1, string_agg({self.text(scope, 0)}, ',' ORDER BY {self.text(scope, 0)}) IS NULL AS a2, min({self.column(scope, 'n')}) AS a3, list(DISTINCT {self.column(scope, 'n')}) IS NULL AS a4 FROM {text}{where}",
                    {"a1": "n", "a2": "b", "a3": "n", "a4": "b"},
                )
            case "lateral alias":
                return (
                    f"SELECT {self.number(scope, depth)} AS q1, q1 IS NULL AS q2, {self.text(scope, 0)} AS q3 FROM {text}{where}",
                    {"q1": "n", "q2": "b", "q3": "t"},
                )
            case _:
                return (
                    f"SELECT {self.text(scope, depth)} AS p1, {self.number(scope, depth)} AS p2 FROM {text}{where}",
                    {"p1": "t", "p2": "n"},
                )

    def kind_of(self, scope: Scope, column: str) -> str:
        alias, _, name = column.partition(".")
        return scope.get(alias, {}).get(name, "t")

    # ------------------------------------------------------------ statements

    def query(self) -> str:
        depth = self.pick(0, 1, 1, 2)
        table = str(self.pick(*self.tables))
        columns = self.tables[table]
        bare = {"z": columns}
        some = self.column(bare).removeprefix("z.")
        match self.pick(*range(24)):
            case 0:
                return f"SELECT * FROM {table}"
            case 1:
                one, two = self.select(depth, one=True), self.select(0, one=True)
                return f"({one[0]}) {self.pick('UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT', 'UNION BY NAME', 'EXCEPT ALL')} ({two[0]})"
            case 2 | 3:
                name = self.fresh("cte")
                text, found = self.select(depth)
                self.ctes[name] = found
                body, _ = self.select(1)
                return f"WITH {name} AS {self.pick('', 'MATERIALIZED ', 'NOT MATERIALIZED ')}({text}) {body}"
            case 4:
                return f"SELECT z AS whole FROM {table} z"
            case 5:
                return f"SELECT COLUMNS(z.*) FROM {table} z WHERE {self.condition(bare, depth)}"
            case 6:
                return f"SELECT * EXCLUDE ({some}) FROM {table}" if len(columns) > 1 else f"SELECT * FROM {table}"
            case 7:
                return f"SELECT * REPLACE (CASE WHEN {some} IS NULL THEN 'n' ELSE 'v' END AS {some}) FROM {table}"
            case 8:
                return f"SELECT * RENAME ({some} AS renamed) FROM {table} ORDER BY ALL"
            case 9:
                key = self.column(bare, "t").removeprefix("z.")
                if key == "NULL":
                    return f"FROM {table}"
                values = self.pick(" IN ('emea', 'amer', '1')", "")
                return f"PIVOT {table} ON {key}{values} USING count(*)"
            case 10:
                key = self.column(bare, "t").removeprefix("z.")
                return f"UNPIVOT {table} ON {key} INTO NAME n VALUE v" if key != "NULL" else f"FROM {table}"
            case 11:
                return f"DESCRIBE {table}"
            case 12:
                return f"SELECT count(*), count({some}) FROM {table}"
            case 13:
                return f"SELECT {table}.{some} FROM {table} WHERE {table}.{some} IS NOT NULL"
            case 14:
                return f"SELECT * FROM {table} z ORDER BY ALL LIMIT {self.pick(1, 3)}{self.pick('', ' OFFSET 1')}"
            case 15:
                return f"SELECT DISTINCT ON ({some}) {some} FROM {table} ORDER BY {some}"
            case 16:
                number = self.column(bare, "n").removeprefix("z.")
                return f"WITH RECURSIVE r(n) AS (SELECT min({number}) FROM {table} UNION SELECT n + 1 FROM r WHERE n BETWEEN -5 AND 5) SELECT count(*), max(n) FROM r"
            case 17:
                other = str(self.pick(*self.tables))
                return f"SELECT (SELECT count(*) FROM {table}) + (SELECT count(*) FROM {other})"
            case 18:
                return f"SELECT {some}, [v FOR v IN list({some} ORDER BY {some}) IF v IS NOT NULL] FROM {table} GROUP BY ALL"
            case 19:
                return f"SELECT unnest([{some}, {some}]) FROM {table}"
            case 20:
                return f"SELECT to_json(z) IS NULL, row(z) IS NULL, hash(z) IS NULL FROM {table} z"
            case 21:
                return f"SELECT * FROM {table} z NATURAL JOIN {self.pick(*self.tables)} y"
            case 22:
                return f"SELECT * FROM {table} USING SAMPLE 100 PERCENT (bernoulli)"
            case _:
                return self.select(depth)[0]


@st.composite
def wide_queries(draw: Callable[..., Any], tables: dict[str, Columns]) -> str:
    return WideGrammar(draw, tables).query()
