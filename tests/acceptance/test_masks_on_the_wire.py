"""Masks through the real port with a real client: what each claim of W4 promises, value by value."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.support.stack import Stack, running_stack

SSN = "123-45-6789"


def mask(name: str, column: str, function: str, **more: object) -> dict[str, object]:
    return {"name": name, "type": "mask", "table": "hr.people", "column": column, "function": function, **more}


STATE = {
    "version": 1,
    "users": [
        {"email": "ana@acme.example", "organization": "1", "role": "analyst"},
        {"email": "dev@acme.example", "organization": "1", "role": "developer"},
    ],
    "keys": [
        {"name": "ana", "user": "ana@acme.example", "scopes": ["read_only"]},
        {"name": "dev", "user": "dev@acme.example", "scopes": ["developer"]},
        {
            "name": "bot",
            "user": "dev@acme.example",
            "scopes": ["agent"],
            "agent": {"id": "b", "framework": "langchain"},
        },
    ],
    "policies": [
        mask("full", "full_name", "full", exempt_roles=[]),
        mask("partial", "ssn", "partial", visible=4, exempt_roles=["developer"]),
        mask("hash", "email", "hash", exempt_roles=[]),
        mask("null", "salary", "null", exempt_roles=[]),
        mask("agents", "city", "null", exempt_roles=[], applies_to={"audience": "agents", "frameworks": ["langchain"]}),
    ],
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("masks")
    (folder / "lake" / "hr").mkdir(parents=True)
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT * FROM (VALUES ('Ann Lee', '{SSN}', 'ann@x.example', 5000, 'Graz'), "
            "(NULL, 'ab', NULL, NULL, NULL)) t(full_name, ssn, email, salary, city)) "
            f"TO '{folder / 'lake' / 'hr' / 'people.parquet'}' (FORMAT parquet)"
        )
    with running_stack(folder, folder / "lake", state=STATE) as running:
        yield running


def one(stack: Stack, key: str, column: str) -> list[object]:
    return [row[0] for row in stack.query(stack.keys[key], f"SELECT {column} FROM hr.people")]


def test_w4_1_full_shows_three_stars_and_null_stays_null(stack: Stack) -> None:
    assert one(stack, "ana", "full_name") == ["***", None]


def test_w4_2_partial_shows_the_last_characters_and_short_values_none(stack: Stack) -> None:
    assert one(stack, "ana", "ssn") == ["***6789", "***"]


def test_w4_3_hash_is_the_sha_256_of_the_text(stack: Stack) -> None:
    assert one(stack, "ana", "email") == [hashlib.sha256(b"ann@x.example").hexdigest(), None]


def test_w4_4_null_is_null_of_the_same_type(stack: Stack) -> None:
    assert one(stack, "ana", "salary") == [None, None]
    with stack.connect(stack.keys["ana"]) as connection:
        described = connection.execute("SELECT salary FROM hr.people").description
        assert described is not None
        assert described[0].type_code == 23


def test_w4_5_an_exemption_lifts_its_own_rule_and_an_empty_list_exempts_nobody(stack: Stack) -> None:
    assert one(stack, "dev", "ssn") == [SSN, "ab"]
    assert one(stack, "dev", "full_name") == ["***", None]
    owner = stack.query(stack.owner_key, "SELECT full_name FROM hr.people")
    assert owner == [("***",), (None,)]


def test_w4_6_rules_differ_for_agents_and_people(stack: Stack) -> None:
    assert one(stack, "dev", "city") == ["Graz", None]
    assert one(stack, "bot", "city") == [None, None]


def test_w4_7_masking_leaves_the_stored_data_as_it_was(stack: Stack) -> None:
    file = Path(stack.data) / "hr" / "people.parquet"
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    stack.query(stack.keys["ana"], "SELECT * FROM hr.people")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before
