"""What every route needs at hand: the store, the clock, the query audit, and who stands at the desk now."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeVar

from governance.admin_event import Attribution
from governance.errors import AuthenticationFailed, Conflict, NotFound
from governance.ports import Change, Clock, ControlReader, ControlStore, QueryAuditSearch
from governance.register import Environment, Organization
from governance.timestamp import stamp
from lambdas.control_plane.caller import Caller, NodeIdentity, hidden

T = TypeVar("T")


class Desk:
    """One per process. `caller` and `node` belong to the request that the present thread serves."""

    def __init__(self, store: ControlStore, clock: Clock, *, queries: QueryAuditSearch | None = None) -> None:
        self.store = store
        self.clock = clock
        self.queries = queries
        self._present: ContextVar[Caller | NodeIdentity | None] = ContextVar("present", default=None)

    def seat(self, present: Caller | NodeIdentity | None) -> None:
        """Say who the present request is from; None when it is over."""
        self._present.set(present)

    @property
    def caller(self) -> Caller:
        """The authenticated user.

        Raises:
            AuthenticationFailed: nobody was authenticated; no route that asks is reached then.
        """
        present = self._present.get()
        if not isinstance(present, Caller):
            raise AuthenticationFailed("Authentication failed.", reason="no caller at the desk")
        return present

    @property
    def node(self) -> NodeIdentity:
        """The authenticated node; raises as `caller` does."""
        present = self._present.get()
        if not isinstance(present, NodeIdentity):
            raise AuthenticationFailed("Authentication failed.", reason="no node at the desk")
        return present

    def now(self) -> str:
        """The present moment as text."""
        return stamp(self.clock.now())

    def change(self, decide: Callable[[ControlReader], Change[T]]) -> T:
        """Change the register in the caller's name."""
        return self.store.change(self._attribution(), decide)

    def _attribution(self) -> Attribution:
        present = self._present.get()
        if present is None:
            raise AuthenticationFailed("Authentication failed.", reason="a change by nobody")
        return present.attribution


def admitted_environment(reader: ControlReader, caller: Caller, name: str) -> Environment:
    """The environment of that name, when the caller's key admits him to it.

    Raises:
        NotFound: there is none, or not for this key.
    """
    environment = reader.get(Environment, "", name)
    if environment is None or not caller.in_environment(name):
        raise hidden("environment")
    return environment


def operator_of(reader: ControlReader) -> Organization:
    """The operator organization.

    Raises:
        NotFound: the store was never set up.
    """
    for organization in reader.every(Organization, ""):
        if organization.operator:
            return organization
    raise NotFound("This control plane is not set up.", advice="Run `hatidata init`.")


def taken(what: str) -> Conflict:
    """A creation whose name or id another object has already."""
    return Conflict(f"There is such a {what} already.", advice="Change that one, or choose another name.")
