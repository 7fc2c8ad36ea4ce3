"""`hatidata policies impact`: audited queries replayed, not run, under the policies in force and under others."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import show, yaml_document
from cli.connection import ControlPlane
from cli.exits import UsageWrong
from cli.options import EnvironmentOption, HomeOption, JsonOption
from engine.executor.second_parser import DuckDBParser
from engine.impact import Difference, Replayer, differences, why_not_replayed
from governance.errors import InvalidRequest
from governance.policies import Policy, View
from governance.principals import Agent, Principal
from governance.roles import Role
from governance.rulebook import Key, Rulebook, User, decode_policy
from governance.scopes import Scope
from governance.state_file import parse_state
from governance.tables import Column, Table, TableName
from governance.timestamp import parse, stamp

QUERIES_MAX = 50_000
_SPAN = re.compile(r"\A(\d{1,4})(m|h|d|w)\Z")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SHOWN_MAX = 200


def impact(
    new: Annotated[str, typer.Argument(help="A draft's number, or a state file with policies.")],
    since: Annotated[str, typer.Option(help="How far back: 30m, 12h, 7d, 4w, or a moment (RFC 3339).")] = "7d",
    most: Annotated[int, typer.Option("--limit", min=1, max=QUERIES_MAX, help="Audited queries at most.")] = 10_000,
    home: HomeOption = None,
    environment: EnvironmentOption = "",
    json: JsonOption = False,
) -> None:
    """Replay audited queries under other policies, and tell which verdicts, filters and masks would change."""
    begin = _since(since)
    with ControlPlane.connect(home, environment) as plane:
        law = _Law.read(plane)
        wanted = _wanted(new, plane, law.rulebook.policies)
        records = list(plane.items(plane.within("audit", "queries"), since=begin, most=most))
    report = replay(records, law, replace(law.rulebook, policies=wanted))
    document = {"since": begin, **report.document()}
    if json:
        show.as_json(document)
    else:
        _print(document)


def _since(text: str) -> str:
    span = _SPAN.match(text)
    if span is not None:
        return stamp(datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])}))
    try:
        return stamp(parse(text))
    except ValueError:
        raise UsageWrong("--since is written like 7d, 12h, or 2026-11-22T00:00:00Z.") from None


@dataclass(frozen=True, slots=True)
class _Law:
    """What is in force, as far as the caller may read it, and the tables as nodes reported them."""

    rulebook: Rulebook
    lake: dict[tuple[str, str], Table]

    @classmethod
    def read(cls, plane: ControlPlane) -> _Law:
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


def _wanted(new: str, plane: ControlPlane, present: tuple[Policy, ...]) -> tuple[Policy, ...]:
    """The policies to compare with: a draft's, or those of a state file in place of the ones of their names."""
    if new.isdecimal():
        draft = plane.get(plane.within("policy-drafts", new))
        return tuple(decode_policy(policy) for policy in draft["policies"])
    file = Path(new)
    if not file.is_file():
        raise UsageWrong(f"{new} is neither a draft's number nor a file.")
    declared = {policy.name: policy for policy in parse_state(yaml_document.load(file)).policies}
    if not declared:
        raise InvalidRequest("The state file declares no policies.")
    return (*(policy for policy in present if policy.name not in declared), *declared.values())


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


def replay(records: Iterable[dict[str, Any]], law: _Law, other: Rulebook) -> Report:
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


def _print(document: dict[str, Any]) -> None:
    columns = ("principal", "table", "aspect", "before", "after", "queries")
    rows = document["changes"]
    show.as_table(rows[:_SHOWN_MAX], columns, empty="Nothing would change.")
    if len(rows) > _SHOWN_MAX:
        print(f"and {len(rows) - _SHOWN_MAX} more; --json tells all")
    print(
        f"{document['queries']} queries since {document['since']}: {document['replayed']} replayed, "
        f"{document['changed']} of them would change"
    )
    for entry in document["not_replayed"]:
        print(f"  not replayed: {entry['queries']} ({entry['reason']}), such as {entry['example']}")
