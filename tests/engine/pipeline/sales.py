"""The tables of two organizations that the pipeline's tests ask, and how they ask."""

from __future__ import annotations

from typing import Any

import pytest

from governance import errors
from governance.policies import Mask, MaskFunction, RowFilter
from governance.tables import TableName
from tests.support.governed_lab import Lab, rulebook

C = TableName("sales", "c")
SCHEMAS = [("sales", "1"), ("shared", "shared"), ("globex", "2"), ("main", "shared")]
SETUP = [
    "CREATE SCHEMA sales", "CREATE SCHEMA shared", "CREATE SCHEMA globex",
    "CREATE TABLE sales.c(id INTEGER, org_id VARCHAR, ssn VARCHAR, bal DECIMAL(12,2), region VARCHAR, seen DATE)",
    ("INSERT INTO sales.c VALUES (1, '1', '111-11-1111', 10, 'emea', '2024-01-01'), (2, '1', NULL, 20, 'amer', NULL),"
    " (3, '1', '12', 30, 'emea', '2024-01-02'), (4, '2', '999-99-9999', 40, 'apac', '2024-01-03')"),
    "CREATE TABLE shared.r AS SELECT 1 AS x", "CREATE TABLE globex.secret AS SELECT 1 AS x",
    'CREATE TABLE main."Odd ""Name" AS SELECT 7 AS "a b"', "CREATE TABLE sales.r AS SELECT 2 AS x",
]  # fmt: skip
OWN = RowFilter("f", "own rows", C, "org_id = {org_id}")


def book(*policies: Any, **facts: Any) -> Any:
    return rulebook(policies, SCHEMAS, **facts)


def rows(lab: Lab, sql: str, who: Any, *policies: Any, **facts: Any) -> list[tuple[Any, ...]]:
    outcome = lab.run(sql, who, book(*policies, **facts))
    assert outcome.status == "ok", outcome.error
    return outcome.rows


def refused(lab: Lab, sql: str, who: Any, *policies: Any, **facts: Any) -> errors.Refusal:
    with pytest.raises(errors.Refusal) as found:
        lab.govern(sql, who, book(*policies, **facts))
    return found.value


def mask(function: MaskFunction, column: str = "ssn", **facts: Any) -> Mask:
    return Mask(facts.pop("id", f"m-{function.value}"), facts.pop("name", function.value), C, column, function, **facts)
