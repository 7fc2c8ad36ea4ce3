"""Attribute conditions: who may touch which table, when, from where; deny overrides allow."""

from __future__ import annotations

from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from governance.audit_record import PolicyVerdict
from governance.policies import AppliesTo, Condition, Effect, TimeWindow
from governance.principals import Principal
from governance.tables import TableName, fold


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


def speaks_of(condition: Condition, table: TableName | None, action: str) -> bool:
    """Whether the condition is about this table (None: a statement without tables) and action."""
    if condition.actions and action not in condition.actions:
        return False
    if not condition.tables:
        return True
    if table is None:
        return False
    schema, name = table.key
    return any(fold(t) in (f"{schema}.{name}", f"{schema}.*") for t in condition.tables)


def matches(condition: Condition, principal: Principal, now: datetime) -> bool:
    """Whether every given part of the condition fits the principal at this moment.

    A part that cannot be judged (an unknown zone, no client address) fits a denial and does not fit a permission.
    """
    unknown = condition.effect is Effect.DENY
    agent = principal.agent
    if not AppliesTo(condition.audience).includes(principal):
        return False
    if condition.roles and principal.role not in condition.roles:
        return False
    if condition.agent_ids and (agent is None or agent.id not in condition.agent_ids):
        return False
    if condition.frameworks and (agent is None or agent.framework not in condition.frameworks):
        return False
    if condition.trust and (agent is None or agent.trust not in condition.trust):
        return False
    if condition.networks and not _from_networks(condition, principal, unknown):
        return False
    if condition.window is not None:
        try:
            inside = in_window(condition.window, now)
        except (ZoneInfoNotFoundError, ValueError):
            return unknown
        return inside is not condition.outside_window
    return True


def _from_networks(condition: Condition, principal: Principal, unknown: bool) -> bool:
    try:
        source = ip_address(principal.source_ip)
        return any(source in ip_network(network) for network in condition.networks)
    except ValueError:
        return unknown


def judge(
    conditions: tuple[Condition, ...], principal: Principal, table: TableName | None, action: str, now: datetime
) -> list[PolicyVerdict]:
    """The verdicts of the conditions on one table. It may be touched unless one of them is `denied`.

    A matching denial denies. Where permissions speak of the table, at least one of them must match.
    """
    mine = [c for c in conditions if speaks_of(c, table, action)]
    name = str(table) if table else ""
    verdicts = [
        PolicyVerdict(c.name, "condition", "denied", "the condition matches", name)
        for c in mine
        if c.effect is Effect.DENY and matches(c, principal, now)
    ]
    permissions = [c for c in mine if c.effect is Effect.ALLOW]
    granted = [c for c in permissions if matches(c, principal, now)]
    verdicts += [PolicyVerdict(c.name, "condition", "allowed", "the condition matches", name) for c in granted]
    if permissions and not granted:
        names = ", ".join(c.name for c in permissions)
        verdicts.append(PolicyVerdict(names, "condition", "denied", "no permission matches", name))
    return verdicts
