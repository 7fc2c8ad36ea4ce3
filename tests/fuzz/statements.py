# ruff: noqa: E501, ISC004, SIM905
"""Coverage-guided fuzzing of the law: whatever text comes, both twins look alike and nothing but a refusal is raised.

    python -m tests.fuzz.statements -max_total_time=60

Statements are made of the tokens of known statements (the client's own, the attack corpus), cut and spliced by the
fuzzer's bytes. Twins differ in hidden rows and in masked values only. A difference, a mark of a hidden value, or any
exception that is no refusal ends the run with the statement.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["engine.pipeline", "governance"]):
    from governance.policies import Mask, MaskFunction, RowFilter, View
    from governance.tables import TableName
    from tests.support.governed_lab import Lab, Outcome, principal, rulebook

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus" / "bypasses.jsonl"
C, ORDERS = TableName("sales", "customers"), TableName("sales", "orders")
BOOK = rulebook(
    [
        RowFilter("f1", "own customers", C, "org_id = {org_id}"),
        RowFilter("f2", "own orders", ORDERS, "org_id = {org_id}"),
        Mask("m1", "ssn", C, "ssn", MaskFunction.PARTIAL, 4),
        Mask("m2", "phone", C, "phone", MaskFunction.FULL),
        Mask("m3", "email", C, "email", MaskFunction.HASH),
    ],
    [("sales", "shared"), ("app", "shared")],
    [View("v", TableName("sales", "v_customers"), "SELECT id, email AS contact, ssn AS code FROM sales.customers")],
)
SCHEMA = [
    "CREATE SCHEMA sales",
    "CREATE SCHEMA app",
    "CREATE TABLE sales.customers(id INTEGER, org_id INTEGER, region VARCHAR, email VARCHAR, ssn VARCHAR, phone VARCHAR,"
    " balance DECIMAL(12,2))",
    "CREATE TABLE sales.orders(id INTEGER, org_id INTEGER, customer_id INTEGER, amount INTEGER, note VARCHAR)",
    "CREATE TABLE app.public_ref AS SELECT * FROM (VALUES ('emea', 'Europe'), ('amer', 'America')) t(region, label)",
]
VISIBLE = [
    "INSERT INTO sales.customers VALUES (1, 1, 'emea', 'ann@vis.example', '{0}1-11-1111', '+{0}-1', 100),"
    " (2, 1, 'amer', 'bob@vis.example', '{0}2-22-2222', '+{0}-2', 200), (3, 1, NULL, NULL, NULL, NULL, NULL)",
    "INSERT INTO sales.orders VALUES (1, 1, 1, 10, 'a'), (2, 1, 2, 20, NULL)",
]
HIDDEN = {
    "a": [
        "INSERT INTO sales.customers VALUES (4, 2, 'HIDr', 'HID@x', '999-HID1', '+HID1', 40000), (-5, 3, '7', 'HID', '9', '1', -3)",
        "INSERT INTO sales.orders VALUES (3, 2, 4, 77, 'HIDn')",
    ],
    "b": [
        "INSERT INTO sales.customers SELECT 2147483647 - i, 2, 'HID(' || i, 'HID', 'HID', 'HID', 9999999999 FROM range(9) r(i)",
        "INSERT INTO sales.orders VALUES (2147483647, 4, 2147483647, -2147483648, 'HID%'), (0, 2, 0, 0, '')",
    ],
}
MARKS = ("HID", "@vis", "91-11", "81-11", "92-22", "82-22")
WORDS = """SELECT FROM WHERE GROUP BY ALL HAVING ORDER LIMIT OFFSET WITH RECURSIVE AS MATERIALIZED UNION EXCEPT INTERSECT JOIN LEFT FULL
ASOF POSITIONAL NATURAL LATERAL SEMI ANTI ON USING QUALIFY WINDOW OVER PARTITION PIVOT UNPIVOT SUMMARIZE DESCRIBE EXISTS NOT IN ANY CASE WHEN
THEN ELSE END CAST TRY_CAST COLUMNS EXCLUDE REPLACE RENAME SAMPLE TABLESAMPLE DISTINCT FILTER VALUES UNNEST LAMBDA EXPLAIN POLICY ( ) , . * + - / %
|| = <> < > :: [ ] { } : ; ' " $1 $$ -- /* */ id org_id region email ssn phone balance note amount customer_id sales.customers sales.orders
sales.v_customers app.public_ref customers c x t 0 1 -1 1e308 'HIDx' '' NULL TRUE count sum max list string_agg INTEGER VARCHAR DATE STRUCT row
struct_pack map to_json regexp_extract strptime hash md5 length upper range generate_series""".split()
_TOKEN = re.compile(r"\s+|[A-Za-z_][A-Za-z0-9_.]*|'[^']*'|\"[^\"]*\"|[0-9.]+|.", re.DOTALL)
DEADLINE_S = 2.0


def seeds() -> list[list[str]]:
    """Statements to begin with, as tokens."""
    texts = [
        "SELECT * FROM sales.customers",
        "SELECT c.id, o.note FROM sales.customers c JOIN sales.orders o ON c.id = o.customer_id",
    ]
    if CORPUS.is_file():
        texts += [json.loads(line)["sql"] for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    return [_TOKEN.findall(text) for text in texts]


def _twin(name: str, digit: str) -> Lab:
    return Lab([*SCHEMA, *(text.format(digit) for text in VISIBLE), *HIDDEN[name]])


SEEDS = seeds()
TWINS = (_twin("a", "9"), _twin("b", "8"))
ME = principal()


def statement(data: bytes) -> str:
    """A statement out of bytes: some tokens of one seed, then cuts, words and pieces of other seeds."""
    given = atheris.FuzzedDataProvider(data)
    tokens = list(SEEDS[given.ConsumeIntInRange(0, len(SEEDS) - 1)])
    for _ in range(given.ConsumeIntInRange(0, 6)):
        at = given.ConsumeIntInRange(0, len(tokens))
        match given.ConsumeIntInRange(0, 4):
            case 0:
                tokens[at : at + given.ConsumeIntInRange(1, 4)] = []
            case 1 | 2:
                tokens[at:at] = [" ", WORDS[given.ConsumeIntInRange(0, len(WORDS) - 1)], " "]
            case 3:
                other = SEEDS[given.ConsumeIntInRange(0, len(SEEDS) - 1)]
                begin = given.ConsumeIntInRange(0, len(other))
                tokens[at:at] = [" ", *other[begin : begin + given.ConsumeIntInRange(1, 12)], " "]
            case _:
                tokens[at:at] = [given.ConsumeUnicodeNoSurrogates(4)]
    return "".join(tokens)


def observe(lab: Lab, text: str) -> Outcome:
    """What a client sees, at most `DEADLINE_S` of it."""
    timer = threading.Timer(DEADLINE_S, lab.interrupt)
    timer.start()
    try:
        return lab.run(text, ME, BOOK)
    finally:
        timer.cancel()


def check(text: str) -> None:
    """Raise when the twins differ, or something hidden shows."""
    one, two = (observe(lab, text) for lab in TWINS)
    if "InterruptException" in (one.error, two.error):
        return  # time is not hidden; which of two slow runs ends first is no observation
    seen = [(o.status, o.columns, sorted(map(repr, o.rows)), o.error) for o in (one, two)]
    if seen[0] != seen[1]:
        raise AssertionError(f"the twins differ: {text!r}\n{seen[0]!r}\n{seen[1]!r}")
    shown = repr((one.columns, one.rows, one.error))
    for mark in MARKS:
        if mark in shown and mark.casefold() not in text.casefold():
            raise AssertionError(f"{mark} shows: {text!r}\n{shown}")


def run(data: bytes) -> None:
    """One round."""
    check(statement(data))


if __name__ == "__main__":
    atheris.Setup(sys.argv, run)
    atheris.Fuzz()
