"""A whole pipeline over in-process DuckDB tables: what a client would observe, without ports and workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from engine.catalog.view import PrincipalCatalog
from engine.executor.second_parser import DuckDBParser
from engine.pipeline import Governed, Pipeline
from engine.pipeline.pivot_values import PivotNeedsValues
from governance.errors import Refusal
from governance.policies import Policy, View
from governance.principals import Agent, Principal
from governance.roles import Role
from governance.rulebook import Rulebook
from governance.scopes import BUNDLES, Scope
from governance.sql_literals import identifier
from governance.tables import Column, Table, TableName

PARSER = DuckDBParser()
BASE = "hidden base"


def principal(role: Role = Role.ANALYST, organization: str = "1", **facts: Any) -> Principal:
    scopes = facts.pop("scopes", BUNDLES["read_only"])
    facts.setdefault("user_id", "ana@acme.example")
    return Principal(
        email=facts["user_id"], organization=organization, role=role, scopes=frozenset(scopes),
        environment="production", key_id="k1", **facts,
    )  # fmt: skip


def agent(identity: str = "bot-7", framework: str = "langchain", **facts: Any) -> Principal:
    return principal(agent=Agent(identity, framework), scopes=BUNDLES["agent"], **facts)


def rulebook(
    policies: Sequence[Policy] = (), schemas: Sequence[tuple[str, str]] = (), views: Sequence[View] = (), **facts: Any
) -> Rulebook:
    return Rulebook(
        environment="production", version=facts.pop("version", 1), issued_at="2026-01-01T00:00:00+00:00",
        operator_organization=facts.pop("operator_organization", "1"),
        organizations=(("1", "Acme"), ("2", "Globex")), schemas=tuple(sorted(schemas)), policies=tuple(policies),
        views=tuple(views), **facts,
    )  # fmt: skip


@dataclass
class Outcome:
    """What a client can see of a statement."""

    status: str
    columns: list[tuple[str, str]] = field(default_factory=list)
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    error: str = ""


class Lab:
    """Tables in DuckDB, reached by name only through the pipeline."""

    def __init__(self, setup: Sequence[str]) -> None:
        self.db = duckdb.connect(":memory:", config={"threads": "1"})
        self.db.execute("SET disabled_optimizers='statistics_propagation'")
        self.running: duckdb.DuckDBPyConnection | None = None
        self.pipeline = Pipeline(PARSER)
        self.files: dict[TableName, str] = {}
        self.rebuild(setup)

    def rebuild(self, setup: Sequence[str]) -> None:
        """Begin anew with other tables; cheaper than another instance."""
        self.db.execute(f'USE memory; DETACH DATABASE IF EXISTS "{BASE}"')
        self.db.execute(f"ATTACH ':memory:' AS \"{BASE}\"")
        self.db.execute(f'USE "{BASE}"')
        for statement in setup:
            self.db.execute(statement)
        self.lake = self._lake()
        self.db.execute("USE memory")

    def _lake(self) -> dict[tuple[str, str], Table]:
        found: dict[tuple[str, str], list[Column]] = {}
        names: dict[tuple[str, str], TableName] = {}
        for schema, table, column, type_ in self.db.execute(
            "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() WHERE database_name = ? "
            "AND table_oid IN (SELECT table_oid FROM duckdb_tables() WHERE database_name = ?) AND NOT internal "
            "ORDER BY table_oid, column_index",
            [BASE, BASE],
        ).fetchall():
            name = TableName(schema, table)
            names[name.key] = name
            found.setdefault(name.key, []).append(Column(column, type_))
        return {key: Table(names[key], tuple(columns)) for key, columns in found.items()}

    def relation(self, table: TableName) -> str:
        if table in self.files:
            return self.files[table]
        return ".".join(identifier(part) for part in (BASE, table.schema, table.name))

    def govern(self, sql: str, who: Principal, book: Rulebook) -> Governed:
        return self.pipeline.govern(sql, who, PrincipalCatalog(self.lake, book, who), book)

    def sql(self, sql: str, who: Principal, book: Rulebook) -> str:
        """The text DuckDB would run; what a PIVOT must know first is asked here, as a session asks it."""
        try:
            return self.govern(sql, who, book).sql(self.relation)
        except PivotNeedsValues as pivot:
            found = [self.db.cursor().execute(self.sql(each, who, book)).fetchall() for each in pivot.questions]
            return self.sql(pivot.answered([[row[0] for row in rows] for rows in found]), who, book)

    def run(self, sql: str, who: Principal, book: Rulebook, parameters: Sequence[Any] = ()) -> Outcome:
        try:
            text = self.sql(sql, who, book)
        except Refusal as error:
            return Outcome("deny", error=f"{error.code}: {error.message} @{error.position}")
        except duckdb.Error as error:  # of a question
            return Outcome("error", error=type(error).__name__)
        return self.plain(text, parameters)

    def interrupt(self) -> None:
        """End what runs now, from another thread."""
        if self.running is not None:
            self.running.interrupt()

    def plain(self, text: str, parameters: Sequence[Any] = ()) -> Outcome:
        """Run a text as it stands."""
        try:
            self.running = cursor = self.db.cursor()
            result = cursor.execute(text, list(parameters)) if parameters else cursor.execute(text)
            described = [(d[0], str(d[1])) for d in result.description or ()]
            return Outcome("ok", described, result.fetchall())
        except duckdb.Error as error:
            return Outcome("error", error=type(error).__name__)


OWNER_SCOPES = frozenset(Scope)
