"""Session commands: understood exactly, refused clearly, or left to others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.refusals import SessionRefused
from engine.session_command_types import (
    Begin,
    CloseCursor,
    CopyOut,
    Deallocate,
    Declare,
    Discard,
    End,
    Fetch,
    Nothing,
    Reset,
    Savepoint,
    SetParameters,
    Show,
)
from engine.session_commands import parse
from governance.errors import Refusal, SyntaxRefused


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("BEGIN", Begin()),
        ("begin transaction", Begin()),
        ("/* driver */ -- x\n START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
         Begin((("transaction_isolation", "repeatable read"), ("transaction_read_only", "on")), start=True)),
        ("COMMIT", End(True)),
        ("END WORK", End(True)),
        ("ROLLBACK AND CHAIN", End(False, True)),
        ('SAVEPOINT "_pg3_1"', Savepoint("set", "_pg3_1")),
        ("ROLLBACK TO x", Savepoint("rollback", "x")),
        ("RELEASE SAVEPOINT x;", Savepoint("release", "x")),
        ("SET extra_float_digits = 3", SetParameters((("extra_float_digits", "3"),))),
        ("SET DateStyle TO 'ISO', MDY", SetParameters((("datestyle", "ISO, MDY"),))),
        ("SET LOCAL statement_timeout = '5s'", SetParameters((("statement_timeout", "5s"),), local=True)),
        ("SET TIME ZONE 'UTC'", SetParameters((("TimeZone", "UTC"),))),
        ("set search_path to default", SetParameters((("search_path", None),))),
        ("SET NAMES 'utf8'", SetParameters((("client_encoding", "utf8"),))),
        ("SET hatidata.agent_id = 'b'", SetParameters((("hatidata.agent_id", "b"),))),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
         SetParameters((("default_transaction_isolation", "read uncommitted"),))),
        ("SHOW TRANSACTION ISOLATION LEVEL", Show("transaction_isolation")),
        ("show timezone", Show("timezone")),
        ("SHOW ALL", Show("")),
        ("RESET ALL", Reset("")),
        ("DISCARD TEMPORARY", Discard("temp")),
        ("DEALLOCATE ALL", Deallocate("")),
        ("DEALLOCATE PREPARE _pg3_0", Deallocate("_pg3_0")),
        ('declare "SQL_CUR1" cursor with hold for select 1', Declare("SQL_CUR1", "select 1", False, True, False)),
        ("DECLARE c BINARY NO SCROLL CURSOR FOR SELECT ';'", Declare("c", "SELECT ';'", True, False, False)),
        ("fetch 2048 in \"SQL_CUR1\"", Fetch("SQL_CUR1", 2048, False)),
        ("FETCH FORWARD ALL FROM c", Fetch("c", None, False)),
        ("MOVE ABSOLUTE 7 IN c", Fetch("c", 7, True, True)),
        ("FETCH c", Fetch("c", 1, False)),
        ("CLOSE ALL", CloseCursor("")),
        ("UNLISTEN *", Nothing("UNLISTEN")),
        ("COPY (SELECT ')' AS a, (1)) TO STDOUT (FORMAT \"binary\")", CopyOut("SELECT ')' AS a, (1)", "binary", ())),
        ("copy sales.orders (id, \"Name\") to stdout with csv header",
         CopyOut('SELECT id, "Name" FROM sales.orders', "csv", (("header", "on"),))),
        ("COPY teams TO STDIN WITH DELIMITER E'\t' NULL AS E'\\\\N'",
         CopyOut("SELECT * FROM teams", "text", (("delimiter", "\t"), ("null", "\\N")))),
        ("COPY (SELECT 1) TO STDOUT WITH BINARY", CopyOut("SELECT 1", "binary", ())),
        ("COPY (SELECT 1 /* ) */) TO STDOUT (DELIMITER '|', NULL 'x')",
         CopyOut("SELECT 1 /* ) */", "text", (("delimiter", "|"), ("null", "x")))),
    ],
)  # fmt: skip
def test_understood(text: str, command: object) -> None:
    assert parse(text) == command


@pytest.mark.parametrize(
    "text", ["SELECT 1", "from t", "(select 1)", "SHOW TABLES", "show all tables", "explain select 1", ""]
)
def test_left_to_others(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    ("text", "sqlstate"),
    [
        ("LISTEN x", "0A000"),
        ("NOTIFY x", "0A000"),
        ("PREPARE a AS SELECT 1", "0A000"),
        ("COPY t FROM STDIN", "25006"),
        ("COPY (SELECT 1) TO '/etc/passwd'", "42501"),
        ("COPY (SELECT 1) TO PROGRAM 'sh'", "42501"),
        ("COPY (COPY (SELECT 1) TO STDOUT) TO STDOUT", "0A000"),
        ("COPY (SELECT 1) TO STDOUT (FORMAT parquet)", "22023"),
        ("SET ROLE postgres", "42501"),
        ("SET SESSION AUTHORIZATION 'x'", "42501"),
        ("FETCH BACKWARD 1 FROM c", "55000"),
        ("FETCH -1 FROM c", "55000"),
        ("PREPARE TRANSACTION 'x'", "0A000"),
    ],
)
def test_refused_with_its_sqlstate(text: str, sqlstate: str) -> None:
    with pytest.raises(SessionRefused) as caught:
        parse(text)
    assert caught.value.sqlstate == sqlstate


@pytest.mark.parametrize(
    "text",
    [
        "BEGIN; SELECT 1",
        "COMMIT x",
        "SET a b c",
        "SET x = (select 1)",
        "FETCH",
        "DECLARE c CURSOR FOR ",
        "COPY (SELECT 1 TO STDOUT",
        "ROLLBACK TO",
        "SET x = $1",
    ],
)
def test_not_understood_is_a_syntax_error(text: str) -> None:
    with pytest.raises(SyntaxRefused):
        parse(text)


@given(st.text(max_size=40), st.sampled_from(["SET ", "COPY (", "FETCH ", "DECLARE c CURSOR FOR ", "BEGIN ", "SHOW "]))
def test_any_text_ends_in_a_command_or_a_refusal(tail: str, head: str) -> None:
    try:
        parse(head + tail)
    except Refusal:
        return
