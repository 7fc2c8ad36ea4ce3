"""`hatidata policies test`: what passes, what fails and why, and what is no test file."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import duckdb
import jsonschema
import pytest

from cli.policy_rehearsal import run_file
from cli.yaml_document import load
from governance.errors import InvalidRequest
from governance.policy_test_file import parse_policy_tests
from tests.support.stack import hatidata

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "policies.test.yaml"
SCHEMA = json.loads((ROOT / "governance" / "policy_test_file.schema.json").read_text())
STATE: dict[str, Any] = {
    "version": 1,
    "organizations": [{"id": "1", "name": "Acme"}],
    "users": [{"email": "ana@acme.example", "organization": "1", "role": "analyst", "attributes": {"region": "emea"}}],
    "keys": [
        {"name": "nb", "user": "ana@acme.example", "scopes": ["read_only"], "networks": ["10.0.0.0/8"]},
        {"name": "pg", "user": "ana@acme.example", "scopes": ["read_only"], "dialect": "postgres"},
    ],
    "views": [{"name": "s.v", "sql": "SELECT id, word FROM s.t"}],
    "policies": [
        {"name": "f", "type": "row_filter", "table": "s.t", "filter": "org = {org_id}"},
        {"name": "m", "type": "mask", "table": "s.t", "column": "word", "function": "hmac"},
        {"name": "net", "type": "condition", "effect": "deny", "networks": ["192.0.2.0/24"]},
        {"name": "g", "type": "minimum_group", "table": "s.g", "size": 2},
    ],
}
TABLES: dict[str, Any] = {
    "s.t": {
        "columns": {
            "id": "INTEGER",
            "org": "INTEGER",
            "word": "VARCHAR",
            "day": "DATE",
            "n": "DECIMAL(8,2)",
            "l": "INTEGER[]",
        },
        "rows": [
            [1, 1, "a", "2026-01-01", 1.5, [1, 2]],
            [2, 1, None, None, 2, None],
            [3, 2, "HID", "2026-01-01", 3, [9]],
        ],
    },
    "s.g": {"columns": {"k": "VARCHAR"}, "rows": [["a"], ["a"], ["b"]]},
}
NB = {"key": "nb"}


def write(folder: Path, *tests: dict[str, Any], state: dict[str, Any] = STATE, **more: Any) -> Path:
    (folder / "state.yaml").write_text(json.dumps(state))
    document = {"version": 1, "state": "state.yaml", "tables": TABLES, "tests": list(tests), **more}
    file = folder / "t.yaml"
    file.write_text(json.dumps(document))
    return file


def why(folder: Path, **expectation: Any) -> str:
    """Why one test does not pass; empty when it does."""
    test = {"name": "n", "as": NB, **expectation}
    ((verdict, _),) = run_file(write(folder, test))
    return verdict.why


def test_the_documented_example_passes_and_fits_its_schema() -> None:
    assert [v.why for v, _ in run_file(EXAMPLE)] == [""] * 6
    jsonschema.validate(load(EXAMPLE), SCHEMA)


@pytest.mark.parametrize(
    "expectation",
    [
        {"query": "SELECT id FROM s.t", "rows": [[2], [1]]},
        {"query": "SELECT id FROM s.t ORDER BY id", "rows": [[1], [2]], "ordered": True},
        {"query": "SELECT id, n, day, l FROM s.t WHERE id = 1", "rows": [[1, 1.5, "2026-01-01", [1, 2]]]},
        {"query": "SELECT word IS NULL FROM s.t ORDER BY id", "rows": [[False], [True]], "ordered": True},
        {"query": "SELECT count(*) FROM s.t", "rows": [[2]], "columns": ["count_star()"]},
        {"query": "FROM s.t", "count": 2, "masked": ["s.t.word"]},
        {"query": "SELECT length(word) FROM s.v WHERE word IS NOT NULL", "rows": [[64]]},
        {"query": "SELECT k, count(*) FROM s.g GROUP BY k", "rows": [["a", 2]]},
        {"query": "FROM s.t", "refused": "permission_denied", "as": {"key": "nb", "source_ip": "192.0.2.7"}},
        {"query": "FROM read_csv('/etc/passwd')", "refused": "function_not_allowed"},
        {"query": "SELECT 'x'::INTEGER", "refused": "engine_failed"},
        {"query": "SELECT word::text FROM s.t WHERE id = 2", "rows": [[None]], "as": {"key": "pg"}},
        {"query": "SELECT 5 / 2", "refused": "statement_not_supported", "as": {"key": "pg"}},
        {"query": "DROP TABLE s.t", "refused": "read_only"},
    ],
)
def test_what_holds_passes(tmp_path: Path, expectation: dict[str, Any]) -> None:
    assert why(tmp_path, **expectation) == ""


@pytest.mark.parametrize(
    ("expectation", "told"),
    [
        ({"query": "SELECT id FROM s.t", "rows": [[1], [2], [3]]}, "missing [3]"),
        ({"query": "SELECT id FROM s.t", "rows": [[1]]}, "not expected [2]"),
        ({"query": "SELECT 1 AS a UNION ALL SELECT 1", "rows": [[1]]}, "not expected [1]"),
        (
            {"query": "SELECT id FROM s.t ORDER BY id", "rows": [[2], [1]], "ordered": True},
            "row 1: expected [2], got [1]",
        ),
        ({"query": "SELECT id::VARCHAR FROM s.t WHERE id = 1", "rows": [[1]]}, "missing [1], not expected ['1']"),
        ({"query": "SELECT id = 1 AS a FROM s.t WHERE id = 1", "rows": [[1]]}, "not expected [True]"),
        ({"query": "FROM s.t", "count": 3}, "expected 3 rows, got 2"),
        ({"query": "FROM s.t", "masked": []}, "expected masks on nothing, got masks on s.t.word"),
        ({"query": "SELECT id FROM s.t", "columns": ["x"]}, "expected the columns x, got id"),
        ({"query": "FROM s.t", "refused": "table_unknown"}, "expected the refusal table_unknown, got 2 rows"),
        ({"query": "FROM s.none", "refused": "read_only"}, "got table_unknown"),
        ({"query": "FROM s.none", "rows": []}, "refused with table_unknown"),
    ],
)
def test_what_does_not_hold_fails_and_says_why(tmp_path: Path, expectation: dict[str, Any], told: str) -> None:
    assert told in why(tmp_path, **expectation)


def test_samples_may_be_files(tmp_path: Path) -> None:
    duckdb.sql("SELECT 1 AS id, 1 AS org, 'p' AS word").write_parquet(str(tmp_path / "t.parquet"))
    (tmp_path / "g.csv").write_text("k\na\na\n")
    tables = {"s.t": {"file": "t.parquet"}, "s.g": {"file": "g.csv"}}
    test = {"name": "n", "as": NB, "query": "SELECT id FROM s.t UNION ALL SELECT count(*) FROM s.g", "count": 2}
    one = test | {"query": "SELECT id FROM s.t", "rows": [[1]]}
    del one["count"]
    two = {"name": "m", "as": NB, "query": "SELECT k, count(*) AS n FROM s.g GROUP BY k", "rows": [["a", 2]]}
    assert [v.why for v, _ in run_file(write(tmp_path, one, two, tables=tables))] == ["", ""]


MALFORMED: list[tuple[str, Any]] = [
    ("version", 2), ("state", None), ("tests", []), ("surprise", 1), ("operator", "9"),
    ("tables", {"t": {"columns": {"a": "INTEGER"}}}), ("tables", {"s.t": {}}),
    ("tables", {"s.t": {"columns": {"a": "INTEGER"}, "rows": [[1, 2]]}}),
    ("tables", {"s.t": {"columns": {"a": "NO SUCH TYPE"}}}), ("tables", {"s.t": {"columns": {"a": "INTEGER); DROP"}}}),
    ("tables", {"s.t": {"file": "missing.parquet"}}), ("tables", {"s.t": {"file": "x.txt"}}),
    ("tables", {"s.t": {"columns": {"id": "INTEGER", "word": "VARCHAR"}}}),  # the filter's column is not there
    ("tests", [{"name": "n", "as": NB, "query": "SELECT 1"}]),
    ("tests", [{"name": "n", "query": "SELECT 1", "count": 1}]),
    ("tests", [{"name": "n", "as": {"key": "none"}, "query": "SELECT 1", "count": 1}]),
    ("tests", [{"name": "n", "as": {}, "query": "SELECT 1", "count": 1}]),
    ("tests", [{"name": "n", "as": {"key": "nb", "role": "owner"}, "query": "SELECT 1", "count": 1}]),
    ("tests", [{"name": "n", "as": NB, "query": "SELECT 1", "count": 1, "refused": "x"}]),
    ("tests", [{"name": "n", "as": NB, "query": "SELECT 1", "count": 1, "at": "yesterday"}]),
    ("tests", [{"name": "n", "as": NB, "query": "SELECT 1", "count": 1}] * 2),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), MALFORMED)
def test_what_is_no_test_file_is_refused(tmp_path: Path, field: str, value: Any) -> None:
    file = write(tmp_path, {"name": "n", "as": NB, "query": "SELECT 1", "count": 1}, **{field: value})
    with pytest.raises(InvalidRequest):
        run_file(file)


def test_the_schema_and_the_parser_agree_on_what_is_well_formed(tmp_path: Path) -> None:
    """Whatever the parser takes fits the schema; what the schema refuses the parser refuses."""
    good = load(EXAMPLE)
    parse_policy_tests(good)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    assert list(validator.iter_errors(good)) == []
    refused = 0
    for field, value in MALFORMED:
        document = copy.deepcopy(good) | {field: value}
        if list(validator.iter_errors(document)):
            refused += 1
            with pytest.raises(InvalidRequest):
                parse_policy_tests(document)
    assert refused >= 12


def test_exit_codes_json_and_junit_serve_a_ci(tmp_path: Path) -> None:
    good = {"name": "good", "as": NB, "query": "SELECT id FROM s.t", "count": 2}
    bad = {"name": "bad", "as": NB, "query": "SELECT id FROM s.t", "count": 7}
    report = tmp_path / "junit.xml"
    file = write(tmp_path, good)
    assert hatidata("policies", "test", str(file)).returncode == 0
    file = write(tmp_path, good, bad)
    done = hatidata("policies", "test", str(file), "--json", "--junit", str(report))
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert (document["passed"], document["failed"]) == (1, 1)
    assert [(r["name"], r["passed"]) for r in document["results"]] == [("good", True), ("bad", False)]
    suite = ElementTree.parse(report).getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert "expected 7 rows" in str(suite[1][0].get("message"))
    file.write_text("version: 1\nstate: nowhere.yaml\n")
    wrong = hatidata("policies", "test", str(file))
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr
