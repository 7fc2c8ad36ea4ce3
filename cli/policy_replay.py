"""Audited queries replayed through the pipeline, under the law in force and under another; nothing is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from cli.connection import ControlPlane
from engine.executor.second_parser import DuckDBParser
from engine.impact import Difference, Replayer, differences, why_not_replayed
from governance.policies import Policy, View
from governance.principals import Agent, Principal
from governance.roles import Role
from governance.rulebook import Key, Rulebook, User, decode_policy
from governance.scopes import Scope
from governance.tables import Column, Table, TableName
from governance.timestamp import parse


@dataclass(frozen=True, slots=True)
class Law:
    """What is in force, as far as the caller may read it, and the tables as nodes reported them."""

    rulebook: Rulebook
    lake: dict[tuple[str, str], Table]

    @classmethod
    def read(cls, plane: ControlPlane) -> Law:
        """Ask the control plane; each part needs its scope."""
        me = plane.get("/v1/whoami")
        tables = [_table(item) for item in plane.items(plane.within("tables"))]
        rulebook = Rulebook(
            environment=plane.environment,
            version=1,
            issued_at="2026-01-01T00:00:00+00:00",
            operator_organization=me["organization"] if me["operator"] else "",
            organizations=((me["organization"], me["organization_name"]),),
            schemas=tuple(
                sorted((item["name"], item["organization"]) for item in plane.items(plane.within("schemas")))
            ),
            users=tuple(map(_user, plane.items("/v1/users"))),
            keys=tuple(map(_key, plane.items(plane.within("keys")))),
            policies=tuple(_policy(item) for item in plane.items(plane.within("policies"))),
            views=tuple(
                View(item["id"], TableName.parse(item["name"]), item["sql"])
                for item in plane.items(plane.within("views"))
            ),
            mask_key_id="impact",
        )
        return cls(rulebook, {table.name.key: table for table in tables})

    def principal(self, record: dict[str, Any]) -> Principal | None:
        """Who ran an audited query, as he is now; None when his key is gone."""
        key = next((k for k in self.rulebook.keys if k.id == record.get("key_id")), None)
        if key is None:
            return None
        found = self.rulebook.principal(key, source_ip=str(record.get("source_ip") or ""))
        dialect = str(record.get("dialect") or "")
        return replace(found, dialect=dialect) if found is not None and dialect else found


def _table(item: dict[str, Any]) -> Table:
    columns = tuple(Column(column["name"], column["type"]) for column in item["columns"])
    return Table(TableName(item["schema"], item["name"]), columns)


def _user(item: dict[str, Any]) -> User:
    return User(
        item["id"],
        item["email"],
        item["organization"],
        Role(item["role"]),
        tuple(sorted(item["attributes"].items())),
        item["status"] == "active",
    )


def _key(item: dict[str, Any]) -> Key:
    agent = item["agent"]
    return Key(
        id=item["id"],
        name=item["name"],
        prefix="",
        hash="",
        user_id=item["user_id"],
        scopes=frozenset(map(Scope, item["scopes"])),
        agent=Agent(agent["id"], agent["framework"], agent["trust"]) if agent else None,
        networks=tuple(item["networks"]),
        allowed_tables=tuple(item["allowed_tables"]),
        dialect=item["dialect"],
        role=Role(item["role"]) if item.get("role") else None,
    )


def _policy(item: dict[str, Any]) -> Policy:
    return decode_policy({**item["policy"], "id": item["id"]})


@dataclass(frozen=True, slots=True)
class _Changed:
    principal: str
    difference: Difference


@dataclass(slots=True)
class Report:
    """What came of a replay."""

    queries: int
    replayed: int
    changed: int
    not_replayed: Counter[str]
    examples: dict[Any, str]
    changes: Counter[_Changed]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "queries": self.queries,
            "replayed": self.replayed,
            "changed": self.changed,
            "changes": [
                {
                    "principal": c.principal,
                    "table": c.difference.table,
                    "aspect": c.difference.aspect,
                    "before": c.difference.before,
                    "after": c.difference.after,
                    "queries": count,
                    "example": self.examples[c],
                }
                for c, count in sorted(self.changes.items(), key=lambda pair: (pair[0].principal, str(pair[0])))
            ],
            "not_replayed": [
                {"reason": reason, "queries": count, "example": self.examples[reason]}
                for reason, count in self.not_replayed.most_common()
            ],
        }


def replay(records: Iterable[dict[str, Any]], law: Law, other: Rulebook) -> Report:
    """The records under `law` and under `other`; each query at the moment it was run."""
    report = Report(0, 0, 0, Counter(), {}, Counter())
    parser = DuckDBParser()
    try:
        old, new = (Replayer(parser, law.lake, rulebook) for rulebook in (law.rulebook, other))
        for record in records:
            report.queries += 1
            query_id = str(record.get("query_id") or "")
            reason = why_not_replayed(record)
            principal = None if reason else law.principal(record)
            if principal is None:
                reason = reason or "its key or user is gone"
                report.not_replayed[reason] += 1
                report.examples.setdefault(reason, query_id)
                continue
            text, at = str(record["sql"]), parse(str(record["started_at"]))
            before, after = old.effect(text, principal, at), new.effect(text, principal, at)
            if before == after and before.refused and record.get("status") == "succeeded":
                reason = f"it succeeded then, and is {before.outcome} under both"
                report.not_replayed[reason] += 1
                report.examples.setdefault(reason, query_id)
                continue
            report.replayed += 1
            found = differences(before, after)
            report.changed += bool(found)
            for difference in found:
                changed = _Changed(_called(principal), difference)
                report.changes[changed] += 1
                report.examples.setdefault(changed, query_id)
    finally:
        parser.close()
    return report


def _called(principal: Principal) -> str:
    agent = f", agent {principal.agent.id}" if principal.agent else ""
    return f"{principal.email} (key {principal.key_name}{agent})"
