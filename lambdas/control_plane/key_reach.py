"""How far a key may reach: never further than its maker's key, and only by the hand of someone who may."""

from __future__ import annotations

from ipaddress import ip_network

from governance.errors import InvalidRequest, PermissionRefused
from governance.ports import ControlReader
from governance.register import KeyRecord, UserRecord
from governance.timestamp import parse, stamp
from lambdas.control_plane.caller import Caller


def need_hand(reader: ControlReader, caller: Caller, key: KeyRecord) -> None:
    """The caller may lay hands on his own keys, and on those of users he outranks.

    Raises:
        PermissionRefused: this is another's.
    """
    user = reader.get(UserRecord, "", key.user_id)
    if user is None or user.id == caller.user.id:
        return
    if not caller.rules_over(user.organization, user.role):
        raise PermissionRefused(
            f"You may not make or change keys of a user whose role is {user.role}.",
            advice="Ask the organization's Owner.",
        )


def need_no_more(caller: Caller, key: KeyRecord) -> None:
    """A key may not do more than the key that makes it.

    Raises:
        PermissionRefused: it would.
    """
    own = caller.key
    beyond = key.scopes - caller.scopes
    if beyond:
        raise PermissionRefused(
            "A key cannot have scopes that its maker's key lacks: " + ", ".join(sorted(beyond)) + ".",
            advice="Use a key that has them.",
        )
    agent_differs = own.agent is not None and own.agent != key.agent
    tables_wider = bool(own.allowed_tables) and (
        not key.allowed_tables or not all(_covered(table, own.allowed_tables) for table in key.allowed_tables)
    )
    networks_wider = bool(own.networks) and (
        not key.networks or not all(_within(network, own.networks) for network in key.networks)
    )
    lives_longer = bool(own.ends_at) and (not key.expires_at or key.expires_at > own.ends_at)
    asks_more = not key.quota.within(own.quota)
    if agent_differs or tables_wider or networks_wider or lives_longer or asks_more:
        raise PermissionRefused(
            "A key cannot reach further than its maker's key in agent, tables, networks, lifetime or quota.",
            advice="Name the same restrictions, or use a key without them.",
        )


def _covered(table: str, allowed: tuple[str, ...]) -> bool:
    return table in allowed or table.partition(".")[0] + ".*" in allowed


def _within(network: str, allowed: tuple[str, ...]) -> bool:
    inner = ip_network(network)
    for text in allowed:
        outer = ip_network(text)
        if outer.version == inner.version and inner.subnet_of(outer):  # type: ignore[arg-type]
            return True
    return False


def network(text: str) -> str:
    """A network as it is kept.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        return str(ip_network(text))
    except ValueError:
        raise InvalidRequest(
            "A network is not well formed.", advice="Write it like 10.0.0.0/8 or 2001:db8::/32, without host bits."
        ) from None


def future(text: str, now: str) -> str:
    """A moment to come, as it is kept.

    Raises:
        InvalidRequest: it is none, or past.
    """
    try:
        moment = stamp(parse(text))
    except ValueError:
        raise InvalidRequest("`expires_at` is no moment.", advice="Write it like 2027-01-31T00:00:00Z.") from None
    if moment <= now:
        raise InvalidRequest("`expires_at` is past.", advice="Give a moment to come.")
    return moment
