"""What every route needs at hand: the store, the clock, the query audit, and who stands at the desk now."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from governance.admin_event import Actor
from governance.errors import AuthenticationFailed, Conflict, NotFound
from governance.idempotency import IdempotentAnswer
from governance.ports import Change, Clock, ControlReader, ControlStore, QueryAuditSearch, SecretBox, Signer
from governance.register import Environment, Organization
from governance.timestamp import stamp
from governance.webhook_outbox import telling
from lambdas.control_plane.caller import Caller, Guest, NodeIdentity, hidden
from lambdas.control_plane.once import need_first
from lambdas.control_plane.revisions import Subject, etag_of, need_match

T = TypeVar("T")


@dataclass
class Visit:
    """One request at the desk."""

    present: Caller | Guest | NodeIdentity
    if_match: str = ""
    subject: Subject | None = None
    """The record the request is about."""
    once: IdempotentAnswer | None = None
    """What to remember of it, when it bears an Idempotency-Key."""
    carried_out: bool = False
    """Whether that was committed."""
    etag: str = ""
    """Names the state of the subject, or of what was made, that the answer tells of or something older."""


class Desk:
    """One per process. `caller` and `node` belong to the request that the present thread serves."""

    def __init__(
        self,
        store: ControlStore,
        clock: Clock,
        *,
        queries: QueryAuditSearch | None = None,
        secrets: SecretBox | None = None,
        signer: Signer | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.queries = queries
        self.secrets = secrets
        self.signer = signer
        self._visit: ContextVar[Visit | None] = ContextVar("visit", default=None)

    def seat(self, visit: Visit | None) -> None:
        """Say who the present request is from; None when it is over."""
        self._visit.set(visit)

    @property
    def _present(self) -> Caller | Guest | NodeIdentity | None:
        visit = self._visit.get()
        return visit.present if visit else None

    @property
    def caller(self) -> Caller:
        """The authenticated user.

        Raises:
            AuthenticationFailed: nobody was authenticated; no route that asks is reached then.
        """
        present = self._present
        if not isinstance(present, Caller):
            raise AuthenticationFailed("Authentication failed.", reason="no caller at the desk")
        return present

    @property
    def node(self) -> NodeIdentity:
        """The authenticated node; raises as `caller` does."""
        present = self._present
        if not isinstance(present, NodeIdentity):
            raise AuthenticationFailed("Authentication failed.", reason="no node at the desk")
        return present

    def now(self) -> str:
        """The present moment as text."""
        return stamp(self.clock.now())

    def change(self, decide: Callable[[ControlReader], Change[T]]) -> T:
        """Change the register in the caller's name, if If-Match holds and the request was not carried out before.

        Raises:
            PreconditionFailed: If-Match names an older state.
            Repeated, KeyReused: of the Idempotency-Key.
        """
        visit = self._visit.get()
        if visit is None or isinstance(visit.present, Guest):
            raise AuthenticationFailed("Authentication failed.", reason="a change by nobody")
        now, made = self.now(), ""

        def decide_once(reader: ControlReader) -> Change[T]:
            nonlocal made
            if visit.once is not None:
                need_first(reader, visit.once, now)
            change = decide(reader)
            need_match(visit.if_match, visit.subject, reader)
            made = _etag(change, visit.subject)
            if visit.once is not None:
                change = dataclasses.replace(change, observations=(*change.observations, visit.once))
            return change

        attribution = visit.present.attribution
        result = self.store.change(attribution, telling(attribution, decide_once))
        visit.carried_out = True
        visit.etag = made or visit.etag
        return result

    def change_as(self, actor: Actor, decide: Callable[[ControlReader], Change[T]]) -> T:
        """Change the register for a guest, who by what he knows acts as `actor`."""
        present = self._present
        if not isinstance(present, Guest):
            raise AuthenticationFailed("Authentication failed.", reason="no guest at the desk")
        attribution = dataclasses.replace(present.attribution, actor=actor)
        return self.store.change(attribution, telling(attribution, decide))


def _etag(change: Change[T], subject: Subject | None) -> str:
    """The ETag of the subject as the change leaves it; of a creation, of what it answers with."""
    if subject is None:
        return next((etag_of(record) for record in change.puts if record is change.result), "")
    return next((etag_of(record) for record in change.puts if subject.is_(record)), "")


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
