# ruff: noqa: E501
"""Attacks through the real port that go by the protocol: prepared, described, bound to odd values, in cursors and copies.

The twins differ in hidden rows, in the names of hidden partitions and in what masks hide. `lake.events` lies in Hive
partitions, of which the last is hidden; the partition column itself is masked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg import pq

from tests.support.stack import Stack, running_stack

STATE: dict[str, Any] = {
    "version": 1,
    "organizations": [{"id": "1", "name": "Acme"}],
    "schemas": [{"name": "lake", "organization": "1"}],
    "users": [{"email": "ana@acme.example", "organization": "1", "role": "analyst"}],
    "keys": [{"name": "ana", "user": "ana@acme.example", "scopes": ["read_only"]}],
    "views": [{"name": "lake.seen", "sql": "SELECT id, name, ssn AS code, region, ts FROM lake.events"}],
    "policies": [
        {"name": "own", "type": "row_filter", "table": "lake.events", "filter": "org_id = {org_id}"},
        {"name": "own-broken", "type": "row_filter", "table": "lake.broken", "filter": "org_id = {org_id}"},
        {"name": "ssn", "type": "mask", "table": "lake.events", "column": "ssn", "function": "partial"},
        {"name": "region", "type": "mask", "table": "lake.events", "column": "region", "function": "full"},
        {"name": "pay", "type": "mask", "table": "lake.events", "column": "pay", "function": "full"},
        {"name": "day", "type": "mask", "table": "lake.events", "column": "day", "function": "full", "as_text": True},
    ],
}
MARKS = re.compile(r"HID|SECRET|hati://|parquet|org_id = ")
_SEEN = (
    "i AS id, 1 AS org_id, (i % 7)::VARCHAR AS name, i % 11 AS num, 1.5 * (i % 5) AS f, TIMESTAMP '2020-01-01' + INTERVAL (i % 40) DAY AS ts, "
    "TIMESTAMPTZ '2020-01-01 00:00:00+00' AS tz, '{secret}-' || (1000 + i % 9) AS ssn, {pay} AS pay, DATE '2020-01-01' + {pay} AS day, "
    "('{{\"a\": ' || (i % 3) || '}}')::JSON AS j, ['1', (i % 3)::VARCHAR] AS tags"
)
_HIDDEN = (
    "i AS id, 2 AS org_id, 'HID' || i AS name, 9223372036854775807 AS num, 1e308 AS f, TIMESTAMP '290000-01-01' AS ts, TIMESTAMPTZ '290000-01-01 00:00:00+00' AS tz, "
    "'HID' AS ssn, 2147483647 AS pay, DATE '5000000-01-01' AS day, '\"HID\"'::JSON AS j, ['HID'] AS tags"
)


def _write(folder: Path, secret: str, pay: str, hidden: int, partition: str) -> Path:
    table = folder / "lake" / "events"
    with duckdb.connect() as db:
        for region, items, rows in (
            ("r1", _SEEN, 400),
            ("r2", _SEEN, 400),
            (partition, _HIDDEN, hidden),
        ):
            place = table / f"region={region}"
            place.mkdir(parents=True)
            text = items.format(secret=secret, pay=pay) if items is _SEEN else items
            db.execute(f"COPY (SELECT {text} FROM range({rows}) r(i)) TO '{place / 'part.parquet'}' (FORMAT parquet)")
        db.execute(f"COPY (SELECT 0 AS id, '0' AS name) TO '{folder / 'lake' / 'late.parquet'}' (FORMAT parquet)")
        broken = folder / "lake" / "broken"
        file = broken
        for region in ("r1", partition):
            (broken / f"region={region}").mkdir(parents=True)
            file = broken / f"region={region}" / "part.parquet"
            db.execute(
                f"COPY (SELECT 1 AS org_id, 'x' || i AS name FROM range(9000) r(i)) TO '{file}' (FORMAT parquet)"
            )
        damaged = bytearray(file.read_bytes())
        damaged[4:2000] = b"\xff" * 1996  # the footer stays, so that the table is there
        file.write_bytes(damaged)
    return folder


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Stack]]:
    folder = tmp_path_factory.mktemp("red")
    one = _write(folder / "d1", "SECRETA", "i::INT", 3000, "HIDnorth")
    two = _write(folder / "d2", "SECRETB", "(i * 3)::INT", 1, "HIDwest")
    with running_stack(folder / "h1", one, state=STATE) as a, running_stack(folder / "h2", two, state=STATE) as b:
        for stack in (a, b):
            stack.settle()
        yield a, b


@dataclass
class Talk:
    """One connection, and everything it was told."""

    connection: psycopg.Connection[Any]

    def told(self, result: Any) -> tuple[Any, ...]:
        """What a result says: its status, tag, columns with their types and modifiers, rows, and every field of an error."""
        fields = [
            result.error_field(field)
            for field in pq.DiagnosticField
            if field not in (pq.DiagnosticField.SOURCE_FILE, pq.DiagnosticField.SOURCE_LINE)
        ]
        error = tuple(re.sub(rb"[0-9a-f]{8,}", b"*", f) if f else f for f in fields)
        columns = [
            (result.fname(i), result.ftype(i), result.fmod(i), result.fsize(i), result.fformat(i))
            for i in range(result.nfields)
        ]
        rows = [[result.get_value(r, c) for c in range(result.nfields)] for r in range(result.ntuples)]
        return (result.status, result.command_status, columns, rows, error)


QUERIES = (
    "SELECT id, name, ssn, region, pay, day FROM lake.events WHERE id < 4 ORDER BY ALL",
    "SELECT region, count(*), min(day), max(pay) FROM lake.events GROUP BY region ORDER BY 1",
    "SELECT count(*) FROM lake.events WHERE region > 'r1' OR region = 'HIDnorth' OR region LIKE 'HID%'",
    "SELECT id FROM lake.events WHERE region = 'r1' AND pay > 3 ORDER BY id LIMIT 3",
    "SELECT tz + INTERVAL 1 MONTH AS x FROM lake.events ORDER BY id LIMIT 2",
    "SELECT left('abcdef', num) AS x, ts - INTERVAL 1 DAY FROM lake.events ORDER BY id LIMIT 2",
    "SELECT sum(name::INT), max(num + 1), max(tags[2]::INT), max((j->>'$.a')::INT) FROM lake.events",
    "SELECT name::DATE FROM lake.events",
    "SELECT id FROM lake.events WHERE ssn::INT > 0",
    "SELECT sqrt(num - 20) FROM lake.events",
    "SELECT nothere FROM lake.events",
    "SELECT count(*) FROM lake.evnts",
    "SELECT id, code, region FROM lake.seen WHERE code LIKE '%1003' ORDER BY ALL LIMIT 3",
    "DESCRIBE lake.events",
    "SUMMARIZE SELECT id, ssn, region, pay FROM lake.events",
    "EXPLAIN SELECT ssn FROM lake.events",
    "EXPLAIN ANALYZE SELECT ssn FROM lake.events",
    "SELECT table_schema, table_name FROM information_schema.tables ORDER BY 1, 2",
    "SELECT column_name, data_type, character_maximum_length FROM information_schema.columns WHERE table_name = 'events' ORDER BY ordinal_position",
    "SELECT attname, atttypid, atttypmod, attnotnull FROM pg_attribute WHERE attrelid = 'lake.events'::regclass AND attnum > 0 ORDER BY attnum",
    "SELECT relname, reltuples, relpages FROM pg_class WHERE relname = 'events'",
    "SELECT pg_relation_size('lake.events'), pg_total_relation_size('lake.events')",
    "SELECT count(*) FROM hatidata_audit.queries",
    "SELECT pivoted FROM (PIVOT lake.events ON region IN ('r1', 'r2') USING count(*)) pivoted ORDER BY ALL",
    "SELECT * FROM lake.events TABLESAMPLE bernoulli(100%) ORDER BY id, ts LIMIT 2",
)
COMMANDS = (
    "COPY (SELECT id, ssn, region FROM lake.events WHERE id < 3 ORDER BY ALL) TO STDOUT",
    "COPY (SELECT id, pay, day FROM lake.events WHERE id < 3 ORDER BY ALL) TO STDOUT (FORMAT csv, HEADER)",
    "COPY (SELECT region FROM lake.events WHERE name::INT < 9 ORDER BY ALL LIMIT 3) TO STDOUT (FORMAT binary)",
    "COPY (SELECT name::DATE FROM lake.events) TO STDOUT",
    "COPY lake.events TO STDOUT (FORMAT parquet)",
    "BEGIN; DECLARE c CURSOR FOR SELECT id, region FROM lake.events ORDER BY id; FETCH 3 FROM c; MOVE 5 IN c; FETCH 2 FROM c; COMMIT",
    "BEGIN; SET LOCAL hatidata.dialect = 'postgres'; SELECT count(*) FROM lake.events; ROLLBACK; SELECT count(*) FROM lake.events",
    "SELECT 1; SELECT count(*) FROM lake.events; SELECT name::DATE FROM lake.events; SELECT 2",
    "PREPARE p AS SELECT ssn FROM lake.events",
    "SHOW ALL",
    "SELECT name FROM lake.broken",
    "SELECT count(name) FROM lake.broken WHERE region = 'r1'",
)
FORMS = (
    "SELECT id FROM lake.events WHERE num = $1 ORDER BY id LIMIT 3",
    "SELECT id FROM lake.events WHERE name = $1 OR ssn = $1 OR region = $1 ORDER BY id LIMIT 3",
    "SELECT id FROM lake.events ORDER BY id LIMIT $1",
    "SELECT count(*) FROM lake.events WHERE date_trunc($1, ts) IS NOT NULL",
    "SELECT count(*) FROM lake.events WHERE regexp_matches(name, $1)",
    "SELECT count(*) FROM lake.events WHERE name LIKE '1%' ESCAPE $1",
    "SELECT count(*) FROM lake.events WHERE id = ANY($1)",
    "SELECT count(*) FROM lake.events WHERE strptime(name, $1) IS NOT NULL",
    "SELECT count(*) FROM lake.events WHERE json_extract(j, $1) IS NOT NULL",
    "SELECT max(left(name, $1)) FROM lake.events",
    "SELECT max(num * $1), max(f + $1) FROM lake.events",
    "SELECT max(ts + $1) FROM lake.events",
    "SELECT max(tags[$1]) FROM lake.events",
    "SELECT count(*) FROM lake.events WHERE (num - $1)::TINYINT > 0",
)
VALUES: tuple[tuple[int, bytes | None, int], ...] = (
    (0, None, 0),
    (0, b"1", 0),
    (25, b"%d", 0),
    (25, b"month", 0),
    (25, b"$.a", 0),
    (1700, b"NaN", 0),
    (701, b"-Infinity", 0),
    (20, b"9223372036854775807", 0),
    (20, (2**33).to_bytes(8), 1),
    (1007, b"{1,NULL,3}", 0),
    (17, b"\\x00ff", 0),
    (114, b'{"a": 1}', 0),
    (1186, b"100000 years", 0),
)


def _same(twins: tuple[Stack, Stack], play: Any) -> None:
    seen = []
    for stack in twins:
        with stack.connect(stack.keys["ana"]) as connection:
            notices: list[Any] = []
            connection.add_notice_handler(lambda d: notices.append((d.severity, d.message_primary)))  # noqa: B023
            connection.execute("SET statement_timeout = '20s'")
            seen.append((play(Talk(connection)), notices))
    assert seen[0] == seen[1]
    assert not MARKS.search(repr(seen[0])), seen[0]


@pytest.mark.parametrize("sql", QUERIES)
def test_w4_8_prepared_described_and_run_alike(twins: tuple[Stack, Stack], sql: str) -> None:
    def play(talk: Talk) -> tuple[Any, ...]:
        pg, text = talk.connection.pgconn, sql.encode()
        prepared = talk.told(pg.prepare(b"s", text))
        described = talk.told(pg.describe_prepared(b"s"))
        runs = [talk.told(pg.exec_prepared(b"s", [], result_format=form)) for form in (0, 1)]
        return (prepared, described, *runs, talk.told(pg.exec_(text)))

    _same(twins, play)


@pytest.mark.parametrize("sql", COMMANDS)
def test_w4_8_commands_and_copies_say_the_same(twins: tuple[Stack, Stack], sql: str) -> None:
    def play(talk: Talk) -> list[Any]:
        pg = talk.connection.pgconn
        out: list[Any] = []
        pg.send_query(sql.encode())
        while (result := pg.get_result()) is not None:
            out.append(talk.told(result))
            if result.status == pq.ExecStatus.COPY_OUT:
                while (piece := pg.get_copy_data(0))[0] > 0:
                    out.append(bytes(piece[1]))
        return out

    _same(twins, play)


@pytest.mark.parametrize("form", FORMS)
def test_w4_8_odd_values_in_odd_places_tell_nothing(twins: tuple[Stack, Stack], form: str) -> None:
    def play(talk: Talk) -> list[Any]:
        pg, out = talk.connection.pgconn, []
        for oid, value, format_ in VALUES:
            result = pg.exec_params(form.encode(), [value], param_types=[oid], param_formats=[format_])
            out.append(talk.told(result))
        return out

    _same(twins, play)


def test_w4_8_a_statement_prepared_before_a_policy_obeys_it_after(twins: tuple[Stack, Stack]) -> None:
    """Also under the dialect it was prepared in."""
    stack = twins[0]
    with stack.connect(stack.keys["ana"]) as connection:
        pg = connection.pgconn
        talk = Talk(connection)
        pg.prepare(b"p", b"SELECT name, id FROM lake.late ORDER BY ALL")
        before = talk.told(pg.exec_prepared(b"p", []))[3]
        masked = {"name": "late", "type": "mask", "table": "lake.late", "column": "name", "function": "full"}
        stack.apply({**STATE, "policies": [*STATE["policies"], masked]})
        connection.execute("SET hatidata.dialect = 'postgres'")
        after = talk.told(pg.exec_prepared(b"p", []))[3]
    assert before == [[b"0", b"0"]]
    assert after == [[b"***", b"0"]]
