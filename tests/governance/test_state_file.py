"""The state file: what parses, what is refused and where, and that schema and parser agree."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import governance.state_file
from governance.errors import InvalidRequest
from governance.policies import Audience, Condition, Effect, Mask, MaskFunction, MinimumGroup, RowFilter
from governance.principals import Agent
from governance.roles import Role
from governance.state_file import StateFile, parse_state

SCHEMA = json.loads(Path(governance.state_file.__file__).with_name("state_file.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

FULL: dict[str, Any] = {
    "version": 1,
    "environment": "production",
    "organizations": [{"id": "1", "name": "Acme"}, {"id": "2", "name": "Globex"}],
    "schemas": [{"name": "sales", "organization": "shared"}, {"name": "hr", "organization": "2"}],
    "users": [
        {
            "email": "ana@acme.example",
            "organization": "1",
            "role": "analyst",
            "attributes": {"department": "risk", "region": "emea"},
        },
        {"email": "bo@globex.example", "id": "u-2", "organization": "2", "role": "admin", "status": "suspended"},
    ],
    "keys": [
        {"name": "ana", "user": "ana@acme.example", "scopes": ["read_only"]},
        {
            "name": "bot",
            "user": "ana@acme.example",
            "scopes": ["agent", "query:read"],
            "agent": {"id": "bot-7", "framework": "langchain"},
            "networks": ["127.0.0.0/8"],
            "allowed_tables": ["sales.*"],
            "expires_at": "2030-01-02T03:04:05+01:00",
        },
    ],
    "views": [{"name": "sales.big", "sql": "SELECT * FROM sales.customers"}],
    "policies": [
        {"name": "own-rows", "type": "row_filter", "table": "sales.customers", "filter": "org_id = {org_id}"},
        {
            "name": "ssn",
            "type": "mask",
            "table": "sales.customers",
            "column": "ssn",
            "function": "partial",
            "visible": 4,
            "exempt_roles": ["owner"],
            "applies_to": {"audience": "agents", "agent_ids": ["bot-7"], "frameworks": ["langchain"]},
            "on_predicate": "deny",
        },
        {
            "name": "age",
            "type": "mask",
            "table": "sales.customers",
            "column": "age",
            "function": "full",
            "as_text": True,
            "applies_to": "people",
        },
        {
            "name": "office-hours",
            "type": "condition",
            "effect": "deny",
            "tables": ["sales.*"],
            "roles": ["analyst"],
            "networks": ["10.0.0.0/8"],
            "window": {"zone": "Europe/Berlin", "start": "08:30", "end": "18:00", "weekdays": ["mon", "fri"]},
            "outside_window": True,
        },
        {"name": "crowd", "type": "minimum_group", "table": "sales.customers", "size": 5},
    ],
}


def test_the_whole_format_parses() -> None:
    state = parse_state(FULL)
    assert [o.id for o in state.organizations] == ["1", "2"]
    assert state.users[0].role is Role.ANALYST
    assert state.users[0].attributes == (("department", "risk"), ("region", "emea"))
    assert not state.users[1].active
    assert state.keys[1].agent == Agent("bot-7", "langchain")
    assert state.keys[1].expires_at == "2030-01-02T02:04:05.000000Z"
    row_filter, ssn, age, hours, crowd = state.policies
    assert isinstance(row_filter, RowFilter)
    assert not row_filter.exempt_roles
    assert isinstance(ssn, Mask)
    assert ssn.deny_predicate
    assert ssn.applies_to.audience is Audience.AGENTS
    assert isinstance(age, Mask)
    assert (age.function, age.as_text, age.applies_to.audience) == (MaskFunction.FULL, True, Audience.PEOPLE)
    assert isinstance(hours, Condition)
    assert hours.effect is Effect.DENY
    assert hours.window is not None
    assert (hours.window.start_minute, hours.window.end_minute) == (510, 1080)
    assert hours.window.weekdays == {0, 4}
    assert isinstance(crowd, MinimumGroup)
    assert crowd.size == 5


def test_the_whole_format_is_valid_by_the_published_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    VALIDATOR.validate(FULL)


def _changed(path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    document = copy.deepcopy(FULL)
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


WRONG: list[tuple[tuple[str | int, ...], object, str]] = [
    (("version",), None, "version: is missing"),
    (("version",), 2, "version: 2 is not understood"),
    (("version",), "1", "version: must be a whole number"),
    (("environment",), "prod", "environment: is not one of production, staging"),
    (("policy",), [], "policy: is not a field here"),
    (("users",), {}, "users: must be a list"),
    (("users", 0), "ana", "users[0]: a mapping"),
    (("users", 0, "email"), "ana", "users[0].email: is not an e-mail address"),
    (("users", 0, "role"), "boss", "users[0].role: is not one of owner"),
    (("users", 0, "role"), None, "users[0].role: is missing"),
    (("users", 0, "attributes"), {"level": 3}, "users[0].attributes: holds"),
    (("users", 0, "organization"), 1, "users[0].organization: is not text"),
    (("users", 0, "team"), "x", "users[0].team: is not a field here"),
    (("organizations", 0, "id"), "shared", "organizations[0].id: 'shared' is reserved"),
    (("organizations", 0, "id"), "a b", "organizations[0].id: must be made of"),
    (("organizations", 0, "name"), " ", "organizations[0].name: must have 1 to 200"),
    (("keys", 0, "scopes"), [], "keys[0].scopes: must be a list of 1"),
    (("keys", 0, "scopes"), ["root"], "keys[0].scopes: 'root' is neither a scope"),
    (("keys", 1, "agent"), {"framework": "x"}, "keys[1].agent.id: is missing"),
    (("keys", 1, "allowed_tables"), ["sales"], "keys[1].allowed_tables[0]: is not of the form"),
    (("keys", 1, "expires_at"), "soon", "keys[1].expires_at: is not a moment"),
    (("views", 0, "name"), "big", "views[0].name: is not of the form schema.name"),
    (("policies", 0, "type"), "rowfilter", "policies[0].type: is not one of row_filter"),
    (("policies", 0, "filter"), None, "policies[0].filter: is missing"),
    (("policies", 0, "column"), "ssn", "policies[0].column: is not a field here"),
    (("policies", 1, "function"), "md5", "policies[1].function: is not one of null"),
    (("policies", 1, "visible"), -1, "policies[1].visible: must be a whole number"),
    (("policies", 1, "visible"), True, "policies[1].visible: must be a whole number"),
    (("policies", 1, "exempt_roles"), ["king"], "policies[1].exempt_roles[0]: is not one of owner"),
    (("policies", 1, "exempt_roles"), ["owner", "owner"], "policies[1].exempt_roles: says something twice"),
    (("policies", 1, "applies_to"), "robots", "policies[1].applies_to: is not one of"),
    (("policies", 1, "applies_to"), {"audience": "people", "agent_ids": ["a"]}, "applies_to.audience: must be agents"),
    (("policies", 2, "visible"), 3, "policies[2].visible: belongs to the function partial"),
    (("policies", 2, "as_text"), "yes", "policies[2].as_text: must be true or false"),
    (("policies", 3, "window", "start"), "8:30", "policies[3].window.start: is not a time of day"),
    (("policies", 3, "window", "end"), "25:00", "policies[3].window.end: is not a time of day"),
    (("policies", 3, "window"), None, "policies[3].outside_window: needs a window"),
    (("policies", 4, "size"), 1, "policies[4].size: must be a whole number from 2"),
]


@pytest.mark.parametrize(("path", "value", "sentence"), WRONG, ids=[w[2] for w in WRONG])
def test_a_wrong_item_is_refused_with_its_place_by_parser_and_schema(
    path: tuple[str | int, ...], value: object, sentence: str
) -> None:
    document = _changed(path, value)
    with pytest.raises(InvalidRequest) as refusal:
        parse_state(document)
    assert sentence in refusal.value.message
    assert not VALIDATOR.is_valid(document)


BEYOND_SCHEMA: list[tuple[tuple[str | int, ...], object, str]] = [
    (("users", 1, "email"), "ANA@acme.example", "users[1]: declared before, at users[0]"),
    (("policies", 1, "name"), "own-rows", "policies[1]: declared before, at policies[0]"),
    (("keys", 1, "networks"), ["10.0.0.1/8"], "keys[1].networks[0]: is not a CIDR range"),
    (("policies", 3, "window", "zone"), "Mars/Olympus", "policies[3].window.zone: is not a time zone"),
    (("policies", 3, "window", "zone"), "../../etc/passwd", "policies[3].window.zone: is not a time zone"),
    (("policies", 3, "window", "end"), "08:30", "policies[3].window.end: is the same as start"),
    (("organizations", 0, "name"), "a\x00b", "organizations[0].name: holds a control character"),
]


@pytest.mark.parametrize(("path", "value", "sentence"), BEYOND_SCHEMA, ids=[w[2] for w in BEYOND_SCHEMA])
def test_what_no_schema_can_say_the_parser_refuses(path: tuple[str | int, ...], value: object, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_state(_changed(path, value))
    assert sentence in refusal.value.message


def test_an_empty_state_declares_nothing() -> None:
    state = parse_state({"version": 1})
    assert state == StateFile()


def test_the_function_null_may_stand_without_quotes() -> None:
    mask = {"name": "gone", "type": "mask", "table": "s.t", "column": "c", "function": None}
    state = parse_state({"version": 1, "policies": [mask]})
    assert isinstance(state.policies[0], Mask)
    assert state.policies[0].function is MaskFunction.NULL
    VALIDATOR.validate({"version": 1, "policies": [mask]})


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def _places(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for step, inner in steps for place in [(*at, step), *_places(inner, (*at, step))]]


@given(place=st.sampled_from(_places(FULL)), junk=_JUNK.filter(lambda v: v is not None))
def test_whatever_stands_anywhere_it_parses_or_is_refused_and_what_parses_is_valid(
    place: tuple[str | int, ...], junk: object
) -> None:
    document = _changed(place, junk)
    refusal = _refusal(document)
    if refusal is None:
        VALIDATOR.validate(document)
    else:
        assert len(refusal.message) < 2_000


def _refusal(document: object) -> InvalidRequest | None:
    try:
        parse_state(document)
    except InvalidRequest as refusal:
        return refusal
    return None
