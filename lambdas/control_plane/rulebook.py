"""The rulebook of an environment, built from the register; its version is the environment's change counter."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

from governance.bundle import RULEBOOK_BYTES_MAX, Manifest, split
from governance.errors import NotFound, StoreUnavailable
from governance.policy_record import PolicyRecord
from governance.ports import ControlReader, Signer
from governance.quota import OrganizationQuota
from governance.register import (
    Environment,
    KeyRecord,
    Organization,
    SchemaOwner,
    UserRecord,
    ViewRecord,
)
from governance.rulebook import Rulebook, encode
from lambdas.control_plane.desk import operator_of

READS_MAX = 5
"""How often the register is read over when it changed meanwhile."""


def build_rulebook(reader: ControlReader, name: str, now: str) -> Rulebook:
    """What the nodes of environment `name` decide with.

    A suspended organization's users are handed out as inactive, revoked keys not at all.

    Raises:
        NotFound: there is no such environment.
    """
    environment = reader.get(Environment, "", name)
    if environment is None:
        raise NotFound("There is no such environment.")
    organizations = reader.every(Organization, "")
    suspended = {organization.id for organization in organizations if organization.status != "active"}
    users = []
    for record in reader.every(UserRecord, ""):
        user = record.for_node()
        if record.organization in suspended:
            user = dataclasses.replace(user, active=False)
        users.append(user)
    return Rulebook(
        environment=name,
        version=reader.version(name),
        issued_at=now,
        operator_organization=operator_of(reader).id,
        organizations=tuple((organization.id, organization.name) for organization in organizations),
        schemas=tuple((schema.id, schema.organization) for schema in reader.every(SchemaOwner, name)),
        users=tuple(users),
        keys=tuple(key.for_node() for key in reader.every(KeyRecord, name) if key.opens),
        policies=tuple(policy.policy for policy in reader.every(PolicyRecord, name) if policy.status == "active"),
        views=tuple(view.view for view in reader.every(ViewRecord, name)),
        limits=environment.limits,
        audit=environment.audit,
        mask_key_id=environment.mask_key_id,
        quotas=tuple((each.organization, each.quota) for each in reader.every(OrganizationQuota, name)),
    )


@dataclass(frozen=True, slots=True)
class Sealed:
    """A rulebook as it goes to a node."""

    etag: str
    parts: tuple[bytes, ...]
    manifest: bytes = b""
    """Signed just now, or a moment ago; empty without a signer."""
    signature: bytes = b""
    signed_at: float = 0.0
    """Monotonic seconds."""
    version: int = 0


class Shelf:
    """The last rulebook of each environment, kept until its version moves. Safe for threads: entries are whole."""

    def __init__(self, signer: Signer | None, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._signer = signer
        self._monotonic = monotonic
        self._held: dict[str, Sealed] = {}

    def take(self, reader: ControlReader, name: str, now: str) -> Sealed:
        """The rulebook as of `now`, with a manifest that says so.

        Raises:
            NotFound: there is no such environment.
            StoreUnavailable: the law changed again and again while it was read, or nothing can be signed.
        """
        held = self._held.get(name)
        if held is None or held.version != reader.version(name):
            held = _built(reader, name)
        if self._signer is not None:
            moment = self._monotonic()
            if not held.manifest or moment - held.signed_at > self._signer.fresh_for_s:
                body = b"".join(held.parts)
                manifest = Manifest.of(body, environment=name, version=held.version, issued_at=now).encode()
                held = dataclasses.replace(
                    held, manifest=manifest, signature=self._signer.sign(manifest), signed_at=moment
                )
        self._held[name] = held
        return held


def _built(reader: ControlReader, name: str) -> Sealed:
    """The bytes are the same whoever builds them: what changes with the moment stands in the manifest."""
    for _ in range(READS_MAX):
        book = build_rulebook(reader, name, "")
        if book.version == reader.version(name):
            body = encode(book)
            if len(body) > RULEBOOK_BYTES_MAX:
                raise StoreUnavailable("The rulebook is too large for its nodes.", advice="Remove keys and policies.")
            return Sealed(book.etag, tuple(split(body)), version=book.version)
    raise StoreUnavailable("The law changes too fast to be read.", advice="Try again.")
