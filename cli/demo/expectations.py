"""What the tour must see, worked out in plain Python from the Parquet files, by none of the product's code."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

Row = tuple[Any, ...]

PEOPLE = """SELECT customer_id, name, email, ssn, phone
  FROM sales.customers ORDER BY customer_id LIMIT 4"""
REVENUE = """SELECT o.region, count(*) AS orders, count(DISTINCT c.ssn) AS people, sum(o.amount) AS revenue
  FROM sales.orders o JOIN sales.customers c ON c.customer_id = o.customer_id
 GROUP BY o.region ORDER BY o.region"""
FLIGHTS = """SELECT origin, count(*) AS departures, count(DISTINCT tailnum) AS aircraft, sum(dep_delay) AS delay_minutes
  FROM flights.departures GROUP BY origin ORDER BY origin"""


@dataclass(frozen=True, slots=True)
class Sees:
    """What the demo's law lets one caller see."""

    organization: int
    region: str = ""
    """Empty: all of them."""
    airport: str = ""
    masked: bool = True
    agent: bool = False


CALLERS = {
    "analyst": Sees(1, region="emea", airport="JFK"),
    "owner": Sees(1, masked=False),
    "agent": Sees(1, region="emea", airport="JFK", agent=True),
}


class Expectations:
    """The right answers, from the files under `lake`."""

    def __init__(self, lake: Path) -> None:
        self._lake = lake
        self._customers = pq.read_table(lake / "sales" / "customers.parquet").to_pylist()
        self._orders = pq.read_table(
            lake / "sales" / "orders.parquet", columns=["org_id", "customer_id", "region", "amount"]
        ).to_pylist()

    def people(self, caller: Sees) -> list[Row]:
        """Rows of `PEOPLE`."""
        seen = sorted(self._visible(caller), key=lambda customer: customer["customer_id"])[:4]
        return [
            (c["customer_id"], _name(c, caller), _email(c, caller), _ssn(c, caller), _phone(c, caller)) for c in seen
        ]

    def revenue(self, caller: Sees) -> list[Row]:
        """Rows of `REVENUE`."""
        customers = {customer["customer_id"]: customer for customer in self._visible(caller)}
        orders: dict[str, int] = defaultdict(int)
        people: dict[str, set[str]] = defaultdict(set)
        revenue: dict[str, Any] = defaultdict(int)
        for order in self._orders:
            customer = customers.get(order["customer_id"])
            if customer is None or order["org_id"] != caller.organization or not _in_region(order, caller):
                continue
            orders[order["region"]] += 1
            people[order["region"]].add(_ssn(customer, caller))
            revenue[order["region"]] += order["amount"]
        return [(region, orders[region], len(people[region]), revenue[region]) for region in sorted(orders)]

    def flights(self, caller: Sees) -> list[Row]:
        """Rows of `FLIGHTS`."""
        table = pq.read_table(
            self._lake / "flights" / "departures.parquet", columns=["origin", "tailnum", "dep_delay"]
        ).to_pydict()
        departures: dict[str, int] = defaultdict(int)
        aircraft: dict[str, set[str]] = defaultdict(set)
        delay: dict[str, int] = defaultdict(int)
        for origin, tail, minutes in zip(table["origin"], table["tailnum"], table["dep_delay"], strict=True):
            if caller.airport in ("", origin):
                departures[origin] += 1
                delay[origin] += minutes or 0
                if tail is not None:
                    aircraft[origin].add("***" if caller.agent else tail)
        return [(origin, departures[origin], len(aircraft[origin]), delay[origin]) for origin in sorted(departures)]

    def hidden_ssns(self, caller: Sees) -> set[str]:
        """Social security numbers that must not reach the caller in clear."""
        return {customer["ssn"] for customer in self._customers} if caller.masked else set()

    def _visible(self, caller: Sees) -> list[dict[str, Any]]:
        return [
            customer
            for customer in self._customers
            if customer["org_id"] == caller.organization
            and _in_region(customer, caller)
            and (customer["ai_consent"] or not caller.agent)
        ]


def _in_region(row: dict[str, Any], caller: Sees) -> bool:
    return caller.region in ("", row["region"])


def _name(customer: dict[str, Any], caller: Sees) -> str | None:
    return None if caller.agent else str(customer["name"])


def _email(customer: dict[str, Any], caller: Sees) -> str:
    email = str(customer["email"])
    return hashlib.sha256(email.encode()).hexdigest() if caller.masked else email


def _ssn(customer: dict[str, Any], caller: Sees) -> str:
    if caller.agent:
        return "***"
    return "***" + customer["ssn"][-4:] if caller.masked else str(customer["ssn"])


def _phone(customer: dict[str, Any], caller: Sees) -> str:
    return "***" + customer["phone"][-2:] if caller.masked else str(customer["phone"])
