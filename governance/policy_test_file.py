"""Policy tests as a file: sample tables, and what each principal should get for each query.

Format version 1; `policy_test_file.schema.json` beside this file is its JSON Schema, `docs/policies.md` its guide. The
document arrives as plain data; the state it names (schemas, users, keys, views, policies) is a state file's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from governance.errors import InvalidRequest
from governance.policies import View
from governance.principals import Agent, Principal
from governance.roles import Role
from governance.rulebook import Key, Rulebook, User
from governance.scopes import BUNDLES, Scope, expand
from governance.state_file import DeclaredKey, DeclaredUser, StateFile
from governance.state_item import Item
from governance.state_policies import with_id
from governance.tables import Column, TableName, fold
from governance.timestamp import parse

VERSION = 1
TESTS_MAX = 10_000
TABLES_MAX = 1_000
ROWS_MAX = 100_000
QUERY_MAX = 65_536
DEFAULT_MOMENT = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
"""A Monday noon: what the time is in a test that does not say."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A table's sample data: rows written down, or a Parquet or CSV file beside the test file."""

    table: TableName
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...] = ()
    file: str = ""


@dataclass(frozen=True, slots=True)
class Who:
    """As whom a query runs: a key of the state, a user of it, or somebody made up."""

    key: str = ""
    user: str = ""
    role: str = ""
    organization: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    agent: Agent | None = None
    scopes: tuple[str, ...] = ()
    source_ip: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Expectation:
    """One test: this principal, this query, at this moment: these rows, so many rows, or this refusal."""

    name: str
    who: Who
    query: str
    at: datetime
    rows: tuple[tuple[Any, ...], ...] | None = None
    ordered: bool = False
    columns: tuple[str, ...] | None = None
    count: int | None = None
    refused: str = ""
    masked: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class PolicyTests:
    """A whole test file; `state` names the state file, relative to this one."""

    state: str
    operator: str
    samples: tuple[Sample, ...]
    expectations: tuple[Expectation, ...]


def parse_policy_tests(document: object) -> PolicyTests:
    """The tests in a document.

    Raises:
        InvalidRequest: not such a file; the sentence names the place.
    """
    top = Item.of(document, "the test file")
    if top.integer("version", least=1, most=1) != VERSION:
        raise top.wrong("version", f"must be {VERSION}")
    state, operator = top.text("state", most=1024), top.text("operator", "", most=64)
    samples = tuple(_sample(name, Item.of(value, f"tables.{name}")) for name, value in top.mapping("tables").items())
    expectations = tuple(_expectation(item) for item in top.items("tests", most=TESTS_MAX))
    if not expectations:
        raise top.wrong("tests", "holds no test")
    names = [e.name for e in expectations]
    if len(set(names)) != len(names):
        raise top.wrong("tests", "has two tests of one name")
    top.done()
    return PolicyTests(state, operator, samples, expectations)


def _sample(name: str, item: Item) -> Sample:
    try:
        table = TableName.parse(name)
    except ValueError:
        raise InvalidRequest(f"tables.{name[:128]}: is not of the form schema.name.") from None
    columns = []
    for column, type_ in item.mapping("columns").items():
        if not isinstance(type_, str) or not 0 < len(type_) <= 256 or not column:
            raise item.wrong("columns", "must map column names to types", "Write {id: INTEGER, name: VARCHAR}.")
        columns.append(Column(column, type_))
    file = item.text("file", "", most=1024)
    rows = tuple(_row(item, "rows", row) for row in item.values("rows", most=ROWS_MAX))
    if file and not file.lower().endswith((".parquet", ".csv")):
        raise item.wrong("file", "is neither .parquet nor .csv")
    if bool(file) == bool(columns):
        raise item.wrong("columns", "or else a file must be given")
    if file and rows:
        raise item.wrong("rows", "cannot be given beside a file")
    if any(len(row) != len(columns) for row in rows):
        raise item.wrong("rows", "holds a row with another number of values than there are columns")
    item.done()
    return Sample(table, tuple(columns), rows, file)


def _row(item: Item, name: str, row: object) -> tuple[Any, ...]:
    if not isinstance(row, list):
        raise item.wrong(name, "must be a list of rows, each a list of values")
    return tuple(row)


def _expectation(item: Item) -> Expectation:
    name = item.text("name", most=200)
    who = item.child("as")
    if who is None:
        raise item.wrong("as", "is missing")
    at = item.moment("at")
    expectation = Expectation(
        name=name,
        who=_who(who),
        query=item.text("query", most=QUERY_MAX),
        at=parse(at) if at else DEFAULT_MOMENT,
        rows=tuple(_row(item, "rows", row) for row in item.values("rows", most=ROWS_MAX)) if item.has("rows") else None,
        ordered=item.flag("ordered"),
        columns=item.texts("columns") if item.has("columns") else None,
        count=item.integer("count", least=0, most=10**9) if item.has("count") else None,
        refused=item.text("refused", "", most=64),
        masked=item.texts("masked") if item.has("masked") else None,
    )
    item.done()
    given = [expectation.rows is not None, expectation.count is not None, bool(expectation.refused)]
    if sum(given) > 1 or (expectation.refused and (expectation.columns or expectation.masked)):
        raise item.wrong("rows", "count and refused exclude each other")
    if not any(given) and expectation.masked is None and expectation.columns is None:
        raise item.wrong("rows", "is missing: say what is expected")
    return expectation


def _who(item: Item) -> Who:
    agent = item.child("agent")
    attributes = item.mapping("attributes")
    if not all(isinstance(value, str) for value in attributes.values()):
        raise item.wrong("attributes", "holds a value that is no text")
    who = Who(
        key=item.text("key", "", most=128),
        user=item.text("user", "", most=254),
        role=item.choice("role", ("", *Role), ""),
        organization=item.text("organization", "", most=64),
        attributes=tuple(sorted(attributes.items())),
        agent=_agent(agent) if agent is not None else None,
        scopes=item.texts("scopes"),
        source_ip=item.text("source_ip", "127.0.0.1", most=64),
    )
    item.done()
    if who.key and (who.user or who.role or who.organization or who.attributes or who.agent or who.scopes):
        raise item.wrong("key", "says already who it is; only source_ip may stand beside it")
    if not who.key and not who.user and not (who.role and who.organization):
        raise item.wrong("user", "is missing: name a key, a user, or a role and an organization")
    if who.scopes:
        expand(who.scopes)
    return who


def _agent(item: Item) -> Agent:
    agent = Agent(
        id=item.text("id", most=128),
        framework=item.text("framework", "", most=64),
        trust=item.text("trust", "", most=64),
    )
    item.done()
    return agent


# ---------------------------------------------------------------- the law of a declared state


def rulebook_of(state: StateFile, operator: str) -> Rulebook:
    """The rulebook that a declared state amounts to, without anything of an installation.

    Policies are named by their names. Keys have no hash: they open nothing.

    Raises:
        InvalidRequest: a key of a user that is not declared, or an operator that is not.
    """
    organizations = tuple(sorted((o.id, o.name) for o in state.organizations)) or (("1", "1"),)
    operator = operator or (state.organizations[0].id if state.organizations else "1")
    if operator not in dict(organizations):
        raise InvalidRequest("operator: names no organization of the state.")
    users = {user.email.casefold(): user for user in state.users}
    return Rulebook(
        environment=state.environment or "production",
        version=1,
        issued_at="2026-01-01T00:00:00+00:00",
        operator_organization=operator,
        organizations=organizations,
        schemas=tuple(sorted((fold(schema.name), schema.organization) for schema in state.schemas)),
        users=tuple(_user(user) for user in state.users),
        keys=tuple(_key(key, users) for key in state.keys),
        policies=tuple(with_id(policy, policy.name) for policy in state.policies),
        views=tuple(View(str(view.name), view.name, view.sql) for view in state.views),
        mask_key_id="policy-tests",
    )


def _user(user: DeclaredUser) -> User:
    return User(user.id or user.email, user.email, user.organization, user.role, user.attributes, user.active)


def _key(key: DeclaredKey, users: dict[str, DeclaredUser]) -> Key:
    user = users.get(key.user.casefold())
    if user is None:
        raise InvalidRequest(f"The key {key.name} is for a user who is not declared.")
    return Key(
        id=key.name,
        name=key.name,
        prefix="",
        hash="",
        user_id=user.id or user.email,
        scopes=expand(key.scopes),
        agent=key.agent,
        networks=key.networks,
        allowed_tables=key.allowed_tables,
        expires_at=key.expires_at,
        dialect=key.dialect,
    )


def principal_of(who: Who, rulebook: Rulebook) -> Principal:
    """Who runs a query.

    Raises:
        InvalidRequest: no such key or user in the state.
    """
    scopes: frozenset[Scope] = expand(who.scopes) if who.scopes else BUNDLES["read_only"]
    if who.key:
        key = next((k for k in rulebook.keys if k.name == who.key), None)
        found = rulebook.principal(key, source_ip=who.source_ip) if key else None
        if found is None:
            raise InvalidRequest(f"as.key: the state has no key {who.key} of an active user.")
        return found
    if who.user:
        user = next((u for u in rulebook.users if who.user in (u.id, u.email)), None)
        if user is None and not (who.role and who.organization):
            raise InvalidRequest(f"as.user: the state has no user {who.user}.")
    else:
        user = None
    user_id = user.id if user else (who.user or "somebody@test.example")
    organization = who.organization or (user.organization if user else "")
    return Principal(
        user_id=user_id,
        email=user.email if user else user_id,
        organization=organization,
        role=Role(who.role) if who.role else (user.role if user else Role.ANALYST),
        scopes=scopes,
        environment=rulebook.environment,
        key_id="test",
        key_name="test",
        attributes=who.attributes or (user.attributes if user else ()),
        agent=who.agent,
        operator=organization == rulebook.operator_organization,
        source_ip=who.source_ip,
    )
