"""The tour: a PostgreSQL client on the real port, and every promise checked against an answer worked out elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.connection import ControlPlane
from cli.demo.expectations import CALLERS, FLIGHTS, PEOPLE, REVENUE, Expectations, Row, Sees
from cli.demo.warehouse import Warehouse
from cli.show import cell

AUDIT_TIMEOUT_S = 30.0
"""How long an audit record may take from the node's disk to where it can be searched."""
SSN = "219-09-9999"
"""Printed on a sample card in the 1940s, never anybody's."""
SSN_QUERY = f"SELECT count(*) AS found FROM sales.customers WHERE ssn = '{SSN}'"
CROSS_QUERY = "SELECT o.product, p.price FROM sales.orders o JOIN globex.prices p ON p.product = o.product"
MISSING_QUERY = CROSS_QUERY.replace("globex.prices", "globex.nosuch")


@dataclass
class Tour:
    """Plays the steps in order and remembers which promises held."""

    warehouse: Warehouse
    console: Console
    checks: list[tuple[str, bool]] = field(default_factory=list)

    def play(self, *, flights: bool) -> bool:
        """All steps; whether every one was as promised."""
        expected = Expectations(self.warehouse.lake)
        began = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        self._same_query("Who are our customers?", PEOPLE, expected.people)
        self._same_query("What do they bring in?", REVENUE, expected.revenue)
        if flights:
            self._same_query("Real input: flights from New York, 2013", FLIGHTS, expected.flights)
        self._nothing_hidden_leaves(expected)
        with self.warehouse.control_plane() as plane:
            self._the_wall(plane, began)
            self._redaction(plane, began)
            self._the_chain(plane)
        self._summary()
        return all(held for _, held in self.checks)

    def _same_query(self, title: str, sql: str, right: Callable[[Sees], list[Row]]) -> None:
        self._heading(title, sql)
        answers = []
        for name, caller in CALLERS.items():
            columns, rows = self._ask(name, sql)
            self._show(f"as {_WHO[name]}", columns, rows)
            self._check(f"{title} The {name} gets exactly the rows and masks the law gives.", rows == right(caller))
            answers.append(rows)
        different = all(a != b for i, a in enumerate(answers) for b in answers[i + 1 :])
        self._check(f"{title} Three callers, three different answers.", different)

    def _nothing_hidden_leaves(self, expected: Expectations) -> None:
        """Whole columns, row by row: no masked value in clear among tens of thousands."""
        for name in ("analyst", "agent"):
            _, rows = self._ask(name, "SELECT ssn FROM sales.customers")
            hidden = expected.hidden_ssns(CALLERS[name])
            clear = sum(1 for (ssn,) in rows if ssn in hidden)
            self._check(f"Of {len(rows):,} numbers the {name} reads, none is in clear.", bool(rows) and clear == 0)

    def _the_wall(self, plane: ControlPlane, began: str) -> None:
        self._heading("The wall between organizations: an Acme analyst joins a table of Globex", CROSS_QUERY)
        foreign, missing = self._refusal("analyst", CROSS_QUERY), self._refusal("analyst", MISSING_QUERY)
        rows = [("globex.prices (Globex has it)", *foreign), ("globex.nosuch (nobody has it)", *missing)]
        self._show("as Ana, analyst of Acme", ("table", "SQLSTATE", "what the client is told", "advice"), rows)
        same = tuple(text.replace("prices", "nosuch") for text in foreign) == missing
        self._check(
            "A foreign table is refused with 42P01, exactly like a missing one.", same and foreign[0] == "42P01"
        )
        record = self._recorded(plane, since=began, user="ana@acme.example", status="denied", text="globex.prices")
        self._show("in the audit, for those who may read it", ("field", "value"), _facts(record, _WALL_FIELDS))
        told = " ".join(foreign)
        self._check(
            "The reason stands in the audit, and only there.",
            "cross_organization" in str(record) and "organization" not in told and "Globex" not in told,
        )

    def _redaction(self, plane: ControlPlane, began: str) -> None:
        self._heading("Personal data in query text", SSN_QUERY)
        columns, rows = self._ask("analyst", SSN_QUERY)
        self._show("as Ana, analyst of Acme", columns, rows)
        self._check("A masked column cannot be searched by its true value.", rows == [(0,)])
        record = self._recorded(
            plane, since=began, user="ana@acme.example", status="succeeded", text="AS found FROM sales.customers"
        )
        self._show("in the audit", ("field", "value"), _facts(record, _REDACTED_FIELDS))
        self._check("The audit holds the query without the number.", bool(record) and SSN not in str(record))

    def _the_chain(self, plane: ControlPlane) -> None:
        self._heading("Every change of the law is in a hash chain", "")
        found = plane.get(plane.within("audit", "admin", "verify-chain"))
        self._show("GET /v1/environments/production/audit/admin/verify-chain", ("field", "value"), list(found.items()))
        self._check("The administrative chain verifies.", found["holds"] is True and found["count"] > 0)

    def _ask(self, name: str, sql: str) -> tuple[Sequence[str], list[Row]]:
        with self._connect(name) as connection, connection.cursor() as cursor:
            cursor.execute(sql.encode())
            return [column.name for column in cursor.description or ()], cursor.fetchall()

    def _refusal(self, name: str, sql: str) -> tuple[str, str, str]:
        """SQLSTATE, message and hint of a statement that must be refused."""
        try:
            self._ask(name, sql)
        except psycopg.Error as error:
            return error.diag.sqlstate or "", error.diag.message_primary or "", error.diag.message_hint or ""
        return "00000", "no refusal", ""

    def _connect(self, name: str) -> psycopg.Connection[Row]:
        running = self.warehouse.running
        return psycopg.connect(
            host="localhost",
            port=running.node_port if running else 0,
            dbname="production",
            user=name,
            password=self.warehouse.keys[name],
            sslmode="verify-full",
            sslrootcert=str(self.warehouse.ca),
            gssencmode="disable",
            application_name="hatidata demo",
            connect_timeout=20,
            autocommit=True,
        )

    def _recorded(self, plane: ControlPlane, **filters: Any) -> dict[str, Any]:
        """The newest audit record that fits, waited for; empty when none comes."""
        deadline = time.monotonic() + AUDIT_TIMEOUT_S
        while time.monotonic() < deadline:
            for record in plane.items(plane.within("audit", "queries"), most=1, **filters):
                return record
            time.sleep(0.2)
        return {}

    def _heading(self, title: str, sql: str) -> None:
        self.console.rule(f"[bold]{title}", align="left")
        if sql:
            self.console.print(Text(sql, style="cyan"))

    def _show(self, caption: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self.console.print(Text(caption, style="bold"))
        table = Table(box=box.SIMPLE_HEAD)
        for column in columns:
            table.add_column(Text(column), overflow="fold")
        for row in rows:
            table.add_row(*(Text("NULL", style="dim") if v is None else Text(cell(v)) for v in row))
        self.console.print(table)

    def _check(self, promise: str, held: bool) -> None:
        self.checks.append((promise, held))

    def _summary(self) -> None:
        self.console.rule("[bold]What was promised", align="left")
        for promise, held in self.checks:
            mark = Text("  kept    ", style="green") if held else Text("  BROKEN  ", style="bold red")
            self.console.print(mark + Text(promise, style="default"))


_WHO = {"analyst": "Ana, analyst of Acme", "owner": "Olivia, Owner of Acme", "agent": "Ana's AI agent bot-7"}
_WALL_FIELDS = ("user", "status", "sqlstate", "error_code", "error_reason", "sql")
_REDACTED_FIELDS = ("user", "status", "sql", "columns_masked", "rows_returned", "execution_ms")


def _facts(record: dict[str, Any], fields: Sequence[str]) -> list[tuple[str, Any]]:
    return [(name, record.get(name)) for name in fields] if record else [("record", "none was found in time")]
