"""The rules: row filters, masks, conditions, minimum groups, views, schema ownership.

Shapes only; `governance.policy_text` parses and checks filter expressions, the engine applies them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from governance.principals import Principal
from governance.roles import Role
from governance.tables import TableName

SHARED = "shared"
"""The reserved organization id of schemas that every organization sees."""


class Audience(StrEnum):
    """Whether a rule speaks of people, of agents, or of everyone."""

    EVERYONE = "everyone"
    PEOPLE = "people"
    AGENTS = "agents"


@dataclass(frozen=True, slots=True)
class AppliesTo:
    """Whom a rule binds (claim W4.6). Empty id and framework lists mean every agent of the audience."""

    audience: Audience = Audience.EVERYONE
    agent_ids: tuple[str, ...] = ()
    frameworks: tuple[str, ...] = ()

    def includes(self, principal: Principal) -> bool:
        """Whether the rule speaks of this principal.

        What binds people binds the agents that act for them too: an agent never sees more than its person.
        """
        agent = principal.agent
        if agent is None:
            return self.audience is not Audience.AGENTS
        if self.audience is not Audience.AGENTS or not (self.agent_ids or self.frameworks):
            return True
        return is_listed(agent.id, self.agent_ids) or is_listed(agent.framework, self.frameworks)


def is_listed(name: str, names: Iterable[str]) -> bool:
    """Whether a list has an agent's id, framework or trust, in whatever case and normal form it was written."""
    return _plain(name) in map(_plain, names)


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip().casefold()


class MaskFunction(StrEnum):
    """How a value is hidden, strictest first: null, full, hmac, hash, partial."""

    NULL = "null"
    FULL = "full"
    HMAC = "hmac"
    HASH = "hash"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Rows of `table` that may be seen: a SQL expression over its own columns and placeholders."""

    id: str
    name: str
    table: TableName
    filter: str
    exempt_roles: frozenset[Role] = frozenset()
    applies_to: AppliesTo = field(default_factory=AppliesTo)
    permissive: bool = False
    """Permissive filters are alternatives (OR-ed together); restrictive ones must all hold."""


@dataclass(frozen=True, slots=True)
class Mask:
    """How `column` of `table` is shown."""

    id: str
    name: str
    table: TableName
    column: str
    function: MaskFunction
    visible: int = 4
    """For `partial`: how many last characters stay."""
    as_text: bool = False
    """For `full` on a non-text column: show `***` as VARCHAR rather than NULL of the type."""
    exempt_roles: frozenset[Role] = frozenset()
    applies_to: AppliesTo = field(default_factory=AppliesTo)
    deny_predicate: bool = False
    """`on_predicate: deny`: a predicate on the masked column is an error rather than an empty result."""


class Effect(StrEnum):
    """What a matching condition does; deny overrides allow."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """A daily window in a named zone; `start` > `end` spans midnight. Minutes since midnight."""

    zone: str
    start_minute: int
    end_minute: int
    weekdays: frozenset[int] = frozenset(range(7))
    """Monday is 0."""


@dataclass(frozen=True, slots=True)
class Condition:
    """An attribute rule: matches when every given part matches; an empty part matches everything."""

    id: str
    name: str
    effect: Effect
    tables: tuple[str, ...] = ()
    """`schema.table` or `schema.*`."""
    actions: tuple[str, ...] = ()
    roles: frozenset[Role] = frozenset()
    agent_ids: tuple[str, ...] = ()
    frameworks: tuple[str, ...] = ()
    trust: tuple[str, ...] = ()
    audience: Audience = Audience.EVERYONE
    networks: tuple[str, ...] = ()
    window: TimeWindow | None = None
    outside_window: bool = False
    """Match outside the window instead of inside it."""


@dataclass(frozen=True, slots=True)
class MinimumGroup:
    """Aggregates over `table` show only groups of at least `size` rows."""

    id: str
    name: str
    table: TableName
    size: int
    exempt_roles: frozenset[Role] = frozenset()
    applies_to: AppliesTo = field(default_factory=AppliesTo)


Policy = RowFilter | Mask | Condition | MinimumGroup


@dataclass(frozen=True, slots=True)
class View:
    """A stored SELECT made by an administrator; it runs with the caller's policies."""

    id: str
    name: TableName
    sql: str
