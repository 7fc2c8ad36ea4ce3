# ruff: noqa: E501
"""docs/sql.md is true: its statements are accepted and refused as it says, its function lists are the code's."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

import pytest

from engine.pipeline.functions import ALLOWED, DENIED, DENIED_PREFIXES, TABLE_FUNCTIONS, refusal_reason
from governance.tables import fold
from tests.support.governed_lab import Lab, principal, rulebook

PAGE = Path(__file__).resolve().parents[3] / "docs" / "sql.md"
SETUP = [
    "CREATE SCHEMA sales",
    "CREATE SCHEMA app",
    "CREATE TABLE sales.customers(id INT, org_id INT, region VARCHAR, email VARCHAR, ssn VARCHAR, phone VARCHAR, balance INT)",
    "INSERT INTO sales.customers VALUES (1, 1, 'emea', 'a@b.c', '1', '2', 10)",
    "CREATE TABLE sales.orders AS SELECT 1 AS id, 1 AS org_id, 1 AS customer_id, 10 AS amount",
    "CREATE TABLE app.public_ref AS SELECT 'emea' AS region, 'x' AS label",
]
BOOK = rulebook([], [("sales", "shared"), ("app", "shared")])


def _block(title: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    found = re.search(rf"## {title}\n\n```sql\n(.*?)```", text, re.DOTALL)
    return [line.removesuffix(";") for line in found[1].splitlines()] if found else []


def _listed() -> str:
    """The generated end of the page."""
    out = ["Accepted, each class because its functions compute on their arguments alone:\n"]
    for kind, names in ALLOWED.items():
        out.append(f"- **{kind}**: " + " ".join(f"`{n}`" for n in sorted(names)).replace("`||`", "`||`"))
    out.append(
        "\nIn FROM: " + " ".join(f"`{n}`" for n in sorted(TABLE_FUNCTIONS)) + ". Refused, because the function\n"
    )
    for why, names in DENIED.items():
        out.append(f"- **{why}**: " + " ".join(f"`{n}`" for n in sorted(names)))
    families = " ".join(f"`{p}*`" for p in sorted(DENIED_PREFIXES))
    out.append(f"\nand the families {families} (functions accepted above apart). A function in no list is refused.")
    lines = [
        textwrap.fill(line, 160, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False) for line in out
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(SETUP)


@pytest.mark.parametrize("sql", _block("Accepted"))
def test_what_the_page_says_is_accepted_runs(lab: Lab, sql: str) -> None:
    outcome = lab.run(sql, principal(), BOOK)
    assert outcome.status == "ok", outcome.error


@pytest.mark.parametrize("sql", _block("Refused"))
def test_what_the_page_says_is_refused_is(lab: Lab, sql: str) -> None:
    assert lab.run(sql, principal(), BOOK).status == "deny"


def test_the_page_lists_the_functions_of_the_code() -> None:
    assert len(_block("Accepted")) > 40
    assert len(_block("Refused")) > 30
    assert PAGE.read_text(encoding="utf-8").split("## Functions\n\n")[1] == _listed()


def test_every_function_of_the_engine_stands_in_a_class(lab: Lab) -> None:
    known = {str(row[0]) for row in lab.db.execute("SELECT DISTINCT function_name FROM duckdb_functions()").fetchall()}
    assert len(known) > 900
    assert not {name for name in known if refusal_reason(fold(name)) == "is not on the list"}


if __name__ == "__main__":  # python -m tests.engine.pipeline.test_sql_reference: write the lists anew
    head = PAGE.read_text(encoding="utf-8").split("## Functions\n")[0]
    PAGE.write_text(f"{head}## Functions\n\n{_listed()}", encoding="utf-8")
    sys.exit(0)
