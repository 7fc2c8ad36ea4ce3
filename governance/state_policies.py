"""Policies as the state file writes them: row filters, masks, conditions and minimum groups."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

from governance.conditions import ACTIONS
from governance.policies import (
    AppliesTo,
    Audience,
    Condition,
    Effect,
    Mask,
    MaskFunction,
    MinimumGroup,
    Policy,
    RowFilter,
    TimeWindow,
)
from governance.roles import Role
from governance.state_item import Item

FILTER_MAX = 8192
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
KINDS = ("row_filter", "mask", "condition", "minimum_group")


def read_policy(item: Item) -> Policy:
    """The policy an item declares, its id empty.

    Raises:
        InvalidRequest: not a policy; the sentence names the place.
    """
    kind = item.choice("type", KINDS)
    name = item.text("name", most=128)
    if kind == "row_filter":
        return RowFilter(
            id="",
            name=name,
            table=item.table("table"),
            filter=item.text("filter", most=FILTER_MAX),
            exempt_roles=_roles(item, "exempt_roles"),
            applies_to=_applies_to(item),
            permissive=item.flag("permissive"),
        )
    if kind == "mask":
        return _mask(item, name)
    if kind == "condition":
        return _condition(item, name)
    return MinimumGroup(
        id="",
        name=name,
        table=item.table("table"),
        size=item.integer("size", least=2, most=1_000_000),
        exempt_roles=_roles(item, "exempt_roles"),
        applies_to=_applies_to(item),
    )


def with_id(policy: Policy, policy_id: str) -> Policy:
    """The policy under another id."""
    return replace(policy, id=policy_id)


def _mask(item: Item, name: str) -> Mask:
    item.null_is_a_word("function")
    function = MaskFunction(item.choice("function", tuple(MaskFunction)))
    if item.has("visible") and function is not MaskFunction.PARTIAL:
        raise item.wrong("visible", "belongs to the function partial only")
    if item.has("as_text") and function is not MaskFunction.FULL:
        raise item.wrong("as_text", "belongs to the function full only")
    return Mask(
        id="",
        name=name,
        table=item.table("table"),
        column=item.text("column", most=128),
        function=function,
        visible=item.integer("visible", 4, least=0, most=64),
        as_text=item.flag("as_text"),
        exempt_roles=_roles(item, "exempt_roles"),
        applies_to=_applies_to(item),
        deny_predicate=item.choice("on_predicate", ("allow", "deny"), "allow") == "deny",
    )


def _condition(item: Item, name: str) -> Condition:
    condition = Condition(
        id="",
        name=name,
        effect=Effect(item.choice("effect", tuple(Effect))),
        tables=item.table_patterns("tables"),
        actions=tuple(sorted(item.choices("actions", ACTIONS))),
        roles=_roles(item, "roles"),
        agent_ids=item.texts("agent_ids"),
        frameworks=item.texts("frameworks"),
        trust=item.texts("trust"),
        audience=Audience(item.choice("audience", tuple(Audience), "everyone")),
        networks=item.networks("networks"),
        window=_window(item),
        outside_window=item.flag("outside_window"),
    )
    if condition.outside_window and condition.window is None:
        raise item.wrong("outside_window", "needs a window")
    return condition


def _window(item: Item) -> TimeWindow | None:
    inner = item.child("window")
    if inner is None:
        return None
    zone = inner.text("zone", most=64)
    try:
        ZoneInfo(zone)
    except (OSError, ValueError, KeyError):
        raise inner.wrong("zone", "is not a time zone", "Write an IANA name, such as Europe/Berlin.") from None
    days = inner.choices("weekdays", DAYS)
    window = TimeWindow(
        zone=zone,
        start_minute=_minute(inner, "start"),
        end_minute=_minute(inner, "end"),
        weekdays=frozenset(DAYS.index(day) for day in days) if days else frozenset(range(7)),
    )
    if window.start_minute == window.end_minute:
        raise inner.wrong("end", "is the same as start, so the window is empty")
    inner.done()
    return window


def _minute(item: Item, name: str) -> int:
    """`HH:MM` (24:00 only as an end) as minutes since midnight."""
    hour, colon, minute = item.text(name, most=5).partition(":")
    if colon and len(hour) == len(minute) == 2 and (hour + minute).isascii() and (hour + minute).isdigit():
        total = int(hour) * 60 + int(minute)
        if int(minute) < 60 and total < 24 * 60 + (name == "end"):
            return total
    raise item.wrong(name, "is not a time of day", 'Write it like "09:30".')


def _applies_to(item: Item) -> AppliesTo:
    """`people`, `agents`, `everyone`, or a mapping with agent ids or frameworks."""
    audiences = tuple(Audience)
    if item.has_text("applies_to"):
        return AppliesTo(Audience(item.choice("applies_to", audiences)))
    inner = item.child("applies_to")
    if inner is None:
        return AppliesTo()
    applies = AppliesTo(
        audience=Audience(inner.choice("audience", audiences)),
        agent_ids=inner.texts("agent_ids"),
        frameworks=inner.texts("frameworks"),
    )
    if applies.audience is not Audience.AGENTS and (applies.agent_ids or applies.frameworks):
        raise inner.wrong("audience", "must be agents where agent_ids or frameworks are named")
    inner.done()
    return applies


def _roles(item: Item, name: str) -> frozenset[Role]:
    return frozenset(Role(role) for role in item.choices(name, tuple(Role)))
