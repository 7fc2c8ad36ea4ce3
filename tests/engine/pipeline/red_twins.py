# ruff: noqa: E501
"""Twins of one small warehouse: they differ only in hidden rows and in what masks hide; and the database they stand for."""

from __future__ import annotations

from pathlib import Path

from engine.executor.relation import ROWS_PLANNED, rows_rounded
from governance.policies import Mask, MaskFunction, RowFilter
from governance.tables import TableName
from tests.support.governed_lab import BASE, Lab, Outcome, principal, rulebook

T, H, E = TableName("s", "t"), TableName("s", "h"), TableName("s", "e")
BOOK = rulebook(
    [
        *(RowFilter(f"f{table.name}", f"own {table.name}", table, "org_id = {org_id}") for table in (T, H, E)),
        Mask("m1", "m1", T, "ssn", MaskFunction.PARTIAL, 4),
        Mask("m2", "m2", T, "phone", MaskFunction.FULL),
        Mask("m3", "m3", T, "pay", MaskFunction.FULL),
        Mask("m4", "m4", T, "email", MaskFunction.HASH),
        Mask("m5", "m5", T, "memo", MaskFunction.NULL),
        Mask("m6", "m6", T, "tzm", MaskFunction.HASH),
    ],
    [("s", "1")],
)
MARK = "HID"
"""Stands in every hidden row and nowhere else."""
VISIBLE = 1500
_COLUMNS = (
    "id BIGINT, org_id INTEGER, g VARCHAR, name VARCHAR, num BIGINT, dec DECIMAL(12,2), f DOUBLE, d DATE, ts TIMESTAMP, tz TIMESTAMPTZ, "
    "tags VARCHAR[], info STRUCT(a VARCHAR, n INTEGER, ts TIMESTAMP), m MAP(VARCHAR, VARCHAR), j JSON, nested STRUCT(a VARCHAR)[], "
    "ssn VARCHAR, phone VARCHAR, pay INTEGER, email VARCHAR, memo VARCHAR, tzm TIMESTAMPTZ, ii INTEGER[]"
)
_SEEN = """i AS id, 1 AS org_id, 'g' || (i % 5) AS g, (i % 7)::VARCHAR AS name, i % 11 AS num, (i % 13)::DECIMAL(12,2) AS dec, (i % 17) / 10.0 AS f,
    DATE '2020-01-01' + (i % 400)::INT AS d, TIMESTAMP '2020-01-01' + INTERVAL (i % 400) DAY AS ts, TIMESTAMPTZ '2020-01-01 00:00:00+00' AS tz,
    ['1', (i % 3)::VARCHAR] AS tags, {{'a': (i % 3)::VARCHAR, 'n': (i % 4)::INTEGER, 'ts': TIMESTAMP '2020-01-01'}} AS info, MAP {{'k': (i % 3)::VARCHAR}} AS m,
    ('{{"a": ' || (i % 3) || '}}')::JSON AS j, [{{'a': (i % 3)::VARCHAR}}] AS nested, '{x}{x}{x}-' || (1000 + i % 9) AS ssn, '{x}' || i AS phone,
    CASE WHEN '{x}' = 'A' THEN i * 2 ELSE i * 3 + 1 END AS pay, 'e' || (i % 50) AS email, CASE WHEN '{x}' = 'A' THEN 'x' || i END AS memo,
    TIMESTAMPTZ '2020-01-01 00:00:00+00' AS tzm, [1, (i % 3)::INTEGER] AS ii"""
_HIDDEN = """i AS id, 2 AS org_id, 'HID' AS g, 'HID' AS name, 9223372036854775807 AS num, 9999999999.99 AS dec, 1e308 AS f,
    DATE '5000000-01-01' AS d, TIMESTAMP '290000-01-01' AS ts, TIMESTAMPTZ '290000-01-01 00:00:00+00' AS tz,
    ['HID', 'x'] AS tags, {'a': 'HID', 'n': 2147483647, 'ts': TIMESTAMP '290000-01-01'} AS info, MAP {'HID': 'HID'} AS m,
    '"HID"'::JSON AS j, [{'a': 'HID'}, {'a': 'HID2'}] AS nested, 'HID-9999' AS ssn, 'HID' AS phone, 2147483647 AS pay, 'HID' AS email,
    'HID' AS memo, TIMESTAMPTZ '290000-01-01 00:00:00+00' AS tzm, [2147483647, 2147483647] AS ii"""
_SHOWN = """* REPLACE ('***' || right(ssn, 4) AS ssn, '***' AS phone, NULL::INTEGER AS pay, sha256(email) AS email, NULL::VARCHAR AS memo,
    sha256(tzm::VARCHAR) AS tzm)"""


class Twin(Lab):
    """One of the twins, in Parquet files, planned with what the executor would tell DuckDB of their sizes."""

    def __init__(self, folder: Path, letter: str, hidden: int) -> None:
        """`hidden` rows after each visible one; `letter` goes into what masks hide."""
        many = max(hidden, 1)
        place = f"(i // {many}) * 1000 + 1 + i % {many}"
        rows = (
            f"SELECT {_SEEN.format(x=letter)}, i * 1000 AS place FROM range({VISIBLE}) r(i) UNION ALL BY NAME "
            f"SELECT {_HIDDEN}, {place} AS place FROM range({VISIBLE * hidden}) r(i)"
        )
        super().__init__(
            [
                "CREATE SCHEMA s",
                f"CREATE TABLE s.t({_COLUMNS})",
                f"INSERT INTO s.t SELECT * EXCLUDE (place) FROM ({rows}) ORDER BY place",
                "CREATE TABLE s.o AS SELECT i AS k, i % 100 AS tid, (i % 19)::DECIMAL(10,2) AS amt, 'n' || (i % 6) AS note, 'g' || (i % 7) AS g FROM range(300) r(i)",
                f"CREATE TABLE s.h AS SELECT * FROM (SELECT i AS id, 1 AS org_id, 'v' || (i % 4) AS v FROM range(20) r(i) UNION ALL SELECT i, 2, 'HID' FROM range({400 * hidden}) r(i)) ORDER BY id, v",
                f"CREATE TABLE s.e AS SELECT i AS id, 2 AS org_id, 'HID' AS v FROM range({50 * hidden}) r(i)",
            ]
        )
        self.name = f"{letter}{hidden}"
        for table in [TableName("s", name) for name in "tohe"]:
            file = folder / f"{self.name}-{table.name}.parquet"
            self.db.execute(f"COPY (FROM {self.relation(table)}) TO '{file}' (FORMAT parquet, ROW_GROUP_SIZE 2048)")
            self.files[table] = f"read_parquet('{file}')"

    def sql(self, sql: str, *_: object) -> str:
        """The governed text over the files."""
        governed = self.govern(sql, principal(), BOOK)

        def relation(table: TableName) -> str:
            rows = ROWS_PLANNED if table in governed.sizes_hidden else rows_rounded(100_000)
            told = f", explicit_cardinality={rows}" if table in governed.filtered else ""
            return self.files[table].replace(")", told + ")")

        return governed.sql(relation)

    def ask(self, sql: str) -> Outcome:
        """What the analyst sees."""
        return self.run(sql, principal(), BOOK)

    def permitted(self) -> Lab:
        """The database that the analyst is promised to query: the permitted rows with the masked values."""
        lab = Lab(["CREATE SCHEMA s"])
        lab.db.execute(f'USE "{BASE}"')
        for table, items in ((T, _SHOWN), (H, "*"), (E, "*")):
            lab.db.execute(f"CREATE TABLE {table} AS SELECT {items} FROM {self.files[table]} WHERE org_id = 1")
        lab.db.execute(f"CREATE TABLE s.o AS FROM {self.files[TableName('s', 'o')]}")
        return lab


def answers_of(lab: Lab, sql: str) -> Outcome:
    """What a database answers to whom nothing is hidden in it."""
    cursor = lab.db.cursor()
    cursor.execute(f'USE "{BASE}"')
    result = cursor.execute(sql)
    return Outcome("ok", [(d[0], str(d[1])) for d in result.description or ()], result.fetchall())
