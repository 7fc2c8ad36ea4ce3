"""What another policy set would change for a statement that somebody ran: verdict, filters, masks, by table. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from engine.catalog.view import PrincipalCatalog
from engine.pipeline.governed import Governed
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.second_parser import SecondParser
from engine.pipeline.text_gate import scan
from engine.session_command_types import CopyOut, Declare
from engine.session_commands import parse
from governance.conditions import EXPORT, QUERY
from governance.errors import Refusal
from governance.masks import binds, masks_of
from governance.policies import Mask, MaskFunction, MinimumGroup, Policy, RowFilter
from governance.principals import Principal
from governance.rulebook import Rulebook
from governance.tables import Table

_MARK = "[REDACTED:"
_CUT = "[TRUNCATED:"
Lake = Mapping[tuple[str, str], Table]


@dataclass(frozen=True, slots=True)
class Effect:
    """What one policy set does with one statement. By table: what is told of its filters, masks and group size."""

    outcome: str
    """`allowed`, or `refused` with its code and reason."""
    tables: Mapping[str, Mapping[str, str]]
    """Table -> aspect (`filter own-rows`, `mask ssn`, `minimum group`) -> what it says."""

    @property
    def refused(self) -> bool:
        """Whether the statement may not run."""
        return self.outcome != "allowed"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that would change. `table` is empty for the statement as a whole."""

    table: str
    aspect: str
    before: str
    after: str


def why_not_replayed(record: Mapping[str, object]) -> str:
    """Why an audited query cannot be replayed; empty when it can, as far as its record tells."""
    text = str(record.get("sql") or "")
    if record.get("sql_form", "redacted") != "redacted" or not text:
        return "the text was not kept"
    if record.get("statement_kind") == "catalog":
        return "a catalog query"
    if record.get("statement_kind") == "explain_policy":
        return "EXPLAIN POLICY, which reads nothing"
    if _CUT in text:
        return "only a part of the text was kept"
    if _MARK not in text:
        return ""
    try:
        literals = [(t.start, t.end) for t in scan(text) if t.kind == "string"]
    except Refusal:
        return "redacted literal"
    at = text.find(_MARK)
    while at >= 0:
        if not any(start < at < end for start, end in literals):
            return "redacted literal"
        at = text.find(_MARK, at + 1)
    return ""


class Replayer:
    """Runs statements through the pipeline under one policy set."""

    def __init__(self, parser: SecondParser, lake: Lake, rulebook: Rulebook) -> None:
        self._at = datetime.now(UTC)
        self._pipeline = Pipeline(parser, clock=lambda: self._at)
        self._lake = lake
        self._rulebook = rulebook
        self._catalogs: dict[Principal, PrincipalCatalog] = {}

    def effect(self, text: str, principal: Principal, at: datetime) -> Effect:
        """What the policy set does with the statement, had it been run at `at`."""
        self._at = at
        catalog = self._catalogs.get(principal)
        if catalog is None:
            catalog = self._catalogs[principal] = PrincipalCatalog(self._lake, self._rulebook, principal)
        try:
            query, actions = _query_in(text)
            governed = self._pipeline.govern(query, principal, catalog, self._rulebook, actions=actions)
        except Refusal as error:
            return Effect(f"refused: {error.code} ({error.reason})", {})
        return Effect("allowed", self._tables(governed, principal))

    def _tables(self, governed: Governed, principal: Principal) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for name in governed.tables:
            mine = [p for p in self._rulebook.policies if _speaks_of(p, name.key)]
            aspects = {
                f"{'permissive ' if p.permissive else ''}filter {p.name}": p.filter
                for p in mine
                if isinstance(p, RowFilter) and binds(p, principal)
            }
            table = self._lake[name.key]
            for column, mask in masks_of(mine, table, principal).items():
                aspects[f"mask {column}"] = _spelled(mask)
            sizes = [p.size for p in mine if isinstance(p, MinimumGroup) and binds(p, principal)]
            if sizes:
                aspects["minimum group"] = str(max(sizes))
            found[str(name)] = aspects
        return found


def _query_in(text: str) -> tuple[str, frozenset[str]]:
    """The query inside COPY or DECLARE, and what running it is; any other text is itself."""
    command = parse(text)
    if isinstance(command, CopyOut):
        return command.query, EXPORT
    return (command.query if isinstance(command, Declare) else text), QUERY


def _speaks_of(policy: Policy, key: tuple[str, str]) -> bool:
    return isinstance(policy, RowFilter | Mask | MinimumGroup) and policy.table.key == key


def _spelled(mask: Mask) -> str:
    parts = [mask.function.value]
    if mask.function is MaskFunction.PARTIAL:
        parts.append(f"{mask.visible} visible")
    if mask.as_text:
        parts.append("as text")
    if mask.deny_predicate:
        parts.append("no predicate")
    return ", ".join(parts)


def differences(old: Effect, new: Effect) -> list[Difference]:
    """What changes from one effect to the other. A statement that is refused on one side has no tables there."""
    if old.outcome != new.outcome:
        return [Difference("", "verdict", old.outcome, new.outcome)]
    found = []
    for table in sorted(old.tables.keys() | new.tables.keys()):
        one, two = old.tables.get(table, {}), new.tables.get(table, {})
        found += [
            Difference(table, aspect, one.get(aspect, ""), two.get(aspect, ""))
            for aspect in sorted(one.keys() | two.keys())
            if one.get(aspect) != two.get(aspect)
        ]
    return found
