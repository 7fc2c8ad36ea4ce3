"""Attribute conditions: who may do what with which table, when, from where; deny overrides allow."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from governance.audit_record import PolicyVerdict
from governance.policies import AppliesTo, Audience, Condition, Effect, TimeWindow, is_listed
from governance.principals import Principal
from governance.tables import TableName, fold

ACTIONS = ("query", "explain", "export", "write")
"""What a condition may speak of: any reading; EXPLAIN of a plan and COPY ... TO STDOUT, which are readings too; and
writing, which tables do not take yet."""
QUERY = frozenset({"query"})
EXPLAIN = frozenset({"query", "explain"})
EXPORT = frozenset({"query", "export"})
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def in_window(window: TimeWindow, now: datetime) -> bool:
    """Whether `now` (aware) falls into the window; after midnight it counts as the day the window began.

    Raises:
        ZoneInfoNotFoundError: the zone is not known here.
    """
    local = now.astimezone(ZoneInfo(window.zone))
    minute = local.hour * 60 + local.minute
    if window.start_minute <= window.end_minute:
        return window.start_minute <= minute < window.end_minute and local.weekday() in window.weekdays
    if minute >= window.start_minute:
        return local.weekday() in window.weekdays
    return minute < window.end_minute and (local - timedelta(days=1)).weekday() in window.weekdays


def turns_with_time(policies: Iterable[object]) -> bool:
    """Whether what was admitted a moment ago may be denied now, by the clock alone."""
    return any(isinstance(p, Condition) and p.window is not None for p in policies)


def speaks_of(condition: Condition, table: TableName | None, action: str) -> bool:
    """Whether the condition is about this table (None: a statement without tables) and action.

    An action that is not known here is meant by a denial and not by a permission.
    """
    if condition.actions and action not in condition.actions:
        unknown = any(a not in ACTIONS for a in condition.actions)
        if not (unknown and condition.effect is Effect.DENY):
            return False
    if not condition.tables:
        return True
    if table is None:
        return False
    schema, name = table.key
    return any(fold(t) in (f"{schema}.{name}", f"{schema}.*") for t in condition.tables)


def misfit(condition: Condition, principal: Principal, now: datetime) -> str:
    """Which given part of the condition does not fit the principal at this moment; empty when every part fits.

    A part that cannot be judged (an unknown zone, no client address) fits a denial and does not fit a permission.
    """
    agent = principal.agent
    parts = {
        f"not for {_AUDIENCES[condition.audience]}": _is_meant(condition, principal),
        f"role {principal.role.value}": not condition.roles or principal.role in condition.roles,
        f"agent {agent.id if agent else 'none'}": not condition.agent_ids
        or (agent is not None and is_listed(agent.id, condition.agent_ids)),
        f"framework {agent.framework if agent else 'none'}": not condition.frameworks
        or (agent is not None and is_listed(agent.framework, condition.frameworks)),
        f"trust {agent.trust if agent else 'none'}": not condition.trust
        or (agent is not None and is_listed(agent.trust, condition.trust)),
        f"from {principal.source_ip or 'an unknown address'}": not condition.networks
        or _from_networks(condition, principal),
        _outside(condition.window, inside=condition.outside_window): _in_time(condition, now),
    }
    return next((part for part, fits in parts.items() if not fits), "")


def matches(condition: Condition, principal: Principal, now: datetime) -> bool:
    """Whether every given part of the condition fits the principal at this moment."""
    return not misfit(condition, principal, now)


_AUDIENCES = {Audience.EVERYONE: "everyone", Audience.PEOPLE: "people", Audience.AGENTS: "agents"}


def _is_meant(condition: Condition, principal: Principal) -> bool:
    """Whether the audience is the principal's: people's denials bind their agents too, people's permissions do not."""
    if condition.effect is Effect.ALLOW and condition.audience is Audience.PEOPLE:
        return principal.agent is None
    return AppliesTo(condition.audience).includes(principal)


def _from_networks(condition: Condition, principal: Principal) -> bool:
    try:
        source = ip_address(principal.source_ip)
        source = getattr(source, "ipv4_mapped", None) or source
        return any(source in ip_network(network) for network in condition.networks)
    except ValueError:
        return condition.effect is Effect.DENY


def _in_time(condition: Condition, now: datetime) -> bool:
    if condition.window is None:
        return True
    try:
        return in_window(condition.window, now) is not condition.outside_window
    except (ZoneInfoNotFoundError, ValueError):
        return condition.effect is Effect.DENY


def _outside(window: TimeWindow | None, *, inside: bool) -> str:
    return f"{'inside' if inside else 'outside'} {_spelled(window)}" if window else ""


def _spelled(window: TimeWindow) -> str:
    times = " to ".join(f"{m // 60:02d}:{m % 60:02d}" for m in (window.start_minute, window.end_minute))
    days = "" if len(window.weekdays) == 7 else " on " + ", ".join(_DAYS[d] for d in sorted(window.weekdays))
    return f"{times} {window.zone}{days}"


def _circumstances(condition: Condition, principal: Principal) -> str:
    """The given parts of a condition that matches, as a reason."""
    agent = principal.agent
    parts = [
        _AUDIENCES[condition.audience] if condition.audience is not Audience.EVERYONE else "",
        f"role {principal.role.value}" if condition.roles else "",
        f"agent {agent.id}" if condition.agent_ids and agent else "",
        f"framework {agent.framework}" if condition.frameworks and agent else "",
        f"trust {agent.trust}" if condition.trust and agent else "",
        f"from {principal.source_ip or 'an unknown address'}" if condition.networks else "",
        _outside(condition.window, inside=not condition.outside_window),
        "on " + ", ".join(condition.actions) if condition.actions else "",
    ]
    return ", ".join(part for part in parts if part)


def judge(
    conditions: tuple[Condition, ...],
    principal: Principal,
    table: TableName | None,
    actions: frozenset[str],
    now: datetime,
) -> list[PolicyVerdict]:
    """The verdicts of the conditions on one table. It may be touched unless one of them is `denied`.

    A matching denial denies. Where permissions speak of the table and an action, at least one of them must match, for
    each of the actions.
    """
    mine = [c for c in conditions if any(speaks_of(c, table, action) for action in actions)]
    name = str(table) if table else ""

    def verdict(condition: Condition, effect: str) -> PolicyVerdict:
        parts = _circumstances(condition, principal)
        reason = f"the condition matches: {parts}" if parts else "the condition matches always"
        return PolicyVerdict(condition.name, "condition", effect, reason, name)

    matching = [c for c in mine if matches(c, principal, now)]
    verdicts = [verdict(c, "denied") for c in matching if c.effect is Effect.DENY]
    verdicts += [verdict(c, "allowed") for c in matching if c.effect is Effect.ALLOW]
    for action in sorted(actions):
        permissions = [c for c in mine if c.effect is Effect.ALLOW and speaks_of(c, table, action)]
        if permissions and not any(c in matching for c in permissions):
            names = ", ".join(c.name for c in permissions)
            why = "; ".join(f"{c.name}: {misfit(c, principal, now)}" for c in permissions)
            reason = f"no permission to {action} matches ({why})"
            verdicts.append(PolicyVerdict(names, "condition", "denied", reason, name))
    return verdicts
