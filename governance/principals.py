"""Who asks: a person or service, and the agent that acts for it, as the credential says."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from governance.roles import Role
from governance.scopes import Scope

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Agent:
    """An AI agent, as bound to the key it uses."""

    id: str
    framework: str = ""
    trust: str = ""


def local_id(user_id: str, organization: str) -> str:
    """What a user is called within his organization, and in its data: his id without the organization's (ADR 7)."""
    return user_id.removeprefix(f"{organization}:")


DIALECTS = ("duckdb", "postgres", "snowflake")
"""In which a key or a session may write its statements."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The identity a session acts under; all of it comes from the credential and the rulebook."""

    user_id: str
    email: str
    organization: str
    role: Role
    scopes: frozenset[Scope]
    environment: str
    key_id: str
    key_name: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    """Sorted (name, value) pairs such as ("department", "risk")."""
    agent: Agent | None = None
    networks: tuple[Network, ...] = ()
    """Where the key may be used from; empty means anywhere."""
    allowed_tables: tuple[str, ...] = ()
    """`schema.table` or `schema.*`; empty means every table of the organization."""
    dialect: str = "duckdb"
    operator: bool = False
    """Whether the organization is the operator's (it may declare others)."""
    source_ip: str = field(default="", compare=False)

    def attribute(self, name: str) -> str | None:
        """A placeholder's value: the six built-in names and whatever attributes the user carries, or None."""
        if name == "user_id":
            return local_id(self.user_id, self.organization)
        if name == "org_id":
            return self.organization
        if name == "agent_id":
            return self.agent.id if self.agent else None
        if name == "agent_framework":
            return (self.agent.framework or None) if self.agent else None
        return dict(self.attributes).get(name)
