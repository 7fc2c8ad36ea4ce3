"""The open bypass corpus on both twins, at the pipeline: identical observations, no marks, `accept` obeyed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from governance.policies import Mask, MaskFunction, RowFilter, View
from governance.tables import TableName
from tests.support.governed_lab import Lab, Outcome, principal, rulebook

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
CASES: list[dict[str, Any]] = (
    [json.loads(line) for line in (CORPUS / "bypasses.jsonl").read_text(encoding="utf-8").splitlines()]
    if CORPUS.is_dir()
    else []
)
MARKS = (
    "HID",
    "@vis.example",
    "555-55-",
    "111-11",
    "222-22",
    "333-33",
    "911-19",
    "822-28",
    "733-37",
    "+43-",
    "+49-",
    "+1-212",
)
CUSTOMERS, ORDERS = TableName("sales", "customers"), TableName("sales", "orders")
BOOK = rulebook(
    [
        RowFilter("f1", "own customers", CUSTOMERS, "org_id = {org_id}"),
        RowFilter("f2", "own orders", ORDERS, "org_id = {org_id}"),
        Mask("m1", "ssn", CUSTOMERS, "ssn", MaskFunction.PARTIAL, 4),
        Mask("m2", "phone", CUSTOMERS, "phone", MaskFunction.FULL),
        Mask("m3", "email", CUSTOMERS, "email", MaskFunction.HASH),
    ],
    [("sales", "shared"), ("app", "shared")],
    [
        View(
            "v",
            TableName("sales", "v_customers"),
            "SELECT id, org_id, email AS contact, ssn AS code FROM sales.customers",
        )
    ],
)
pytestmark = pytest.mark.skipif(not CASES, reason="the shared corpus is not beside the project")


def _twin(name: str, *, bulk: bool) -> Lab:
    statements = (CORPUS / f"twin_{name}.sql").read_text(encoding="utf-8").split(";\n")
    if bulk:
        hidden = "'HIDDENr' || i, 'HIDDEN' || i || '@two.example', '999-HID-' || i, '+00-HID' || i, 50000 + i % 1000"
        statements.append(f"INSERT INTO sales.customers SELECT 1000 + i, 2, {hidden} FROM range(200000) r(i)")
        if name == "b":
            statements.append("DELETE FROM sales.customers WHERE id % 3 = 0 AND org_id = 2")
            statements.append("UPDATE sales.customers SET balance = -balance, region = 'HIDDEN(' WHERE org_id = 2")
    return Lab([s for s in statements if s.strip()])


@pytest.fixture(scope="module")
def twins() -> dict[str, tuple[Lab, Lab]]:
    return {
        "twin": (_twin("a", bulk=False), _twin("b", bulk=False)),
        "bulk": (_twin("a", bulk=True), _twin("b", bulk=True)),
    }


def _observed(outcome: Outcome, case: dict[str, Any]) -> tuple[Any, ...]:
    rows = outcome.rows if "ORDER BY" in case["sql"].upper() else sorted(outcome.rows, key=repr)
    return outcome.status, outcome.columns, rows, outcome.error


def _accepted(outcome: Outcome, case: dict[str, Any]) -> bool:
    accept = set(case["accept"])
    if outcome.status == "deny":
        return "deny" in accept
    if outcome.status == "error":
        return "error" in accept or case["duckdb_alone"] == "err"
    return bool(accept & {"masked", "filtered", "allow"})


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_w4_8_what_a_client_observes_is_the_same_on_both_twins(
    case: dict[str, Any], twins: dict[str, tuple[Lab, Lab]]
) -> None:
    me = principal()
    a, b = twins[case["fixture"]]
    # every statement of a setup must be refused as well: none of them may leave anything behind
    for statement in case["setup"]:
        assert a.run(statement, me, BOOK).status == b.run(statement, me, BOOK).status == "deny"
    one, two = a.run(case["sql"], me, BOOK), b.run(case["sql"], me, BOOK)
    assert _observed(one, case) == _observed(two, case)
    for mark in MARKS:
        assert mark in case["sql"] or mark not in repr((one.columns, one.rows, one.error)), mark
    assert _accepted(one, case), (one.status, one.error, case["accept"])


def test_hidden_rows_are_unchanged(twins: dict[str, tuple[Lab, Lab]]) -> None:
    lab = twins["twin"][0]
    before = lab.plain(f"SELECT * FROM {lab.relation(CUSTOMERS)} ORDER BY id").rows
    for case in CASES:
        if case["class"] in ("dml", "ddl", "io") and case["fixture"] == "twin":
            lab.run(case["sql"], principal(), BOOK)
    assert lab.plain(f"SELECT * FROM {lab.relation(CUSTOMERS)} ORDER BY id").rows == before


def test_controls_are_not_blocked(twins: dict[str, tuple[Lab, Lab]]) -> None:
    blocked = [
        c["id"]
        for c in CASES
        if c["class"] == "control" and twins["twin"][0].run(c["sql"], principal(), BOOK).status != "ok"
    ]
    assert blocked == []
